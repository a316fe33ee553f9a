import { Inject, Injectable } from '@nestjs/common';
import { z } from 'zod';

import type { Caller } from '@heddle/access';
import { IntegrationCreate, destinationSettings, isSecretSetting } from '@heddle/contracts';
import type {
  IntegrationDecision,
  IntegrationVersionView,
  IntegrationView,
  IntegrationsQuery,
} from '@heddle/contracts';
import type { AddressGuard } from '@heddle/destination-kit';
import {
  IdempotencyKeys,
  appendAudit,
  decodeCursor,
  inTransaction,
  query,
  toPage,
} from '@heddle/persistence';
import type { DataSource, Tx } from '@heddle/persistence';
import { ProblemError, newId } from '@heddle/platform';
import type { SecretSealer } from '@heddle/secrets';

import { CleanUp } from '../offers/clean-up.js';
import { OfferPump } from '../offers/offer.pump.js';
import { SCHEMA } from '../schema/schema.js';
import { ADDRESS_GUARD, DATA_SOURCE, SEALER } from '../tokens.js';

import {
  VERSION,
  WHOLE,
  contentOf,
  decideVersion,
  endDeliveries,
  etagOf,
  insertIntegration,
  insertVersion,
  lockIntegration,
  readIntegration,
  readVersion,
  updateIntegration,
  versionViewOf,
  viewOf,
} from './integration.repository.js';
import type { IntegrationChange, VersionRow, WholeRow } from './integration.repository.js';
import {
  changesBetween,
  isElsewhere,
  judge,
  masked,
  mergePatch,
  needsReview,
  placesOf,
  refusal,
} from './judge.js';
import type { Judged, VersionContent } from './judge.js';

export interface Answer {
  readonly view: IntegrationView;
  readonly etag: string;
}

/** A step of the review or of the operation. */
export type Command = 'approve' | 'reject' | 'pause' | 'resume' | 'disable';

/** Deliveries that end in the request's own transaction; housekeeping ends the rest. */
const END_AT_ONCE = 5_000;

