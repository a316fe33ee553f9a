import { createHash, hkdfSync, createSecretKey } from 'node:crypto';

import { Controller, Delete, Get, HttpCode, Inject, Post, Req, UseFilters } from '@nestjs/common';
import type { z } from 'zod';

import {
  ACCESS_SCHEMA,
  ApiKeys,
  createApiKey,
  hasPermission,
  listApiKeys,
  presentedKey,
  revokeApiKey,
} from '@heddle/access';
import type { ApiKeyView, Caller } from '@heddle/access';
import { KeyCreate, KeysQuery } from '@heddle/contracts';
import type { KeyCreated, KeyPage, KeyView } from '@heddle/contracts';
import { DatabaseProblemFilter, IdempotencyKeys } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { ProblemError, parseQuery } from '@heddle/platform';
import { SecretSealer } from '@heddle/secrets';

import { DATA_SOURCE } from '../database.js';
import { callerOf } from '../http/gateway-request.js';
import type { GatewayRequest } from '../http/gateway-request.js';
import { queryOf } from '../http/query.js';
import { validate } from '../http/validate.js';

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

@Controller('api/v2/keys')
@UseFilters(DatabaseProblemFilter)
export class KeyController {
  constructor(
    @Inject(DATA_SOURCE) private readonly dataSource: DataSource,
    private readonly keys: ApiKeys,
  ) {}

  /** The same `Idempotency-Key` and body give the same key again; so it must be kept, sealed with the caller's own. */
  @Post()
  async create(@Req() request: GatewayRequest): Promise<KeyCreated> {
    const caller = callerOf(request);
    const input = validate(KeyCreate, request.body);
    refuseMoreThanOwn(caller, input);
    const expiresAt = input.expiresAt === undefined ? undefined : new Date(input.expiresAt);
    if (expiresAt !== undefined && expiresAt.getTime() <= Date.now()) {
      const message = 'expiresAt must lie in the future';
      throw new ProblemError(400, '1 fault', {
        errors: [{ pointer: '/expiresAt', code: 'range', message }],
      });
    }
    const sealer = sealerFor(request);
    const place = { tenant: caller.tenant, integrationId: 'keys', field: 'idempotent-answer' };
    const idempotency = new IdempotencyKeys(this.dataSource, ACCESS_SCHEMA, {
      seal: (text) => sealer.seal(text, place),
      open: (text) => sealer.open(text, place),
    });
    const { answer } = await idempotency.run(
      JSON.stringify([caller.tenant, caller.actor, 'createKey']),
      idempotencyKeyOf(request),
      createHash('sha256')
        .update(request.body?.bytes ?? '')
        .digest('base64url'),
      async (tx) => {
        const { key, ...view } = await createApiKey(tx, {
          tenant: caller.tenant,
          actor: caller.actor,
          name: input.name,
          permissions: input.permissions,
          channel: input.channel,
          expiresAt,
        });
        return { ...viewOf(view), key };
      },
    );
    return answer;
  }

  @Get()
  async list(@Req() request: GatewayRequest): Promise<z.output<typeof KeyPage>> {
    const { tenant, channel } = callerOf(request);
    const { limit, cursor } = parseQuery(KeysQuery, queryOf(request));
    const page = await listApiKeys(this.dataSource, { tenant, channel, limit, cursor });
    return { items: page.items.map(viewOf), nextCursor: page.nextCursor };
  }

  @Delete(':keyId')
  @HttpCode(204)
  async revoke(@Req() request: GatewayRequest): Promise<void> {
    const { tenant, channel, actor } = callerOf(request);
    const { keyId } = request.params as { keyId: string };
    const isKnown =
      UUID.test(keyId) && (await revokeApiKey(this.dataSource, { tenant, channel, id: keyId, actor }));
    if (!isKnown) throw new ProblemError(404, 'there is no such key');
    this.keys.forget(keyId);
  }
}

/** Nobody grants what they do not have. */
function refuseMoreThanOwn(caller: Caller, { permissions, channel }: KeyCreate): void {
  if (caller.channel !== undefined && channel !== caller.channel)
    throw new ProblemError(
      403,
      `the key serves the channel ${caller.channel}, so it makes keys of that one alone`,
    );
  const beyond = permissions.filter((permission) => !hasPermission(caller, permission));
  if (beyond.length === 0) return;
  throw new ProblemError(
    403,
    `the key lacks the permission ${[...new Set(beyond)].join(', ')}, so it cannot grant it`,
  );
}

/** A key that only who presents the same API key can make again; the hub keeps none of it. */
function sealerFor(request: GatewayRequest): SecretSealer {
  const own = presentedKey(request) ?? '';
  const bytes = Buffer.from(hkdfSync('sha256', own, '', 'heddle idempotent answer', 32));
  return new SecretSealer([{ kid: 'caller', key: createSecretKey(bytes) }]);
}

function idempotencyKeyOf({ headers }: GatewayRequest): string | undefined {
  const key = headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && /^[\x20-\x7e]{1,128}$/.test(key)) return key;
  throw new ProblemError(400, 'Idempotency-Key must have 1 to 128 printable characters');
}

function viewOf({ createdAt, expiresAt, revokedAt, lastUsedAt, ...view }: ApiKeyView): KeyView {
  return {
    id: view.id,
    name: view.name,
    permissions: [...view.permissions],
    channel: view.channel,
    createdAt: createdAt.toISOString(),
    expiresAt: expiresAt?.toISOString() ?? null,
    revokedAt: revokedAt?.toISOString() ?? null,
    lastUsedAt: lastUsedAt?.toISOString() ?? null,
  };
}
