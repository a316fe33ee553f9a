import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';

import {
  ASSOCIATION_RECEIVED,
  OrderDetails,
  OrderPage,
  TOPIC,
  deadLetterTopic,
  orderKey,
  topicCatalogue,
} from '@heddle/contracts';
import { DeadLetterStore, KafkaPublisher } from '@heddle/messaging';
import type { DeadLetter, IncomingMessage } from '@heddle/messaging';
import { newId } from '@heddle/platform';
import { Heddle, eventually, startKafka, startPostgres, workspaceRoot } from '@heddle/testing';
import type { KafkaCluster, LocalPostgres } from '@heddle/testing';

import { HubData } from '../src/hub-data.js';
import { OrderDesk, filesOfAll, sortedFolder } from '../src/order-desk.js';
import type { OrderLine } from '../src/order-desk.js';

const run = promisify(execFile);
const WITHIN = { withinMs: 30_000, everyMs: 100 } as const;
const UNLUCKY = 666;

describe('a message that no try can help', () => {
  let kafka: KafkaCluster;
  let postgres: LocalPostgres;
  let heddle: Heddle;
  let desk: OrderDesk;
  let data: HubData;
  let publisher: KafkaPublisher;
  let letters: DeadLetterStore;
  /** Lines whose files are owed, over all tests. */
  const owed: OrderLine[] = [];

  beforeAll(async () => {
    [kafka, postgres] = await Promise.all([startKafka(), startPostgres()]);
    heddle = await Heddle.start({ kafkaBrokers: kafka.brokers, databaseUrl: postgres.url });
    desk = new OrderDesk(heddle);
    data = new HubData(heddle);
    const { kafka: options, logger } = data;
    publisher = new KafkaPublisher({ kafka: options, logger, metrics: new Registry() });
    letters = new DeadLetterStore({ kafka: options, catalogue: topicCatalogue, publisher, logger });
    await publisher.connect();
    await heddle.integrate({ include: { ticket: false } });
    for (const recipeId of ['1-POISON', '2-POISON']) await desk.saveRecipe(recipeId);
  }, 120_000);
  afterAll(async () => {
    await publisher.close();
    await heddle.stop();
    await Promise.all([kafka.close(), postgres.close()]);
  }, 60_000);

  /** What is posted meanwhile reaches the store as one batch a partition. */
  async function whileStoreSleeps(work: () => Promise<void>): Promise<void> {
    const store = heddle.service('association-store');
    store.signal('SIGSTOP');
    try {
      await work();
    } finally {
      store.signal('SIGCONT');
    }
  }

  async function post(line: OrderLine): Promise<void> {
    await desk.post(line);
    owed.push(line);
  }

  const expectAllDelivered = (): Promise<void> =>
    eventually(async () => {
      expect(await sortedFolder(heddle.sftpDirectory)).toEqual(filesOfAll(owed));
    }, WITHIN);

  async function setAside(count: number): Promise<readonly DeadLetter[]> {
    return eventually(async () => {
      const { items } = await letters.list(TOPIC.orderReceived);
      expect(items).toHaveLength(count);
      return items;
    }, WITHIN);
  }

  async function orderOf(orderNumber: string): Promise<OrderDetails> {
    const { client } = heddle;
    const page = OrderPage.parse(await client.expect('GET', `/api/v2/orders?orderNumber=${orderNumber}`));
    return OrderDetails.parse(
      await client.expect('GET', `/api/v2/orders/${page.items[0]?.orderUid ?? 'missing'}`),
    );
  }

  const forbid = (): Promise<unknown> =>
    data.query(
      `ALTER TABLE association_store.order_items
       ADD CONSTRAINT luck CHECK (item_quantity <> ${String(UNLUCKY)}) NOT VALID`,
    );
  const allow = (): Promise<unknown> =>
    data.query('ALTER TABLE association_store.order_items DROP CONSTRAINT luck');

  /** What `npm run dead-letters` prints. */
  async function deadLetters(...words: readonly string[]): Promise<string> {
    const tool = join(workspaceRoot(), 'dist', 'tools', 'dead-letters', 'main.js');
    const { stdout } = await run(process.execPath, [tool, ...words], {
      env: { ...process.env, KAFKA_BROKERS: heddle.kafkaBrokers, KAFKA_TOPIC_PREFIX: heddle.topicPrefix },
    });
    return stdout;
  }

  it('is set aside once, with its origin and our code, and its neighbours flow', async () => {
    const secret = 'Jane Doe, 4 Privet Drive';
    const poison = {
      topic: TOPIC.orderReceived,
      key: orderKey(heddle.tenant, 'M1'),
      id: newId(),
      type: ASSOCIATION_RECEIVED,
      source: 'e2e',
      time: new Date().toISOString(),
      tenant: heddle.tenant,
      data: `{"orderNumber": "M1", "name": "${secret}"`,
    };
    let place = '';
    await whileStoreSleeps(async () => {
      await post({ orderNumber: 'M1', recipeId: '1-POISON' });
      const [result] = await publisher.publish([poison], { deadlineMs: 10_000 });
      if (result?.ok !== true) throw new Error('the malformed message was not published');
      place = `${String(result.partition)}/${result.offset}`;
      await post({ orderNumber: 'M1', recipeId: '2-POISON', itemId: '2' });
      for (let index = 0; index < 10; index += 1)
        await post({ orderNumber: `M2${String(index)}`, recipeId: '1-POISON' });
    });

    await expectAllDelivered();
    const found = await data.deadLetters();
    expect(found.map(({ topic }) => topic)).toEqual([deadLetterTopic(TOPIC.orderReceived)]);
    const [{ headers, key, value }] = found as readonly [IncomingMessage];
    expect(headers).toMatchObject({
      'origin-topic': TOPIC.orderReceived,
      'dead-letter-group': 'association-store',
      'dead-letter-code': 'NOT_JSON',
      ce_id: poison.id,
      ce_type: poison.type,
      tenant: heddle.tenant,
    });
    expect(`${headers['origin-partition'] ?? ''}/${headers['origin-offset'] ?? ''}`).toBe(place);
    expect({ key, value: Buffer.from(value).toString() }).toEqual({ key: poison.key, value: poison.data });
    // The value alone holds what was sent: no reason quotes it, no log does.
    expect(JSON.stringify(headers)).not.toContain('Jane');
    expect(await readFile(heddle.service('association-store').logFile, 'utf8')).not.toContain('Jane');
  }, 90_000);

  it('is found alone among its neighbours, and its files arrive once the cause is gone and it is replayed', async () => {
    const poison = { orderNumber: 'P1', recipeId: '1-POISON', itemQuantity: UNLUCKY };
    await forbid();
    await whileStoreSleeps(async () => {
      for (let index = 0; index < 10; index += 1)
        await post({ orderNumber: `P2${String(index)}`, recipeId: '1-POISON' });
      await desk.post(poison);
      for (let index = 0; index < 10; index += 1)
        await post({ orderNumber: `P3${String(index)}`, recipeId: '2-POISON' });
    });

    await expectAllDelivered();
    const [letter] = await setAside(2);
    expect(letter).toMatchObject({
      key: orderKey(heddle.tenant, 'P1'),
      code: 'HANDLER',
      words: expect.stringContaining('luck'),
      replayedAt: [],
    });
    expect(letter?.words).not.toContain(String(UNLUCKY));
    // Otherwise nothing was bisected.
    const ofPartition = (await data.read(TOPIC.orderReceived))
      .filter(({ partition }) => partition === letter?.origin.partition)
      .map((message) => message.key?.slice(orderKey(heddle.tenant, '').length) ?? '');
    expect(ofPartition.some((name) => name.startsWith('P2'))).toBe(true);
    expect(ofPartition.some((name) => name.startsWith('P3'))).toBe(true);

    await allow();
    const offset = letter?.offset ?? '';
    expect(await deadLetters('list')).toMatch(
      /^order\.received\n.*HANDLER.*P1.*\n.*luck\n.*NOT_JSON.*M1.*\n/,
    );
    expect(await deadLetters('show', TOPIC.orderReceived, offset)).toContain('"itemQuantity": 666');
    expect(await deadLetters('replay', TOPIC.orderReceived, offset)).toContain('replayed');

    owed.push(poison);
    await expectAllDelivered();
    const [replayed] = await setAside(2);
    expect(replayed?.replayedAt).toHaveLength(1);
    expect((await orderOf('P1')).items).toMatchObject([{ itemQuantity: UNLUCKY }]);
  }, 90_000);

  it('changes nothing when it is replayed after newer news of its order', async () => {
    const older = { orderNumber: 'R1', recipeId: '1-POISON', itemQuantity: UNLUCKY };
    await forbid();
    await desk.post(older);
    const [letter] = await setAside(3);
    await post({ ...older, itemQuantity: 3 });
    await expectAllDelivered();
    await allow();

    await deadLetters('replay', TOPIC.orderReceived, letter?.offset ?? '');
    // Behind the replayed one on its partition: once this one is there, that one was handled.
    await post({ orderNumber: 'R1', recipeId: '2-POISON', itemId: '2' });

    await expectAllDelivered();
    const order = await orderOf('R1');
    expect(order).toMatchObject({
      version: 2,
      items: [
        { itemId: '1', itemQuantity: 3 },
        { itemId: '2', itemQuantity: 1 },
      ],
    });
    expect(order.versions).toHaveLength(2);
    await setAside(3);
  }, 90_000);
});
