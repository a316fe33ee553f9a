import { expect } from '@jest/globals';

import { eventually } from '@heddle/testing';

import { LedgerAudit } from './ledger-audit.js';
import type { LedgerRun } from './ledger-run.js';

const SETTLED = { withinMs: 10_000, everyMs: 250 } as const;

/** Every promise about acknowledged orders, checked against what the factory, the API, the topics and the tables hold. */
export async function expectAllPaid({ heddle, ledger }: LedgerRun, withinMs: number): Promise<void> {
  const audit = new LedgerAudit(heddle, ledger);
  const { cancelledBefore, cancelledAfter, quantityChanges } = ledger.tally();
  expect(Math.min(cancelledBefore, cancelledAfter, quantityChanges)).toBeGreaterThan(0);

  await eventually(async () => expect(await audit.folderFaults()).toEqual([]), { withinMs, everyMs: 500 });
  await eventually(async () => expect(await audit.missedLinks()).toEqual([]), SETTLED);
  await eventually(async () => expect(await audit.orderFaults()).toEqual([]), SETTLED);
  await eventually(async () => expect(await audit.eventFaults()).toEqual([]), SETTLED);
  await eventually(async () => expect(await audit.offersAfterCancel()).toEqual([]), SETTLED);
  expect(await audit.deadLetters()).toEqual([]);
  // Nothing has come meanwhile that nobody is to have.
  expect(await audit.folderFaults()).toEqual([]);
}
