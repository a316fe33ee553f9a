import { ProblemError } from '@heddle/platform';
import type { DataSource } from 'typeorm';

import { DatabaseError } from './database-error.js';
import { identifier } from './identifier.js';
import { deleteInBatches } from './purge.js';
import { inTransaction } from './transaction.js';
import type { Tx } from './transaction.js';

/** How long an answer is given again. Source: wire/http.md, Common. */
const KEPT_HOURS = 24;

const LOCK_NOT_AVAILABLE = '55P03';

export function IDEMPOTENCY_DDL(schema: string): string {
  return `
    CREATE TABLE ${identifier(schema)}.idempotency_keys (
      scope        text NOT NULL,
      key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 128),
      request_hash text NOT NULL,
      answer       text,
      expires_at   timestamptz NOT NULL,
      PRIMARY KEY (scope, key)
    );
    CREATE INDEX idempotency_keys_expires_at ON ${identifier(schema)}.idempotency_keys (expires_at);
  `;
}

/** The key was used before, with another request. Answered with 422. */
export class IdempotencyError extends ProblemError {
  constructor() {
    super(422, 'the Idempotency-Key was used before with another request');
  }
}

export interface IdempotencyOptions {
  /** For answers that hold secrets: what `open` makes of it is what `seal` was given. */
  readonly seal?: (text: string) => string;
  readonly open?: (text: string) => string;
}

/** Makes a repeated request give its first answer again. */
export class IdempotencyKeys {
  private readonly table: string;

  constructor(
    private readonly dataSource: DataSource,
    schema: string,
    private readonly options: IdempotencyOptions = {},
  ) {
    this.table = `${identifier(schema)}.idempotency_keys`;
  }

  /**
   * Runs `work` in a transaction that also keeps its answer, so that there is never one without the other. The
   * same request at the same time waits for the first and gets its answer. A rejection of `work` is not kept.
   *
   * @param scope whose key it is: tenant and call.
   * @param key of the request's header; without one, `work` simply runs.
   * @param requestHash of everything that makes it the same request.
   * @param work its answer has to survive JSON.
   * @throws {IdempotencyError} when the key came before with another request.
   * @throws {ProblemError} 409 when the first one takes too long to wait for.
   */
  async run<T>(
    scope: string,
    key: string | undefined,
    requestHash: string,
    work: (tx: Tx) => Promise<T>,
  ): Promise<{ readonly answer: T; readonly repeated: boolean }> {
    if (key === undefined) return { answer: await inTransaction(this.dataSource, work), repeated: false };

    return await inTransaction(this.dataSource, async (tx) => {
      const isFirst = await this.claim(tx, scope, key, requestHash);
      if (!isFirst) return { answer: await this.firstAnswer<T>(tx, scope, key, requestHash), repeated: true };

      const answer = await work(tx);
      const text = JSON.stringify(answer);
      await tx.query(`UPDATE ${this.table} SET answer = $3 WHERE scope = $1 AND key = $2`, [
        scope,
        key,
        this.options.seal ? this.options.seal(text) : text,
      ]);
      return { answer, repeated: false };
    });
  }

  /** @returns how many old answers are gone. */
  async purge(): Promise<number> {
    return await deleteInBatches(this.dataSource, {
      table: this.table,
      where: 'expires_at <= now()',
      params: [],
    });
  }

  /** Waits for a transaction that holds the same key; an answer that is too old makes room. */
  private async claim(tx: Tx, scope: string, key: string, requestHash: string): Promise<boolean> {
    try {
      const claimed = await tx.execute(
        `INSERT INTO ${this.table} AS k (scope, key, request_hash, expires_at)
         VALUES ($1, $2, $3, now() + make_interval(hours => ${String(KEPT_HOURS)}))
         ON CONFLICT (scope, key) DO UPDATE
           SET request_hash = excluded.request_hash, expires_at = excluded.expires_at, answer = NULL
           WHERE k.expires_at <= now()`,
        [scope, key, requestHash],
      );
      return claimed > 0;
    } catch (error) {
      if (!(error instanceof DatabaseError) || error.sqlState !== LOCK_NOT_AVAILABLE) throw error;
      const detail = 'another request with this Idempotency-Key is still being answered';
      throw new ProblemError(409, detail, { headers: { 'retry-after': '5' }, cause: error });
    }
  }

  private async firstAnswer<T>(tx: Tx, scope: string, key: string, requestHash: string): Promise<T> {
    const [first] = await tx.query<{ request_hash: string; answer: string }>(
      `SELECT request_hash, answer FROM ${this.table} WHERE scope = $1 AND key = $2`,
      [scope, key],
    );
    if (first?.request_hash !== requestHash) {
      throw new IdempotencyError();
    }
    const text = this.options.open ? this.options.open(first.answer) : first.answer;
    return JSON.parse(text) as T;
  }
}
