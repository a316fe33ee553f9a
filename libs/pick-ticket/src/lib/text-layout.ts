import bidiFactory from 'bidi-js';

import type { FontBook, OpenFont } from './font-book.js';
import type { Weight } from './font-store.js';

export interface TextStyle {
  readonly size: number;
  readonly weight: Weight;
  /** Widest line, in points. */
  readonly width: number;
  /** What does not fit ends with an ellipsis. */
  readonly maxLines?: number;
}

/** Text of one font and direction, in the place where it is seen. */
export interface Run {
  readonly font: OpenFont;
  readonly text: string;
  readonly x: number;
  /** From right to left: laid out whole, never word by word. */
  readonly isTurned: boolean;
}

export interface Line {
  readonly runs: readonly Run[];
  readonly width: number;
  /** Read from the right: it begins at the right edge. */
  readonly isRightToLeft: boolean;
}

export interface TextBlock {
  readonly lines: readonly Line[];
  readonly size: number;
  readonly lineHeight: number;
  readonly width: number;
  readonly height: number;
}

/** Room for marks above and below in every script, in units of the font size. */
const LINE_HEIGHT = 1.38;
const ELLIPSIS = '…';

const bidi = bidiFactory();
const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const words = new Intl.Segmenter('en', { granularity: 'word' });
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** Needs none of the rules of Unicode. */
const PLAIN = /^[\x20-\x7e]*$/;

/** What a reader takes for one character, or a part of it that has a font of its own. */
interface Cluster {
  readonly text: string;
  readonly font: OpenFont;
  /** Odd: right to left. */
  readonly level: number;
  readonly isSpace: boolean;
}

/** Breaks text into lines. Words that are wider than a line are broken where they must. */
export function layoutText(book: FontBook, text: string, style: TextStyle): TextBlock {
  const { size, width, maxLines = Infinity } = style;
  const lines: Line[] = [];
  for (const paragraph of text.split('\n')) {
    const { units, isRightToLeft } = unitsOf(book, paragraph, style);
    for (const clusters of fill(book, units, width / size)) {
      lines.push(lineOf(book, clusters, isRightToLeft, size));
      // One more than wanted tells that there is more.
      if (lines.length > maxLines) break;
    }
    if (lines.length > maxLines) break;
  }
  const shown = lines.length > maxLines ? ended(book, lines, style, maxLines) : lines;
  const lineHeight = size * LINE_HEIGHT;
  return { lines: shown, size, lineHeight, width, height: shown.length * lineHeight };
}

/** The last line with an ellipsis, and as much less text as that needs. */
function ended(
  book: FontBook,
  lines: readonly Line[],
  { size, weight, width }: TextStyle,
  maxLines: number,
): readonly Line[] {
  const kept = lines.slice(0, maxLines);
  const last = kept.pop();
  if (last === undefined) return kept;
  const dots = book.fontsFor(ELLIPSIS, weight)[0];
  if (dots === undefined) return [...kept, last];
  const dotsWidth = book.widthOf(dots.font, dots.text) * size;
  const runs = [...last.runs];
  let end = last.width;
  while (end + dotsWidth > width) {
    const run = runs.pop();
    if (run === undefined) break;
    const parts = [...graphemes.segment(run.text)].map(({ segment }) => segment).slice(0, -1);
    end = run.x;
    if (parts.length === 0) continue;
    const shorter = parts.join('');
    runs.push({ ...run, text: shorter });
    end = run.x + book.widthOf(run.font, shorter) * size;
  }
  return [
    ...kept,
    { ...last, runs: [...runs, { ...dots, x: end, isTurned: false }], width: end + dotsWidth },
  ];
}

