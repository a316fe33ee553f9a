import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { startFileServer, temporaryFolder } from '@heddle/testing';
import type { FileServer } from '@heddle/testing';

const content = randomBytes(200_000);
const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

let directory: string;
let server: FileServer;
let url: string;

beforeAll(async () => {
  directory = await temporaryFolder('files');
  mkdirSync(join(directory, 'eu'));
  writeFileSync(join(directory, 'eu', 'ticket 1.pdf'), content);
  server = await startFileServer({ directory });
  url = server.url('eu/ticket 1.pdf');
});

afterEach(() => server.clearFaults());

afterAll(async () => {
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

const get = (init?: RequestInit): Promise<Response> => fetch(url, { redirect: 'manual', ...init });
const bytes = async (response: Response): Promise<Uint8Array> => new Uint8Array(await response.arrayBuffer());

describe('the file server', () => {
  it('serves a file with its type, length and tag', async () => {
    const response = await get();
    expect(response.headers.get('content-type')).toBe('application/pdf');
    expect(response.headers.get('content-length')).toBe('200000');
    expect(sha(await bytes(response))).toBe(sha(content));
    const again = await get({ headers: { 'if-none-match': response.headers.get('etag')! } });
    expect(again.status).toBe(304);
    expect(server.requests.at(-1)).toMatchObject({ method: 'GET', path: '/eu/ticket 1.pdf' });
  });

  it('serves nothing outside its folder', async () => {
    expect((await fetch(`${server.baseUrl}/..%2f..%2f..%2f..%2fetc/passwd`)).status).toBe(404);
    expect((await fetch(server.url('eu'))).status).toBe(404);
    expect((await get({ method: 'DELETE' })).status).toBe(405);
  });

  it('answers with a status for so many times', async () => {
    server.setFault('eu/ticket 1.pdf', {
      kind: 'status',
      status: 503,
      headers: { 'retry-after': '1' },
      times: 2,
    });
    expect([(await get()).status, (await get()).status, (await get()).status]).toEqual([503, 503, 200]);
  });

  it('hangs before and in the middle of the content', async () => {
    server.setFault('*', { kind: 'hang' });
    await expect(get({ signal: AbortSignal.timeout(200) })).rejects.toThrow(/timeout/);
    server.setFault('*', { kind: 'hang', afterBytes: 1_000 });
    const response = await get({ signal: AbortSignal.timeout(300) });
    expect(response.status).toBe(200);
    await expect(bytes(response)).rejects.toThrow(/timeout/);
  });

  it('cuts the connection in the middle of the content', async () => {
    server.setFault('*', { kind: 'cut', afterBytes: 1_000 });
    await expect(get().then(bytes)).rejects.toThrow(/terminated/);
  });

  it('is slow', async () => {
    server.setFault('*', { kind: 'slow', bytesPerSecond: 500_000 });
    const before = performance.now();
    expect(sha(await bytes(await get()))).toBe(sha(content));
    expect(performance.now() - before).toBeGreaterThan(150);
  });

  it('declares a length that is not the one of the content', async () => {
    server.setFault('*', { kind: 'length', declaredBytes: 300_000 });
    await expect(get().then(bytes)).rejects.toThrow(/terminated/);
    server.setFault('*', { kind: 'length', declaredBytes: 1_000 });
    expect((await get().then(bytes)).length).toBe(1_000);
  });

  it('redirects', async () => {
    server.setFault('*', { kind: 'redirect', location: 'http://169.254.169.254/' });
    const response = await get();
    expect([response.status, response.headers.get('location')]).toEqual([302, 'http://169.254.169.254/']);
  });
});
