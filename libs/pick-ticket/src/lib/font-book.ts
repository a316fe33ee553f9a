import type { Font } from 'fontkit';

import { fontOfItsOwn } from './font-store.js';
import type { Face, FontStore, Weight } from './font-store.js';

/** A font of one document. */
export interface OpenFont {
  /** Name within the document. */
  readonly name: string;
  readonly font: Font;
}

/** Drawn where no font has the character. Every Latin font has it. */
const REPLACEMENT = '\ufffd';
const IGNORABLE = /^[\p{Default_Ignorable_Code_Point}]$/u;

/**
 * The fonts of one document.
 *
 * A face that is not there yet is noted as missing and drawn as nothing. Whoever draws loads what is missing and
 * draws again.
 */
export class FontBook {
  private readonly faces: readonly Face[];
  private readonly loaded = new Map<string, Font>();
  private readonly missing = new Map<string, { readonly face: Face; readonly weight: Weight }>();
  private opened = new Map<string, OpenFont>();
  private chosen = new Map<string, OpenFont | undefined>();
  private widths = new Map<string, number>();

  /** @param sample the texts of the document. */
  constructor(
    private readonly store: FontStore,
    sample: string,
  ) {
    this.faces = store.facesFor(sample);
  }

  /** @returns whether there was something to load: what was drawn meanwhile lacks it. */
  async loadMissing(): Promise<boolean> {
    if (this.missing.size === 0) return false;
    for (const [key, { face, weight }] of this.missing)
      this.loaded.set(key, await this.store.load(face, weight));
    this.missing.clear();
    this.opened = new Map();
    this.chosen = new Map();
    this.widths = new Map();
    return true;
  }

  /**
   * One font that has the whole cluster, else one for each of its characters.
   *
   * @param cluster what a reader takes for one character.
   */
  fontsFor(cluster: string, weight: Weight): readonly { readonly text: string; readonly font: OpenFont }[] {
    const whole = this.choose(cluster, weight);
    if (whole !== undefined) return [{ text: visible(cluster, whole.font), font: whole }];
    return Array.from(cluster).flatMap((character) => {
      if (IGNORABLE.test(character)) return [];
      const font = this.choose(character, weight);
      if (font !== undefined) return [{ text: character, font }];
      const replacement = this.choose(REPLACEMENT, weight);
      return replacement === undefined ? [] : [{ text: REPLACEMENT, font: replacement }];
    });
  }

  /** In units of the font size. Word by word, as the PDF library lays text out. */
  widthOf(font: OpenFont, text: string): number {
    if (!text.includes(' ')) return this.widthOfWord(font, text);
    return text.split(/(?<= )/).reduce((sum, word) => sum + this.widthOfWord(font, word), 0);
  }

  private widthOfWord({ name, font }: OpenFont, text: string): number {
    const key = `${name} ${text}`;
    let width = this.widths.get(key);
    if (width === undefined) {
      width = font.layout(text).advanceWidth / font.unitsPerEm;
      this.widths.set(key, width);
    }
    return width;
  }

  private choose(cluster: string, weight: Weight): OpenFont | undefined {
    const key = `${String(weight)} ${cluster}`;
    if (this.chosen.has(key)) return this.chosen.get(key);
    const codePoints = Array.from(cluster)
      .filter((character) => !IGNORABLE.test(character))
      .map((character) => character.codePointAt(0) ?? 0);
    let found: OpenFont | undefined;
    for (const face of this.faces) {
      if (!codePoints.every(face.covers)) continue;
      const font = this.open(face, weight);
      if (font !== undefined && codePoints.every((codePoint) => font.font.hasGlyphForCodePoint(codePoint))) {
        found = font;
        break;
      }
      // Loaded next: until then the cluster is drawn as nothing, and nobody sees it.
      if (font === undefined) break;
    }
    this.chosen.set(key, found);
    return found;
  }

  private open(face: Face, weight: Weight): OpenFont | undefined {
    const key = `${face.key}-${String(weight)}`;
    const known = this.opened.get(key);
    if (known !== undefined) return known;
    const loaded = this.loaded.get(key);
    if (loaded === undefined) {
      this.missing.set(key, { face, weight });
      return undefined;
    }
    const open = { name: key, font: fontOfItsOwn(loaded) };
    this.opened.set(key, open);
    return open;
  }
}

/** Joiners and variation selectors that the font does not know would be drawn as boxes. */
function visible(cluster: string, font: Font): string {
  if (cluster.length === 1) return cluster;
  return Array.from(cluster)
    .filter(
      (character) => !IGNORABLE.test(character) || font.hasGlyphForCodePoint(character.codePointAt(0) ?? 0),
    )
    .join('');
}
