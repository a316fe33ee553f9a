import bwipjs from 'bwip-js';

/** Dark areas of a scannable code, in modules; its light border included in the size. */
export interface Code {
  readonly kind: 'qr' | 'code128';
  readonly width: number;
  readonly height: number;
  readonly bars: readonly {
    readonly x: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
  }[];
}

/** ISO/IEC 18004: four modules around. */
const QR_BORDER = 4;
/** ISO/IEC 15417: ten modules on either side. */
const CODE128_BORDER = 10;
/** Longest text whose bars a hand scanner still reads at the width that a ticket has for them. */
const CODE128_MAX = 20;

/** Text as it is, in UTF-8. A quarter of it may be dirty or torn off a little. */
export function qrCode(text: string): Code {
  const [symbol] = bwipjs.raw('qrcode', text, 'eclevel=M');
  if (symbol === undefined || !('pixs' in symbol)) throw new TypeError('a QR code without its modules');
  const { pixs, pixx, pixy } = symbol;
  const bars: Code['bars'][number][] = [];
  for (let y = 0; y < pixy; y += 1) {
    for (let x = 0; x < pixx; x += 1) {
      const from = x;
      while (x < pixx && pixs[y * pixx + x] === 1) x += 1;
      if (x > from) bars.push({ x: from + QR_BORDER, y: y + QR_BORDER, width: x - from, height: 1 });
    }
  }
  return { kind: 'qr', width: pixx + 2 * QR_BORDER, height: pixy + 2 * QR_BORDER, bars };
}

/** Bars that any hand scanner reads. Undefined for what they cannot hold or what would be too wide. */
export function code128(text: string): Code | undefined {
  if (text.length > CODE128_MAX || !/^[\x20-\x7e]+$/.test(text)) return undefined;
  const [symbol] = bwipjs.raw('code128', text, '');
  if (symbol === undefined || !('sbs' in symbol)) throw new TypeError('a Code 128 without its bars');
  const bars: Code['bars'][number][] = [];
  let x = CODE128_BORDER;
  for (const [index, width] of symbol.sbs.entries()) {
    if (index % 2 === 0) bars.push({ x, y: 0, width, height: 1 });
    x += width;
  }
  return { kind: 'code128', width: x + CODE128_BORDER, height: 1, bars };
}
