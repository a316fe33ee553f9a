import { createHash } from 'node:crypto';
import { crc32, deflateSync } from 'node:zlib';

import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { PNG } from 'pngjs';

import { jpegOf, readBack, scanCode128, scanQr } from '../../test/read-back.js';
import type { Area, Pixels, ReadPage } from '../../test/read-back.js';

import { TicketRenderer } from './render-ticket.js';
import type { TicketInput } from './ticket.js';

/** Within the frame of the first of two previews. */
const FIRST_PREVIEW: Area = { x: 60, y: 285, width: 220, height: 160 };
const RECIPE_ID = '2-aB3dE6gH9jK2mN5p';

const cap = {
  id: RECIPE_ID,
  created: '2025-03-04T10:20:30Z',
  name: 'Team Cap',
  styleCode: 'CAP-01',
  components: [
    {
      code: 'P01',
      name: 'Front crown',
      component: {
        code: 'P01-RED',
        placementIndependentCode: 'RED',
        colour: { name: 'Cardinal', hex: '#b01020' },
      },
    },
    {
      code: 'P02',
      component: { code: 'P02-EMB', placementIndependentCode: 'EMB', text: 'Go Bears!', sizeMm: 24 },
    },
  ],
  views: [
    { name: 'Front', code: 'F', productionReady: true },
    { name: 'Back', code: 'B' },
  ],
};

function input(
  given: Partial<Omit<TicketInput, 'document'>> & { readonly document?: unknown } = {},
): TicketInput {
  const { document = cap, ...rest } = given;
  return {
    recipeId: RECIPE_ID,
    version: 3,
    document: JSON.stringify(document),
    paper: 'a4',
    order: {
      orderNumber: '1022',
      orderId: '6182665224482',
      quantity: 3,
      items: [{ itemId: '2222222222222', itemQuantity: 3 }],
      moreItems: 0,
    },
    previews: [],
    ...rest,
  };
}

/** One colour, half of it see-through. */
function preview(colour: readonly [number, number, number], options: { colorType?: 2 | 6 } = {}): Buffer {
  const { colorType = 6 } = options;
  const png = new PNG({ width: 40, height: 30, colorType, inputHasAlpha: true });
  for (let at = 0; at < png.data.length; at += 4)
    png.data.set([...colour, colorType === 2 || (at / 4) % 40 < 20 ? 255 : 0], at);
  return PNG.sync.write(png, { colorType, inputHasAlpha: true });
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const allText = (pages: readonly ReadPage[]): string => pages.map(({ text }) => text).join(' ');

/** Pixels that are about of this colour. */
function count({ data }: Pixels, [red, green, blue]: readonly [number, number, number]): number {
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    const distance =
      Math.abs((data[at] ?? 0) - red) +
      Math.abs((data[at + 1] ?? 0) - green) +
      Math.abs((data[at + 2] ?? 0) - blue);
    if (distance < 12) found += 1;
  }
  return found;
}

