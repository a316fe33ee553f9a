import type { DataSource } from '@heddle/persistence';
import type { Logger, Metrics } from '@heddle/platform';
import { LRUCache } from 'lru-cache';
import { Counter } from 'prom-client';

import { isSameSecret, readApiKey } from './api-key.js';
import { findKeys, saveLastUsed } from './api-key.repository.js';
import type { KeyRecord } from './api-key.repository.js';
import type { Caller } from './caller.js';

/** Neither the cache nor PostgreSQL can say whose key it is. Answered with 503. */
export class KeysUnavailableError extends Error {
  override readonly name = 'KeysUnavailableError';
}

/** Where the keys are kept. */
export interface KeyStore {
  find(keyIds: readonly string[]): Promise<readonly KeyRecord[]>;
  saveLastUsed(lastUsed: ReadonlyMap<string, Date>): Promise<void>;
}

export interface ApiKeysOptions {
  readonly dataSource: DataSource;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** By default the schema `access` of the data source. */
  readonly store?: KeyStore;
}

/** A revocation is known everywhere after this, while PostgreSQL answers. */
export const FRESH_MS = 30_000;
/** How long a key that was seen stays good while PostgreSQL does not answer. */
export const GRACE_MS = 15 * 60_000;
export const UNKNOWN_MS = 5_000;
/** Keys are looked at again before they are too old, so that requests do not wait for it. */
const REFRESH_MS = 15_000;
const REFRESH_EVERY_MS = 5_000;
/** Longest that a request waits for PostgreSQL. */
const ANSWER_MS = 2_000;
/** While it is away, one look-up a second finds out whether it is back. */
const PROBE_MS = 1_000;
const SAVE_LAST_USED_MS = 30_000;
const WARN_EVERY_MS = 60_000;
const MAX_KEYS = 20_000;
/** A key that nobody used for a day is forgotten, and not refreshed any more. */
const UNUSED_MS = 24 * 60 * 60_000;
const BATCH = 500;
/** More requests than this that wait for a look-up are refused: guessing keys must not cost memory. */
const MAX_STRANGERS = 5_000;

/** Looked up at each call: tests replace the global one. */
const CLOCK = { now: (): number => performance.now() };

interface KnownKey {
  readonly record: KeyRecord;
  readonly caller: Caller;
  /** When the question was asked that this answers. */
  readonly checkedAt: number;
}

