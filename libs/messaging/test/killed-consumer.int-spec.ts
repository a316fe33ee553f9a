import { spawn } from 'node:child_process';
import { join } from 'node:path';

import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually, workspaceRoot } from '@heddle/testing';
import { build } from 'esbuild';

import { Bench } from './harness.js';

const EVENTS = 200;
const root = workspaceRoot();
const outfile = join(root, 'tmp', 'killed-consumer.fixture.mjs');

describe('a consumer that is killed', () => {
  let bench: Bench;
  beforeAll(async () => {
    await build({
      entryPoints: [join(import.meta.dirname, 'killed-consumer.fixture.ts')],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node24',
      packages: 'external',
      tsconfig: join(root, 'tsconfig.base.json'),
      logLevel: 'error',
    });
  });
  afterEach(() => bench.close());

  it('leaves everything that it had not committed to another one, which goes on within 15 seconds', async () => {
    bench = await Bench.open(undefined, undefined, 1);
    const all = Array.from({ length: EVENTS }, (_, n) => n);
    await bench.publish('k', ...all);
    const { brokers, topicPrefix } = bench.kafka;
    const child = spawn(process.execPath, [outfile, brokers.join(','), topicPrefix], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    const seenByFirst = (): number[] => output.split('\n').slice(0, -1).map(Number);
    try {
      await eventually(
        () => {
          expect(seenByFirst().length).toBeGreaterThan(120);
        },
        { withinMs: 30_000 },
      );
    } finally {
      child.kill('SIGKILL');
    }
    const killedAt = performance.now();
    const first = seenByFirst();
    expect(first).toEqual(all.slice(0, first.length));

    const second: number[] = [];
    await bench.consume(({ events }) => {
      second.push(...events.map(({ data }) => data.n));
      return Promise.resolve(undefined);
    });
    await eventually(
      () => {
        expect(second.at(-1)).toBe(EVENTS - 1);
      },
      { withinMs: 15_000 },
    );
    expect(performance.now() - killedAt).toBeLessThan(15_000);
    const [start = 0] = second;
    expect(second).toEqual(all.slice(start));
    // Repeats what was not committed, and no more than about two seconds of it.
    expect(start).toBeGreaterThan(0);
    expect(start).toBeLessThanOrEqual(first.length);
    expect(first.length - start).toBeLessThan(110);
  }, 90_000);
});
