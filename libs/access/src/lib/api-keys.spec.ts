import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { DataSource } from '@heddle/persistence';
import { createLogger, createMetrics } from '@heddle/platform';
import type { Metrics } from '@heddle/platform';

import { generateApiKey } from './api-key.js';
import type { KeyRecord } from './api-key.repository.js';
import { ApiKeys, KeysUnavailableError } from './api-keys.js';
import type { KeyStore } from './api-keys.js';

class InMemoryKeys implements KeyStore {
  readonly records = new Map<string, KeyRecord>();
  readonly questions: (readonly string[])[] = [];
  readonly saved: ReadonlyMap<string, Date>[] = [];
  state: 'answering' | 'refusing' | 'silent' = 'answering';

  async find(keyIds: readonly string[]): Promise<readonly KeyRecord[]> {
    this.questions.push(keyIds);
    await this.reach();
    return keyIds.flatMap((keyId) => this.records.get(keyId) ?? []);
  }

  async saveLastUsed(lastUsed: ReadonlyMap<string, Date>): Promise<void> {
    await this.reach();
    this.saved.push(lastUsed);
  }

  add(name: string, change: Partial<KeyRecord> = {}): string {
    const { key, keyId, secretSha256 } = generateApiKey();
    this.records.set(change.keyId ?? keyId, {
      id: name,
      keyId,
      secretSha256,
      tenant: 'demo',
      permissions: ['orders:read'],
      channel: null,
      expiresAt: null,
      revokedAt: null,
      ...change,
    });
    return key;
  }

  revoke(name: string): void {
    for (const [keyId, record] of this.records) {
      if (record.id === name) this.records.set(keyId, { ...record, revokedAt: new Date() });
    }
  }

  private async reach(): Promise<void> {
    if (this.state === 'refusing') throw new Error('connect ECONNREFUSED');
    if (this.state === 'silent') await new Promise(() => undefined);
  }
}

let store: InMemoryKeys;
let keys: ApiKeys;
let metrics: Metrics;
let lines: string[];

beforeEach(() => {
  jest.useFakeTimers();
  // At its very start a fake clock says 0, which the cache takes for "no time".
  jest.advanceTimersByTime(1);
  store = new InMemoryKeys();
  metrics = createMetrics('loom');
  lines = [];
  keys = new ApiKeys({
    dataSource: {} as DataSource,
    logger: createLogger({
      service: 'loom',
      level: 'warn',
      destination: { write: (line) => void lines.push(line) },
    }),
    metrics,
    store,
  });
});
afterEach(async () => {
  store.state = 'answering';
  await keys.stop();
  jest.useRealTimers();
});

async function checks(outcome: string): Promise<number> {
  const metric = await metrics.getSingleMetric('heddle_api_key_checks_total')?.get();
  return metric?.values.find(({ labels }) => labels['outcome'] === outcome)?.value ?? 0;
}

/** Asks once a second; a gateway is never quiet for long. */
async function whileAsking(key: string, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    // Not waited for: an answer may need the time that only the next round lets pass.
    keys.authenticate(key).catch(() => undefined);
    await jest.advanceTimersByTimeAsync(1_000);
  }
}

describe('ApiKeys', () => {
  it('tells whose a key is, and asks once for any number of requests', async () => {
    const key = store.add('k1', { channel: 'shop' });
    const callers = await Promise.all(Array.from({ length: 50 }, () => keys.authenticate(key)));
    await keys.authenticate(key);
    expect(callers).toEqual(
      callers.map(() => ({ tenant: 'demo', permissions: ['orders:read'], actor: 'key:k1', channel: 'shop' })),
    );
    expect(store.questions).toHaveLength(1);
  });

  it('knows no key with another secret', async () => {
    const key = store.add('k1');
    const forged = `${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}`;
    expect(await keys.authenticate(forged)).toBeUndefined();
    expect(await keys.authenticate(key)).toBeDefined();
    expect(await keys.authenticate(forged)).toBeUndefined();
  });

  it.each(['', 'hdl', 'hdl_x_y', 'Bearer hdl_abcdefghjkmn_short', `hdl_${'a'.repeat(12)}_${'!'.repeat(43)}`])(
    'does not ask anybody about "%s", which is no key',
    async (text) => {
      expect(await keys.authenticate(text)).toBeUndefined();
      expect(store.questions).toEqual([]);
    },
  );

  it('remembers for five seconds that a key is unknown, and not longer', async () => {
    const { key, keyId, secretSha256 } = generateApiKey();
    for (let n = 0; n < 10; n += 1) expect(await keys.authenticate(key)).toBeUndefined();
    expect(store.questions).toHaveLength(1);
    store.add('late', { keyId, secretSha256 });
    await jest.advanceTimersByTimeAsync(4_900);
    expect(await keys.authenticate(key)).toBeUndefined();
    await jest.advanceTimersByTimeAsync(200);
    expect(await keys.authenticate(key)).toBeDefined();
  });

  it('asks about many unknown keys in few questions, one at a time', async () => {
    const strangers = Array.from({ length: 1_200 }, () => generateApiKey().key);
    await Promise.all(strangers.map((key) => keys.authenticate(key)));
    expect(store.questions.length).toBeLessThanOrEqual(5);
  });

  it('refuses strangers that come in thousands at once, and nobody it knows', async () => {
    const key = store.add('k1');
    await keys.authenticate(key);
    const strangers = Array.from({ length: 5_500 }, () => generateApiKey().key);
    const answers = await Promise.allSettled(strangers.map((stranger) => keys.authenticate(stranger)));
    expect(answers.filter(({ status }) => status === 'rejected')).toHaveLength(500);
    await jest.advanceTimersByTimeAsync(31_000);
    expect(await keys.authenticate(key)).toBeDefined();
    expect(await checks('grace')).toBe(0);
    expect(await keys.authenticate(store.add('k2'))).toBeDefined();
  });

  it('refuses an expired key, at its instant', async () => {
    const key = store.add('k1', { expiresAt: new Date(Date.now() + 10_000) });
    expect(await keys.authenticate(key)).toBeDefined();
    await jest.advanceTimersByTimeAsync(10_000);
    expect(await keys.authenticate(key)).toBeUndefined();
  });

  it('refuses a revoked key within 30 s, though it is in use all the time', async () => {
    const key = store.add('k1');
    keys.start();
    await whileAsking(key, 60);
    store.revoke('k1');
    await whileAsking(key, 29);
    expect(await keys.authenticate(key)).toBeUndefined();
  });

  it('refuses a revoked key within 30 s without its background refresh too', async () => {
    const key = store.add('k1');
    expect(await keys.authenticate(key)).toBeDefined();
    store.revoke('k1');
    await jest.advanceTimersByTimeAsync(30_001);
    expect(await keys.authenticate(key)).toBeUndefined();
  });

  it('forgets a key at once where it was revoked', async () => {
    const key = store.add('k1');
    await keys.authenticate(key);
    store.revoke('k1');
    keys.forget('k1');
    expect(await keys.authenticate(key)).toBeUndefined();
  });

  it('never makes a request wait for a key in use, once it is known', async () => {
    const key = store.add('k1');
    keys.start();
    await keys.authenticate(key);
    await jest.advanceTimersByTimeAsync(21_000);
    store.state = 'silent';
    await jest.advanceTimersByTimeAsync(15_000);
    let answered = false;
    void keys.authenticate(key).then(() => {
      answered = true;
    });
    await jest.advanceTimersByTimeAsync(0);
    expect(answered).toBe(true);
  });
});

