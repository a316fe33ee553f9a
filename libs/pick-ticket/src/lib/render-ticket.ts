import { code128, qrCode } from './codes.js';
import { FontBook } from './font-book.js';
import { FontStore } from './font-store.js';
import { INK, MARGIN, Paper, RULE, SOFT, TINT } from './paper.js';
import { preparePreview } from './preview-image.js';
import type { PreviewImage } from './preview-image.js';
import { printable, readRecipe } from './recipe-content.js';
import type { Colour, Placement, RecipeContent, View } from './recipe-content.js';
import type { TextBlock } from './text-layout.js';
import type { TicketInput, TicketOrder } from './ticket.js';

/** A text names a font file the first time; what that brings may name another one. More turns there cannot be. */
const MAX_TURNS = 12;
const GAP = 14;
const FOOTER = 26;

/** Draws pick tickets. Keeps its fonts: one for each thread. */
export class TicketRenderer {
  private readonly fonts = new FontStore();

  /** @throws {SyntaxError} when the document is not JSON; what JSON it is does not matter. */
  async render(input: TicketInput): Promise<Buffer> {
    const recipe = readRecipe(JSON.parse(input.document));
    const previews = input.previews.map((bytes) => (bytes === null ? undefined : preparePreview(bytes)));
    const book = new FontBook(this.fonts, `${JSON.stringify(recipe)}${JSON.stringify(input.order)}`);
    for (let turn = 1; ; turn += 1) {
      const sheet = new TicketSheet(input, recipe, previews, book);
      sheet.draw();
      if (turn === MAX_TURNS || !(await book.loadMissing())) return await sheet.finish();
    }
  }
}

interface Column {
  readonly title: string;
  readonly x: number;
  readonly width: number;
}

/** One ticket from top to bottom. */
class TicketSheet {
  private readonly paper: Paper;
  private readonly order: TicketOrder | null;
  private readonly title: string;
  private y = MARGIN;

  constructor(
    private readonly input: TicketInput,
    private readonly recipe: RecipeContent,
    private readonly previews: readonly (PreviewImage | undefined)[],
    book: FontBook,
  ) {
    const { order, recipeId } = input;
    this.order =
      order === null
        ? null
        : {
            ...order,
            orderNumber: printable(order.orderNumber),
            orderId: order.orderId && printable(order.orderId),
          };
    this.title = recipe.name ?? recipe.styleCode ?? 'Product without a name';
    const about =
      this.order === null ? `recipe ${recipeId}` : `order ${this.order.orderNumber}, recipe ${recipeId}`;
    this.paper = new Paper(
      input.paper,
      { title: `Pick ticket: ${about}`, subject: this.title, createdAt: recipe.createdAt },
      book,
    );
  }

  draw(): void {
    this.paper.addPage();
    this.head();
    if (this.order !== null) this.orderBand(this.order);
    this.previewGrid();
    this.placementTable();
    this.feet();
  }

  async finish(): Promise<Buffer> {
    return await this.paper.finish();
  }

  /** Room above the footer. */
  private get bottom(): number {
    return this.paper.height - MARGIN - FOOTER;
  }

  private head(): void {
    const { paper, recipe, input } = this;
    const codeSize = 92;
    const textWidth = paper.innerWidth - codeSize - 24;
    const codeX = paper.width - MARGIN - codeSize;
    const code = qrCode(input.recipeId);
    // Its light border hangs over the margin, so that its dark corner stands on it.
    const border = (codeSize / code.width) * 4;
    paper.code(code, codeX + border, this.y - border, codeSize, codeSize);

    let y = this.y;
    y = this.label('PICK TICKET', MARGIN, y) + 3;
    const name = paper.layout(this.title, 23, textWidth, { weight: 700, maxLines: 3 });
    paper.draw(name, MARGIN, y);
    y += name.height + 4;
    const facts: readonly (readonly [string, string])[] = [
      ...(recipe.styleCode === null ? [] : [['Style', recipe.styleCode] as const]),
      ['Recipe', input.recipeId],
      [
        'Version',
        `${String(input.version)}${recipe.createdAt === null ? '' : `, design of ${dateText(recipe.createdAt)}`}`,
      ],
    ];
    for (const [label, text] of facts) {
      paper.draw(paper.layout(label, 9.5, 48), MARGIN, y, { colour: SOFT });
      const value = paper.layout(text, 9.5, textWidth - 48, {
        weight: label === 'Version' ? 400 : 700,
        maxLines: 3,
      });
      paper.draw(value, MARGIN + 48, y);
      y += value.height + 1;
    }
    this.y = Math.max(y, this.y + codeSize - border) + GAP;
  }

