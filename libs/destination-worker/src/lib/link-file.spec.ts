import { randomBytes, randomUUID } from 'node:crypto';

import type { OfferedFile } from '@heddle/contracts';
import { FileLinks, parseKeyring } from '@heddle/secrets';
import { describe, expect, it } from '@jest/globals';

import { linkFile } from './link-file.js';

const links = new FileLinks(parseKeyring(`k1:${randomBytes(32).toString('base64')}`));
const delivery = { tenant: 'demo', deliveryId: randomUUID() };

function aDocument(text: string): OfferedFile {
  return {
    name: '1022_ID_6_Cancelled.json',
    kind: 'attachment',
    mimeType: 'application/json',
    source: { kind: 'inline', text },
  };
}

describe('the link to a file of a delivery', () => {
  it('stands below the address of the hub and leads to the file of this tenant', async () => {
    const file = aDocument('{}');
    const address = linkFile(links, 'https://hub.example/below')(file, delivery);

    expect(address).toMatch(/^https:\/\/hub\.example\/below\/files\/[^/]+\/1022_ID_6_Cancelled\.json$/);
    const path = address.slice('https://hub.example/below'.length);
    const { kind: _, ...named } = file;
    expect(await links.open(path, path.split('/')[2] ?? '')).toEqual({ tenant: 'demo', ...named });
  });

  it('leads to the delivery for a text that no address line holds', async () => {
    const path = linkFile(links, '')(aDocument('x'.repeat(200_000)), delivery);

    expect(path.length).toBeLessThan(1_000);
    expect(await links.open(path, path.split('/')[2] ?? '')).toMatchObject({
      source: { kind: 'delivery', deliveryId: delivery.deliveryId },
    });
  });

  it.each([
    ['document', '/internal/recipes/demo/DRIVE-001/3', 'https://hub.example/recipe/DRIVE-001.json'],
    ['ticket', '/internal/tickets/demo/DRIVE-001/3.pdf?order=x', 'https://hub.example/recipe/DRIVE-001.pdf'],
  ])("is the recipe's own address for its %s where a public one is asked for", async (_, path, address) => {
    const file: OfferedFile = {
      name: 'a.bin',
      kind: 'recipe',
      mimeType: 'text/plain',
      source: { kind: 'hub', path },
    };

    const link = linkFile(links, 'https://hub.example');

    expect(link(file, delivery, 'public')).toBe(address);
    expect(link(file, delivery, 'signed')).toMatch(`${address}?link=`);
  });

  it('is signed for what has no address of its own, whatever is asked for', async () => {
    const link = linkFile(links, 'https://hub.example')(aDocument('{}'), delivery, 'public');

    expect(link).toMatch(/^https:\/\/hub\.example\/files\/[^/]+\/1022_ID_6_Cancelled\.json$/);
  });
});
