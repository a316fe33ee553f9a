/** What a ticket says of a recipe. Every text is printable as it is: well-formed, no control character but line ends. */
export interface RecipeContent {
  readonly name: string | null;
  readonly styleCode: string | null;
  readonly createdAt: Date | null;
  readonly placements: readonly Placement[];
  /** Placements beyond `MAX_PLACEMENTS`. */
  readonly morePlacements: number;
  readonly views: readonly View[];
  /** Views beyond `MAX_VIEWS`. */
  readonly moreViews: number;
}

export interface Placement {
  readonly placement: string;
  /** Its code, where `placement` is a name. */
  readonly placementCode: string | null;
  readonly component: string;
  /** Its full code, where `component` is not the code itself. */
  readonly componentCode: string | null;
  readonly colour: Colour | null;
  /** What is to be written there, a line each. */
  readonly texts: readonly string[];
  /** Every other parameter: `size: 12 mm`. */
  readonly details: readonly string[];
}

export interface Colour {
  /** What it is called, at least one. */
  readonly names: readonly string[];
  /** `#rrggbb` where the colour can be shown. */
  readonly hex: string | null;
}

export interface View {
  readonly name: string;
  readonly productionReady: boolean;
  /** Where its preview may be, best first, as written in the document. */
  readonly previewAddresses: readonly string[];
}

/** Rows of one ticket: about a hundred pages. */
export const MAX_PLACEMENTS = 2_000;
/** Previews of one ticket. */
export const MAX_VIEWS = 24;
/** Longest text of one cell, in UTF-16 units; what is cut ends with an ellipsis. */
const MAX_TEXT = 1_000;
/** Parameters of one placement, and how deep they are looked for. */
const MAX_PARAMETERS = 40;
const MAX_DEPTH = 4;

/**
 * Reads a recipe document. Source: wire/drive.md 2.2.
 *
 * Pure and total: the document is the customer's, any member of it may be missing or of another type. The inner members
 * of components are not documented by the vendor: what is called a colour or a text is shown as such, and nothing is
 * left out but what is repeated.
 */
export function readRecipe(document: unknown): RecipeContent {
  const components = listIn(document, 'components');
  const views = listIn(document, 'views').flatMap((view, index) => readView(view, index));
  return {
    name: textIn(document, 'name'),
    styleCode: textIn(document, 'styleCode'),
    createdAt: dateIn(document, 'created'),
    placements: components.slice(0, MAX_PLACEMENTS).map(readPlacement),
    morePlacements: Math.max(0, components.length - MAX_PLACEMENTS),
    views: views.slice(0, MAX_VIEWS),
    moreViews: Math.max(0, views.length - MAX_VIEWS),
  };
}

