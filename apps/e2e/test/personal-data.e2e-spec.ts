import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { deadLetterTopic, topicCatalogue } from '@heddle/contracts';
import { Heddle, eventually } from '@heddle/testing';

import { HubData } from '../src/hub-data.js';
import { testServers } from '../src/test-servers.js';

/** Spelled as nothing else in a run is, so that a hit is a leak. */
const PLANTED = [
  'Quentin Zyxwolfe',
  'q.zyxwolfe@example.org',
  '77 Quibblestone Lane',
  'DE89370400440532013000',
  '4111111111111111',
] as const;

/** Personal data in every place of a body but its own fields: beside, below, in names of members, in lists. */
function withPersonalData<T extends object>(own: T): T {
  const [name, email, address, iban, card] = PLANTED;
  return {
    ...own,
    customer: {
      name,
      email,
      addresses: [{ street: address, deep: { deeper: [{ note: `${name} <${email}>` }] } }],
    },
    payment: { iban, card, [email]: name },
    [card]: [address, { [name]: iban }],
    notes: `${name}, ${address}, ${card}`,
    itemIds: [email],
    OrderNumber: name,
  };
}

jest.setTimeout(60_000);

describe('personal data of an association or a cancel', () => {
  let heddle: Heddle;

  beforeAll(async () => {
    heddle = await Heddle.start({ ...testServers(), env: { LOG_LEVEL: 'debug' } });
    await heddle.integrate({ triggers: ['order.submitted', 'order.updated', 'order.cancelled'] });
  }, 90_000);
  afterAll(() => heddle.stop(), 30_000);

  it('is found in no topic, no table, no log and no delivered file', async () => {
    await heddle.client.expect('POST', '/api/v2/recipe', { id: 'PII-1', name: 'Cap' });
    const own = { recipeId: 'PII-1', orderNumber: 'P1', orderId: 'P1-1', itemId: '1', itemQuantity: 1 };
    await heddle.client.expect('POST', '/api/v2/recipe/order', [withPersonalData(own)]);
    // Refused bodies must leave no trace either.
    for (const body of [
      [withPersonalData({ ...own, itemQuantity: -1 })],
      withPersonalData({}),
      [withPersonalData({ ...own, recipeId: 'a b' })],
    ]) {
      expect((await heddle.client.call('POST', '/api/v2/recipe/order', body)).status).toBe(400);
    }
    for (const [key, status] of [
      ['x', 401],
      [heddle.clientKey, 400],
    ] as const) {
      const broken = await fetch(
        new URL(`/api/v2/recipe/order?apikey=${key}&email=${encodeURIComponent(PLANTED[1])}`, heddle.baseUrl),
        {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: `[{"customer": "${PLANTED[0]}", `,
        },
      );
      expect(broken.status).toBe(status);
    }
    await arrived('P1_ID_P1-1_R_PII-1_Recipe.json');
    await heddle.client.expect('POST', '/api/v2/order/cancel', [
      withPersonalData({ orderNumber: 'P1', orderId: 'P1-1', reason: `asked by ${PLANTED[0]}` }),
    ]);
    await arrived('P1_ID_P1-1_Cancelled.json');

    const kinds = {
      topics: await topics(),
      tables: await tables(),
      logs: await logs(),
      files: await files(),
    };

    // What has to be there is seen in each kind of place, so that none of them is empty or unread.
    const seen = { topics: 'P1-1', tables: 'P1-1', logs: '"service":"ingest-gateway"', files: 'PII-1' };
    for (const kind of ['topics', 'tables', 'logs', 'files'] as const) {
      expect([kind, kinds[kind].some(([, text]) => text.includes(seen[kind]))]).toEqual([kind, true]);
    }
    const leaks = Object.values(kinds)
      .flat()
      .flatMap(([place, text]) =>
        PLANTED.filter((planted) => text.includes(planted)).map((planted) => `${planted} in ${place}`),
      );
    expect(leaks).toEqual([]);
  });

  async function arrived(name: string): Promise<void> {
    await eventually(async () => expect(await readdir(heddle.sftpDirectory)).toContain(name), {
      withinMs: 20_000,
    });
  }

  type Place = readonly [name: string, text: string];

  async function topics(): Promise<readonly Place[]> {
    const data = new HubData(heddle);
    const found = await Promise.all(
      topicCatalogue
        .flatMap(({ name }) => [name, deadLetterTopic(name)])
        .map(async (name) =>
          (await data.read(name)).map(({ headers, value, key }): Place => [
            name,
            `${key ?? ''}${JSON.stringify(headers)}${Buffer.from(value).toString()}`,
          ]),
        ),
    );
    return found.flat();
  }

  async function tables(): Promise<readonly Place[]> {
    const data = new HubData(heddle);
    const names = await data.query<{ name: string }>(
      `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
       WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`,
    );
    const places: Place[] = [];
    for (const { name } of names) {
      const [row] = await data.query<{ text: string | null }>(
        `SELECT string_agg(t::text, E'\\n') AS text FROM ${name} t`,
      );
      places.push([name, row?.text ?? '']);
    }
    return places;
  }

  async function logs(): Promise<readonly Place[]> {
    const folder = join(heddle.directory, 'logs');
    const own = (await readdir(folder)).map((name) => join(folder, name));
    const servers = (process.env['TEST_SERVER_LOGS'] ?? '').split(',').filter((path) => path !== '');
    return Promise.all(
      [...own, ...servers].map(async (path): Promise<Place> => [path, await readFile(path, 'utf8')]),
    );
  }

  async function files(): Promise<readonly Place[]> {
    const names = await readdir(heddle.sftpDirectory);
    return Promise.all(
      names.map(async (name): Promise<Place> => [
        name,
        await readFile(join(heddle.sftpDirectory, name), 'utf8'),
      ]),
    );
  }
});
