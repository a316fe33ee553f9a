import { createHash } from 'node:crypto';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { DeliveryDetails, DeliveryPage, OrderDetails, OrderPage } from '@heddle/contracts';
import type { DeliverySummary } from '@heddle/contracts';
import { Heddle, eventually } from '@heddle/testing';

import { testServers } from '../src/test-servers.js';

const WITHIN = { withinMs: 20_000, everyMs: 50 } as const;

jest.setTimeout(60_000);

describe('an order on its way from POST to file', () => {
  let heddle: Heddle;
  let integrationId: string;

  beforeAll(async () => {
    heddle = await Heddle.start(testServers());
    ({ integrationId } = await heddle.integrate());
  }, 90_000);
  afterAll(() => heddle.stop(), 30_000);

  async function saveRecipe(recipeId: string, name = 'Team Cap'): Promise<string> {
    await writeFile(join(heddle.filesDirectory, `${recipeId}.dst`), `stitches of ${recipeId}`);
    const text = JSON.stringify({
      id: recipeId,
      name,
      styleCode: 'CAP-01',
      views: [
        {
          name: 'Front',
          code: 'Front',
          productionReady: true,
          production: heddle.fileUrl(`${recipeId}.dst`),
        },
      ],
    });
    await heddle.client.expect('POST', '/api/v2/recipe', JSON.parse(text));
    return text;
  }

  const associate = (lines: readonly object[]): Promise<unknown> =>
    heddle.client.expect('POST', '/api/v2/recipe/order', lines);
  const arrived = async (start: string): Promise<readonly string[]> =>
    (await readdir(heddle.sftpDirectory)).filter((name) => name.startsWith(start)).sort();
  const content = (name: string): Promise<string> => readFile(join(heddle.sftpDirectory, name), 'utf8');
  const deliveries = async (orderNumber: string): Promise<readonly DeliverySummary[]> =>
    DeliveryPage.parse(await heddle.client.expect('GET', `/api/v2/deliveries?orderNumber=${orderNumber}`))
      .items;

  it('delivers each file of its recipes under the promised name, with the right bytes', async () => {
    const text = await saveRecipe('999-63CHGJokGoxPfSba');

    const answer = await associate([
      {
        recipeId: '999-63CHGJokGoxPfSba',
        orderNumber: '1022',
        orderId: '6182665224482',
        itemId: '1',
        itemQuantity: 2,
      },
    ]);

    expect(answer).toEqual({ accepted: 1 });
    const prefix = '1022_ID_6182665224482_R_999-63CHGJokGoxPfSba_';
    await eventually(async () => {
      expect(await arrived('1022_')).toEqual([
        `${prefix}Production-Front.dst`,
        `${prefix}Recipe.json`,
        `${prefix}Ticket.pdf`,
      ]);
    }, WITHIN);
    expect(await content(`${prefix}Recipe.json`)).toBe(text);
    expect(await content(`${prefix}Production-Front.dst`)).toBe('stitches of 999-63CHGJokGoxPfSba');
    const ticket = await content(`${prefix}Ticket.pdf`);
    expect(ticket).toMatch(/^%PDF-/);
    expect(ticket).toContain('order 1022, recipe 999-63CHGJokGoxPfSba');
  });

  it('can be looked up with its items, versions, deliveries and a receipt for each file', async () => {
    const text = await saveRecipe('2-LOOKUP');
    await associate([{ recipeId: '2-LOOKUP', orderNumber: '2001', itemId: '1', itemQuantity: 1 }]);
    const delivery = await eventually(async () => {
      const [newest] = await deliveries('2001');
      if (newest?.state !== 'succeeded') throw new Error(`the delivery is ${newest?.state ?? 'not there'}`);
      return newest;
    }, WITHIN);

    const { items } = OrderPage.parse(await heddle.client.expect('GET', '/api/v2/orders?recipeId=2-LOOKUP'));
    const order = OrderDetails.parse(
      await heddle.client.expect('GET', `/api/v2/orders/${items[0]?.orderUid ?? ''}`),
    );
    expect(order).toMatchObject({
      orderNumber: '2001',
      orderId: null,
      version: 1,
      reason: 'submitted',
      items: [
        { itemId: '1', recipeId: '2-LOOKUP', itemQuantity: 1, recipe: { state: 'linked', version: 1 } },
      ],
      versions: [{ version: 1, reason: 'submitted' }],
      deliveries: [{ deliveryId: delivery.deliveryId, state: 'succeeded', attempts: 1, integrationId }],
    });

    const path = `/api/v2/deliveries/${delivery.deliveryId}`;
    const details = DeliveryDetails.parse(await heddle.client.expect('GET', path));
    const recipeFile = details.files.find(({ kind }) => kind === 'recipe');
    expect(recipeFile).toMatchObject({ name: '2001_ID_2001_R_2-LOOKUP_Recipe.json', state: 'delivered' });
    expect(recipeFile?.receipt).toMatchObject({
      sizeBytes: Buffer.byteLength(text),
      sha256: createHash('sha256').update(text).digest('hex'),
      details: { hostKey: heddle.sftp.hostKeySha256 },
    });
    expect(details.attempts).toMatchObject([{ attempt: 1, outcome: 'succeeded', code: null }]);
  });

  it('waits for a recipe that is not there yet, says so, and goes out once it comes', async () => {
    await associate([
      { recipeId: '3-LATE', orderNumber: '3001', orderId: '31', itemId: '1', itemQuantity: 1 },
    ]);
    await eventually(async () => {
      const page = OrderPage.parse(await heddle.client.expect('GET', '/api/v2/orders?waitingForRecipe=true'));
      expect(page.items.map(({ orderNumber }) => orderNumber)).toEqual(['3001']);
      expect(await deliveries('3001')).toMatchObject([{ state: 'waiting', reason: 'recipe' }]);
    }, WITHIN);

    await saveRecipe('3-LATE');

    await eventually(async () => {
      expect(await arrived('3001_')).toHaveLength(3);
      const page = OrderPage.parse(await heddle.client.expect('GET', '/api/v2/orders?orderNumber=3001'));
      expect(page.items).toMatchObject([{ version: 2, reason: 'recipe-linked' }]);
    }, WITHIN);
    const orders = async (state: string): Promise<readonly string[]> => {
      const query = `orderNumber=3001&deliveryState=${state}`;
      const page = OrderPage.parse(await heddle.client.expect('GET', `/api/v2/orders?${query}`));
      return page.items.map(({ orderNumber }) => orderNumber);
    };
    await eventually(async () => expect(await orders('succeeded')).toEqual(['3001']), WITHIN);
    expect(await orders('failed')).toEqual([]);
  });

  it('changes nothing and sends nothing when the same association comes again', async () => {
    await saveRecipe('4-AGAIN');
    const lines = [{ recipeId: '4-AGAIN', orderNumber: '4001', itemId: '1', itemQuantity: 1 }];
    await associate(lines);
    await eventually(
      async () => expect(await deliveries('4001')).toMatchObject([{ state: 'succeeded' }]),
      WITHIN,
    );

    await associate(lines);
    // Behind the repetition on the same partition: once this one has a version, the repetition was handled.
    await associate([{ ...lines[0], itemQuantity: 5 }]);

    await eventually(async () => {
      expect(
        (await deliveries('4001')).map(({ trigger, version, state }) => [trigger, version, state]),
      ).toEqual([
        ['order.updated', 2, 'succeeded'],
        ['order.submitted', 1, 'succeeded'],
      ]);
    }, WITHIN);
  });

  it('sends nothing for an order whose cancel came first', async () => {
    await saveRecipe('5-CANCELLED');
    await heddle.client.expect('POST', '/api/v2/order/cancel', [{ orderNumber: '5001', reason: 'fraud' }]);
    await associate([{ recipeId: '5-CANCELLED', orderNumber: '5001', itemId: '1', itemQuantity: 1 }]);

    await eventually(async () => {
      const page = OrderPage.parse(await heddle.client.expect('GET', '/api/v2/orders?orderNumber=5001'));
      expect(page.items).toMatchObject([{ status: 'cancelled', cancelReason: 'fraud' }]);
    }, WITHIN);
    // A later order on the same way: when its file is there, this one's would be.
    await associate([{ recipeId: '5-CANCELLED', orderNumber: '5002', itemId: '1', itemQuantity: 1 }]);
    await eventually(async () => expect(await arrived('5002_')).toHaveLength(3), WITHIN);
    expect(await arrived('5001_')).toEqual([]);
    expect(await deliveries('5001')).toEqual([]);
  });

  it('sends the order document alone to an integration that asks for cancels', async () => {
    await heddle.integrate({ triggers: ['order.cancelled'] }, { directory: 'cancels' });
    await saveRecipe('6-STOP');
    await associate([
      { recipeId: '6-STOP', orderNumber: '6001', orderId: '61', itemId: '1', itemQuantity: 1 },
    ]);
    await eventually(async () => expect(await arrived('6001_')).toHaveLength(3), WITHIN);

    await heddle.client.expect('POST', '/api/v2/order/cancel', [{ orderNumber: '6001', orderId: '61' }]);

    await eventually(async () => {
      expect(await deliveries('6001')).toMatchObject([
        { trigger: 'order.cancelled', state: 'succeeded', code: null },
        { trigger: 'order.submitted', state: 'succeeded' },
      ]);
    }, WITHIN);
    const name = '6001_ID_61_Cancelled.json';
    const text = await readFile(join(heddle.sftpDirectory, 'cancels', name), 'utf8');
    expect(JSON.parse(text)).toMatchObject({ orderNumber: '6001', status: 'cancelled', version: 2 });
    expect(await readdir(join(heddle.sftpDirectory, 'cancels'))).toEqual([name]);
  });

  it('is retried while a file cannot be read, and sends what is missing once it can', async () => {
    const recipeId = '7-MISSING';
    await heddle.client.expect('POST', '/api/v2/recipe', {
      id: recipeId,
      views: [{ code: 'Front', productionReady: true, production: heddle.fileUrl('later.dst') }],
    });
    await associate([{ recipeId, orderNumber: '7001', itemId: '1', itemQuantity: 1 }]);
    await eventually(async () => {
      expect(await deliveries('7001')).toMatchObject([{ state: 'retrying', code: 'SOURCE_UNAVAILABLE' }]);
      expect(await arrived('7001_')).toEqual(
        ['Recipe.json', 'Ticket.pdf'].map((name) => `7001_ID_7001_R_${recipeId}_${name}`),
      );
    }, WITHIN);

    await writeFile(join(heddle.filesDirectory, 'later.dst'), 'here now');

    await eventually(async () => {
      expect(await deliveries('7001')).toMatchObject([{ state: 'succeeded' }]);
      expect(await content(`7001_ID_7001_R_${recipeId}_Production-Front.dst`)).toBe('here now');
    }, WITHIN);
  });

  it('goes out without what can never be read, and names that once and for all', async () => {
    const recipeId = '7-FTP';
    await heddle.client.expect('POST', '/api/v2/recipe', {
      id: recipeId,
      views: [{ code: 'Front', productionReady: true, production: 'ftp://files.example/front.dst' }],
    });
    await associate([{ recipeId, orderNumber: '7002', itemId: '1', itemQuantity: 1 }]);

    const delivery = await eventually(async () => {
      const [found] = await deliveries('7002');
      expect(found).toMatchObject({ state: 'failed', code: 'ADDRESS_REFUSED', attempts: 1 });
      return found;
    }, WITHIN);

    const name = `7002_ID_7002_R_${recipeId}_Production-Front.dst`;
    const { attempts, files } = DeliveryDetails.parse(
      await heddle.client.expect('GET', `/api/v2/deliveries/${delivery?.deliveryId ?? ''}`),
    );
    expect(attempts.at(-1)?.message).toBe(`fetching ${name}: the recipe gives no http(s) address for it`);
    expect(files.map((file) => [file.name, file.state])).toEqual([
      [`7002_ID_7002_R_${recipeId}_Recipe.json`, 'delivered'],
      [`7002_ID_7002_R_${recipeId}_Ticket.pdf`, 'delivered'],
      [name, 'missing'],
    ]);
  });

  it('feeds recipes to an integration that asks for them, ordered or not', async () => {
    await heddle.integrate({ triggers: ['recipe.created'] }, { directory: 'feed' });
    const text = await saveRecipe('8-FEED');

    await eventually(async () => {
      const page = await heddle.client.expect('GET', '/api/v2/deliveries?recipeId=8-FEED');
      expect(DeliveryPage.parse(page).items).toMatchObject([
        { trigger: 'recipe.created', state: 'succeeded', code: null },
      ]);
    }, WITHIN);
    const feed = join(heddle.sftpDirectory, 'feed');
    expect(await readFile(join(feed, '8-FEED-Recipe.json'), 'utf8')).toBe(text);
    expect(await readFile(join(feed, '8-FEED-Ticket.pdf'), 'utf8')).toMatch(/^%PDF-/);
  });

  it('gives the recipe document back as it was sent, with an ETag that answers 304', async () => {
    const text = await saveRecipe('9-READ');
    const url = new URL('/recipe/9-READ.json', heddle.baseUrl);
    const answer = await eventually(async () => {
      const found = await fetch(url);
      expect(found.status).toBe(200);
      return found;
    }, WITHIN);

    expect(await answer.text()).toBe(text);
    const again = await fetch(url, { headers: { 'if-none-match': answer.headers.get('etag') ?? '' } });
    expect(again.status).toBe(304);
  });

  it('has a pick ticket that anybody reads who may read the recipe, with an ETag that answers 304', async () => {
    await saveRecipe('10-TICKET');
    const url = new URL('/recipe/10-TICKET.pdf', heddle.baseUrl);
    const answer = await eventually(async () => {
      const found = await fetch(url);
      expect(found.status).toBe(200);
      return found;
    }, WITHIN);

    expect(answer.headers.get('content-type')).toBe('application/pdf');
    expect(await answer.text()).toContain('recipe 10-TICKET');
    const again = await fetch(url, { headers: { 'if-none-match': answer.headers.get('etag') ?? '' } });
    expect(again.status).toBe(304);
  });

  it('brings its own PDF along instead of a ticket of the hub', async () => {
    await writeFile(join(heddle.filesDirectory, 'own-sheet'), '%PDF- of the shop');
    await heddle.client.expect('POST', '/api/v2/recipe', {
      id: '11-OWN',
      humanReadable: heddle.fileUrl('own-sheet'),
    });
    await associate([{ recipeId: '11-OWN', orderNumber: '11001', itemId: '1', itemQuantity: 1 }]);
    await eventually(async () => {
      expect(await content('11001_ID_11001_R_11-OWN_Ticket.pdf')).toBe('%PDF- of the shop');
    }, WITHIN);
  });

  it('leaves nothing under a temporary name', async () => {
    // Deliveries of the tests above may still be under way.
    await eventually(async () => {
      const names = await readdir(heddle.sftpDirectory, { recursive: true });
      expect(names.filter((name) => name.endsWith('.part'))).toEqual([]);
    }, WITHIN);
  });
});