interface LookUp {
  readonly promise: Promise<KnownKey | undefined>;
  readonly resolve: (key: KnownKey | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Tells whose an API key is: one SHA-256 and a look into memory for a request. PostgreSQL is asked about keys that
 * nobody has shown yet, and in the background about all others every few seconds, many of them in one statement,
 * one statement at a time. While it does not answer, keys that were good lately stay good: no order is refused
 * because a database is down that the way to Kafka does not need.
 */
export class ApiKeys {
  private readonly known = new LRUCache<string, KnownKey>({
    max: MAX_KEYS,
    ttl: UNUSED_MS,
    updateAgeOnGet: true,
    perf: CLOCK,
  });
  private readonly unknown = new LRUCache<string, true>({ max: MAX_KEYS, ttl: UNKNOWN_MS, perf: CLOCK });
  private readonly pending = new Map<string, LookUp>();
  private lastUsed = new Map<string, Date>();
  private asking: Promise<void> | undefined;
  /** Requests that wait, with a key that is not known yet. */
  private strangers = 0;
  /** When PostgreSQL may be asked again; undefined while it answers. */
  private probeAt: number | undefined;
  private warnedAt = -Infinity;
  private timers: NodeJS.Timeout[] = [];
  private readonly store: KeyStore;
  private readonly checks: Counter<'outcome'>;

  constructor(private readonly options: ApiKeysOptions) {
    const { dataSource, metrics, store } = options;
    this.store = store ?? {
      find: (keyIds) => findKeys(dataSource, keyIds),
      saveLastUsed: (lastUsed) => saveLastUsed(dataSource, lastUsed),
    };
    this.checks = new Counter({
      name: 'heddle_api_key_checks_total',
      help: 'Keys presented; grace: good because PostgreSQL does not answer.',
      labelNames: ['outcome'],
      registers: [metrics],
    });
  }

  start(): void {
    if (this.timers.length > 0) return;
    this.timers = [
      setInterval(() => {
        this.refresh();
      }, REFRESH_EVERY_MS).unref(),
      setInterval(() => {
        void this.saveLastUsed();
      }, SAVE_LAST_USED_MS).unref(),
    ];
  }

  async stop(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    this.timers = [];
    await withinMs(this.saveLastUsed(), ANSWER_MS).catch(() => undefined);
  }

  /**
   * @returns undefined for a key that is unknown, revoked, expired or no key at all.
   * @throws {KeysUnavailableError}
   */
  async authenticate(key: string): Promise<Caller | undefined> {
    const presented = readApiKey(key);
    const known = presented && (await this.keyNamed(presented.keyId));
    if (
      !known ||
      !isSameSecret(known.record.secretSha256, presented.secretSha256) ||
      isExpired(known.record)
    ) {
      this.checks.inc({ outcome: 'refused' });
      return undefined;
    }
    this.checks.inc({ outcome: ageOf(known) < FRESH_MS ? 'good' : 'grace' });
    this.lastUsed.set(known.record.id, new Date());
    return known.caller;
  }

  /** After a revocation in this process; others notice within 30 s. */
  forget(id: string): void {
    for (const [keyId, { record }] of this.known.entries()) if (record.id === id) this.known.delete(keyId);
  }

  private async keyNamed(keyId: string): Promise<KnownKey | undefined> {
    const known = this.known.get(keyId);
    if (known && ageOf(known) < FRESH_MS) return known;
    if (!known && this.unknown.has(keyId)) return undefined;

    const mayAsk = this.probeAt === undefined || performance.now() >= this.probeAt;
    // Nobody waits for a PostgreSQL that is known to be away, when there is another answer.
    if (known && this.probeAt !== undefined) {
      if (mayAsk) this.lookUp(keyId).catch(() => undefined);
      return this.inGrace(known);
    }
    if (!mayAsk || (!known && this.strangers >= MAX_STRANGERS)) throw this.unavailable();
    if (!known) this.strangers += 1;
    try {
      return await withinMs(this.lookUp(keyId), ANSWER_MS);
    } catch {
      this.isAway();
      if (!known) throw this.unavailable();
      return this.inGrace(known);
    } finally {
      if (!known) this.strangers -= 1;
    }
  }

  private inGrace(known: KnownKey): KnownKey {
    if (ageOf(known) > GRACE_MS) throw this.unavailable();
    this.warn();
    return known;
  }

  private unavailable(): KeysUnavailableError {
    this.warn();
    this.checks.inc({ outcome: 'unavailable' });
    return new KeysUnavailableError('checking a key: PostgreSQL does not answer');
  }

  /** Those who ask about the same key at the same time share one question. */
  private lookUp(keyId: string): Promise<KnownKey | undefined> {
    const pending = this.pending.get(keyId);
    if (pending) return pending.promise;
    const lookUp: LookUp = Promise.withResolvers<KnownKey | undefined>();
    this.pending.set(keyId, lookUp);
    this.asking ??= this.ask();
    return lookUp.promise;
  }

  private async ask(): Promise<void> {
    while (this.pending.size > 0) {
      const batch = [...this.pending].slice(0, BATCH);
      const checkedAt = performance.now();
      try {
        const records = await this.store.find(batch.map(([keyId]) => keyId));
        this.probeAt = undefined;
        const found = new Map(records.map((record) => [record.keyId, record]));
        for (const [keyId, { resolve }] of batch) resolve(this.remember(keyId, found.get(keyId), checkedAt));
      } catch (error) {
        this.isAway();
        for (const [, { reject }] of batch) reject(error);
      }
      for (const [keyId] of batch) this.pending.delete(keyId);
    }
    this.asking = undefined;
  }

  private remember(keyId: string, record: KeyRecord | undefined, checkedAt: number): KnownKey | undefined {
    if (!record || record.revokedAt) {
      this.known.delete(keyId);
      this.unknown.set(keyId, true);
      return undefined;
    }
    const { id, tenant, permissions, channel } = record;
    const caller: Caller = { tenant, permissions, actor: `key:${id}`, channel: channel ?? undefined };
    const known = { record, caller, checkedAt };
    // A refresh is no use of the key.
    this.known.set(keyId, known, { noUpdateTTL: true });
    return known;
  }

  private refresh(): void {
    if (this.probeAt !== undefined && performance.now() < this.probeAt) return;
    for (const [keyId, known] of this.known.entries()) {
      if (ageOf(known) >= REFRESH_MS) this.lookUp(keyId).catch(() => undefined);
    }
  }

  private isAway(): void {
    this.probeAt = performance.now() + PROBE_MS;
  }

  private warn(): void {
    if (performance.now() - this.warnedAt < WARN_EVERY_MS) return;
    this.warnedAt = performance.now();
    this.options.logger.warn({ known_keys: this.known.size }, 'access.keys_not_checked');
  }

  private async saveLastUsed(): Promise<void> {
    const used = this.lastUsed;
    if (used.size === 0) return;
    this.lastUsed = new Map();
    try {
      await this.store.saveLastUsed(used);
    } catch {
      // The next one takes them along; what was used since is newer.
      this.lastUsed = new Map([...used, ...this.lastUsed]);
    }
  }
}

function ageOf({ checkedAt }: KnownKey): number {
  return performance.now() - checkedAt;
}

function isExpired({ expiresAt }: KeyRecord): boolean {
  return expiresAt !== null && expiresAt.getTime() <= Date.now();
}

/** @throws {KeysUnavailableError} when the time is over first. */
async function withinMs<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new KeysUnavailableError('checking a key: PostgreSQL does not answer in time'));
    }, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