  private orderBand(order: TicketOrder): void {
    const { paper } = this;
    const pad = 12;
    const quantityWidth = 92;
    const code = code128(order.orderNumber) ?? qrCode(order.orderNumber);
    const codeSize =
      code.kind === 'qr'
        ? { width: 74, height: 74 }
        : { width: Math.min(210, code.width * 1.35), height: 40 };
    const left = MARGIN + pad;
    const codeX = paper.width - MARGIN - pad - codeSize.width;
    const quantityX = codeX - 18 - quantityWidth;
    const orderWidth = quantityX - left - 12;

    const number = paper.layout(order.orderNumber, order.orderNumber.length > 18 ? 12 : 19, orderWidth, {
      weight: 700,
      maxLines: 6,
    });
    const lines = [
      ...(order.orderId === null ? [] : [`Order id ${order.orderId}`]),
      ...(order.items.length === 1 && order.moreItems === 0
        ? [`Item ${printable(order.items[0]?.itemId ?? '')}`]
        : []),
    ].map((text) => paper.layout(text, 9, orderWidth, { maxLines: 4 }));
    const textHeight = 13 + number.height + lines.reduce((sum, { height }) => sum + height, 0);
    const codeText = code.kind === 'qr' ? undefined : paper.layout(order.orderNumber, 8, codeSize.width);
    const codeHeight = codeSize.height + (codeText?.height ?? 0);
    const height = Math.max(textHeight, codeHeight, 56) + 2 * pad;
    paper.box(MARGIN, this.y, paper.innerWidth, height, {
      fill: '#ffffff',
      stroke: INK,
      radius: 6,
      lineWidth: 1,
    });

    let y = this.label('ORDER', left, this.y + pad);
    paper.draw(number, left, y, { align: 'left' });
    y += number.height;
    for (const line of lines) {
      paper.draw(line, left, y, { colour: SOFT });
      y += line.height;
    }
    const quantityY = this.label('QUANTITY', quantityX, this.y + pad);
    const text = String(order.quantity);
    const size = text.length > 5 ? 18 : 30;
    paper.draw(paper.layout(text, size, quantityWidth, { weight: 700 }), quantityX, quantityY - 3);

    const codeY = this.y + (height - codeHeight) / 2;
    paper.code(code, codeX, codeY, codeSize.width, codeSize.height);
    if (codeText !== undefined) paper.draw(codeText, codeX, codeY + codeSize.height + 1, { align: 'center' });
    this.y += height + GAP;
    if (order.items.length + order.moreItems > 1) this.itemList(order);
  }

  /** The order's lines that use this recipe: the quantity above is their sum. */
  private itemList({ items, moreItems }: TicketOrder): void {
    const { paper } = this;
    const columns = 3;
    const gap = 16;
    const width = (paper.innerWidth - (columns - 1) * gap) / columns;
    this.heading('Order items', items.length + moreItems);
    for (let at = 0; at < items.length; at += columns) {
      const row = items.slice(at, at + columns).map(({ itemId, itemQuantity }) => ({
        id: paper.layout(printable(itemId), 9, width - 58, { maxLines: 3 }),
        quantity: paper.layout(`× ${String(itemQuantity)}`, 9, 52, { weight: 700 }),
      }));
      const height = Math.max(...row.map(({ id }) => id.height)) + 5;
      this.ensure(height);
      for (const [index, { id, quantity }] of row.entries()) {
        const x = MARGIN + index * (width + gap);
        paper.draw(id, x, this.y + 2, { align: 'left' });
        paper.draw(quantity, x + width - 52, this.y + 2, { align: 'right' });
        paper.rule(x, this.y + height, width, { lineWidth: 0.5 });
      }
      this.y += height;
    }
    if (moreItems > 0) this.note(`and ${String(moreItems)} more items of this order, counted above`);
    this.y += GAP;
  }

  private previewGrid(): void {
    const { paper, recipe } = this;
    const { views, moreViews } = recipe;
    if (views.length === 0) return;
    const columns = views.length === 4 || views.length > 6 ? 4 : Math.min(views.length, 3);
    const gap = 12;
    const width = (paper.innerWidth - (columns - 1) * gap) / columns;
    const imageHeight = [250, 250, 185, 150, 120][columns] ?? 120;
    const rowHeight = imageHeight + 34;
    this.heading('Previews', views.length + moreViews, rowHeight);
    for (let at = 0; at < views.length; at += columns) {
      this.ensure(rowHeight);
      for (const [index, view] of views.slice(at, at + columns).entries()) {
        this.preview(view, this.previews[at + index], MARGIN + index * (width + gap), width, imageHeight);
      }
      this.y += rowHeight;
    }
    if (moreViews > 0) this.note(`and ${String(moreViews)} more views, see the recipe document`);
    this.y += GAP - 4;
  }

