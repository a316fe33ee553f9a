import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { Heddle, eventually, startKafka, startPostgres } from '@heddle/testing';
import type { KafkaCluster, LocalPostgres } from '@heddle/testing';

import { HubData } from '../src/hub-data.js';
import { OrderDesk, filesOf, filesOfAll, sortedFolder } from '../src/order-desk.js';
import type { OrderLine } from '../src/order-desk.js';

const OUTAGE_MS = 60_000;
const ORDERS = 120;

describe('the database away for a minute', () => {
  let kafka: KafkaCluster;
  let postgres: LocalPostgres;
  let heddle: Heddle;
  let desk: OrderDesk;

  beforeAll(async () => {
    [kafka, postgres] = await Promise.all([startKafka(), startPostgres()]);
    heddle = await Heddle.start({ kafkaBrokers: kafka.brokers, databaseUrl: postgres.url });
    desk = new OrderDesk(heddle);
    await heddle.integrate({ include: { ticket: false } });
  }, 120_000);
  afterAll(async () => {
    await heddle.stop();
    await Promise.all([kafka.close(), postgres.close()]);
  }, 60_000);

  it('refuses no order, sets nothing aside, and delivers everything afterwards', async () => {
    const lineOf = (orderNumber: string): OrderLine => ({ orderNumber, recipeId: '1-OUTAGE' });
    const lines = [lineOf('BEFORE')];
    await desk.saveRecipe('1-OUTAGE');
    await desk.post(lineOf('BEFORE'));
    await eventually(
      async () => expect(await sortedFolder(heddle.sftpDirectory)).toEqual(filesOf(lineOf('BEFORE'))),
      { withinMs: 30_000, everyMs: 100 },
    );
    const pids = (): unknown[] => [...heddle.services.values()].map((service) => service.pid);
    const processes = pids();

    await postgres.kill();
    const startedAt = performance.now();
    let slowestMs = 0;
    for (let index = 0; index < ORDERS; index += 1) {
      // The outage itself: orders come all through it.
      await delay(Math.max(0, (index / ORDERS) * OUTAGE_MS - (performance.now() - startedAt)));
      const line = lineOf(`AWAY${String(index)}`);
      const postedAt = performance.now();
      await desk.post(line);
      slowestMs = Math.max(slowestMs, performance.now() - postedAt);
      lines.push(line);
    }
    await delay(Math.max(0, OUTAGE_MS - (performance.now() - startedAt)));
    expect(await sortedFolder(heddle.sftpDirectory)).toEqual(filesOf(lineOf('BEFORE')));
    await postgres.start();
    const backAt = performance.now();

    await eventually(
      async () => expect(await sortedFolder(heddle.sftpDirectory)).toEqual(filesOfAll(lines)),
      { withinMs: 60_000, everyMs: 250 },
    );
    process.stdout.write(
      `slowest answer while away: ${slowestMs.toFixed(0)} ms; all ${String(ORDERS)} orders delivered ` +
        `${(performance.now() - backAt).toFixed(0)} ms after the database was back\n`,
    );
    expect(await new HubData(heddle).deadLetters()).toEqual([]);
    expect(pids()).toEqual(processes);
  }, 200_000);
});
