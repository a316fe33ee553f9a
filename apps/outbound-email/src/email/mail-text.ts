/** A subject and a body in both its forms. */
export interface MailText {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

export interface Entry {
  readonly text: string;
  /** Follows in the plain text; in HTML the text is the link. */
  readonly link?: string | undefined;
}

/** A piece of a mail. Empty ones are left out. */
export type Block =
  | { readonly kind: 'title' | 'paragraph'; readonly text: string }
  | { readonly kind: 'facts'; readonly rows: readonly (readonly [name: string, value: string])[] }
  | { readonly kind: 'list'; readonly title: string; readonly entries: readonly Entry[] };

/** The same words as plain text and as HTML. Whatever they hold shows as text and stays in its line. */
export function mailText(subject: string, blocks: readonly Block[]): MailText {
  const shown = blocks.filter((block) => block.kind !== 'list' || block.entries.length > 0);
  return {
    subject: inLine(subject).trim(),
    text: `${shown.map(plain).join('\n\n')}\n`,
    html: [
      '<!doctype html>',
      '<html lang="en"><head><meta charset="utf-8"></head>',
      '<body style="font-family:sans-serif;line-height:1.5">',
      ...shown.map(html),
      '</body></html>',
      '',
    ].join('\n'),
  };
}

function plain(block: Block): string {
  switch (block.kind) {
    case 'title':
    case 'paragraph':
      return inLine(block.text);
    case 'facts':
      return block.rows.map(([name, value]) => `${name}: ${inLine(value)}`).join('\n');
    case 'list':
      return [
        `${inLine(block.title)}:`,
        ...block.entries.flatMap(({ text, link }) => [
          `- ${inLine(text)}`,
          ...(link === undefined ? [] : [`  ${link}`]),
        ]),
      ].join('\n');
  }
}

function html(block: Block): string {
  switch (block.kind) {
    case 'title':
      return `<h1 style="font-size:1.3em">${escaped(block.text)}</h1>`;
    case 'paragraph':
      return `<p>${escaped(block.text)}</p>`;
    case 'facts':
      return `<p>${block.rows.map(([name, value]) => `${name}: <strong>${escaped(value)}</strong>`).join('<br>\n')}</p>`;
    case 'list': {
      const entries = block.entries.map(({ text, link }) =>
        link === undefined
          ? `<li>${escaped(text)}</li>`
          : `<li><a href="${escaped(link)}">${escaped(text)}</a></li>`,
      );
      return `<p>${escaped(block.title)}:</p>\n<ul>\n${entries.join('\n')}\n</ul>`;
    }
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escaped(text: string): string {
  return inLine(text).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}

/** Without line ends and without what turns or hides the characters around it: foreign ids may hold it. */
function inLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').replace(/\p{Cf}/gu, '');
}

const KILO = 1_000;

/** `48 kB`, as file managers say it. */
export function sizeText(sizeBytes: number): string {
  if (sizeBytes < KILO) return `${String(sizeBytes)} B`;
  if (sizeBytes < KILO * KILO) return `${(sizeBytes / KILO).toFixed(0)} kB`;
  return `${(sizeBytes / KILO / KILO).toFixed(1)} MB`;
}
