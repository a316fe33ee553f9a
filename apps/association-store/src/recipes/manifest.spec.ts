import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { ManifestFile } from '@heddle/contracts';

import { factsOf } from './document-facts.js';
import { MAX_FILES, manifestOf, sha256Of } from './manifest.js';

const HUB = new URL('https://hub.example/');
const RECIPE_ID = '2-aB3dE6gH9jK2mN5p';

function manifest(document: unknown): readonly ManifestFile[] {
  const text = JSON.stringify(document);
  return manifestOf(document, { recipeId: RECIPE_ID, text, sha256: sha256Of(text) }, HUB);
}

/** What follows the document and the ticket, which every recipe has. */
function filesOf(document: unknown): readonly [string, string, string, string][] {
  const [recipe, ticket, ...files] = manifest(document);
  expect([recipe?.kind, ticket?.kind]).toEqual(['recipe', 'ticket']);
  return files.map(({ name, kind, mimeType, url }) => [name, kind, mimeType, url]);
}

const front = (members: object): object => ({ views: [{ code: 'Front', ...members }] });

describe('the manifest of a recipe', () => {
  it('starts with the document itself, pinned to the text as sent', () => {
    const text = '{ "id" : "x", "name": "Käppi" }';
    const [file] = manifestOf(JSON.parse(text), { recipeId: 'x', text, sha256: sha256Of(text) }, HUB);
    expect(file).toEqual({
      name: 'Recipe.json',
      kind: 'recipe',
      mimeType: 'application/json',
      url: 'https://hub.example/recipe/x.json',
      sizeBytes: Buffer.byteLength(text),
      sha256: sha256Of(text),
    });
  });

  it("has the hub's pick ticket, or the PDF that the recipe brings along", () => {
    const ticketOf = (document: unknown) => manifest(document)[1];
    const drawn = 'https://hub.example/recipe/2-aB3dE6gH9jK2mN5p.pdf';
    expect(ticketOf({})).toEqual({
      name: 'Ticket.pdf',
      kind: 'ticket',
      mimeType: 'application/pdf',
      url: drawn,
      sizeBytes: null,
      sha256: null,
    });
    expect(ticketOf({ humanReadable: `//hub.example/recipe/${RECIPE_ID}.pdf` })?.url).toBe(drawn);
    expect(ticketOf({ humanReadable: { url: 'x' } })?.url).toBe(drawn);
    expect(ticketOf({ humanReadable: '//pdf.example/sheets/7' })).toMatchObject({
      name: 'Ticket.pdf',
      url: 'https://pdf.example/sheets/7',
    });
  });

  it('lists production and preview of a view, protocol-relative addresses as https', () => {
    const files = filesOf(
      front({
        preview: '//img.example/front',
        previewPng: '//img.example/r-Front.png',
        previewJpg: '//img.example/r-Front.jpg',
        productionReady: true,
        production: '//files.example/p/r-Front.dst?size=1.5',
      }),
    );
    expect(files).toEqual([
      [
        'Production-Front.dst',
        'production',
        'application/octet-stream',
        'https://files.example/p/r-Front.dst?size=1.5',
      ],
      ['Preview-Front.png', 'preview', 'image/png', 'https://img.example/r-Front.png'],
    ]);
  });

  it('leaves the production file out until it is ready', () => {
    expect(filesOf(front({ productionReady: false, production: 'https://files.example/a.pdf' }))).toEqual([]);
    expect(filesOf(front({ productionReady: 'true', production: 'https://files.example/a.pdf' }))).toEqual(
      [],
    );
  });

  it('takes the JPG where the PNG is missing or stands on the hub itself', () => {
    const previewJpg = 'http://img.example/front';
    const jpg = [['Preview-Front.jpg', 'preview', 'image/jpeg', 'http://img.example/front']];
    expect(filesOf(front({ previewJpg }))).toEqual(jpg);
    expect(filesOf(front({ previewPng: '//hub.example/recipe/r-Front.png', previewJpg }))).toEqual(jpg);
    expect(filesOf(front({ previewPng: 'http://HUB.example/r-Front.png', previewJpg }))).toEqual(jpg);
  });

  it('names attachments as they are named, with a type where they have none', () => {
    const attachments = [
      { name: 'Instructions', mimeType: 'text/plain', url: 'https://files.example/download?id=7' },
      { name: 'Logo', url: 'https://files.example/x/Logo.SVG' },
      { name: 'art.ai', url: 'https://files.example/1' },
      { name: 'Mystery', mimeType: 'no such type', url: 'https://files.example/2' },
    ];
    expect(filesOf({ attachments }).map(([name, , mimeType]) => [name, mimeType])).toEqual([
      ['Instructions.txt', 'text/plain'],
      ['Logo.svg', 'image/svg+xml'],
      ['art.ai', 'application/illustrator'],
      ['Mystery.bin', 'application/octet-stream'],
    ]);
  });

  it('skips what is malformed and keeps the rest', () => {
    const good = { code: 'Back', previewPng: 'https://img.example/b.png' };
    const views = [
      null,
      'Front',
      { code: 7, previewPng: 'https://img.example/1.png' },
      { code: '', previewPng: 'https://img.example/2.png' },
      { code: 'a\u0000b', previewPng: 'https://img.example/3.png' },
      { code: 'Lone\ud800', previewPng: 'https://img.example/4.png' },
      { code: 'Relative', previewPng: '/5.png' },
      { code: 'Script', previewPng: 'javascript:alert(1)' },
      { code: 'File', productionReady: true, production: 'file:///etc/passwd' },
      { code: 'Long', previewPng: `https://img.example/${'x'.repeat(9_000)}` },
      good,
    ];
    expect(filesOf({ views, attachments: { name: 'x' } }).map(([name]) => name)).toEqual([
      'Preview-Back.png',
    ]);
  });

  it('stays within its limit of files', () => {
    const attachments = Array.from({ length: 1_000 }, (_, n) => ({
      name: `${String(n)}.txt`,
      url: 'https://files.example/a',
    }));
    expect(filesOf({ attachments })).toHaveLength(MAX_FILES - 2);
  });

  it('holds for any JSON whatever: it never throws, and each entry is a manifest file', () => {
    const hostile = fc.record(
      {
        views: fc.array(
          fc.oneof(
            fc.jsonValue(),
            fc.record({
              code: fc.oneof(fc.string({ unit: 'binary' }), fc.jsonValue()),
              productionReady: fc.boolean(),
              production: fc.oneof(fc.webUrl(), fc.string({ unit: 'binary' })),
              previewPng: fc.oneof(fc.webUrl(), fc.jsonValue()),
            }),
          ),
        ),
        attachments: fc.oneof(
          fc.jsonValue(),
          fc.array(
            fc.record({ name: fc.string({ unit: 'binary' }), mimeType: fc.string(), url: fc.webUrl() }),
          ),
        ),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(hostile, fc.jsonValue()), (document) => {
        const text = JSON.stringify(document);
        const files = manifestOf(document, { recipeId: RECIPE_ID, text, sha256: sha256Of(text) }, HUB);
        for (const file of files) {
          ManifestFile.parse(file);
          expect(JSON.stringify(file).isWellFormed()).toBe(true);
          expect(JSON.stringify(file)).not.toContain('\\u0000');
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('the content of a document', () => {
  const facts = (document: string): ReturnType<typeof factsOf> =>
    factsOf(
      {
        tenant: 'demo',
        channel: 'default',
        recipeId: RECIPE_ID,
        document,
        temporary: false,
        acceptedAt: '2026-01-02T03:04:05.000Z',
        requestId: 'r',
      },
      HUB,
    );

  it('is the same whatever the order of members, the spaces and the notation of numbers', () => {
    const a = facts('{"id":"x","n":1.0,"s":"\\u00e9"}');
    const b = facts('{ "s": "é", "n": 1e0, "id": "x" }');
    expect(a.sha256).toBe(b.sha256);
    expect(a.textSha256).not.toBe(b.textSha256);
    expect(facts('{"id":"x","n":2,"s":"é"}').sha256).not.toBe(a.sha256);
  });

  it('has a name and a style code only where they are texts', () => {
    expect(facts('{"name":"Team Cap","styleCode":"CAP-01"}')).toMatchObject({
      name: 'Team Cap',
      styleCode: 'CAP-01',
    });
    expect(facts('{"name":{"a":1},"styleCode":7}')).toMatchObject({ name: null, styleCode: null });
  });
});
