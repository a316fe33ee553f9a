import { setTimeout as delay } from 'node:timers/promises';

import { Inject, Injectable } from '@nestjs/common';
import type { BeforeApplicationShutdown } from '@nestjs/common';

import { hasPermission } from '@heddle/access';
import type { Caller } from '@heddle/access';
import type { IntegrationTest } from '@heddle/contracts';
import { appendAudit, inTransaction } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { ProblemError } from '@heddle/platform';

import { readIntegration } from '../integrations/integration.repository.js';
import { SCHEMA } from '../schema/schema.js';
import { DATA_SOURCE, OUTBOX, POLICY } from '../tokens.js';
import type { Outbox, Policy } from '../tokens.js';

import { TestRepository } from './test.repository.js';
import type { FinishedReport } from './test.repository.js';

const LOOK_EVERY_MS = 100;
const RETRY_AFTER_S = '5';

/** Tries an integration: a small sample goes through its real worker, and the answer waits for what became of it. */
@Injectable()
export class TestService implements BeforeApplicationShutdown {
  private closing = false;

  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(TestRepository) private readonly tests: TestRepository,
    @Inject(POLICY) private readonly policy: Policy,
    @Inject(OUTBOX) private readonly outbox: Outbox,
  ) {}

  /**
   * Of the newest version, also before anybody has approved it: a sample holds nothing of the tenant's, and a fault
   * is best found before the review. A changed version may hold secrets that whoever changed it does not know and
   * point them at another host: until it is approved, only who may approve it tests it.
   *
   * @throws {ProblemError} 404; 403 for a changed version that waits for approval; 409 for an integration that is out of use, or while another test of it is under way.
   */
  async test(caller: Caller, integrationId: string): Promise<IntegrationTest> {
    const waitMs = this.policy.testWaitMs;
    const { testId, version } = await inTransaction(this.dataSource, async (tx) => {
      const found = await readIntegration(tx, caller.tenant, integrationId);
      if (!found) throw new ProblemError(404, 'there is no such integration');
      if (found.status === 'disabled' || found.status === 'rejected')
        throw new ProblemError(409, `the integration is ${found.status}, nothing is sent for it`);
      const isKnown = found.version === 1 || found.version === found.approvedVersion;
      if (!isKnown && !hasPermission(caller, 'integrations:approve'))
        throw new ProblemError(
          403,
          `version ${String(found.version)} waits for approval: until then only a key with integrations:approve tests it`,
        );
      const begun = await this.tests.begin(tx, found, waitMs);
      if (begun === undefined)
        throw new ProblemError(409, 'another test of this integration is under way', {
          headers: { 'retry-after': RETRY_AFTER_S },
        });
      await appendAudit(tx, SCHEMA, {
        tenant: caller.tenant,
        actor: caller.actor,
        action: 'integration.tested',
        subject: `integration:${integrationId}`,
        details: { version: found.version },
      });
      return { testId: begun, version: found.version };
    });
    this.outbox.nudge();
    const report = await this.wait(testId, performance.now() + waitMs);
    return { testId, integrationId, integrationVersion: version, ...resultOf(report, waitMs) };
  }

  /** A request that waits must not hold up the end of the process. */
  beforeApplicationShutdown(): void {
    this.closing = true;
  }

  private async wait(testId: string, until: number): Promise<FinishedReport | undefined> {
    while (performance.now() < until && !this.closing) {
      const report = await this.tests.report(testId);
      if (report !== undefined) return report;
      await delay(LOOK_EVERY_MS);
    }
    await this.tests.giveUp(testId);
    return await this.tests.report(testId);
  }
}

type Result = Pick<IntegrationTest, 'outcome' | 'code' | 'message' | 'receipts' | 'durationMs'>;

function resultOf(report: FinishedReport | undefined, waitMs: number): Result {
  const durationMs = report?.durationMs ?? null;
  const failed = (code: NonNullable<Result['code']>, message: string): Result => ({
    outcome: 'failed',
    code,
    message,
    receipts: [...(report?.receipts ?? [])],
    durationMs,
  });
  switch (report?.outcome) {
    case 'succeeded':
      return { outcome: 'succeeded', code: null, message: null, receipts: [...report.receipts], durationMs };
    case 'failed':
      return failed(
        report.code ?? 'UNKNOWN',
        report.message ?? report.faults[0]?.message ?? 'testing: no reason was given',
      );
    case 'released':
      return failed('UNAVAILABLE', 'testing: the worker has no room for it now, try again');
    case 'expired':
    case undefined:
      return failed('NO_REPORT', `testing: no worker said how it went within ${String(waitMs / 1_000)} s`);
  }
}
