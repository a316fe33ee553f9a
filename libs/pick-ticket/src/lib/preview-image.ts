import { deflateSync, inflateSync } from 'node:zlib';

import { PNG } from 'pngjs';

import { imageTypeOf } from './image-type.js';

/** Most pixels that are decoded: 64 MB of memory. */
const MAX_PIXELS = 16_000_000;
/** Wider than this is more than a printer shows at the size of a preview. */
const WIDE_PIXELS = 1_600;
/** Lines that hold differences pack nearly as well at the first level as at the last. */
const QUICKLY = { level: 1 } as const;

/** What a PDF holds of an image. */
export type PreviewImage =
  | { readonly kind: 'jpeg'; readonly bytes: Buffer }
  | {
      readonly kind: 'pixels';
      readonly width: number;
      readonly height: number;
      readonly colours: 1 | 3;
      /** 8 bits a colour, in lines as in a PNG: each starts with the way in which it is written. Deflated. */
      readonly data: Buffer;
      /** How much of each pixel is seen, in the same form. All of it where this is missing. */
      readonly alpha?: Buffer;
    };

/**
 * A preview as the PDF takes it: JPEG and opaque PNG as they are, PNG with alpha in two parts, anything else on white. Undefined for what is no
 * image, is damaged, or is too large to be looked at.
 */
export function preparePreview(given: Uint8Array): PreviewImage | undefined {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength);
  try {
    switch (imageTypeOf(bytes)) {
      case 'png':
        return preparePng(bytes);
      case 'jpeg':
        return isJpegSized(bytes) ? { kind: 'jpeg', bytes } : undefined;
      case undefined:
        return undefined;
    }
  } catch {
    // Whatever the decoder found wrong: there is no preview.
    return undefined;
  }
}

interface PngHead {
  readonly width: number;
  readonly height: number;
  /** `plain`: of a kind that the PDF can hold. `rgba`: what most previews are. */
  readonly kind: 'plain' | 'rgba' | 'other';
  readonly colours: 1 | 3;
  readonly data: readonly Buffer[];
}

function preparePng(bytes: Buffer): PreviewImage | undefined {
  const head = pngHead(bytes);
  if (head === undefined || head.width * head.height > MAX_PIXELS) return undefined;
  const { width, height, colours, kind } = head;
  const data = Buffer.concat(head.data);
  if (kind === 'plain' && width <= WIDE_PIXELS) {
    const size = (width * colours + 1) * height;
    const isWhole = inflateSync(data, { maxOutputLength: size }).length === size;
    return isWhole ? { kind: 'pixels', width, height, colours, data } : undefined;
  }
  if (kind === 'rgba' && width <= WIDE_PIXELS) {
    const size = (width * 4 + 1) * height;
    const lines = inflateSync(data, { maxOutputLength: size });
    return lines.length === size ? inTwoParts(lines, width, height) : undefined;
  }
  const decoded = PNG.sync.read(bytes);
  // A copy begins where a word may begin.
  return onPaper(Uint8Array.from(decoded.data), decoded.width, decoded.height);
}

function pngHead(bytes: Buffer): PngHead | undefined {
  if (bytes.length < 33 || bytes.toString('latin1', 12, 16) !== 'IHDR') return undefined;
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  const [depth, colourType, interlaced] = [bytes[24], bytes[25], bytes[28]];
  if (width === 0 || height === 0) return undefined;
  const data: Buffer[] = [];
  const isUsual = depth === 8 && interlaced === 0;
  let isPlain = isUsual && (colourType === 0 || colourType === 2);
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = bytes.readUInt32BE(at);
    const type = bytes.toString('latin1', at + 4, at + 8);
    if (type === 'tRNS') isPlain = false;
    if (type === 'IDAT') data.push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const kind = isPlain ? 'plain' : isUsual && colourType === 6 ? 'rgba' : 'other';
  return { width, height, kind, colours: colourType === 0 ? 1 : 3, data };
}

/**
 * Colours and alpha apart, without decoding: in whatever way a line is written, each byte of a pixel depends on the same byte
 * of its neighbours only. Source: PNG specification, 9.2.
 */
