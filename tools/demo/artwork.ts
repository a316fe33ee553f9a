import { PDFDocument, StandardFonts, rgb } from 'pdf-lib';
import { PNG } from 'pngjs';

export interface Design {
  readonly recipeId: string;
  readonly product: string;
  readonly text: string;
  readonly colour: readonly [red: number, green: number, blue: number];
}

const PREVIEW_PIXELS = 320;
/** Instant that the files carry: the same design gives the same bytes. */
const MADE_AT = new Date('2025-01-01T00:00:00Z');

/** A preview: the product's colour with a lighter badge in the middle. */
export function previewPng({ colour: [red, green, blue] }: Design): Buffer {
  const png = new PNG({ width: PREVIEW_PIXELS, height: PREVIEW_PIXELS });
  const middle = PREVIEW_PIXELS / 2;
  for (let y = 0; y < PREVIEW_PIXELS; y += 1) {
    for (let x = 0; x < PREVIEW_PIXELS; x += 1) {
      const inBadge = Math.hypot(x - middle, y - middle) < PREVIEW_PIXELS / 4;
      const shade = 0.75 + (0.25 * y) / PREVIEW_PIXELS;
      const at = (y * PREVIEW_PIXELS + x) * 4;
      png.data[at] = inBadge ? 255 - red / 4 : red * shade;
      png.data[at + 1] = inBadge ? 255 - green / 4 : green * shade;
      png.data[at + 2] = inBadge ? 255 - blue / 4 : blue * shade;
      png.data[at + 3] = 255;
    }
  }
  return PNG.sync.write(png);
}

/** A production file: one page that says what to make. */
export async function productionPdf(design: Design): Promise<Uint8Array> {
  const document = await PDFDocument.create();
  document.setTitle(`${design.product} ${design.recipeId}`);
  document.setCreationDate(MADE_AT);
  document.setModificationDate(MADE_AT);
  const page = document.addPage([595, 842]);
  const bold = await document.embedFont(StandardFonts.HelveticaBold);
  const plain = await document.embedFont(StandardFonts.Helvetica);
  const [red, green, blue] = design.colour;
  page.drawRectangle({
    x: 60,
    y: 380,
    width: 475,
    height: 300,
    color: rgb(red / 255, green / 255, blue / 255),
  });
  page.drawText(design.text, { x: 90, y: 520, size: 44, font: bold, color: rgb(1, 1, 1) });
  page.drawText(design.product, { x: 60, y: 740, size: 26, font: bold });
  page.drawText(`Recipe ${design.recipeId}, view Front, 100 % scale`, {
    x: 60,
    y: 710,
    size: 12,
    font: plain,
  });
  return document.save();
}
