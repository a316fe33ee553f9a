import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { AuditPage, DeliveryDetails, DeliveryPage, IntegrationView } from '@heddle/contracts';
import type { DeliverySummary } from '@heddle/contracts';
import { Heddle, HookCatcher, createIntegration, eventually } from '@heddle/testing';
import type { CaughtCall } from '@heddle/testing';

import { testServers } from '../src/test-servers.js';

const WITHIN = { withinMs: 20_000, everyMs: 50 } as const;

jest.setTimeout(60_000);

interface HookBody {
  readonly orderId?: string;
  readonly orderNumber?: string;
  readonly recipeId?: string;
  readonly files: readonly { readonly name: string; readonly mimeType: string; readonly url: string }[];
}

describe('an order on its way from POST to a hook', () => {
  let heddle: Heddle;
  let catcher: HookCatcher;
  /** The integration of the hook of the same name. */
  let orders: string;

  beforeAll(async () => {
    catcher = await HookCatcher.start();
    heddle = await Heddle.start({
      ...testServers(),
      workers: ['zapier'],
      allowedAddresses: [`127.0.0.1/32:${String(catcher.port)}`],
    });
    ({ integrationId: orders } = await integrate('orders'));
  }, 90_000);
  afterEach(() => {
    catcher.rule = () => undefined;
  });
  afterAll(async () => {
    await heddle.stop();
    await catcher.close();
  }, 30_000);

  const integrate = (
    hook: string,
    settings: Readonly<Record<string, unknown>> = {},
    overrides: Readonly<Record<string, unknown>> = {},
  ): Promise<IntegrationView> =>
    createIntegration(heddle.admin, {
      destination: 'zapier',
      description: hook,
      ...overrides,
      settings: { 'hook-url': catcher.hookUrl(hook), ...settings },
    });

  async function saveRecipe(recipeId: string): Promise<string> {
    await writeFile(join(heddle.filesDirectory, `${recipeId}.dst`), `stitches of ${recipeId}`);
    const production = heddle.fileUrl(`${recipeId}.dst`);
    const recipe = { id: recipeId, views: [{ code: 'Front', productionReady: true, production }] };
    await heddle.client.expect('POST', '/api/v2/recipe', recipe);
    return JSON.stringify(recipe);
  }

  const associate = (lines: readonly object[]): Promise<unknown> =>
    heddle.client.expect('POST', '/api/v2/recipe/order', lines);
  const callsOf = (hook: string, subject: string): readonly CaughtCall[] =>
    catcher.calls.filter(({ url, text }) => url.endsWith(`/${hook}/`) && text.includes(`"${subject}"`));
  const bodyOf = ({ text }: CaughtCall): HookBody => JSON.parse(text) as HookBody;
  const deliveries = async (filter: string): Promise<readonly DeliverySummary[]> =>
    DeliveryPage.parse(await heddle.client.expect('GET', `/api/v2/deliveries?${filter}`)).items;

  async function called(hook: string, subject: string): Promise<HookBody> {
    return await eventually(() => {
      const [call] = callsOf(hook, subject);
      if (call === undefined) throw new Error(`nobody has called ${hook} about ${subject}`);
      return bodyOf(call);
    }, WITHIN);
  }

  async function opened(url: string): Promise<{ readonly type: string | null; readonly text: string }> {
    const answer = await fetch(url);
    expect(answer.status).toBe(200);
    return { type: answer.headers.get('content-type'), text: await answer.text() };
  }

  it('is told with links that open, without a key, and give the right bytes', async () => {
    const text = await saveRecipe('999-63CHGJokGoxPfSba');
    await associate([
      {
        recipeId: '999-63CHGJokGoxPfSba',
        orderNumber: '1022',
        orderId: '6182665224482',
        itemId: '1',
        itemQuantity: 2,
      },
    ]);

    const body = await called('orders', '1022');

    expect(Object.keys(body)).toEqual(['orderId', 'orderNumber', 'files']);
    expect(body).toMatchObject({ orderId: '6182665224482', orderNumber: '1022' });
    const fileOf = (end: string): HookBody['files'][number] => {
      const name = `1022_ID_6182665224482_R_999-63CHGJokGoxPfSba_${end}`;
      const file = body.files.find((each) => each.name === name);
      if (file === undefined) throw new Error(`there is no link to ${name}`);
      expect(Object.keys(file)).toEqual(['name', 'mimeType', 'url']);
      return file;
    };
    const document = fileOf('Recipe.json');
    expect(document.url).toContain(`${heddle.baseUrl}/recipe/999-63CHGJokGoxPfSba.json?link=`);
    expect((await opened(document.url)).text).toBe(text);
    const ticket = fileOf('Ticket.pdf');
    expect(ticket.url).toContain(`${heddle.baseUrl}/recipe/999-63CHGJokGoxPfSba.pdf?link=`);
    const pages = await opened(ticket.url);
    expect(pages.type).toBe('application/pdf');
    expect(pages.text).toContain('order 1022, recipe 999-63CHGJokGoxPfSba');
    const production = fileOf('Production-Front.dst');
    expect(production.url).toContain(`${heddle.baseUrl}/files/`);
    expect((await opened(production.url)).text).toBe('stitches of 999-63CHGJokGoxPfSba');
  });

  it('keeps a receipt for each file that says neither the hook nor a link', async () => {
    const [delivery] = await eventually(async () => {
      const found = await deliveries('orderNumber=1022');
      expect(found).toMatchObject([{ state: 'succeeded', destination: 'zapier' }]);
      return found;
    }, WITHIN);
    const answer = await heddle.client.expect('GET', `/api/v2/deliveries/${delivery?.deliveryId ?? ''}`);

    const { files } = DeliveryDetails.parse(answer);
    expect(files.length).toBeGreaterThan(1);
    for (const { receipt } of files) {
      expect(receipt).toMatchObject({ sizeBytes: null, sha256: null, details: { status: '200' } });
    }
    expect(JSON.stringify(answer)).not.toMatch(/hooks\/catch|link=/);
  });

  it("is linked by the recipe's own address where the integration wants that", async () => {
    await integrate('public', { 'recipe-links': 'public' });
    const text = await saveRecipe('2-PUBLIC');
    await associate([{ recipeId: '2-PUBLIC', orderNumber: '2001', itemId: '1', itemQuantity: 1 }]);

    const body = await called('public', '2001');

    expect(body.orderId).toBe('2001');
    const url = body.files.find(({ name }) => name.endsWith('_Recipe.json'))?.url ?? '';
    expect(url).toBe(`${heddle.baseUrl}/recipe/2-PUBLIC.json`);
    expect((await opened(url)).text).toBe(text);
  });

  it('is told of a recipe by itself where the integration asks for the feed', async () => {
    await integrate('feed', {}, { triggers: ['recipe.created'] });
    const text = await saveRecipe('3-FEED');

    const body = await called('feed', '3-FEED');

    expect(Object.keys(body)).toEqual(['recipeId', 'files']);
    const document = body.files.find(({ name }) => name === '3-FEED-Recipe.json');
    expect((await opened(document?.url ?? '')).text).toBe(text);
  });

  it('is told of a cancel by a link to the order document alone', async () => {
    await integrate('cancels', {}, { triggers: ['order.cancelled'] });
    await saveRecipe('4-STOP');
    await associate([
      { recipeId: '4-STOP', orderNumber: '4001', orderId: '41', itemId: '1', itemQuantity: 1 },
    ]);
    await called('orders', '4001');

    await heddle.client.expect('POST', '/api/v2/order/cancel', [{ orderNumber: '4001', orderId: '41' }]);

    const { files } = await called('cancels', '4001');
    expect(files.map(({ name }) => name)).toEqual(['4001_ID_41_Cancelled.json']);
    const { text } = await opened(files[0]?.url ?? '');
    expect(JSON.parse(text)).toMatchObject({ orderNumber: '4001', status: 'cancelled' });
  });

  it('comes again under the same id, with all its files, until the hook takes it', async () => {
    await saveRecipe('5-AGAIN');
    catcher.rule = ({ headers }) => (headers['x-attempt'] === '3' ? undefined : { status: 503 });
    await associate([{ recipeId: '5-AGAIN', orderNumber: '5001', itemId: '1', itemQuantity: 1 }]);

    await eventually(async () => {
      const [delivery] = await deliveries(`orderNumber=5001&integrationId=${orders}`);
      expect(delivery).toMatchObject({ state: 'succeeded', attempts: 3 });
    }, WITHIN);

    const calls = callsOf('orders', '5001');
    expect(calls.map(({ headers }) => headers['x-attempt'])).toEqual(['1', '2', '3']);
    expect(new Set(calls.map(({ headers }) => headers['x-delivery-id'])).size).toBe(1);
    expect(
      new Set(
        calls.map((call) =>
          bodyOf(call)
            .files.map(({ name }) => name)
            .join(),
        ),
      ).size,
    ).toBe(1);
  });

  it('is not told of while a linked file is gone, and the attempt names that file', async () => {
    const production = heddle.fileUrl('7-LATER.dst');
    const views = [{ code: 'Front', productionReady: true, production }];
    await heddle.client.expect('POST', '/api/v2/recipe', { id: '7-LATER', views });
    await associate([{ recipeId: '7-LATER', orderNumber: '7001', itemId: '1', itemQuantity: 1 }]);
    const delivery = await eventually(async () => {
      const [found] = await deliveries(`orderNumber=7001&integrationId=${orders}`);
      expect(found).toMatchObject({ state: 'retrying', code: 'SOURCE_UNAVAILABLE' });
      return found;
    }, WITHIN);
    expect(callsOf('orders', '7001')).toEqual([]);
    const details = await heddle.client.expect('GET', `/api/v2/deliveries/${delivery?.deliveryId ?? ''}`);
    expect(DeliveryDetails.parse(details).attempts[0]?.message).toBe(
      'fetching 7001_ID_7001_R_7-LATER_Production-Front.dst: the source answered 404',
    );

    await writeFile(join(heddle.filesDirectory, '7-LATER.dst'), 'here now');

    const { files } = await called('orders', '7001');
    expect((await opened(files.at(-1)?.url ?? '')).text).toBe('here now');
  });

  it('stops where the hook is gone: no retry, and the integration is disabled by the hub', async () => {
    const { integrationId } = await integrate('gone');
    await saveRecipe('6-GONE');
    catcher.rule = ({ url }) => (url.endsWith('/gone/') ? { status: 410 } : undefined);
    await associate([{ recipeId: '6-GONE', orderNumber: '6001', itemId: '1', itemQuantity: 1 }]);

    await eventually(async () => {
      const [delivery] = await deliveries(`orderNumber=6001&integrationId=${integrationId}`);
      expect(delivery).toMatchObject({ state: 'failed', code: 'GONE', attempts: 1 });
    }, WITHIN);
    const view = await heddle.admin.expect('GET', `/api/v2/integrations/${integrationId}`);
    expect(IntegrationView.parse(view)).toMatchObject({
      status: 'disabled',
      settings: { 'hook-url': '********' },
    });
    const audit = AuditPage.parse(await heddle.admin.expect('GET', '/api/v2/audit'));
    expect(audit.items).toContainEqual(
      expect.objectContaining({
        actor: 'hub',
        action: 'integration.disabled',
        subject: `integration:${integrationId}`,
      }),
    );
    expect(callsOf('gone', '6001')).toHaveLength(1);
  });
});
