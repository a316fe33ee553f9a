import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from '@jest/globals';

import { spawnService, workspaceRoot } from '@heddle/testing';
import type { ServiceOptions, SpawnedService } from '@heddle/testing';

const entry = join(workspaceRoot(), 'libs/testing/test/fixtures/service.mjs');
const running: SpawnedService[] = [];

async function spawn(mode: string, options: Partial<ServiceOptions> = {}): Promise<SpawnedService> {
  const service = await spawnService({ name: `a-${mode}-service`, entry, env: { MODE: mode }, ...options });
  running.push(service);
  return service;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((service) => service.kill()));
});

describe('a spawned service', () => {
  it('is ready when it says so, and keeps its log lines', async () => {
    process.env['SECRET_OF_THE_PARENT'] = 'leaked';
    const service = await spawn('good');
    expect(await service.isReady()).toBe(true);
    const line = await service.logged(({ msg }) => msg === 'service.started');
    expect(line).toEqual({
      level: 'info',
      msg: 'service.started',
      port: service.port,
      internal_port: service.internalPort,
    });
    expect(readFileSync(service.logFile, 'utf8')).toContain('"service.started"');
  });

  it('need not be ready to have started', async () => {
    const service = await spawn('good', { untilReady: false });
    expect(await service.isReady()).toBe(false);
  });

  it('is killed, and started again on the same ports', async () => {
    const service = await spawn('good');
    const exits: unknown[] = [];
    service.onExit((exit) => exits.push(exit));
    const before = service.pid;
    await service.kill();
    expect(exits).toEqual([{ code: null, signal: 'SIGKILL' }]);
    expect(await service.isReady()).toBe(false);
    await service.start();
    expect(await service.isReady()).toBe(true);
    expect(service.pid).not.toBe(before);
  });

  it('answers nobody while it is paused', async () => {
    const service = await spawn('good');
    service.pause();
    expect(await service.isReady()).toBe(false);
    service.resume();
    expect(await service.isReady()).toBe(true);
  }, 15_000);

  it('ends in order on SIGTERM', async () => {
    const service = await spawn('good');
    await service.stop();
    expect(service.lines.at(-1)?.msg).toBe('service.stopped');
    expect(service.isRunning).toBe(false);
  });

  it('fails the test when it ends with an error or not at all', async () => {
    await expect((await spawn('sulky')).stop()).rejects.toThrow(/ended with code 3 after SIGTERM/);
    const stubborn = await spawn('stubborn', { stopTimeoutMs: 500 });
    await expect(stubborn.stop()).rejects.toThrow(/was still there after 500 ms/);
    expect(stubborn.isRunning).toBe(false);
  });

  it('shows the end of its log when it cannot start', async () => {
    await expect(spawn('broken')).rejects.toThrow(/ConfigError: no KAFKA_BROKERS/);
  });
});