describe.each(['refusing', 'silent'] as const)('ApiKeys while PostgreSQL is %s', (state) => {
  it('keep a key that was seen good for 15 minutes, counted and warned', async () => {
    const key = store.add('k1');
    keys.start();
    await keys.authenticate(key);
    store.state = state;
    await whileAsking(key, 14 * 60);
    expect(await keys.authenticate(key)).toBeDefined();
    expect(await checks('grace')).toBeGreaterThan(700);
    expect(lines.length).toBeGreaterThan(5);
    expect(lines.length).toBeLessThan(30);

    await whileAsking(key, 2 * 60);
    await expect(keys.authenticate(key)).rejects.toThrow(KeysUnavailableError);
  });

  it('cannot tell about a key that was never seen, and does not say that it is unknown', async () => {
    const key = store.add('k1');
    store.state = state;
    const answer = expect(keys.authenticate(key)).rejects.toThrow(KeysUnavailableError);
    await jest.advanceTimersByTimeAsync(2_000);
    await answer;
  });

  it('answer at once once that is known, and ask now and then whether it is back', async () => {
    const [key, other] = [store.add('k1'), store.add('k2')];
    await keys.authenticate(key);
    store.state = state;
    await jest.advanceTimersByTimeAsync(31_000);
    const first = keys.authenticate(key);
    await jest.advanceTimersByTimeAsync(2_000);
    expect(await first).toBeDefined();
    const before = store.questions.length;
    for (let n = 0; n < 100; n += 1) {
      expect(await keys.authenticate(key)).toBeDefined();
      await expect(keys.authenticate(other)).rejects.toThrow(KeysUnavailableError);
    }
    expect(store.questions.length - before).toBeLessThanOrEqual(1);
  });
});

describe('ApiKeys after an outage', () => {
  it('notice what was revoked meanwhile', async () => {
    const key = store.add('k1');
    await keys.authenticate(key);
    store.state = 'refusing';
    await whileAsking(key, 60);
    expect(await keys.authenticate(key)).toBeDefined();
    store.revoke('k1');
    store.state = 'answering';
    await whileAsking(key, 3);
    expect(await keys.authenticate(key)).toBeUndefined();
  });

  it('do not keep a shutdown waiting', async () => {
    await keys.authenticate(store.add('k1'));
    store.state = 'silent';
    let stopped = false;
    void keys.stop().then(() => {
      stopped = true;
    });
    await jest.advanceTimersByTimeAsync(2_500);
    expect(stopped).toBe(true);
  });

  it('write when keys were used, in batches, and nothing is lost meanwhile', async () => {
    const [one, two] = [store.add('k1'), store.add('k2')];
    keys.start();
    await keys.authenticate(one);
    await keys.authenticate(two);
    store.state = 'refusing';
    await jest.advanceTimersByTimeAsync(40_000);
    expect(store.saved).toEqual([]);
    await keys.authenticate(one);
    store.state = 'answering';
    await jest.advanceTimersByTimeAsync(30_000);
    expect(store.saved.map((saved) => [...saved.keys()].toSorted())).toEqual([['k1', 'k2']]);
    const [saved] = store.saved;
    expect(saved?.get('k1')?.getTime()).toBeGreaterThan(saved?.get('k2')?.getTime() ?? 0);
  });
});