function inTwoParts(lines: Buffer, width: number, height: number): PreviewImage {
  const colours = new Uint8Array((width * 3 + 1) * height);
  const alpha = new Uint8Array((width + 1) * height);
  let from = 0;
  let toColour = 0;
  let toAlpha = 0;
  for (let row = 0; row < height; row += 1) {
    const filter = lines[from] ?? 0;
    colours[toColour] = filter;
    alpha[toAlpha] = filter;
    from += 1;
    toColour += 1;
    toAlpha += 1;
    for (let column = 0; column < width; column += 1) {
      colours[toColour] = lines[from] ?? 0;
      colours[toColour + 1] = lines[from + 1] ?? 0;
      colours[toColour + 2] = lines[from + 2] ?? 0;
      alpha[toAlpha] = lines[from + 3] ?? 0;
      from += 4;
      toColour += 3;
      toAlpha += 1;
    }
  }
  return {
    kind: 'pixels',
    width,
    height,
    colours: 3,
    data: deflateSync(colours, QUICKLY),
    alpha: deflateSync(alpha, QUICKLY),
  };
}

/**
 * Transparent parts become white, and what is larger than a printer shows becomes smaller. Each line says how it is
 * written: by the difference to the pixel on the left (1), which packs well and quickly.
 */
function onPaper(rgba: Uint8Array, width: number, height: number): PreviewImage {
  const step = Math.max(1, Math.floor(Math.max(width, height) / (WIDE_PIXELS / 2)));
  const [columns, rows] = [Math.max(1, Math.floor(width / step)), Math.max(1, Math.floor(height / step))];
  const pixels = new Uint32Array(rgba.buffer, rgba.byteOffset, width * height);
  const lines = new Uint8Array((columns * 3 + 1) * rows);
  let to = 0;
  for (let row = 0; row < rows; row += 1) {
    lines[to] = 1;
    to += 1;
    let before = 0;
    for (let column = 0; column < columns; column += 1) {
      const pixel =
        step === 1
          ? opaque(pixels[row * width + column] ?? 0)
          : average(pixels, width, { x: column * step, y: row * step, step });
      lines[to] = pixel - before;
      lines[to + 1] = (pixel >> 8) - (before >> 8);
      lines[to + 2] = (pixel >> 16) - (before >> 16);
      before = pixel;
      to += 3;
    }
  }
  const data = deflateSync(lines, QUICKLY);
  return { kind: 'pixels', width: columns, height: rows, colours: 3, data };
}

/** From 0xaabbggrr, as its bytes stand in memory, to 0xbbggrr on white. */
function opaque(pixel: number): number {
  const alpha = pixel >>> 24;
  if (alpha === 255) return pixel & 0xffffff;
  if (alpha === 0) return 0xffffff;
  const paper = 255 * (255 - alpha);
  const red = (((pixel & 0xff) * alpha + paper) / 255) | 0;
  const green = ((((pixel >> 8) & 0xff) * alpha + paper) / 255) | 0;
  const blue = ((((pixel >> 16) & 0xff) * alpha + paper) / 255) | 0;
  return (blue << 16) | (green << 8) | red;
}

function average(
  pixels: Uint32Array,
  width: number,
  { x, y, step }: { readonly x: number; readonly y: number; readonly step: number },
): number {
  let red = 0;
  let green = 0;
  let blue = 0;
  for (let row = y; row < y + step; row += 1) {
    for (let column = x; column < x + step; column += 1) {
      const pixel = opaque(pixels[row * width + column] ?? 0);
      red += pixel & 0xff;
      green += (pixel >> 8) & 0xff;
      blue += pixel >> 16;
    }
  }
  const area = step * step;
  return (((blue / area) | 0) << 16) | (((green / area) | 0) << 8) | ((red / area) | 0);
}

/** The frame header of a JPEG says how large it is; where none is found, nothing would be shown. */
function isJpegSized(bytes: Buffer): boolean {
  for (let at = 2; at + 10 < bytes.length;) {
    if (bytes[at] !== 0xff) return false;
    const marker = bytes[at + 1] ?? 0;
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame) {
      const [depth, height, width] = [bytes[at + 4], bytes.readUInt16BE(at + 5), bytes.readUInt16BE(at + 7)];
      const colours = bytes[at + 9] ?? 0;
      return (
        depth === 8 &&
        width > 0 &&
        height > 0 &&
        width * height <= 4 * MAX_PIXELS &&
        [1, 3, 4].includes(colours)
      );
    }
    at += 2 + bytes.readUInt16BE(at + 2);
  }
  return false;
}
