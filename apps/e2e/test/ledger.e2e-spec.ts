import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { Heddle } from '@heddle/testing';

import { expectAllPaid } from '../src/expect-paid.js';
import { killService } from '../src/ledger-faults.js';
import { LedgerRun } from '../src/ledger-run.js';
import { testServers } from '../src/test-servers.js';

describe('no acknowledged order is lost or doubled (short form)', () => {
  let heddle: Heddle;
  let run: LedgerRun | undefined;

  beforeAll(async () => {
    heddle = await Heddle.start({ ...testServers(), env: { SILENCE_MS: '15000' } });
    await heddle.integrate();
  }, 90_000);
  afterAll(async () => {
    run?.abort();
    await heddle.stop();
  }, 30_000);

  it('while each service is killed once', async () => {
    run = new LedgerRun(heddle, { orders: 150, recipes: 20, perSecond: 10, hasTickets: true });
    await run.saveRecipes();
    const posting = run.postOrders();
    // Awaited below; until then a failure of it must not end the process.
    posting.catch(() => undefined);
    await run.probe(15_000);
    for (const name of ['outbound-sftp', 'association-store', 'dispatcher', 'ingest-gateway'] as const) {
      await killService(heddle, name).strike();
      expect(await run.probe(15_000)).toBeLessThan(15_000);
    }
    await posting;

    await expectAllPaid(run, 60_000);
  }, 150_000);
});
