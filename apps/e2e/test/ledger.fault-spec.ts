import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { Heddle, startKafka, startPostgres } from '@heddle/testing';
import type { KafkaCluster, LocalPostgres } from '@heddle/testing';

import { expectAllPaid } from '../src/expect-paid.js';
import {
  killBroker,
  killPostgres,
  killService,
  stopBroker,
  stopPostgres,
  stopService,
} from '../src/ledger-faults.js';
import { LedgerRun } from '../src/ledger-run.js';

const ORDERS = 2_000;
const RECOVERY_MS = 15_000;

describe('no acknowledged order is lost or doubled', () => {
  let kafka: KafkaCluster;
  let postgres: LocalPostgres;
  let heddle: Heddle;
  let run: LedgerRun | undefined;

  beforeAll(async () => {
    [kafka, postgres] = await Promise.all([startKafka(), startPostgres()]);
    heddle = await Heddle.start({ kafkaBrokers: kafka.brokers, databaseUrl: postgres.url });
    // The rate is what the machine bears without drawing; the short form of this suite has tickets.
    await heddle.integrate({ include: { ticket: false } });
  }, 120_000);
  afterAll(async () => {
    run?.abort();
    await heddle.stop();
    await Promise.all([kafka.close(), postgres.close()]);
  }, 60_000);

  it('while everything is killed and stopped in turn', async () => {
    run = new LedgerRun(heddle, { orders: ORDERS, recipes: 150, perSecond: 14, hasTickets: false });
    await run.saveRecipes();
    const posting = run.postOrders();
    // Awaited below; until then a failure of it must not end the process.
    posting.catch(() => undefined);
    await run.probe(RECOVERY_MS);
    const services = ['ingest-gateway', 'association-store', 'dispatcher', 'outbound-sftp'] as const;
    const steps = [
      ...services.map((name) => killService(heddle, name)),
      killPostgres(postgres),
      killBroker(kafka),
      ...services.map((name) => stopService(heddle, name)),
      stopPostgres(postgres),
      stopBroker(kafka),
    ];
    const recovered: Record<string, number> = {};
    for (const { name, strike, mend, measuredFrom } of steps) {
      let from = performance.now();
      await strike();
      if (measuredFrom === 'mend') from = performance.now();
      await mend();
      await run.probe(60_000);
      recovered[name] = Math.round(performance.now() - from);
    }
    await posting;
    process.stdout.write(`delivered again after, in ms: ${JSON.stringify(recovered, null, 2)}\n`);
    process.stdout.write(`answers that were no 202: ${JSON.stringify([...run.refusals])}\n`);

    await expectAllPaid(run, 150_000);
    expect(Object.entries(recovered).filter(([, ms]) => ms > RECOVERY_MS)).toEqual([]);
  }, 540_000);
});
