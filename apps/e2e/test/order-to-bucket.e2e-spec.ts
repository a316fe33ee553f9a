import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { DeliveryDetails, DeliveryPage } from '@heddle/contracts';
import { Heddle, createIntegration, eventually, startS3Proxy } from '@heddle/testing';
import type { S3Proxy } from '@heddle/testing';

import { testServers } from '../src/test-servers.js';

const WITHIN = { withinMs: 30_000, everyMs: 50 } as const;
const BUCKET = 'press-room';
const LARGE_BYTES = 20 * 1024 * 1024;

jest.setTimeout(90_000);

describe('an order on its way from POST to a bucket', () => {
  let heddle: Heddle;
  let s3: S3Proxy;

  beforeAll(async () => {
    s3 = await startS3Proxy({ buckets: [BUCKET] });
    heddle = await Heddle.start({
      ...testServers(),
      workers: ['s3'],
      // Time enough for a Java server to come back.
      env: { RETRY_DELAYS_MS: '3000,15000' },
      allowedAddresses: [`127.0.0.1/32:${s3.port}`],
    });
    await createIntegration(heddle.admin, {
      description: 'Press room',
      destination: 's3',
      settings: settings(),
    });
    await writeFile(join(heddle.filesDirectory, 'large.dst'), Buffer.alloc(LARGE_BYTES, 'stitches '));
    await heddle.client.expect('POST', '/api/v2/recipe', {
      id: 'DRIVE-001',
      views: [{ code: 'Front', productionReady: true, production: heddle.fileUrl('large.dst') }],
    });
  });
  afterAll(async () => {
    await heddle.stop();
    await s3.close();
  }, 30_000);

  const settings = (): Record<string, unknown> => ({
    'access-key-secret': s3.accessKey,
    'secret-key-secret': s3.secretKey,
    bucket: BUCKET,
    endpoint: s3.endpoint,
    prefix: 'in/{channel}',
  });
  const order = (orderNumber: string): Promise<unknown> =>
    heddle.client.expect('POST', '/api/v2/recipe/order', [
      { recipeId: 'DRIVE-001', orderNumber, orderId: '6182665224482', itemId: '1', itemQuantity: 1 },
    ]);
  const folder = (): string => join(s3.directory, BUCKET, 'in', 'default');
  const arrived = async (orderNumber: string): Promise<readonly string[]> =>
    (await readdir(folder())).filter((name) => name.startsWith(`${orderNumber}_`)).sort();
  const filesOf = (orderNumber: string): readonly string[] =>
    ['Production-Front.dst', 'Recipe.json', 'Ticket.pdf'].map(
      (name) => `${orderNumber}_ID_6182665224482_R_DRIVE-001_${name}`,
    );
  const details = async (orderNumber: string): Promise<DeliveryDetails> => {
    const page = await heddle.client.expect('GET', `/api/v2/deliveries?orderNumber=${orderNumber}`);
    const [delivery] = DeliveryPage.parse(page).items;
    return DeliveryDetails.parse(
      await heddle.client.expect('GET', `/api/v2/deliveries/${delivery?.deliveryId ?? ''}`),
    );
  };

  it('delivers each file under the promised name, small and large, with the right bytes', async () => {
    await order('1022');

    const delivery = await eventually(async () => {
      const found = await details('1022');
      expect(found.state).toBe('succeeded');
      return found;
    }, WITHIN);

    const [production = '', recipe = '', ticket = ''] = filesOf('1022');
    expect(await arrived('1022')).toEqual(filesOf('1022'));
    const bytes = await readFile(join(folder(), production));
    expect(bytes.equals(Buffer.alloc(LARGE_BYTES, 'stitches '))).toBe(true);
    expect(JSON.parse(await readFile(join(folder(), recipe), 'utf8'))).toMatchObject({ id: 'DRIVE-001' });
    expect(await readFile(join(folder(), ticket), 'latin1')).toMatch(/^%PDF-/);
    expect(delivery.files.map(({ receipt }) => receipt?.location)).toEqual(
      expect.arrayContaining([`s3://${BUCKET}/in/default/${recipe}`]),
    );
    expect(JSON.stringify(delivery)).not.toMatch(new RegExp(`${s3.secretKey}|${s3.accessKey}`));
  });

  it('is retried while the store is away, and arrives once it is back', async () => {
    await s3.kill();
    await order('1023');
    await eventually(
      async () => expect(await details('1023')).toMatchObject({ state: 'retrying', code: 'UNAVAILABLE' }),
      WITHIN,
    );

    await s3.start();

    await eventually(async () => expect(await arrived('1023')).toEqual(filesOf('1023')), WITHIN);
  });

  it('refuses an integration to a private address, naming the setting and not its value', async () => {
    const answer = await heddle.admin.call('POST', '/api/v2/integrations', {
      destination: 's3',
      settings: { ...settings(), endpoint: 'http://169.254.169.254' },
    });

    expect(answer).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/settings/endpoint', code: 'range' }] },
    });
    expect(JSON.stringify(answer)).not.toContain('169.254');
  });
});