  private preview(
    view: View,
    image: PreviewImage | undefined,
    x: number,
    width: number,
    height: number,
  ): void {
    const { paper, y } = this;
    const inset = 6;
    paper.box(x, y, width, height, { fill: '#ffffff', stroke: RULE, radius: 4 });
    const isShown =
      image !== undefined && paper.image(image, x + inset, y + inset, width - 2 * inset, height - 2 * inset);
    if (!isShown) {
      paper.box(x + inset, y + inset, width - 2 * inset, height - 2 * inset, { fill: TINT, radius: 3 });
      const words = paper.layout('No preview available', 9, width - 24);
      paper.draw(words, x + 12, y + height / 2 - words.height / 2, { colour: SOFT, align: 'center' });
    }
    const state = paper.layout(
      view.productionReady ? 'production file ready' : 'no production file',
      8,
      width,
    );
    const name = paper.layout(view.name, 9.5, width, { weight: 700, maxLines: 1 });
    paper.draw(name, x, y + height + 4);
    paper.draw(state, x, y + height + 17, { colour: SOFT });
  }

  private placementTable(): void {
    const { placements, morePlacements } = this.recipe;
    if (placements.length === 0) {
      this.heading('Placements', 0);
      this.note('The recipe document lists no placement.');
      return;
    }
    const columns = this.columns();
    this.heading('Placements', placements.length + morePlacements, 60);
    this.tableHead(columns);
    for (const [index, placement] of placements.entries())
      this.placementRow(placement, columns, index % 2 === 1);
    if (morePlacements > 0) {
      this.y += 4;
      this.note(`and ${String(morePlacements)} more placements, see the recipe document`);
    }
  }

  private columns(): readonly Column[] {
    const tick = 20;
    const gap = 10;
    const free = this.paper.innerWidth - tick - 3 * gap - 6;
    const columns: Column[] = [];
    let x = MARGIN + tick;
    for (const [title, share] of [
      ['Placement', 0.22],
      ['Component', 0.26],
      ['Colour', 0.2],
      ['Text and details', 0.32],
    ] as const) {
      columns.push({ title, x, width: free * share });
      x += free * share + gap;
    }
    return columns;
  }

  private tableHead(columns: readonly Column[]): void {
    const { paper } = this;
    for (const { title, x, width } of columns)
      paper.draw(paper.layout(title, 8, width, { weight: 700 }), x, this.y, { colour: SOFT });
    this.y += 14;
    paper.rule(MARGIN, this.y, paper.innerWidth, { colour: INK, lineWidth: 1 });
  }

  /** A row stays together; one that is higher than a page is cut to it, as its cells are limited. */
  private placementRow(placement: Placement, columns: readonly Column[], isTinted: boolean): void {
    const { paper } = this;
    const pad = 5;
    const cells = this.cellsOf(placement, columns);
    const height =
      Math.max(...cells.map((blocks) => blocks.reduce((sum, { block }) => sum + block.height, 0))) + 2 * pad;
    if (this.y + height > this.bottom) {
      this.nextPage();
      this.tableHead(columns);
    }
    if (isTinted) paper.box(MARGIN, this.y, paper.innerWidth, height, { fill: TINT });
    paper.box(MARGIN + 4, this.y + pad + 1.5, 9, 9, { fill: '#ffffff', stroke: SOFT, radius: 1.5 });
    for (const [index, blocks] of cells.entries()) {
      let y = this.y + pad;
      for (const { block, colour, indent = 0, swatch } of blocks) {
        const x = columns[index]?.x ?? MARGIN;
        if (swatch !== undefined)
          paper.box(x, y + 1.5, 10, 10, { fill: swatch, stroke: SOFT, radius: 2, lineWidth: 0.5 });
        paper.draw(block, x + indent, y, { colour });
        y += block.height;
      }
    }
    this.y += height;
    paper.rule(MARGIN, this.y, paper.innerWidth, { lineWidth: 0.5 });
  }

