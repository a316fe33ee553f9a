import { describe, expect, it } from '@jest/globals';

import { OrderChangedV1 } from '@heddle/contracts';
import type { ManifestFile } from '@heddle/contracts';

import { RecipeStates, documentText, orderDocument } from './order-document.js';
import type { ItemState, OrderChange } from './order-state.js';

const AT = '2026-01-02T03:04:05.000Z';

const file = (url: string): ManifestFile => ({
  name: 'Production-Front.pdf',
  kind: 'production',
  mimeType: 'application/pdf',
  url,
  sizeBytes: null,
  sha256: null,
});

const item = (itemId: string, recipeId: string, over: Partial<ItemState> = {}): ItemState => ({
  itemId,
  recipeId,
  itemQuantity: 1,
  position: 0,
  listed: true,
  lastOffset: 0n,
  recipeVersion: null,
  ...over,
});

const order = (items: readonly ItemState[]): OrderChange['order'] => ({
  orderUid: '0195f0c2-0000-7000-8000-000000000000',
  tenant: 'demo',
  channel: 'default',
  orderNumber: '1001',
  orderId: null,
  ordinal: 1,
  status: 'open',
  version: 1,
  reason: 'submitted',
  cancelReason: null,
  acceptedAt: AT,
  items,
});

const recipes = new RecipeStates();
recipes.set('demo', 'R1', { version: 3, files: [file('https://files.example/1')] });
recipes.set('demo', 'R2', { version: 1, files: [file('https://files.example/2')] });
recipes.set('demo', 'R0', { version: 0, files: [] });

describe('the document of an order', () => {
  it('keeps the contract and says of each recipe whether it is there', () => {
    const document = orderDocument(
      order([item('a', 'R1'), item('b', 'R0'), item('c', 'unknown'), item('d', 'R1', { listed: false })]),
      recipes,
      AT,
    );
    expect(OrderChangedV1.parse(document)).toEqual(document);
    expect(document.items.map(({ itemId, recipe }) => [itemId, recipe.state, recipe.version])).toEqual([
      ['a', 'linked', 3],
      ['b', 'waiting', null],
      ['c', 'waiting', null],
    ]);
  });

  it('gives up repeated file lists first, then the last ones, and only where Kafka would refuse it', () => {
    const document = orderDocument(order([item('a', 'R1'), item('b', 'R1'), item('c', 'R2')]), recipes, AT);
    const size = Buffer.byteLength(JSON.stringify(document));
    const listed = (maxBytes: number): boolean[] =>
      (JSON.parse(documentText(document, maxBytes).text) as OrderChangedV1).items.map(
        ({ recipe }) => recipe.files.length > 0,
      );
    expect(documentText(document).leftOut).toBe(0);
    expect(listed(size)).toEqual([true, true, true]);
    expect(listed(size - 1)).toEqual([true, false, true]);
    expect(listed(size - 200)).toEqual([true, false, false]);
    expect(documentText(document, 10).leftOut).toBe(3);
  });
});
