import PDFDocument from 'pdfkit';

import type { TicketPaper } from '@heddle/contracts';

import type { Code } from './codes.js';
import type { FontBook } from './font-book.js';
import type { Weight } from './font-store.js';
import type { PreviewImage } from './preview-image.js';
import { layoutText } from './text-layout.js';
import type { TextBlock } from './text-layout.js';

const SIZES: Readonly<Record<TicketPaper, readonly [width: number, height: number]>> = {
  a4: [595.28, 841.89],
  letter: [612, 792],
};
/** Points; also what office printers leave white. */
export const MARGIN = 40;
const ASCENT = 1.06;

export const INK = '#16181d';
export const SOFT = '#5d6470';
export const RULE = '#c9ced6';
export const TINT = '#f2f4f7';

export interface DocumentInfo {
  readonly title: string;
  readonly subject: string;
  readonly createdAt: Date | null;
}

/** Pages that are drawn on in points from the top left corner. */
export class Paper {
  readonly width: number;
  readonly height: number;
  private readonly pdf: PDFKit.PDFDocument;
  private images = 0;
  private readonly blocks = new Map<string, TextBlock>();

  constructor(
    size: TicketPaper,
    info: DocumentInfo,
    private readonly book: FontBook,
  ) {
    [this.width, this.height] = SIZES[size];
    this.pdf = new PDFDocument({
      size: [this.width, this.height],
      margin: 0,
      // None of the library's own: it would be opened for nothing.
      font: null as unknown as string,
      bufferPages: true,
      autoFirstPage: false,
      lang: 'en',
      displayTitle: true,
      info: {
        Title: info.title,
        Subject: info.subject,
        Producer: 'Heddle',
        Creator: 'Heddle',
        // No clock: the same ticket has the same bytes tomorrow.
        CreationDate: info.createdAt ?? new Date(0),
      },
    });
    // The library reads it all the same, but lists only what is enumerable.
    if (info.createdAt === null) Object.defineProperty(this.pdf.info, 'CreationDate', { enumerable: false });
  }

  get innerWidth(): number {
    return this.width - 2 * MARGIN;
  }

  get pageCount(): number {
    return this.pdf.bufferedPageRange().count;
  }

  addPage(): void {
    this.pdf.addPage();
  }

  toPage(index: number): void {
    this.pdf.switchToPage(index);
  }

  layout(
    text: string,
    size: number,
    width: number,
    options: { weight?: Weight; maxLines?: number } = {},
  ): TextBlock {
    const { weight = 400, maxLines } = options;
    const key = [size, weight, width, maxLines, text].join(' ');
    let block = this.blocks.get(key);
    if (block === undefined) {
      block = layoutText(this.book, text, {
        size,
        weight,
        width,
        ...(maxLines !== undefined && { maxLines }),
      });
      this.blocks.set(key, block);
    }
    return block;
  }

  /** `x` and `y` are the top left corner of the block. */
  draw(
    block: TextBlock,
    x: number,
    y: number,
    {
      colour = INK,
      align = 'start',
    }: { colour?: string; align?: 'start' | 'left' | 'center' | 'right' } = {},
  ): void {
    for (const [index, line] of block.lines.entries()) {
      const free = block.width - line.width;
      const isRight = align === 'right' || (align === 'start' && line.isRightToLeft);
      const left = x + (align === 'center' ? free / 2 : isRight ? free : 0);
      const baseline = y + index * block.lineHeight + block.size * ASCENT;
      for (const { font, text, x: within, isTurned } of line.runs) {
        this.pdf.registerFont(font.name, font.font as never);
        this.pdf.font(font.name, block.size).fillColor(colour);
        this.pdf.text(text, left + within, baseline, {
          lineBreak: false,
          baseline: 'alphabetic',
          // With a list of features, even an empty one, the library lays a run out whole.
          ...(isTurned && { features: [] }),
        });
      }
    }
  }

  box(
    x: number,
    y: number,
    width: number,
    height: number,
    {
      fill,
      stroke,
      radius = 0,
      lineWidth = 0.75,
    }: { fill?: string; stroke?: string; radius?: number; lineWidth?: number },
  ): void {
    this.pdf.roundedRect(x, y, width, height, radius).lineWidth(lineWidth);
    if (fill !== undefined && stroke !== undefined) this.pdf.fillAndStroke(fill, stroke);
    else if (fill !== undefined) this.pdf.fill(fill);
    else this.pdf.stroke(stroke ?? RULE);
  }

  rule(x: number, y: number, width: number, { colour = RULE, lineWidth = 0.75 } = {}): void {
    this.pdf
      .moveTo(x, y)
      .lineTo(x + width, y)
      .lineWidth(lineWidth)
      .stroke(colour);
  }

  code(code: Code, x: number, y: number, width: number, height: number): void {
    const [stepX, stepY] = [width / code.width, height / code.height];
    for (const bar of code.bars)
      this.pdf.rect(x + bar.x * stepX, y + bar.y * stepY, bar.width * stepX, bar.height * stepY);
    this.pdf.fill('#000000');
  }

  /** In the middle of the given room. @returns false when the library cannot read the image. */
  image(image: PreviewImage, x: number, y: number, width: number, height: number): boolean {
    try {
      const source = image.kind === 'jpeg' ? image.bytes : this.pixels(image);
      this.pdf.image(source as Buffer, x, y, { fit: [width, height], align: 'center', valign: 'center' });
      return true;
    } catch {
      return false;
    }
  }

  /** An image as the library keeps those that it has opened itself. Its own reader of PNG takes most of a ticket's time. */
  private pixels(image: PreviewImage & { readonly kind: 'pixels' }): object {
    const { width, height, colours, data, alpha } = image;
    this.images += 1;
    const opened = {
      label: `P${String(this.images)}`,
      width,
      height,
      obj: null as object | null,
      embed: (pdf: PDFKit.PDFDocument): void => {
        const head = (components: 1 | 3): Record<string, unknown> => ({
          Type: 'XObject',
          Subtype: 'Image',
          BitsPerComponent: 8,
          Width: width,
          Height: height,
          ColorSpace: components === 1 ? 'DeviceGray' : 'DeviceRGB',
          Filter: 'FlateDecode',
          DecodeParms: { Predictor: 15, Colors: components, BitsPerComponent: 8, Columns: width },
        });
        const mask = alpha === undefined ? undefined : pdf.ref(head(1));
        mask?.end(alpha);
        const object = pdf.ref({ ...head(colours), ...(mask !== undefined && { SMask: mask }) });
        opened.obj = object;
        object.end(data);
      },
    };
    return opened;
  }

  async finish(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    this.pdf.end();
    for await (const chunk of this.pdf as AsyncIterable<Buffer>) chunks.push(chunk);
    return Buffer.concat(chunks);
  }
}