  private cellsOf(placement: Placement, columns: readonly Column[]): readonly (readonly Cell[])[] {
    const [first, second, third, fourth] = columns.map(({ width }) => width) as [
      number,
      number,
      number,
      number,
    ];
    const main = (text: string, width: number, weight: 400 | 700 = 400): Cell => ({
      block: this.paper.layout(text, 9.5, width, { weight, maxLines: 14 }),
      colour: INK,
    });
    const small = (text: string, width: number): Cell => ({
      block: this.paper.layout(text, 8, width, { maxLines: 6 }),
      colour: SOFT,
    });
    const { colour, placementCode, componentCode, texts, details } = placement;
    return [
      [
        main(placement.placement, first, 700),
        ...(placementCode === null ? [] : [small(placementCode, first)]),
      ],
      [main(placement.component, second), ...(componentCode === null ? [] : [small(componentCode, second)])],
      colour === null ? [] : this.colourCells(colour, third, main, small),
      this.fitting([
        ...texts.map((text) => main(text, fourth, 700)),
        ...details.map((detail) => small(detail, fourth)),
      ]),
    ];
  }

  private colourCells(
    { names: [name = '', ...others], hex }: Colour,
    width: number,
    main: (text: string, width: number) => Cell,
    small: (text: string, width: number) => Cell,
  ): readonly Cell[] {
    const indent = hex === null ? 0 : 15;
    return [
      { ...main(name, width - indent), indent, ...(hex !== null && { swatch: hex }) },
      ...(others.length === 0 ? [] : [{ ...small(others.join(' · '), width - indent), indent }]),
    ];
  }

  /** What a page holds; the rest is in the recipe document. */
  private fitting(cells: readonly Cell[]): readonly Cell[] {
    const room = this.bottom - MARGIN - 100;
    let used = 0;
    return cells.filter(({ block }) => (used += block.height) <= room);
  }

  private heading(text: string, count: number, following = 30): void {
    const { paper } = this;
    this.ensure(26 + following);
    const title = paper.layout(text, 12, 300, { weight: 700 });
    paper.draw(title, MARGIN, this.y);
    const width = title.lines[0]?.width ?? 0;
    paper.draw(paper.layout(String(count), 12, 80), MARGIN + width + 6, this.y, { colour: SOFT });
    this.y += 22;
  }

  private note(text: string): void {
    const block = this.paper.layout(text, 9, this.paper.innerWidth);
    this.ensure(block.height + 4);
    this.paper.draw(block, MARGIN, this.y + 2, { colour: SOFT });
    this.y += block.height + 4;
  }

  /** @returns the place below. */
  private label(text: string, x: number, y: number): number {
    this.paper.draw(this.paper.layout(text, 7.5, 200, { weight: 700 }), x, y, { colour: SOFT });
    return y + 11;
  }

  private ensure(height: number): void {
    if (this.y + height > this.bottom) this.nextPage();
  }

  /** Each page says whose it is: pages get lost. */
  private nextPage(): void {
    const { paper, order } = this;
    paper.addPage();
    const half = paper.innerWidth / 2 - 8;
    const about =
      order === null
        ? `Recipe ${this.input.recipeId}`
        : `Order ${order.orderNumber} · Quantity ${String(order.quantity)}`;
    paper.draw(paper.layout(this.title, 10, half, { weight: 700, maxLines: 1 }), MARGIN, MARGIN - 6, {
      align: 'left',
    });
    paper.draw(paper.layout(about, 10, half, { maxLines: 1 }), MARGIN + half + 16, MARGIN - 6, {
      align: 'right',
    });
    paper.rule(MARGIN, MARGIN + 12, paper.innerWidth);
    this.y = MARGIN + 24;
  }

  private feet(): void {
    const { paper, recipe, order, input } = this;
    const pages = paper.pageCount;
    const about = [
      ...(order === null ? [] : [`Order ${order.orderNumber}`]),
      `Recipe ${input.recipeId}`,
      ...(recipe.styleCode === null ? [] : [`Style ${recipe.styleCode}`]),
    ].join('  ·  ');
    const y = paper.height - MARGIN - 12;
    for (let page = 0; page < pages; page += 1) {
      paper.toPage(page);
      paper.rule(MARGIN, y - 6, paper.innerWidth, { lineWidth: 0.5 });
      paper.draw(paper.layout(about, 8, paper.innerWidth - 90, { maxLines: 1 }), MARGIN, y, {
        colour: SOFT,
        align: 'left',
      });
      paper.draw(
        paper.layout(`Page ${String(page + 1)} of ${String(pages)}`, 8, 80),
        paper.width - MARGIN - 80,
        y,
        {
          colour: SOFT,
          align: 'right',
        },
      );
    }
  }
}

interface Cell {
  readonly block: TextBlock;
  readonly colour: string;
  readonly indent?: number;
  readonly swatch?: string;
}

/** The day and minute in UTC: a ticket does not know where it is read. */
function dateText(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
