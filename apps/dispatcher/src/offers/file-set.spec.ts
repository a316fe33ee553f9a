import { describe, expect, it } from '@jest/globals';

import { MAX_INLINE_CHARACTERS, OfferedFile } from '@heddle/contracts';

import { order, recipe } from '../../test/harness.js';

import { cancelledFileSet, orderFileSet, recipeFileSet } from './file-set.js';

const everything = { recipe: true, ticket: true, production: true, preview: true, attachment: true };

describe('the file set', () => {
  it('holds each recipe that is used once, however many lines use it', () => {
    const { files } = orderFileSet(order({ recipes: ['A', 'B', 'A'] }), everything);
    expect(files.map(({ name }) => name)).toEqual([
      '1022_ID_6182665224482_R_A_Recipe.json',
      '1022_ID_6182665224482_R_A_Ticket.pdf',
      '1022_ID_6182665224482_R_A_Production-Front.dst',
      '1022_ID_6182665224482_R_B_Recipe.json',
      '1022_ID_6182665224482_R_B_Ticket.pdf',
      '1022_ID_6182665224482_R_B_Production-Front.dst',
    ]);
    for (const file of files) expect(OfferedFile.safeParse(file).success).toBe(true);
  });

  it('leaves out lines with quantity 0 and kinds that the integration does not want', () => {
    const given = order({ recipes: ['A', 'B'] });
    const items = given.items.map((item) => (item.recipeId === 'B' ? { ...item, itemQuantity: 0 } : item));
    const include = { ...everything, production: false, ticket: false };
    const { files } = orderFileSet({ ...given, items }, include);
    expect(files.map(({ name }) => name)).toEqual(['1022_ID_6182665224482_R_A_Recipe.json']);
  });

  it('names what has not come', () => {
    expect(orderFileSet(order({ waiting: ['X', 'X', 'Y'] }), everything).missing).toEqual(['X', 'Y']);
  });

  it('takes a linked recipe whose file list was left out for one that has not come', () => {
    const given = order({ recipes: ['A', 'B', 'B', 'C'] });
    const leftOut = new Set([1, 3]);
    const items = given.items.map((item, index) =>
      leftOut.has(index) ? { ...item, recipe: { ...item.recipe, files: [] } } : item,
    );
    const { files, missing } = orderFileSet({ ...given, items }, everything);
    expect(files).toHaveLength(6);
    expect(missing).toEqual(['C']);
  });

  it('gives a file the same name whatever else is included', () => {
    const twice = recipe('A');
    const files = [...twice.files, { ...twice.files[1]!, kind: 'preview' as const }];
    const all = recipeFileSet({ ...twice, files }, everything).files.map(({ name }) => name);
    const some = recipeFileSet({ ...twice, files }, { ...everything, production: false }).files;
    expect(all).toEqual([
      'A-Recipe.json',
      'A-Ticket.pdf',
      'A-Production-Front.dst',
      'A-Production-Front-2.dst',
    ]);
    expect(some.map(({ name }) => name)).toEqual([
      'A-Recipe.json',
      'A-Ticket.pdf',
      'A-Production-Front-2.dst',
    ]);
  });

  it('has the ticket drawn with what the order says of its recipe', () => {
    const given = order({ recipes: ['A', 'B', 'A', 'A'] });
    const quantities = [2, 1, 5, 0];
    const items = given.items.map((item, index) => ({ ...item, itemQuantity: quantities[index]! }));
    const tickets = orderFileSet({ ...given, items }, everything).files.filter(
      ({ kind }) => kind === 'ticket',
    );
    const [a, b] = tickets.map(
      ({ source }) => new URL(source.kind === 'hub' ? source.path : '', 'http://store'),
    );
    expect(tickets).toHaveLength(2);
    expect(a!.pathname).toMatch(/^\/internal\/tickets\/[^/]+\/A\/1\.pdf$/);
    expect(Object.fromEntries(a!.searchParams)).toMatchObject({
      orderNumber: '1022',
      orderId: '6182665224482',
      quantity: '7',
    });
    expect(a!.searchParams.getAll('item')).toEqual([`2:${items[0]!.itemId}`, `5:${items[2]!.itemId}`]);
    expect(b!.searchParams.getAll('item')).toEqual([`1:${items[1]!.itemId}`]);
  });

  it('has uploaded files fetched from the hub by their content, and linked ones where they are', () => {
    const given = recipe('A');
    const sha256 = 'b'.repeat(64);
    const upload = {
      name: 'K\u00e4ppi.pdf',
      kind: 'attachment',
      mimeType: 'application/pdf',
      url: 'https://hub.example/api/v2/recipe/A/files/K%C3%A4ppi.pdf',
      sizeBytes: 3,
      sha256,
    } as const;
    const { files } = recipeFileSet({ ...given, files: [...given.files, upload] }, everything);
    expect(files.map(({ source }) => source.kind)).toEqual(['hub', 'hub', 'url', 'hub']);
    expect(files.at(-1)).toMatchObject({
      name: expect.stringMatching(/^A-K_ppi-[0-9a-f]{8}\.pdf$/),
      kind: 'attachment',
      source: { kind: 'hub', path: `/internal/contents/demo/${sha256}`, sha256 },
    });
    expect(OfferedFile.safeParse(files.at(-1)).success).toBe(true);
  });

  it('takes an upload of the kind of a document or a ticket for the upload that it is', () => {
    const given = recipe('A');
    const uploads = (['recipe', 'ticket'] as const).map((kind, n) => ({
      name: `own-${kind}.pdf`,
      kind,
      mimeType: 'application/pdf',
      url: `https://hub.example/api/v2/recipe/A/files/own-${kind}.pdf`,
      sizeBytes: 3,
      sha256: String(n).repeat(64),
    }));
    const { files } = recipeFileSet({ ...given, files: [...given.files, ...uploads] }, everything);
    expect(files.map(({ name, kind, source }) => [name, kind, source.kind === 'hub' && source.path])).toEqual(
      [
        ['A-Recipe.json', 'recipe', '/internal/recipes/demo/A/1'],
        ['A-Production-Front.dst', 'production', false],
        ['A-own-recipe.pdf', 'recipe', `/internal/contents/demo/${'0'.repeat(64)}`],
        ['A-own-ticket.pdf', 'ticket', `/internal/contents/demo/${'1'.repeat(64)}`],
      ],
    );
  });

  it('keeps what cannot be delivered, with its fault', () => {
    const given = recipe('A');
    const { name, url } = given.files[1]!;
    const files = given.files.map((file) =>
      file.kind === 'production' ? { ...file, fault: 'address-unreadable' as const } : file,
    );
    const { files: offered } = recipeFileSet({ ...given, files }, everything);
    expect(offered.at(-1)).toEqual({
      name: `A-${name}`,
      kind: 'production',
      mimeType: given.files[1]!.mimeType,
      source: { kind: 'url', url, fault: 'address-unreadable' },
    });
    expect(OfferedFile.parse(offered.at(-1))).toEqual(offered.at(-1));
  });

  it('has the ticket of the feed drawn without an order', () => {
    const [, ticket] = recipeFileSet(recipe('A'), everything).files;
    expect(ticket).toMatchObject({ name: 'A-Ticket.pdf', kind: 'ticket', mimeType: 'application/pdf' });
    expect(ticket!.source).toEqual({ kind: 'hub', path: '/internal/tickets/demo/A/1.pdf' });
  });

  it('links the PDF of a recipe that brings one along, under the name of a ticket', () => {
    const own = recipe('A');
    const ticket = {
      name: 'Ticket.pdf',
      kind: 'ticket',
      mimeType: 'application/pdf',
      sizeBytes: null,
      sha256: null,
    } as const;
    const setOf = (url: string) =>
      recipeFileSet({ ...own, files: [...own.files, { ...ticket, url }] }, everything).files.filter(
        ({ kind }) => kind === 'ticket',
      );
    expect(setOf('https://pdf.example/7')).toEqual([
      {
        name: 'A-Ticket.pdf',
        kind: 'ticket',
        mimeType: 'application/pdf',
        source: { kind: 'url', url: 'https://pdf.example/7' },
      },
    ]);
    const hub = own.files[0]!.url.replace('.json', '.pdf');
    expect(setOf(hub)).toMatchObject([{ source: { kind: 'hub' } }]);
  });

  it('has no ticket of a recipe whose files an order was too large to list', () => {
    expect(recipeFileSet(recipe('A', { files: [] }), everything).files).toEqual([]);
  });

  it('refuses a recipe document that is not pinned to its content', () => {
    const [file] = recipe('A').files;
    expect(() => recipeFileSet(recipe('A', { files: [{ ...file!, sha256: null }] }), everything)).toThrow(
      TypeError,
    );
  });

  it('sends the order document alone for a cancelled order, within the size of an offer', () => {
    const small = order({ status: 'cancelled' });
    expect(cancelledFileSet(small).files).toMatchObject([
      {
        name: '1022_ID_6182665224482_Cancelled.json',
        source: { kind: 'inline', text: JSON.stringify(small) },
      },
    ]);
    const large = order({ recipes: Array.from({ length: 1_000 }, (_, n) => `R${String(n)}`) });
    const [file] = cancelledFileSet(large).files;
    const text = file?.source.kind === 'inline' ? file.source.text : '';
    expect(text.length).toBeLessThanOrEqual(MAX_INLINE_CHARACTERS);
    expect(JSON.parse(text)).toMatchObject({ orderNumber: '1022', items: { length: 1_000 } });
  });
});
