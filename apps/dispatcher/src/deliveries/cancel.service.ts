import { Inject, Injectable } from '@nestjs/common';

import type { Caller } from '@heddle/access';
import type { DeliveryDetails } from '@heddle/contracts';
import { appendAudit, inTransaction } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { ProblemError } from '@heddle/platform';

import { END_STATE } from '../lanes/lane.js';
import type { EndReason } from '../lanes/lane.js';
import { CleanUp } from '../offers/clean-up.js';
import { OfferPump } from '../offers/offer.pump.js';
import { SCHEMA } from '../schema/schema.js';
import { DATA_SOURCE } from '../tokens.js';

import { DeliveryRepository } from './delivery.repository.js';
import { promoteLanes } from './finished.js';
import { readsSettings } from './reads-settings.js';

interface StandingRow {
  readonly state: DeliveryDetails['state'];
  readonly laneKey: string;
  readonly isAttempted: boolean;
}

const REASON = 'by-request' satisfies EndReason;

/** Ends one delivery because somebody asks for it. */
@Injectable()
export class CancelService {
  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(DeliveryRepository) private readonly deliveries: DeliveryRepository,
    @Inject(CleanUp) private readonly cleanUp: CleanUp,
    @Inject(OfferPump) private readonly pump: OfferPump,
  ) {}

  /**
   * Cancelling what is cancelled already changes nothing.
   *
   * @returns undefined when there is no such delivery.
   * @throws {ProblemError} 409 while it is in flight, which nothing can take back, and once it has ended.
   */
  async cancel(caller: Caller, deliveryId: string): Promise<DeliveryDetails | undefined> {
    await inTransaction(this.dataSource, async (tx) => {
      const [row] = await tx.query<StandingRow>(
        `SELECT state, lane_key AS "laneKey", frozen_at IS NOT NULL AS "isAttempted" FROM dispatcher.deliveries
         WHERE tenant = $1 AND delivery_id = $2 AND ($3::text IS NULL OR channel = $3) FOR UPDATE`,
        [caller.tenant, deliveryId, caller.channel ?? null],
      );
      if (row === undefined || row.state === 'cancelled') return;
      refuse(row.state);
      await tx.query(
        `UPDATE dispatcher.deliveries SET state = $2, reason = $3, next_attempt_at = NULL, finished_at = now(),
           updated_at = now() WHERE delivery_id = $1`,
        [deliveryId, END_STATE[REASON], REASON],
      );
      if (row.isAttempted) await this.cleanUp.enqueue(tx, [deliveryId]);
      promoteLanes(tx, [row.laneKey]);
      await appendAudit(tx, SCHEMA, {
        tenant: caller.tenant,
        actor: caller.actor,
        action: 'delivery.cancelled',
        subject: `delivery:${deliveryId}`,
        details: { state: row.state },
      });
    });
    this.pump.nudge();
    return await this.deliveries.read(caller, deliveryId, { showsAddresses: readsSettings(caller) });
  }
}

function refuse(state: StandingRow['state']): void {
  switch (state) {
    case 'in-flight':
      throw new ProblemError(409, 'the delivery is in flight; once its attempt ends it can be cancelled');
    case 'succeeded':
    case 'failed':
    case 'superseded':
      throw new ProblemError(409, 'the delivery has ended');
    case 'waiting':
    case 'ready':
    case 'retrying':
    case 'cancelled':
  }
}
