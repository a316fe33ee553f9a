import { expect } from '@jest/globals';

import { eventually } from '@heddle/testing';

import type { LedgerRun } from './ledger-run.js';

/** Every promise about acknowledged orders, checked against what the factory, the topics and the tables hold. */
export async function expectAllPaid(run: LedgerRun, withinMs: number): Promise<void> {
  await eventually(async () => expect(await run.folderFaults()).toEqual([]), { withinMs, everyMs: 500 });
  await eventually(async () => expect(await run.missedLinks()).toEqual([]), {
    withinMs: 10_000,
    everyMs: 250,
  });
  expect(await run.versionFaults()).toEqual([]);
  expect(await run.offersAfterCancel()).toEqual([]);
  expect(await run.deadLetters()).toEqual([]);
}
