import { createHash } from 'node:crypto';

import { Inject, Injectable } from '@nestjs/common';

import {
  DELIVERY_REQUESTED,
  DEFAULT_CHANNEL,
  DeliveryAttemptedV1,
  DeliveryRequestedV1,
  deliveryRequestedTopic,
} from '@heddle/contracts';
import type { DestinationKind } from '@heddle/contracts';
import { enqueue, query } from '@heddle/persistence';
import type { DataSource, Tx } from '@heddle/persistence';
import { newId, newTraceparent } from '@heddle/platform';

import { laneKey } from '../events/fact.js';
import { MAX_EARLIER_OFFERS } from '../offers/clean-up.js';
import { SealedSettings, versionKey } from '../offers/sealed-settings.js';
import { SCHEMA } from '../schema/schema.js';
import { DATA_SOURCE } from '../tokens.js';

export type FinishedReport = Extract<DeliveryAttemptedV1, { phase: 'finished' }>;

/** What samples say they are: in a subject, a payload, a file name. */
const SAMPLE = 'HEDDLE-TEST';

interface Tested {
  readonly tenant: string;
  readonly integrationId: string;
  readonly destination: DestinationKind;
  readonly version: number;
}

@Injectable()
export class TestRepository {
  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(SealedSettings) private readonly settings: SealedSettings,
  ) {}

  /** @returns undefined while another test of the integration is under way. */
  async begin(tx: Tx, tested: Tested, waitMs: number): Promise<string | undefined> {
    const { integrationId } = tested;
    const [testId, offerId] = [newId(), newId()];
    // One whose dispatcher died with it would stand in the way for ever.
    await tx.query(
      `UPDATE dispatcher.tests SET finished_at = now()
       WHERE integration_id = $1 AND finished_at IS NULL AND not_after < now()`,
      [integrationId],
    );
    const [begun] = await tx.query<{ notAfter: Date }>(
      `INSERT INTO dispatcher.tests (test_id, offer_id, integration_id, not_after)
       VALUES ($1, $2, $3, now() + make_interval(secs => $4::float8 / 1000))
       ON CONFLICT (integration_id) WHERE finished_at IS NULL DO NOTHING RETURNING not_after AS "notAfter"`,
      [testId, offerId, integrationId, waitMs],
    );
    if (begun === undefined) return undefined;
    const earlier = await tx.query<{ offerId: string }>(
      `SELECT offer_id AS "offerId" FROM dispatcher.tests
       WHERE integration_id = $1 AND test_id <> $2 AND coalesce(report ->> 'outcome', '') <> 'succeeded'
       ORDER BY test_id DESC LIMIT ${String(MAX_EARLIER_OFFERS)}`,
      [integrationId, testId],
    );
    const sealed = await this.settings.of(tx, [tested]);
    enqueue(tx, SCHEMA, [
      {
        topic: deliveryRequestedTopic(tested.destination),
        key: laneKey(tested.tenant, integrationId, SAMPLE),
        id: newId(),
        type: DELIVERY_REQUESTED,
        time: new Date().toISOString(),
        subject: testId,
        tenant: tested.tenant,
        traceparent: newTraceparent(),
        data: JSON.stringify(
          offerOf(tested, {
            testId,
            offerId,
            notAfter: begun.notAfter,
            sealedSettings: sealed.get(versionKey(tested)),
            earlierOfferIds: earlier.map((row) => row.offerId),
          }),
        ),
      },
    ]);
    return testId;
  }

  /** The worker's report; undefined while there is none. */
  async report(testId: string): Promise<FinishedReport | undefined> {
    const [row] = await query<{ report: FinishedReport | null }>(
      this.dataSource,
      'SELECT report FROM dispatcher.tests WHERE test_id = $1',
      [testId],
    );
    return row?.report ?? undefined;
  }

  /** Nobody waits for it any longer. */
  async giveUp(testId: string): Promise<void> {
    await query(
      this.dataSource,
      'UPDATE dispatcher.tests SET finished_at = now() WHERE test_id = $1 AND finished_at IS NULL',
      [testId],
    );
  }
}

/** Keeps reports about deliveries that are none of ours, where they are about a test. */
export function finishTests(tx: Tx, reports: readonly FinishedReport[]): void {
  if (reports.length === 0) return;
  const rows = reports.map((report) => ({
    test_id: report.deliveryId,
    offer_id: report.offerId,
    report,
  }));
  tx.post(
    `UPDATE dispatcher.tests t SET finished_at = now(), report = c.report
     FROM json_to_recordset($1) AS c (test_id uuid, offer_id uuid, report json)
     WHERE t.test_id = c.test_id AND t.offer_id = c.offer_id AND t.finished_at IS NULL`,
    [JSON.stringify(rows)],
  );
}

/** Always the same name and the same bytes: a second test leaves no second file, and one that must not be replaced is known. */
function offerOf(
  { tenant, integrationId, version }: Tested,
  offer: {
    readonly testId: string;
    readonly offerId: string;
    readonly notAfter: Date;
    readonly sealedSettings: string | undefined;
    readonly earlierOfferIds: readonly string[];
  },
): DeliveryRequestedV1 {
  const text =
    'This file was sent to test an integration of Heddle. It belongs to no order and may be deleted.\n' +
    `Integration: ${integrationId}\n`;
  return DeliveryRequestedV1.parse({
    deliveryId: offer.testId,
    offerId: offer.offerId,
    notAfter: offer.notAfter.toISOString(),
    tenant,
    channel: DEFAULT_CHANNEL,
    integrationId,
    integrationVersion: version,
    trigger: 'recipe.created',
    attempt: 1,
    recipeIds: [SAMPLE],
    sealedSettings: offer.sealedSettings,
    files: [
      {
        name: `${SAMPLE}.txt`,
        kind: 'attachment',
        mimeType: 'text/plain',
        source: { kind: 'inline', text },
        begun: [createHash('sha256').update(text).digest('hex')],
      },
    ],
    earlierOfferIds: offer.earlierOfferIds,
    acceptedAt: new Date().toISOString(),
  });
}
