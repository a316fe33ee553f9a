import { createHash, randomBytes } from 'node:crypto';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { DeliveryDetails, DeliveryPage, IntegrationView } from '@heddle/contracts';
import {
  Heddle,
  HttpGate,
  approveIntegration,
  createIntegration,
  eventually,
  startAzurite,
} from '@heddle/testing';
import type { Azurite } from '@heddle/testing';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { testServers } from '../src/test-servers.js';

const WITHIN = { withinMs: 20_000, everyMs: 50 } as const;
const CONTAINER = 'factory';

jest.setTimeout(60_000);

describe('an order on its way to a container of Azure Blob Storage', () => {
  let azurite: Azurite;
  let gate: HttpGate;
  let heddle: Heddle;
  let connection: string;

  beforeAll(async () => {
    azurite = await startAzurite();
    gate = await HttpGate.start(azurite.port);
    await azurite.createContainer(CONTAINER);
    connection = azurite.connectionString(CONTAINER).replace(`:${azurite.port}/`, `:${gate.port}/`);
    heddle = await Heddle.start({
      ...testServers(),
      workers: ['azure-blob'],
      allowedAddresses: [`127.0.0.1/32:${gate.port}`],
    });
  }, 90_000);
  afterAll(async () => {
    await heddle.stop();
    await gate.close();
    await azurite.close();
  }, 30_000);

  const integrate = (prefix: string, settings: object = {}) =>
    createIntegration(heddle.admin, {
      destination: 'azure-blob',
      description: `The factory's container, ${prefix}`,
      settings: { 'connection-string-secure': connection, container: CONTAINER, prefix, ...settings },
    });

  async function saveRecipe(recipeId: string, stitches: Buffer): Promise<void> {
    await writeFile(join(heddle.filesDirectory, `${recipeId}.dst`), stitches);
    await heddle.client.expect('POST', '/api/v2/recipe', {
      id: recipeId,
      views: [{ code: 'Front', productionReady: true, production: heddle.fileUrl(`${recipeId}.dst`) }],
    });
  }
  const associate = (recipeId: string, orderNumber: string, itemQuantity = 1): Promise<unknown> =>
    heddle.client.expect('POST', '/api/v2/recipe/order', [
      { recipeId, orderNumber, orderId: '61', itemId: '1', itemQuantity },
    ]);
  const deliveriesOf = async (orderNumber: string, integrationId: string) => {
    const page = DeliveryPage.parse(
      await heddle.client.expect('GET', `/api/v2/deliveries?orderNumber=${orderNumber}`),
    );
    return page.items.filter((delivery) => delivery.integrationId === integrationId);
  };

  it('leaves each file under the promised name with its bytes, and a receipt that names the place', async () => {
    const { integrationId, settings } = await integrate('in/{channel}');
    expect(settings['connection-string-secure']).toBe('********');
    const stitches = randomBytes(3_000_000);
    await saveRecipe('8-AZURE', stitches);

    await associate('8-AZURE', '8001');

    const name = '8001_ID_61_R_8-AZURE_Production-Front.dst';
    const [delivery] = await eventually(async () => {
      const found = await deliveriesOf('8001', integrationId);
      expect(found).toMatchObject([{ state: 'succeeded', attempts: 1 }]);
      return found;
    }, WITHIN);
    const blobs = await azurite.contents(CONTAINER);
    expect([...blobs.keys()].filter((each) => each.startsWith('in/default/8001_')).toSorted()).toEqual(
      expect.arrayContaining([`in/default/${name}`, 'in/default/8001_ID_61_R_8-AZURE_Recipe.json']),
    );
    expect(blobs.get(`in/default/${name}`)?.equals(stitches)).toBe(true);
    const details = DeliveryDetails.parse(
      await heddle.client.expect('GET', `/api/v2/deliveries/${delivery?.deliveryId ?? ''}`),
    );
    expect(details.files.find((file) => file.name === name)?.receipt).toMatchObject({
      location: `http://127.0.0.1:${gate.port}/heddle/${CONTAINER}/in/default/${name}`,
      sizeBytes: stitches.length,
      sha256: createHash('sha256').update(stitches).digest('hex'),
    });
  });

  it('replaces the files of an updated order under the same names', async () => {
    const { integrationId } = await integrate('updates');
    await saveRecipe('8-UPDATE', Buffer.from('stitches'));
    await associate('8-UPDATE', '8002');
    await eventually(
      async () => expect(await deliveriesOf('8002', integrationId)).toMatchObject([{ state: 'succeeded' }]),
      WITHIN,
    );
    // The integration of the test before may still be at work in its own folder.
    const inFolder = async () =>
      [...(await azurite.contents(CONTAINER)).keys()].filter((name) => name.startsWith('updates/'));
    const before = await inFolder();

    await associate('8-UPDATE', '8002', 7);

    await eventually(
      async () =>
        expect(await deliveriesOf('8002', integrationId)).toMatchObject([
          { trigger: 'order.updated', state: 'succeeded' },
          { trigger: 'order.submitted', state: 'succeeded' },
        ]),
      WITHIN,
    );
    expect(await inFolder()).toEqual(before);
  });

  it('with overwrite off and no right to read, knows its own file after a lost answer and leaves a foreign one', async () => {
    const { integrationId } = await integrate('kept', { overwrite: false });
    await saveRecipe('8-KEPT', Buffer.from('stitches'));
    const lost = new Set<string>();
    gate.rule = ({ url }) => {
      const path = url.split('?')[0] ?? '';
      if (!url.includes('comp=blocklist') || !path.includes('/kept/8003_') || lost.has(path))
        return undefined;
      lost.add(path);
      return 'lose-answer';
    };

    await associate('8-KEPT', '8003');
    await eventually(
      async () => expect(await deliveriesOf('8003', integrationId)).toMatchObject([{ state: 'succeeded' }]),
      WITHIN,
    );
    expect(lost.size).toBeGreaterThan(0);
    gate.reset();

    await associate('8-KEPT', '8003', 7);
    await eventually(
      async () =>
        expect(await deliveriesOf('8003', integrationId)).toMatchObject([
          { trigger: 'order.updated', state: 'failed', code: 'ALREADY_EXISTS', attempts: 1 },
          { state: 'succeeded' },
        ]),
      WITHIN,
    );
  });

  it('is sent after an outage of the service, with nothing twice', async () => {
    const { integrationId } = await integrate('outage');
    await saveRecipe('8-OUTAGE', Buffer.from('stitches'));
    gate.rule = () => ({
      answer: { status: 503, headers: { 'x-ms-error-code': 'ServerBusy', 'retry-after': '1' } },
    });

    await associate('8-OUTAGE', '8004');
    await eventually(
      async () =>
        expect(await deliveriesOf('8004', integrationId)).toMatchObject([
          { state: 'retrying', code: 'THROTTLED' },
        ]),
      WITHIN,
    );
    gate.reset();

    await eventually(
      async () => expect(await deliveriesOf('8004', integrationId)).toMatchObject([{ state: 'succeeded' }]),
      WITHIN,
    );
    const names = [...(await azurite.contents(CONTAINER)).keys()].filter((name) =>
      name.startsWith('outage/'),
    );
    expect(names).toContain('outage/8004_ID_61_R_8-OUTAGE_Production-Front.dst');
    expect(new Set(names).size).toBe(names.length);
  });

  it('is finished under a renewed signature, which makes no other place of the container', async () => {
    const view = await integrate('renewed', { overwrite: false });
    const { integrationId } = view;
    const stitches = Buffer.from('stitches');
    await saveRecipe('8-RENEWED', stitches);
    const production = '8005_ID_61_R_8-RENEWED_Production-Front.dst';
    // The answer to one file does not come while the others arrive: the attempt is still under way.
    gate.rule = ({ url }) => (url.includes(`/renewed/${production}?`) ? 'hang' : undefined);
    await associate('8-RENEWED', '8005');
    const inFolder = async (): Promise<ReadonlyMap<string, Buffer>> =>
      new Map([...(await azurite.contents(CONTAINER))].filter(([name]) => name.startsWith('renewed/')));
    await eventually(async () => {
      expect([...(await inFolder()).keys()].toSorted()).toEqual(
        ['Recipe.json', 'Ticket.pdf'].map((file) => `renewed/8005_ID_61_R_8-RENEWED_${file}`),
      );
      expect(gate.requests.some(({ url }) => url.includes(`/renewed/${production}?`))).toBe(true);
    }, WITHIN);
    const [first] = await deliveriesOf('8005', integrationId);
    const before = [...(await inFolder()).keys()];

    const renewed = azurite
      .connectionString(CONTAINER, { expiresAt: new Date(Date.now() + 86_400_000) })
      .replace(`:${azurite.port}/`, `:${gate.port}/`);
    const signature = renewed.split('SharedAccessSignature=')[1]?.split('sig=')[1] ?? '';
    expect(connection).not.toContain(signature);
    const changed = await heddle.admin.expect('PATCH', `/api/v2/integrations/${integrationId}`, {
      settings: { 'connection-string-secure': renewed },
    });
    await approveIntegration(heddle.admin, IntegrationView.parse(changed));
    gate.reset();
    gate.cutConnections();

    await eventually(
      async () =>
        expect(await deliveriesOf('8005', integrationId)).toMatchObject([
          { deliveryId: first?.deliveryId, state: 'succeeded', attempts: 2, integrationVersion: 2 },
        ]),
      WITHIN,
    );
    const written = gate.requests.filter(({ url }) => url.includes('/renewed/8005_'));
    expect(written.map(({ url }) => [url.includes(production), url.includes(signature)])).toEqual(
      written.map(() => [true, true]),
    );
    const blobs = await inFolder();
    expect([...blobs.keys()].toSorted()).toEqual([...before, `renewed/${production}`].toSorted());
    expect(blobs.get(`renewed/${production}`)?.equals(stitches)).toBe(true);

    gate.reset();
    await heddle.client.expect('POST', '/api/v2/trigger', {
      orderNumber: '8005',
      integrationIds: [integrationId],
      onlyMissing: true,
    });
    await eventually(
      async () =>
        expect(await deliveriesOf('8005', integrationId)).toMatchObject([
          { state: 'succeeded', attempts: 0 },
          { deliveryId: first?.deliveryId },
        ]),
      WITHIN,
    );
    expect(gate.requests.filter(({ url }) => url.includes('/renewed/'))).toEqual([]);
  });

  it('leaves the signature in no log', async () => {
    const signature = new URLSearchParams(connection.split('SharedAccessSignature=')[1]).get('sig') ?? '';
    const folder = join(heddle.directory, 'logs');
    const logs = await Promise.all(
      (await readdir(folder)).map((name) => readFile(join(folder, name), 'utf8')),
    );

    expect(logs.join('')).toContain('delivery.attempted');
    for (const secret of [signature, encodeURIComponent(signature), 'sig='])
      expect(logs.join('')).not.toContain(secret);
  });
});