describe('a pick ticket', () => {
  let renderer: TicketRenderer;
  beforeAll(() => {
    renderer = new TicketRenderer();
  });
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((read) => read.close()));
  });
  const pagesOf = async (given: TicketInput): Promise<readonly ReadPage[]> => {
    const read = await readBack(await renderer.render(given));
    open.push(read);
    return read.pages;
  };

  it('says what is to be made, for whom, and how often', async () => {
    const [page, ...others] = await pagesOf(input());
    expect(others).toEqual([]);
    for (const text of [
      'Team Cap',
      'CAP-01',
      RECIPE_ID,
      '3, design of 2025-03-04 10:20 UTC',
      'ORDER 1022',
      'Order id 6182665224482',
      'Item 2222222222222',
      'QUANTITY 3',
      'Front crown P01 RED P01-RED Cardinal #b01020',
      'P02 EMB P02-EMB Go Bears! sizeMm: 24',
      'Page 1 of 1',
    ])
      expect(page!.text).toContain(text);
  });

  it('has codes that a scanner reads: the recipe as QR, the order as Code 128', async () => {
    const [page] = await pagesOf(input());
    expect(scanQr(await page!.print({ x: 440, y: 0, width: 155, height: 145 }))).toBe(RECIPE_ID);
    expect(scanCode128(await page!.print({ x: 430, y: 155, width: 120, height: 60 }))).toBe('1022');
  });

  it('writes an order number as QR that bars cannot hold', async () => {
    for (const orderNumber of ['注文-1022/Ä', 'X'.repeat(128)]) {
      const [page] = await pagesOf(input({ order: { ...input().order!, orderNumber } }));
      expect(scanQr(await page!.print({ x: 440, y: 150, width: 155, height: 140 }))).toBe(orderNumber);
    }
  });

  it('fits A4 and Letter', async () => {
    const [a4] = await pagesOf(input());
    const [letter] = await pagesOf(input({ paper: 'letter' }));
    expect([a4!.width, a4!.height].map(Math.round)).toEqual([595, 842]);
    expect([letter!.width, letter!.height]).toEqual([612, 792]);
    expect(letter!.text).toContain('Page 1 of 1');
  });

  it('is the ticket of a recipe alone where there is no order', async () => {
    const [page] = await pagesOf(input({ order: null }));
    expect(page!.text).toContain('Team Cap');
    expect(page!.text).not.toMatch(/order|quantity/i);
  });

  it('lists the items of an order that share the recipe, and counts those that it does not list', async () => {
    const items = Array.from({ length: 5 }, (_, n) => ({ itemId: `item-${String(n)}`, itemQuantity: n + 1 }));
    const order = { orderNumber: '1022', orderId: null, quantity: 40, items, moreItems: 2 };
    const [page] = await pagesOf(input({ order }));
    for (const text of ['QUANTITY 40', 'item-0 × 1', 'item-4 × 5', 'and 2 more items'])
      expect(page!.text).toContain(text);
  });

  it('carries a long list over pages: every row is there once, and every page says whose it is', async () => {
    const components = Array.from({ length: 130 }, (_, n) => ({
      code: `place-${String(n)}`,
      component: { code: `part-${String(n)}`, colour: '#00aa00', text: `text ${String(n)}` },
    }));
    const pages = await pagesOf(input({ document: { ...cap, components } }));
    expect(pages.length).toBeGreaterThan(3);
    const text = allText(pages);
    const rows = [...text.matchAll(/place-(\d+) part-(\d+) #00aa00 text (\d+)/g)];
    expect(rows.map(([, place]) => Number(place))).toEqual(components.map((_, n) => n));
    expect(rows.every(([, place, part, words]) => place === part && part === words)).toBe(true);
    for (const [index, page] of pages.entries()) {
      expect(page.text).toContain(`Page ${String(index + 1)} of ${String(pages.length)}`);
      expect(page.text).toContain('Order 1022');
      expect(page.text).toContain('Placement Component Colour');
    }
  });

  it.each([
    ['Latin', 'Größe, Łódź, Þórshöfn, Đặng'],
    ['Greek', 'Ελλάδα, Ὅμηρος'],
    ['Cyrillic', 'Добрый день, Ґанок'],
    ['Armenian', 'Հայաստան'],
    ['Georgian', 'საქართველო'],
    ['Thai', 'ภาษาไทย'],
    ['Devanagari', 'भारत'],
    ['Chinese', '中文生产单据骨'],
    ['Traditional Chinese', '繁體中文龍'],
    ['Japanese', '日本語のチーム帽'],
    ['Korean', '한국어 팀 모자'],
    ['Hebrew', 'שלום'],
    ['symbols', '→ ½ ☀ €'],
    ['emoji', '🎉'],
  ])('writes %s', async (_, text) => {
    const [page] = await pagesOf(input({ document: { ...cap, name: text } }));
    expect(page!.text.normalize('NFC')).toContain(text.normalize('NFC'));
    expect(page!.text).not.toContain('\ufffd');
  });

  it('joins Arabic letters and puts them in the order in which they are read', async () => {
    const [page] = await pagesOf(input({ document: { ...cap, name: 'سلام 12' } }));
    // The reader turns them back; joined forms are other glyphs of the same letters.
    expect(page!.text.normalize('NFKC')).toContain('سلام');
    expect(page!.text).toContain('12');
  });

  it('marks what no font has, and draws the rest', async () => {
    const [page] = await pagesOf(input({ document: { ...cap, name: 'Cap \u{10380}\ue000 end' } }));
    expect(page!.text).toContain('Cap \ufffd\ufffd end');
  });

  it('shows previews where they are there, and a labelled frame where they are not', async () => {
    const red: readonly [number, number, number] = [200, 30, 40];
    const [with1, without] = await Promise.all([
      pagesOf(input({ previews: [preview(red), null] })),
      pagesOf(input({ previews: [] })),
    ]);
    expect(with1[0]!.text).toContain('Front production file ready');
    expect(with1[0]!.text.match(/No preview available/g)).toHaveLength(1);
    expect(without[0]!.text.match(/No preview available/g)).toHaveLength(2);
    expect(count(await without[0]!.print(FIRST_PREVIEW), red)).toBe(0);
    // Half of the image is see-through: what is behind it is paper.
    const [opaque] = await pagesOf(input({ previews: [preview(red, { colorType: 2 })] }));
    const shown = count(await with1[0]!.print(FIRST_PREVIEW), red);
    expect(shown).toBeGreaterThan(10_000);
    const ratio = count(await opaque!.print(FIRST_PREVIEW), red) / shown;
    expect(ratio).toBeGreaterThan(1.8);
    expect(ratio).toBeLessThan(2.2);
  });

  it('shows every kind of PNG and JPEG', async () => {
    const blue: readonly [number, number, number] = [20, 60, 200];
    for (const image of [
      preview(blue),
      preview(blue, { colorType: 2 }),
      rarePng('interlaced'),
      rarePng('palette'),
      jpegOf(40, 30),
    ]) {
      const [page] = await pagesOf(input({ previews: [image] }));
      expect(page!.text.match(/No preview available/g)).toHaveLength(1);
    }
  });

  it('takes a damaged preview for a missing one', async () => {
    const whole = preview([1, 2, 3]);
    const bomb = Buffer.from(whole);
    bomb.writeUInt32BE(60_000, 16);
    bomb.writeUInt32BE(60_000, 20);
    const cutPng = (colorType: 2 | 6): Buffer => {
      const png = preview([1, 2, 3], { colorType });
      const at = png.indexOf('IDAT');
      png.fill(0x55, at + 8, at + 20);
      return png;
    };
    const damaged = [
      Buffer.from('<html>not found</html>'),
      whole.subarray(0, 40),
      bomb,
      cutPng(2),
      cutPng(6),
      Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 2]),
      Buffer.alloc(0),
    ];
    for (const image of damaged) {
      const [page] = await pagesOf(input({ previews: [image, image] }));
      expect(page!.text.match(/No preview available/g)).toHaveLength(2);
    }
  });

  it('is the same to the byte for the same input, whatever was drawn before', async () => {
    const ticket = input({ previews: [preview([9, 90, 190]), null] });
    const first = sha256(await new TicketRenderer().render(ticket));
    const busy = new TicketRenderer();
    for (const name of ['e\u0301e\u0301 A\u030a \u00a0 \u2011 ffi', 'Größe 日本語 ქართული', '\u00e9 fi'])
      await busy.render(input({ document: { ...cap, name } }));
    expect(sha256(await busy.render(ticket))).toBe(first);
    expect(sha256(await busy.render(ticket))).toBe(first);
    expect(sha256(await busy.render({ ...ticket, version: 4 }))).not.toBe(first);
  });

  it('names no clock and no library', async () => {
    const bytes = await renderer.render(input({ document: { ...cap, created: 'yesterday' }, order: null }));
    const text = bytes.toString('latin1');
    expect(text).toContain('/Producer');
    expect(text).not.toContain('CreationDate');
    expect(text).not.toContain('PDFKit');
    expect((await renderer.render(input())).toString('latin1')).toContain('(D:20250304102030Z)');
  });

  it('comes from any document whatever', async () => {
    const odd = fc.record(
      {
        name: fc.oneof(fc.string({ unit: 'grapheme' }), fc.jsonValue()),
        components: fc.oneof(fc.jsonValue(), fc.array(fc.jsonValue(), { maxLength: 6 })),
        views: fc.array(fc.oneof(fc.jsonValue(), fc.record({ name: fc.string({ unit: 'binary' }) })), {
          maxLength: 6,
        }),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(odd, fc.jsonValue()),
        fc.uint8Array({ maxLength: 64 }),
        async (document, image) => {
          const bytes = await renderer.render(input({ document, previews: [image, Buffer.from(image)] }));
          expect(bytes.subarray(0, 5).toString()).toBe('%PDF-');
        },
      ),
      { numRuns: 30 },
    );
  });

  it('cuts what would be endless, and says so', async () => {
    const long = 'word '.repeat(20_000);
    const components = Array.from({ length: 3 }, (_, n) => ({
      code: long,
      component: { code: String(n), text: long },
    }));
    const pages = await pagesOf(input({ document: { name: long, components } }));
    expect(pages.length).toBeLessThan(10);
    expect(allText(pages)).toContain('…');
  });
});

/** One pixel, of a kind that is rare. */
function rarePng(kind: 'interlaced' | 'palette'): Buffer {
  const chunk = (type: string, data: readonly number[] | Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), Buffer.from(data)]);
    const whole = Buffer.alloc(body.length + 8);
    whole.writeUInt32BE(data.length, 0);
    body.copy(whole, 4);
    whole.writeUInt32BE(crc32(body), body.length + 4);
    return whole;
  };
  const isPalette = kind === 'palette';
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', [0, 0, 0, 1, 0, 0, 0, 1, 8, isPalette ? 3 : 6, 0, 0, isPalette ? 0 : 1]),
    ...(isPalette ? [chunk('PLTE', [1, 2, 3]), chunk('tRNS', [128])] : []),
    chunk('IDAT', deflateSync(Buffer.from(isPalette ? [0, 0] : [0, 1, 2, 3, 255]))),
    chunk('IEND', []),
  ]);
}