function unitsOf(
  book: FontBook,
  paragraph: string,
  { weight }: TextStyle,
): { readonly units: readonly (readonly Cluster[])[]; readonly isRightToLeft: boolean } {
  const found = RIGHT_TO_LEFT.test(paragraph) ? bidi.getEmbeddingLevels(paragraph, 'auto') : undefined;
  const units: Cluster[][] = [];
  let mayBreak = false;
  if (found === undefined && PLAIN.test(paragraph)) {
    const units = (paragraph.match(/[^ -]*(?:[ -]+|$)/g) ?? []).map((unit) =>
      Array.from(unit).flatMap((text) =>
        book.fontsFor(text, weight).map(({ font }) => ({ text, font, level: 0, isSpace: text === ' ' })),
      ),
    );
    return { units: units.filter(({ length }) => length > 0), isRightToLeft: false };
  }
  for (const { segment, index, isWordLike } of words.segment(paragraph)) {
    const clusters = [...graphemes.segment(segment)].flatMap(({ segment: cluster, index: within }) =>
      book.fontsFor(cluster, weight).map(({ text, font }) => ({
        text,
        font,
        level: found?.levels[index + within] ?? 0,
        isSpace: /^\s+$/u.test(cluster),
      })),
    );
    // Punctuation stays with what stands before it; a word may begin a line after a space, a hyphen or another word.
    if (mayBreak && isWordLike === true) units.push(clusters);
    else if (units.length === 0) units.push(clusters);
    else units.at(-1)?.push(...clusters);
    mayBreak = !/[\p{Ps}\p{Pi}'’./:@#]$/u.test(segment);
  }
  return { units, isRightToLeft: found !== undefined && (found.paragraphs[0]?.level ?? 0) % 2 === 1 };
}

function* fill(
  book: FontBook,
  units: readonly (readonly Cluster[])[],
  width: number,
): Generator<readonly Cluster[]> {
  let line: Cluster[] = [];
  let used = 0;
  for (const unit of units) {
    const unitWidth = widthOf(book, unit);
    // Spaces at the end of a line hang over its edge.
    const needed = unit.at(-1)?.isSpace === true ? widthOf(book, trimmed(unit)) : unitWidth;
    if (used + needed <= width) {
      line.push(...unit);
      used += unitWidth;
      continue;
    }
    if (line.length > 0 && needed <= width) {
      yield trimmed(line);
      line = [...unit];
      used = unitWidth;
      continue;
    }
    for (const cluster of unit) {
      const clusterWidth = book.widthOf(cluster.font, cluster.text);
      if (used + clusterWidth > width && line.length > 0 && !cluster.isSpace) {
        yield trimmed(line);
        line = [];
        used = 0;
      }
      line.push(cluster);
      used += clusterWidth;
    }
  }
  yield trimmed(line);
}

function trimmed(clusters: readonly Cluster[]): readonly Cluster[] {
  const last = clusters.findLastIndex(({ isSpace }) => !isSpace);
  return clusters.slice(0, last + 1);
}

function widthOf(book: FontBook, clusters: readonly Cluster[]): number {
  return joined(clusters).reduce((sum, { font, text }) => sum + book.widthOf(font, text), 0);
}

interface Joined {
  readonly font: OpenFont;
  readonly text: string;
  readonly level: number;
}

/** Neighbours of one font and level, so that letters join and kern. */
function joined(clusters: readonly Cluster[]): readonly Joined[] {
  const runs: { font: OpenFont; clusters: string[]; level: number }[] = [];
  for (const { font, text, level } of clusters) {
    const last = runs.at(-1);
    if (last?.font === font && last.level === level) last.clusters.push(text);
    else runs.push({ font, clusters: [text], level });
  }
  return runs.map(({ font, level, clusters: texts }) => ({ font, level, text: textOf(texts, level) }));
}

/** The font turns letters of right-to-left scripts around; signs alone it takes for left-to-right ones. */
function textOf(clusters: readonly string[], level: number): string {
  if (level % 2 === 0) return clusters.join('');
  const mirrored = clusters.map((text) => bidi.getMirroredCharacter(text) ?? text);
  return clusters.some((text) => RIGHT_TO_LEFT.test(text)) ? mirrored.join('') : mirrored.reverse().join('');
}

function lineOf(book: FontBook, clusters: readonly Cluster[], isRightToLeft: boolean, size: number): Line {
  let x = 0;
  const runs = inVisualOrder(joined(clusters)).map(({ font, text, level }) => {
    const run = { font, text, x, isTurned: level % 2 === 1 };
    x += book.widthOf(font, text) * size;
    return run;
  });
  return { runs, width: x, isRightToLeft };
}

/** Rule L2 of the bidirectional algorithm: from the highest level down, what stands together is reversed. */
function inVisualOrder(runs: readonly Joined[]): readonly Joined[] {
  const ordered = [...runs];
  const highest = Math.max(0, ...runs.map(({ level }) => level));
  for (let level = highest; level > 0; level -= 1) {
    for (let from = 0; from < ordered.length; from += 1) {
      let to = from;
      while ((ordered[to]?.level ?? -1) >= level) to += 1;
      if (to - from > 1) ordered.splice(from, to - from, ...ordered.slice(from, to).reverse());
      from = to;
    }
  }
  return ordered;
}