/** Text that can be laid out and drawn, whatever it was before. */
export function printable(text: string): string {
  const clean = text
    .slice(0, MAX_TEXT + 1)
    .toWellFormed()
    .replace(/\r\n?|\u2028|\u2029/g, '\n')
    .replace(/\t/g, ' ')
    // Direction marks would let a text change what is shown around it; the bidi algorithm needs none of them.
    .replace(/[^\P{Cc}\n]|[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu, '')
    .trim();
  return clean.length > MAX_TEXT || text.length > MAX_TEXT
    ? `${clean.slice(0, MAX_TEXT).toWellFormed()}…`
    : clean;
}

const NOT_NAMED = '–';

function readPlacement(entry: unknown): Placement {
  const component = memberOf(entry, 'component');
  const code = textIn(entry, 'code');
  const name = textIn(entry, 'name') ?? textIn(entry, 'placement');
  const fullCode = textIn(component, 'code');
  const shortCode = textIn(component, 'placementIndependentCode');
  const title =
    textIn(component, 'name') ?? shortCode ?? fullCode ?? scalarText(component) ?? scalarText(entry);
  const parameters = [
    ...parametersOf(entry, new Set(['code', 'name', 'placement', 'component'])),
    ...parametersOf(component, new Set(['code', 'name', 'placementIndependentCode'])),
  ];
  const colours = parameters.filter(({ path }) => path.some((part) => COLOUR.test(part)));
  const texts = parameters.filter((found) => !colours.includes(found) && TEXT.test(found.path.at(-1) ?? ''));
  const details = parameters.filter((found) => !colours.includes(found) && !texts.includes(found));
  return {
    placement: name ?? code ?? NOT_NAMED,
    placementCode: name === null || name === code ? null : code,
    component: title ?? NOT_NAMED,
    componentCode: [fullCode, shortCode].find((known) => known !== null && known !== title) ?? null,
    colour: colourOf(colours),
    texts: texts.map(({ value }) => value),
    details: details.map(({ path, value }) => printable(`${path.join(' ')}: ${value}`)),
  };
}

const COLOUR = /colou?r|farbe|^(?:hex|rgb|cmyk|pantone|pms)$/i;
const TEXT =
  /^(?:text|texts|content|engraving|inscription|lettering|monogram|initials|message|personali[sz]ation|lines?\d*)$/i;

interface Parameter {
  readonly path: readonly string[];
  readonly value: string;
}

/** The single values of an object, with the names that lead to them. */
function parametersOf(value: unknown, left: ReadonlySet<string>): readonly Parameter[] {
  const found: Parameter[] = [];
  const walk = (at: unknown, path: readonly string[]): void => {
    if (found.length >= MAX_PARAMETERS) return;
    const text = scalarText(at);
    if (text !== null) {
      if (path.length > 0 && text !== '') found.push({ path, value: text });
      return;
    }
    if (typeof at !== 'object' || at === null || path.length >= MAX_DEPTH) return;
    const isList = Array.isArray(at);
    for (const [name, inner] of Object.entries(at)) {
      if (path.length === 0 && (isList || left.has(name))) continue;
      // Places in a list say nothing: the list's name counts.
      walk(inner, isList ? path : [...path, printable(name)]);
    }
  };
  walk(value, []);
  return found;
}

function colourOf(parameters: readonly Parameter[]): Colour | null {
  const values = [...new Set(parameters.map(({ value }) => value))];
  if (values.length === 0) return null;
  const hex = values.map(hexOf).find((known) => known !== null) ?? null;
  return { names: values, hex };
}

function hexOf(text: string): string | null {
  const long = /^#?([0-9a-f]{6})(?:[0-9a-f]{2})?$/i.exec(text)?.[1];
  if (long !== undefined) return `#${long.toLowerCase()}`;
  const short = /^#([0-9a-f])([0-9a-f])([0-9a-f])$/i.exec(text);
  return short === null
    ? null
    : `#${short
        .slice(1)
        .map((digit) => digit.repeat(2))
        .join('')}`.toLowerCase();
}

function readView(view: unknown, index: number): readonly View[] {
  if (typeof view !== 'object' || view === null) return [];
  const addresses = ['previewPng', 'previewJpg', 'preview'].flatMap((member) => {
    const address = memberOf(view, member);
    return typeof address === 'string' ? [address] : [];
  });
  return [
    {
      name: textIn(view, 'name') ?? textIn(view, 'code') ?? `View ${String(index + 1)}`,
      productionReady: memberOf(view, 'productionReady') === true,
      previewAddresses: addresses,
    },
  ];
}

/** Null: missing, empty or no single value. */
function textIn(value: unknown, member: string): string | null {
  const text = scalarText(memberOf(value, member));
  return text === null || text === '' ? null : text;
}

function scalarText(value: unknown): string | null {
  if (typeof value === 'string') return printable(value);
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
}

/** Of years that a document of today can name. */
function dateIn(value: unknown, member: string): Date | null {
  const text = memberOf(value, member);
  if (typeof text !== 'string') return null;
  const date = new Date(text);
  const year = date.getUTCFullYear();
  return year >= 1970 && year < 3000 ? date : null;
}

function memberOf(value: unknown, member: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, member)
    ? (value as Readonly<Record<string, unknown>>)[member]
    : undefined;
}

function listIn(value: unknown, member: string): readonly unknown[] {
  const list = memberOf(value, member);
  return Array.isArray(list) ? (list as unknown[]) : [];
}
