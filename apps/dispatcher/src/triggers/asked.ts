import { createHash } from 'node:crypto';

import type { FastifyReply } from 'fastify';
import type { z } from 'zod';

import type { Caller } from '@heddle/access';
import { IdempotencyKeys, appendAudit } from '@heddle/persistence';
import type { DataSource, Tx } from '@heddle/persistence';
import { parseInput } from '@heddle/platform';

import { IdempotencyKey } from '../http/input.js';
import { SCHEMA } from '../schema/schema.js';

/** A call that makes something, or with `dryRun` says what it would make. */
export interface Asked<T> {
  readonly request: T;
  readonly idempotencyKey: string | undefined;
}

/**
 * Reads such a call, and sets the status of its answer: 202, or 200 for a dry run.
 *
 * @throws {ProblemError} 400.
 */
export function readAsked<T extends z.ZodType<{ readonly dryRun: boolean }>>(
  schema: T,
  { body, key }: { readonly body: unknown; readonly key: string | undefined },
  reply: FastifyReply,
): Asked<z.output<T>> {
  const request = parseInput(schema, body);
  const idempotencyKey = parseInput(IdempotencyKey, key, 'Idempotency-Key');
  void reply.status(request.dryRun ? 200 : 202);
  return { request, idempotencyKey };
}

/** Makes what is asked for once for each Idempotency-Key. */
export class AskedOnce {
  private readonly keys: IdempotencyKeys;

  /** @param call its name in the scope of keys. */
  constructor(
    dataSource: DataSource,
    private readonly call: string,
  ) {
    this.keys = new IdempotencyKeys(dataSource, SCHEMA);
  }

  async run<T>(
    { tenant }: Caller,
    { request, idempotencyKey }: Asked<unknown>,
    work: (tx: Tx) => Promise<T>,
  ): Promise<T> {
    const hash = createHash('sha256').update(JSON.stringify(request)).digest('hex');
    return (await this.keys.run(`${tenant}:${this.call}`, idempotencyKey, hash, work)).answer;
  }
}

/** Keeps who asked for what. */
export async function recordTrigger(
  tx: Tx,
  { tenant, actor }: Caller,
  entry: {
    readonly action: string;
    readonly triggerId: string;
    readonly details: Readonly<Record<string, unknown>>;
  },
): Promise<void> {
  const { action, triggerId, details } = entry;
  await appendAudit(tx, SCHEMA, { tenant, actor, action, subject: `trigger:${triggerId}`, details });
}
