import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { ManifestFile } from '@heddle/contracts';

import type { Hub } from '../hub.js';

import { readDocument } from './document-facts.js';
import { MAX_FILES, listedFiles, sha256Of, withUploads } from './manifest.js';

const HUB: Hub = {
  url: new URL('https://hub.example/'),
  hosts: new Set(['hub.example', 'shop.example', 'shop.example:8080']),
};
const RECIPE_ID = '2-aB3dE6gH9jK2mN5p';

function manifest(document: unknown, uploads: readonly ManifestFile[] = []): readonly ManifestFile[] {
  const text = JSON.stringify(document);
  const listed = listedFiles(document, { recipeId: RECIPE_ID, text, sha256: sha256Of(text) }, HUB);
  return withUploads(listed, uploads, { recipeId: RECIPE_ID, hub: HUB });
}

function upload(name: string, kind: ManifestFile['kind'] = 'attachment'): ManifestFile {
  return {
    name,
    kind,
    mimeType: 'application/x-uploaded',
    url: `https://hub.example/api/v2/recipe/${RECIPE_ID}/files/${encodeURIComponent(name)}`,
    sizeBytes: 8,
    sha256: sha256Of(name),
  };
}

/** Names of what cannot be delivered, and why. */
function faultsOf(document: unknown, uploads?: readonly ManifestFile[]): readonly [string, string][] {
  return manifest(document, uploads).flatMap(({ name, fault }) =>
    fault === undefined ? [] : [[name, fault]],
  );
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
    const [file] = listedFiles(JSON.parse(text), { recipeId: 'x', text, sha256: sha256Of(text) }, HUB);
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
    for (const own of [
      'http://HUB.example',
      '//shop.example',
      'https://Shop.example',
      'http://shop.example:8080',
    ])
      expect(filesOf(front({ previewPng: `${own}/r-Front.png`, previewJpg }))).toEqual(jpg);
    expect(filesOf(front({ previewPng: 'https://shop.example:8443/r-Front.png', previewJpg }))).toEqual([
      ['Preview-Front.png', 'preview', 'image/png', 'https://shop.example:8443/r-Front.png'],
    ]);
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

  it('keeps a file whose address cannot be read, with its fault', () => {
    const views = [
      null,
      'Front',
      { code: 'Ftp', productionReady: true, production: 'ftp://files.example/a.DST?x=1.2' },
      { code: 'File', productionReady: true, production: 'file:///etc/passwd' },
      { code: 'None', productionReady: true },
      { code: 'Relative', previewPng: '/5.png' },
      { code: 'Script', previewJpg: 'javascript:alert(1)' },
      { code: 'Number', previewPng: 7 },
      { code: 'Cut', previewPng: 'https://img.example/a\u0000b.png' },
      { code: 'Lone', previewPng: 'https://img.example/\ud800.png' },
      { code: 'Long', previewPng: `https://img.example/${'x'.repeat(9_000)}` },
      { code: 'Wide', previewPng: `https://img.example/${'ä'.repeat(2_000)}` },
      { code: 'Back', previewPng: 'https://img.example/b.png' },
    ];
    const document = { views, attachments: [{ name: 'Logo.svg', url: 'logo.svg' }, { name: 'x' }, null] };
    expect(faultsOf(document)).toEqual(
      [
        'Production-Ftp.dst',
        'Production-File.bin',
        'Production-None.bin',
        'Preview-Relative.png',
        'Preview-Script.jpg',
        'Preview-Number.png',
        'Preview-Cut.png',
        'Preview-Lone.png',
        'Preview-Long.png',
        'Preview-Wide.png',
        'Logo.svg',
        'x.bin',
      ].map((name) => [name, 'address-unreadable']),
    );
    const faulty = manifest(document).filter(({ fault }) => fault !== undefined);
    expect(new Set(faulty.map(({ url }) => url))).toEqual(new Set(['about:invalid']));
    expect(filesOf(document).at(-3)).toEqual([
      'Preview-Back.png',
      'preview',
      'image/png',
      'https://img.example/b.png',
    ]);
  });

  it('names what has no name, or one that nothing can hold', () => {
    const previewPng = 'https://img.example/1.png';
    const long = 'x'.repeat(2_000);
    const views = [
      { code: 7 },
      { code: '' },
      {},
      { code: 'a\u0000b' },
      { code: 'Lone\ud800' },
      { code: long },
    ];
    const attachments = [long, `${long}.pdf`, `${long}2.pdf`, '\n', 7].map((name) => ({
      name,
      url: previewPng,
    }));
    const names = filesOf({ views: views.map((view) => ({ ...view, previewPng })), attachments }).map(
      ([name]) => name,
    );
    expect(names.map((name) => name.replace(/x{800}/, 'x…'))).toEqual([
      'Preview-7.png',
      'Preview-view-2.png',
      'Preview-view-3.png',
      'Preview-a\ufffdb.png',
      'Preview-Lone\ufffd.png',
      `Preview-x…-${sha256Of(long).slice(0, 8)}.png`,
      `x…-${sha256Of(long).slice(0, 8)}.png`,
      `x…-${sha256Of(`${long}.pdf`).slice(0, 8)}.pdf`,
      `x…-${sha256Of(`${long}2.pdf`).slice(0, 8)}.pdf`,
      'Attachment-4.png',
      '7.png',
    ]);
    expect(faultsOf({ views, attachments })).toEqual([]);
  });

  it("reads the hub's own address of an upload as that upload, once and as what the document says", () => {
    const uploads = [upload('Front cut.dst'), upload('sheet.pdf', 'ticket'), upload('other.txt')];
    const at = (name: string): string => `//hub.example/api/v2/recipe/${RECIPE_ID}/files/${name}`;
    const document = {
      humanReadable: at('sheet.pdf'),
      views: [{ code: 'Front', productionReady: true, production: at('Front%20cut.dst') }],
    };
    const [, ticket, production, ...rest] = manifest(document, uploads);
    expect(ticket).toEqual({ ...upload('sheet.pdf', 'ticket'), name: 'Ticket.pdf' });
    expect(production).toEqual({
      ...upload('Front cut.dst'),
      name: 'Production-Front.dst',
      kind: 'production',
    });
    expect(rest).toEqual([upload('other.txt')]);
  });

  it("reads the hub's own address of a preview as the uploaded one, else as the render address", () => {
    const own = (view: string): object => ({
      code: view,
      preview: `//img.example/render/${view}`,
      previewPng: `//hub.example/recipe/${RECIPE_ID}-${view}.png`,
      previewJpg: `//hub.example/recipe/${RECIPE_ID}-${view}.jpg`,
    });
    const uploads = [upload('Back-Left.PNG', 'preview'), upload('Front.png'), upload('Front.jpg', 'preview')];
    const files = manifest({ views: [own('Front'), own('Back-Left'), own('Side')] }, uploads).slice(2);
    expect(files.map(({ name, url, fault }) => [name, url, fault])).toEqual([
      ['Preview-Front.jpg', upload('Front.jpg').url, undefined],
      ['Preview-Back-Left.png', upload('Back-Left.PNG').url, undefined],
      ['Preview-Side.png', 'https://img.example/render/Side', undefined],
      ['Front.png', upload('Front.png').url, undefined],
    ]);
  });

  it("has an uploaded ticket in the place of the hub's, and beside one that the document links", () => {
    const uploads = [upload('a.PDF', 'ticket'), upload('b.pdf', 'ticket'), upload('setup.xml', 'recipe')];
    expect(manifest({}, uploads).map(({ name, kind, url }) => [name, kind, url])).toEqual([
      ['Recipe.json', 'recipe', `https://hub.example/recipe/${RECIPE_ID}.json`],
      ['Ticket.pdf', 'ticket', upload('a.PDF').url],
      ['b.pdf', 'ticket', upload('b.pdf').url],
      ['setup.xml', 'recipe', upload('setup.xml').url],
    ]);
    const linked = manifest({ humanReadable: 'https://pdf.example/7' }, uploads);
    expect(linked.slice(1, 3).map(({ name, url }) => [name, url])).toEqual([
      ['Ticket.pdf', 'https://pdf.example/7'],
      ['a.PDF', upload('a.PDF').url],
    ]);
  });

  it("keeps an address of the hub's own that names nothing, with its fault", () => {
    const url = `https://hub.example/api/v2/recipe/${RECIPE_ID}/files/gone.dst`;
    const view = { code: 'Front', productionReady: true, production: url, previewPng: '//hub.example/x.png' };
    const attachments = [
      { name: 'doc', url: `//hub.example/recipe/${RECIPE_ID}.json` },
      { name: 'of another', url: '//hub.example/api/v2/recipe/OTHER/files/a.txt' },
      { name: 'odd', url: '//hub.example/recipe/%ff' },
    ];
    const document = { views: [view], attachments };
    expect(faultsOf(document, [upload('a.txt')])).toEqual([
      ['Production-Front.dst', 'hub-address'],
      ['Preview-Front.png', 'hub-address'],
      ['of another.txt', 'hub-address'],
      ['odd.bin', 'hub-address'],
    ]);
    expect(manifest(document)[2]?.url).toBe(url);
    // The document itself is in the set anyway.
    expect(filesOf(document).map(([name]) => name)).not.toContain('doc.json');
  });

  it('stays within its limit of files, and names the first that is left out', () => {
    const attachments = Array.from({ length: 1_000 }, (_, n) => ({
      name: `${String(n)}.txt`,
      url: 'https://files.example/a',
    }));
    expect(filesOf({ attachments })).toHaveLength(MAX_FILES - 2 + 1);
    expect(faultsOf({ attachments })).toEqual([[`${String(MAX_FILES - 2)}.txt`, 'too-many-files']]);
    expect(faultsOf({ attachments: attachments.slice(0, MAX_FILES - 2) })).toEqual([]);
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
        const files = manifest(document, [upload('a.txt'), upload('Front.png', 'preview')]);
        for (const file of files) {
          ManifestFile.strict().parse(file);
          expect(JSON.stringify(file).isWellFormed()).toBe(true);
          expect(JSON.stringify(file)).not.toContain('\\u0000');
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('the content of a document', () => {
  const facts = (document: string): ReturnType<typeof readDocument> =>
    readDocument({ recipeId: RECIPE_ID, document }, HUB);

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
