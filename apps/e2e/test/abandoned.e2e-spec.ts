import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { DeliveryPage } from '@heddle/contracts';
import { Heddle, eventually } from '@heddle/testing';

import { testServers } from '../src/test-servers.js';

describe('nothing half-written is left behind', () => {
  let heddle: Heddle;

  beforeAll(async () => {
    heddle = await Heddle.start({ ...testServers(), env: { SILENCE_MS: '4000' } });
    await heddle.integrate();
  }, 90_000);
  afterAll(() => heddle.stop(), 30_000);

  it('of an order that is cancelled while the worker that uploads it is killed', async () => {
    const recipeId = '1-ABANDONED';
    const line = { recipeId, orderNumber: 'A1', orderId: '7000001', itemId: '1', itemQuantity: 1 };
    const folder = (): Promise<readonly string[]> => readdir(heddle.sftpDirectory);
    await writeFile(join(heddle.filesDirectory, `${recipeId}.dst`), 'stitches');
    const production = heddle.fileUrl(`${recipeId}.dst`);
    const views = [{ name: 'Front', code: 'Front', productionReady: true, production }];
    await heddle.client.expect('POST', '/api/v2/recipe', { id: recipeId, name: 'Cap', views });

    heddle.sftp.faults = { hangOn: ['write'] };
    await heddle.client.expect('POST', '/api/v2/recipe/order', [line]);
    await eventually(async () => expect((await folder()).length).toBeGreaterThan(0), { withinMs: 20_000 });
    expect((await folder()).filter((name) => !name.endsWith('.part'))).toEqual([]);
    heddle.service('outbound-sftp').signal('SIGKILL');
    heddle.sftp.faults = {};
    await heddle.client.expect('POST', '/api/v2/order/cancel', [{ orderNumber: 'A1', orderId: '7000001' }]);

    await eventually(async () => expect(await folder()).toEqual([]), { withinMs: 40_000 });
    const page = await heddle.client.expect('GET', '/api/v2/deliveries?orderNumber=A1');
    expect(DeliveryPage.parse(page).items).toMatchObject([{ state: 'cancelled', reason: 'order-cancelled' }]);
  }, 90_000);
});
