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
    const address = await linkFile(links, 'https://hub.example/below')(file, delivery);

    expect(address).toMatch(/^https:\/\/hub\.example\/below\/files\/[^/]+\/1022_ID_6_Cancelled\.json$/);
    const path = address.slice('https://hub.example/below'.length);
    const { kind: _, ...named } = file;
    expect(await links.open(path, path.split('/')[2] ?? '')).toEqual({ tenant: 'demo', ...named });
  });

  it('leads to the delivery for a text that no address line holds', async () => {
    const path = await linkFile(links, '')(aDocument('x'.repeat(200_000)), delivery);

    expect(path.length).toBeLessThan(1_000);
    expect(await links.open(path, path.split('/')[2] ?? '')).toMatchObject({
      source: { kind: 'delivery', deliveryId: delivery.deliveryId },
    });
  });
});