/** Integrations of one tenant. Each change, its audit entry and what it ends are one transaction. */
@Injectable()
export class IntegrationService {
  private readonly idempotency: IdempotencyKeys;

  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(SEALER) private readonly sealer: SecretSealer,
    @Inject(ADDRESS_GUARD) private readonly guard: AddressGuard,
    @Inject(CleanUp) private readonly cleanUp: CleanUp,
    @Inject(OfferPump) private readonly pump: OfferPump,
  ) {
    this.idempotency = new IdempotencyKeys(dataSource, SCHEMA);
  }

  async create(caller: Caller, input: unknown, idempotencyKey: string | undefined): Promise<Answer> {
    const judged = judge(input);
    await this.checkHost(judged.content);
    const scope = `${caller.tenant}:integrations`;
    // The input holds secrets, some of which could be guessed from a plain hash.
    const hash = this.sealer.fingerprint(JSON.stringify(input));
    const { answer } = await this.idempotency.run(scope, idempotencyKey, hash, async (tx) => {
      const integrationId = newId();
      const content = this.sealed(caller.tenant, integrationId, judged, {});
      const { tenant, actor } = caller;
      await insertIntegration(tx, { integrationId, tenant, actor, places: placesOf(judged, {}) }, content);
      await audit(tx, caller, 'integration.created', integrationId, {
        version: 1,
        destination: content.destination,
      });
      return await answerOf(tx, caller.tenant, integrationId);
    });
    return answer;
  }

  async read(tenant: string, integrationId: string): Promise<Answer> {
    const [row] = await query<WholeRow>(
      this.dataSource,
      `${WHOLE} WHERE i.tenant = $1 AND i.integration_id = $2 AND i.deleted_at IS NULL AND NOT i.is_internal`,
      [tenant, integrationId],
    );
    if (!row) throw missing();
    return { view: viewOf(row), etag: etagOf(row) };
  }

  async list(
    tenant: string,
    { limit, cursor, destination, status }: IntegrationsQuery,
  ): Promise<{ items: IntegrationView[]; nextCursor: string | null }> {
    const filters = ['integrations', tenant, destination ?? null, status ?? null];
    const after = cursor === undefined ? undefined : decodeCursor(cursor, filters, z.tuple([z.uuid()]))[0];
    const rows = await query<WholeRow>(
      this.dataSource,
      `${WHOLE} WHERE i.tenant = $1 AND i.deleted_at IS NULL AND NOT i.is_internal AND ($3::uuid IS NULL OR i.integration_id < $3)
         AND ($4::text IS NULL OR i.destination = $4) AND ($5::text IS NULL OR i.status = $5)
       ORDER BY i.integration_id DESC LIMIT $2`,
      [tenant, limit + 1, after ?? null, destination ?? null, status ?? null],
    );
    const page = toPage(rows, { limit, filters, positionOf: ({ integrationId }) => [integrationId] });
    return { ...page, items: page.items.map(viewOf) };
  }

  async versions(
    tenant: string,
    integrationId: string,
    { limit, cursor }: { readonly limit: number; readonly cursor?: string | undefined },
  ): Promise<{ items: IntegrationVersionView[]; nextCursor: string | null }> {
    const { view } = await this.read(tenant, integrationId);
    const filters = ['integration-versions', tenant, integrationId];
    const after = cursor === undefined ? undefined : decodeCursor(cursor, filters, z.tuple([z.int()]))[0];
    const rows = await query<VersionRow>(
      this.dataSource,
      `SELECT ${VERSION} FROM dispatcher.integration_versions v
       WHERE v.integration_id = $1 AND ($3::int IS NULL OR v.version < $3) ORDER BY v.version DESC LIMIT $2`,
      [integrationId, limit + 1, after ?? null],
    );
    const page = toPage(rows, { limit, filters, positionOf: ({ version }) => [version] });
    const { destination } = view;
    return { ...page, items: page.items.map((row) => versionViewOf({ ...row, destination })) };
  }

  /**
   * Merges the patch into the newest version and judges the whole. What differs from the approved version decides
   * whether the new one waits for approval, so a change taken back needs none.
   */
  async patch(
    caller: Caller,
    integrationId: string,
    patch: Record<string, unknown>,
    ifMatch: string | undefined,
  ): Promise<Answer> {
    // Names are resolved before a row is locked; what is stored is judged again below.
    const { view } = await this.read(caller.tenant, integrationId);
    await this.checkHost(judge(mergePatch(inputOf(view), patch), storedSecrets(view.settings)).content);

    const answer = await this.change(caller, integrationId, ifMatch, async (tx, row) => {
      const current = contentOf(row);
      const judged = judge(
        mergePatch({ ...current, settings: masked(current.settings) }, patch),
        storedSecrets(current.settings),
      );
      const content = this.sealed(caller.tenant, integrationId, judged, current.settings);
      const changed = changesBetween(current, content);
      if (changed.includes('destination')) {
        const message = 'the destination of an integration stays';
        throw refusal([{ pointer: '/destination', code: 'conflict', message }]);
      }
      if (changed.length === 0) return;

      const { destination } = row;
      const approved =
        row.approvedVersion === null ? undefined : await readVersion(tx, integrationId, row.approvedVersion);
      const changes = approved && changesBetween(contentOf({ ...approved, destination }), content);
      const review = changes === undefined || needsReview(destination, changes);
      const version = row.version + 1;
      const places = placesOf(judged, row.places);
      const targetVersion =
        approved === undefined ||
        changes === undefined ||
        isElsewhere(destination, changes, approved.places, places)
          ? version
          : approved.targetVersion;
      const status = review ? 'pending-review' : 'approved';
      await insertVersion(tx, integrationId, {
        version,
        targetVersion,
        places,
        status,
        actor: caller.actor,
        content,
      });
      await updateIntegration(tx, integrationId, {
        version,
        ...(review ? {} : { approvedVersion: version }),
        ...(row.status === 'rejected' ? { status: 'pending-review' as const } : {}),
      });
      await audit(tx, caller, 'integration.changed', integrationId, { version, changed, status });
    });
    this.pump.nudge();
    return answer;
  }

  async delete(caller: Caller, integrationId: string, ifMatch: string | undefined): Promise<void> {
    await inTransaction(this.dataSource, async (tx) => {
      const row = await lockMatching(tx, caller.tenant, integrationId, ifMatch);
      await updateIntegration(tx, integrationId, { deletes: true });
      const ended = await endDeliveries(tx, this.cleanUp, { only: integrationId, limit: END_AT_ONCE });
      await audit(tx, caller, 'integration.deleted', integrationId, { version: row.version, ended });
    });
  }

  async command(
    caller: Caller,
    integrationId: string,
    command: Command,
    decision: IntegrationDecision | undefined,
    ifMatch: string | undefined,
  ): Promise<Answer> {
    const answer = await this.change(caller, integrationId, ifMatch, async (tx, row) => {
      const change = planOf(row, command, decision?.version);
      if (change === undefined) return;
      if (decision !== undefined && change.decides === true) {
        const verdict = command === 'approve' ? 'approved' : 'rejected';
        await decideVersion(tx, integrationId, decision.version, verdict, caller.actor);
      }
      await updateIntegration(tx, integrationId, change);
      const ended =
        command === 'disable'
          ? await endDeliveries(tx, this.cleanUp, { only: integrationId, limit: END_AT_ONCE })
          : 0;
      await audit(tx, caller, AUDITED[command], integrationId, {
        version: decision?.version ?? row.version,
        ...(ended > 0 ? { ended } : {}),
      });
    });
    this.pump.nudge();
    return answer;
  }

  private async change(
    caller: Caller,
    integrationId: string,
    ifMatch: string | undefined,
    work: (tx: Tx, row: WholeRow) => Promise<void>,
  ): Promise<Answer> {
    return await inTransaction(this.dataSource, async (tx) => {
      await work(tx, await lockMatching(tx, caller.tenant, integrationId, ifMatch));
      return await answerOf(tx, caller.tenant, integrationId);
    });
  }

  /** New secrets get their envelopes; kept ones have theirs. */
  private sealed(
    tenant: string,
    integrationId: string,
    { content, kept }: Judged,
    stored: Readonly<Record<string, unknown>>,
  ): VersionContent {
    const settings = Object.entries(content.settings)
      .filter(([, value]) => value !== undefined)
      .map(([field, value]) => {
        if (!isSecretSetting(field)) return [field, value] as const;
        if (kept.includes(field)) return [field, stored[field]] as const;
        return [field, this.sealer.seal(String(value), { tenant, integrationId, field })] as const;
      });
    return { ...content, settings: Object.fromEntries(settings) };
  }

  /** The same judgement as the worker's, at a moment when somebody can read it. */
  private async checkHost({ destination, settings }: IntegrationCreate): Promise<void> {
    const endpoint = destinationSettings[destination].endpointOf(settings);
    if (endpoint === undefined) return;
    const reason = await this.guard.refusal(endpoint);
    if (reason === undefined) return;
    // The guard's sentence names the host; answers repeat nothing that was submitted.
    const message = reason.slice(reason.lastIndexOf(': ') + 2);
    throw refusal([{ pointer: `/settings/${endpoint.setting}`, code: 'range', message }]);
  }
}

