import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { Problem } from '@heddle/contracts';
import { eventually, startKafka, startPostgres } from '@heddle/testing';
import type { KafkaCluster, LocalPostgres } from '@heddle/testing';

import { startTestGateway, untilReady } from './harness.js';
import type { TestGateway } from './harness.js';
import { readTopic } from './read-topic.js';

/** Its own servers: what stops them here must not hurt another suite. */
describe('while what it needs is away', () => {
  let kafka: KafkaCluster;
  let postgres: LocalPostgres;
  let gateway: TestGateway;
  let key: string;

  beforeAll(async () => {
    [kafka, postgres] = await Promise.all([startKafka(), startPostgres()]);
    gateway = await startTestGateway({ brokers: kafka.brokers, databaseUrl: postgres.url });
    ({ key } = await gateway.key(['admin']));
    await untilReady(gateway);
  }, 120_000);
  afterAll(async () => {
    await gateway.close();
    await Promise.all([kafka.close(), postgres.close()]);
  }, 60_000);

  const associate = async (numbers: readonly string[]): Promise<Response> =>
    fetch(`${gateway.url}/api/v2/recipe/order`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(
        numbers.map((orderNumber) => ({ recipeId: 'R', orderNumber, itemId: '1', itemQuantity: 1 })),
      ),
    });
  const readiness = async (): Promise<number> => (await fetch(`${gateway.internalUrl}/health/ready`)).status;

  it('answers 503 within its deadline, never a partial accept, while the broker hangs', async () => {
    expect((await associate(['before'])).status).toBe(202);
    const [broker] = kafka.nodes;
    broker?.pause();
    try {
      const numbers = Array.from({ length: 40 }, (_, index) => `paused-${String(index)}`);
      const startedAt = performance.now();
      const answers = await Promise.all([associate(numbers), associate(['alone'])]);
      expect(performance.now() - startedAt).toBeLessThan(7_000);
      for (const answer of answers) {
        expect(answer.status).toBe(503);
        expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
        expect(answer.headers.get('content-type')).toBe('application/problem+json');
        expect(Problem.parse(await answer.json()).detail).toContain('send it again');
      }
      await eventually(async () => expect(await readiness()).toBe(503), { withinMs: 20_000 });
      // Alive all the same: a restart would not help.
      expect((await fetch(`${gateway.internalUrl}/health/live`)).status).toBe(200);
    } finally {
      broker?.resume();
    }
    await eventually(async () => expect((await associate(['after'])).status).toBe(202), { withinMs: 30_000 });
    await eventually(async () => expect(await readiness()).toBe(200), { withinMs: 30_000 });
    const events = await readTopic(gateway.prefix, 'order.received', 2, kafka.brokers);
    const keys = new Set(events.map(({ key: of }) => of));
    expect(keys).toContain('demo:before');
    expect(keys).toContain('demo:after');
  }, 90_000);

  it('goes on with keys that it knows while PostgreSQL is away, and stays ready', async () => {
    expect((await associate(['known'])).status).toBe(202);
    await postgres.kill();
    try {
      expect((await associate(['without-postgres'])).status).toBe(202);
      expect(await readiness()).toBe(200);
      const unknown = await fetch(`${gateway.url}/api/v2/orders`, {
        headers: { authorization: `Bearer hdl_abcdefghijkm_${'x'.repeat(43)}` },
      });
      expect(unknown.status).toBe(503);
      const keys = await fetch(`${gateway.url}/api/v2/keys`, { headers: { authorization: `Bearer ${key}` } });
      expect(keys.status).toBe(503);
      expect(keys.headers.get('retry-after')).not.toBeNull();
    } finally {
      await postgres.start();
    }
    await eventually(
      async () => {
        const keys = await fetch(`${gateway.url}/api/v2/keys`, {
          headers: { authorization: `Bearer ${key}` },
        });
        expect(keys.status).toBe(200);
      },
      { withinMs: 20_000 },
    );
  }, 60_000);

  it('finishes what is under way when it is told to stop, and ends within 10 s', async () => {
    const other = await startTestGateway({ brokers: kafka.brokers, databaseUrl: postgres.url });
    const { key: own } = await other.key(['order-tracking']);
    await untilReady(other);
    const post = async (orderNumber: string): Promise<number> => {
      const answer = await fetch(`${other.url}/api/v2/order/cancel`, {
        method: 'POST',
        headers: { authorization: `Bearer ${own}`, 'content-type': 'application/json' },
        body: JSON.stringify([{ orderNumber }]),
      });
      await answer.text();
      return answer.status;
    };
    expect(await post('warm')).toBe(202);
    const underWay = Array.from({ length: 50 }, (_, index) => post(`stop-${String(index)}`));
    await eventually(
      async () => {
        const text = await (await fetch(`${other.internalUrl}/metrics`)).text();
        expect(text).toMatch(/heddle_accepted_total\{kind="cancellation".*\} \d+/);
      },
      { withinMs: 5_000 },
    );
    const startedAt = performance.now();
    await other.close();
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    const statuses = await Promise.allSettled(underWay);
    const accepted = statuses.filter(
      (result) => result.status === 'fulfilled' && result.value === 202,
    ).length;
    const refused = statuses.filter(({ status }) => status === 'rejected').length;
    expect(accepted + refused).toBe(50);
    const events = await readTopic(other.prefix, 'order.received', accepted + 1, kafka.brokers);
    expect(events.length).toBeGreaterThanOrEqual(accepted + 1);
  }, 60_000);
});
