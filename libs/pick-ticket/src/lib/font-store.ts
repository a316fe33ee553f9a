import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

import * as fontkit from 'fontkit';
import type { Font } from 'fontkit';
import { LRUCache } from 'lru-cache';
import subsetFont from 'subset-font';

export type Weight = 400 | 700;

/** One file of a font family: what it covers, before it is opened. */
export interface Face {
  /** Unique: family and part. */
  readonly key: string;
  readonly file: string;
  readonly covers: (codePoint: number) => boolean;
}

const packages = createRequire(import.meta.url);
const SCOPE = '@fontsource-variable';

/**
 * Noto under the SIL Open Font License, in the order of preference. Each package cuts its family into small files and says
 * what is in which, so a ticket opens only what it needs.
 */
const FAMILIES = [
  'noto-sans',
  'noto-sans-armenian',
  'noto-sans-georgian',
  'noto-sans-hebrew',
  'noto-sans-arabic',
  'noto-sans-thai',
  'noto-sans-bengali',
  'noto-sans-tamil',
] as const;
const HAN = ['noto-sans-sc', 'noto-sans-tc', 'noto-sans-jp', 'noto-sans-kr'] as const;
const LAST = ['noto-sans-symbols', 'noto-emoji'] as const;
/** Parts that every family repeats; they are taken from the first. */
const REPEATED: ReadonlySet<string> = new Set([
  'latin',
  'latin-ext',
  'cyrillic',
  'cyrillic-ext',
  'greek',
  'vietnamese',
]);

/** Converted files of one thread: about 100 kB each, a Chinese text takes some twenty. */
const MAX_CONVERTED = 160;

/** Fonts as the PDF library reads them. Kept for all tickets of a thread; what they give depends on nothing but the request. */
export class FontStore {
  private readonly converted = new LRUCache<string, Promise<Font>>({ max: MAX_CONVERTED });
  private readonly families = new Map<string, readonly Face[]>();

  /**
   * Faces in the order in which to ask them for a character. Chinese, Japanese and Korean share code points and draw them
   * differently: kana and hangul tell which of them a text is in.
   */
  facesFor(sample: string): readonly Face[] {
    const first = /[\p{Script=Hiragana}\p{Script=Katakana}]/u.test(sample)
      ? 'noto-sans-jp'
      : /\p{Script=Hangul}/u.test(sample)
        ? 'noto-sans-kr'
        : /\p{Script=Bopomofo}/u.test(sample)
          ? 'noto-sans-tc'
          : 'noto-sans-sc';
    const han = [first, ...HAN.filter((family) => family !== first)];
    return [...FAMILIES, ...han, ...LAST].flatMap((family) => this.family(family));
  }

  /** A font of one weight, parsed once. For one document at a time: see `fontOfItsOwn`. */
  async load({ file }: Face, weight: Weight): Promise<Font> {
    const key = `${file} ${String(weight)}`;
    let font = this.converted.get(key);
    if (font === undefined) {
      font = convert(file, weight);
      font.catch(() => this.converted.delete(key));
      this.converted.set(key, font);
    }
    return await font;
  }

  private family(family: string): readonly Face[] {
    let faces = this.families.get(family);
    if (faces === undefined) {
      faces = readFamily(family);
      this.families.set(family, faces);
    }
    return faces;
  }
}

function readFamily(family: string): readonly Face[] {
  const ranges = packages(`${SCOPE}/${family}/unicode.json`) as Readonly<Record<string, string>>;
  return Object.entries(ranges).flatMap(([part, range]) => {
    if (family !== FAMILIES[0] && REPEATED.has(part)) return [];
    const name = part.replace(/[[\]]/g, '');
    return [
      {
        key: `${family}-${name}`,
        file: packages.resolve(`${SCOPE}/${family}/files/${family}-${name}-wght-normal.woff2`),
        covers: rangeOf(range),
      },
    ];
  });
}

/** `U+0102-0103,U+0110`: as in CSS. */
function rangeOf(text: string): (codePoint: number) => boolean {
  const ranges = text.split(',').map((range): readonly [number, number] => {
    const [from = '', to = from] = range.trim().replace(/^U\+/i, '').split('-');
    return [Number.parseInt(from, 16), Number.parseInt(to, 16)];
  });
  return (codePoint) => ranges.some(([from, to]) => codePoint >= from && codePoint <= to);
}

/**
 * The same font without what earlier documents asked of it. A font remembers of each glyph the characters that it was
 * first asked for, and the document says them when its text is copied: a ticket must not depend on the one before it.
 * Tables that were read once stay shared, as reading them is half the work of a small ticket.
 */
export function fontOfItsOwn(font: Font): Font {
  return Object.assign(Object.create(font) as Font, { _glyphs: {} });
}

/** The PDF library writes static fonts without their web compression only. */
async function convert(file: string, weight: Weight): Promise<Font> {
  const options = {
    keepAllGlyphs: true,
    targetFormat: 'truetype',
    variationAxes: { wght: weight },
    noHinting: true,
  } as const;
  return fontkit.create(await subsetFont(await readFile(file), '', options)) as Font;
}