const AUDITED: Readonly<Record<Command, string>> = {
  approve: 'integration.approved',
  reject: 'integration.rejected',
  pause: 'integration.paused',
  resume: 'integration.resumed',
  disable: 'integration.disabled',
};

type Plan = IntegrationChange & { readonly decides?: boolean };

/**
 * What a command does to an integration; undefined when it is so already.
 *
 * @throws {ProblemError} 409 when it cannot be done from here.
 */
export function planOf(
  row: Pick<WholeRow, 'status' | 'version' | 'versionStatus' | 'approvedVersion'>,
  command: Command,
  version: number | undefined,
): Plan | undefined {
  const isPending = row.versionStatus === 'pending-review';
  switch (command) {
    case 'approve': {
      const starts = row.status !== 'enabled' && row.status !== 'paused';
      const enabled = starts ? { status: 'enabled' as const, activates: true } : {};
      if (version === row.version && isPending)
        return { ...enabled, approvedVersion: version, decides: true };
      if (version === undefined || version !== row.approvedVersion)
        throw new ProblemError(
          409,
          'only the newest version can be approved, and only while it is pending review',
        );
      return starts ? enabled : undefined;
    }
    case 'reject':
      if (version !== row.version || !isPending)
        throw new ProblemError(
          409,
          'only the newest version can be rejected, and only while it is pending review',
        );
      return { decides: true, ...(row.status === 'pending-review' ? { status: 'rejected' as const } : {}) };
    case 'pause':
      if (row.status === 'paused') return undefined;
      if (row.status !== 'enabled') throw new ProblemError(409, 'only an enabled integration can be paused');
      return { status: 'paused' };
    case 'resume':
      if (row.status === 'enabled') return undefined;
      if (row.status !== 'paused')
        throw new ProblemError(409, 'only a paused integration can be resumed; approving enables one');
      return { status: 'enabled' };
    case 'disable':
      return row.status === 'disabled' ? undefined : { status: 'disabled' };
  }
}

async function lockMatching(
  tx: Tx,
  tenant: string,
  integrationId: string,
  ifMatch: string | undefined,
): Promise<WholeRow> {
  const row = await lockIntegration(tx, tenant, integrationId);
  if (!row) throw missing();
  if (ifMatch === undefined || ifMatch.trim() === '*') return row;
  const wanted = ifMatch.split(',').map((tag) => tag.trim());
  if (!wanted.includes(etagOf(row)))
    throw new ProblemError(412, 'the integration has changed since it was read');
  return row;
}

async function answerOf(tx: Tx, tenant: string, integrationId: string): Promise<Answer> {
  const row = await readIntegration(tx, tenant, integrationId);
  if (!row) throw missing();
  return { view: viewOf(row), etag: etagOf(row) };
}

async function audit(
  tx: Tx,
  { tenant, actor }: Caller,
  action: string,
  integrationId: string,
  details: Readonly<Record<string, unknown>>,
): Promise<void> {
  await appendAudit(tx, SCHEMA, { tenant, actor, action, subject: `integration:${integrationId}`, details });
}

/** The members of a view that can be written. */
function inputOf(view: IntegrationView): Record<string, unknown> {
  return Object.fromEntries(Object.entries(view).filter(([name]) => WRITABLE.has(name)));
}
const WRITABLE: ReadonlySet<string> = new Set(Object.keys(IntegrationCreate.shape));

function storedSecrets(settings: Readonly<Record<string, unknown>>): ReadonlySet<string> {
  return new Set(Object.keys(settings).filter(isSecretSetting));
}

function missing(): ProblemError {
  return new ProblemError(404, 'there is no such integration');
}
