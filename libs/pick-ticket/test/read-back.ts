import { createRequire } from 'node:module';
import { dirname } from 'node:path';

import { createCanvas } from '@napi-rs/canvas';
import {
  BinaryBitmap,
  Code128Reader,
  GlobalHistogramBinarizer,
  DecodeHintType,
  RGBLuminanceSource,
} from '@zxing/library';
import jsQR from 'jsqr';
import { getDocument } from 'pdfjs-dist/legacy/build/pdf.mjs';

const pdfjs = dirname(createRequire(import.meta.url).resolve('pdfjs-dist/package.json'));

export interface ReadPage {
  readonly width: number;
  readonly height: number;
  /** In reading order, spaces and line ends as single spaces. */
  readonly text: string;
  /** Part of the page as it is printed, in points. */
  print(area: Area): Promise<Pixels>;
}

export interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Pixels {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** Dots a point: what an office printer and a hand scanner make of it is finer. */
const SCALE = 2.5;

/** A PDF as somebody else's reader sees it. Closed by the caller. */
export async function readBack(
  pdf: Uint8Array,
): Promise<{ readonly pages: readonly ReadPage[]; close(): Promise<void> }> {
  const task = getDocument({
    data: Uint8Array.from(pdf),
    standardFontDataUrl: `${pdfjs}/standard_fonts/`,
    cMapUrl: `${pdfjs}/cmaps/`,
    verbosity: 0,
  });
  const document = await task.promise;
  const pages: ReadPage[] = [];
  for (let number = 1; number <= document.numPages; number += 1) {
    const page = await document.getPage(number);
    const { items } = await page.getTextContent();
    const text = items.map((item) => ('str' in item ? item.str + (item.hasEOL ? ' ' : '') : '')).join('');
    const { width, height } = page.getViewport({ scale: 1 });
    pages.push({
      width,
      height,
      text: text.replace(/\s+/g, ' '),
      print: async (area) => {
        const viewport = page.getViewport({
          scale: SCALE,
          offsetX: -area.x * SCALE,
          offsetY: -area.y * SCALE,
        });
        const canvas = createCanvas(Math.floor(area.width * SCALE), Math.floor(area.height * SCALE));
        await page.render({ canvas: canvas as never, viewport }).promise;
        const image = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return { data: image.data, width: image.width, height: image.height };
      },
    });
  }
  return { pages, close: () => task.destroy() };
}

export function scanQr({ data, width, height }: Pixels): string | undefined {
  // The package says that it has a default export; what is imported is that export itself.
  const scan = jsQR as unknown as typeof jsQR.default;
  return scan(data, width, height)?.data;
}

export function scanCode128({ data, width, height }: Pixels): string {
  const grey = new Uint8ClampedArray(width * height);
  for (let at = 0; at < grey.length; at += 1) grey[at] = data[at * 4 + 1] ?? 255;
  const bitmap = new BinaryBitmap(new GlobalHistogramBinarizer(new RGBLuminanceSource(grey, width, height)));
  return new Code128Reader().decode(bitmap, new Map([[DecodeHintType.TRY_HARDER, true]])).getText();
}

/** A grey picture. */
export function jpegOf(width: number, height: number): Buffer {
  const canvas = createCanvas(width, height);
  const context = canvas.getContext('2d');
  context.fillStyle = '#808080';
  context.fillRect(0, 0, width, height);
  return canvas.toBuffer('image/jpeg');
}
