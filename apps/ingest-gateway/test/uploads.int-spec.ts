import { createHash, randomBytes } from 'node:crypto';
import { createServer, request } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';

import { Problem } from '@heddle/contracts';
import { eventually } from '@heddle/testing';

import { TENANT, startTestGateway, untilReady } from './harness.js';
import type { TestGateway } from './harness.js';

const WITHIN = { withinMs: 10_000 };

/** What a store sees of an upload. */
interface Arrival {
  readonly headers: IncomingMessage['headers'];
  readonly url: string | undefined;
  sizeBytes: number;
  sha256: string | undefined;
  isCut: boolean;
}

describe('an upload', () => {
  let store: Server;
  let gateway: TestGateway;
  let key: string;
  const arrivals: Arrival[] = [];
  let refusesEarly = false;

  beforeAll(async () => {
    store = createServer((incoming, response) => {
      const { headers, url } = incoming;
      const arrival: Arrival = { headers, url, sizeBytes: 0, sha256: undefined, isCut: false };
      arrivals.push(arrival);
      if (refusesEarly) {
        response.writeHead(413, { 'content-type': 'application/problem+json' }).end('{"status":413}');
        return;
      }
      const hash = createHash('sha256');
      incoming.on('data', (chunk: Buffer) => {
        hash.update(chunk);
        arrival.sizeBytes += chunk.length;
      });
      incoming.on('close', () => (arrival.isCut = !incoming.complete));
      incoming.on('end', () => {
        arrival.sha256 = hash.digest('hex');
        response.writeHead(201, { 'content-type': 'application/json' }).end('{"name":"a"}');
      });
    });
    await new Promise<void>((resolve) => store.listen(0, '127.0.0.1', resolve));
    const STORE_URL = `http://127.0.0.1:${String((store.address() as AddressInfo).port)}`;
    gateway = await startTestGateway({ env: { STORE_URL, BODY_WITHIN_MS: '3000' } });
    ({ key } = await gateway.key(['recipes:write']));
    await untilReady(gateway);
  }, 60_000);
  afterAll(async () => {
    await gateway.close();
    store.closeAllConnections();
    await new Promise((resolve) => store.close(resolve));
  });
  beforeEach(() => {
    arrivals.length = 0;
    refusesEarly = false;
  });

  const put = (path: string, init: RequestInit): Promise<Response> =>
    fetch(`${gateway.url}/api/v2/recipe/${path}`, {
      method: 'PUT',
      ...init,
      headers: { authorization: `Bearer ${key}`, ...(init.headers as Record<string, string>) },
    });

  it('is passed on as it comes, whatever its type, and never whole in memory', async () => {
    const bytes = randomBytes(3_000_000);
    for (const type of ['application/json', 'text/csv', 'application/x-dst']) {
      const answer = await put('R-1/files/K%C3%A4ppi.dst?kind=production', {
        body: bytes,
        headers: { 'content-type': type, 'content-digest': 'sha-256=:x:', cookie: 'no=1' },
      });
      expect([answer.status, await answer.text()]).toEqual([201, '{"name":"a"}']);
      const arrival = arrivals.at(-1)!;
      expect(arrival).toMatchObject({
        url: '/api/v2/recipe/R-1/files/K%C3%A4ppi.dst?kind=production',
        sizeBytes: bytes.length,
        sha256: createHash('sha256').update(bytes).digest('hex'),
        headers: { 'content-type': type, 'content-length': '3000000', 'content-digest': 'sha-256=:x:' },
      });
      expect(arrival.headers.cookie).toBeUndefined();
      expect(decodeJwt(arrival.headers.authorization?.slice(7) ?? '')).toMatchObject({ tenant: TENANT });
    }
    const pieces = new Blob([bytes]).stream();
    expect((await put('R-1/files/a', { body: pieces, duplex: 'half' })).status).toBe(201);
    expect(arrivals.at(-1)).toMatchObject({
      headers: { 'transfer-encoding': 'chunked' },
      sizeBytes: 3_000_000,
    });
    expect((await put('R-1/files/a', {})).status).toBe(201);
    expect(arrivals.at(-1)?.sizeBytes).toBe(0);
  });

  it('that the service refuses before its end gets that answer', async () => {
    refusesEarly = true;
    const answer = await put('R-1/files/a', { body: randomBytes(20_000_000) });
    expect([answer.status, await answer.text()]).toEqual([413, '{"status":413}']);
    refusesEarly = false;
    expect((await put('R-1/files/a', { body: 'after it' })).status).toBe(201);
  });

  it('whose client leaves has no end for the service', async () => {
    const cut = request(`${gateway.url}/api/v2/recipe/R-1/files/a`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${key}`, 'content-length': '1000' },
    });
    cut.on('error', () => undefined);
    cut.write(Buffer.alloc(500));
    await eventually(() => expect(arrivals[0]?.sizeBytes).toBe(500), WITHIN);
    cut.destroy();
    await eventually(() => expect(arrivals[0]).toMatchObject({ isCut: true, sha256: undefined }), WITHIN);
  });

  it('that falls silent is ended, as is any other body that takes too long', async () => {
    const send = (method: string, path: string, type: string): Promise<unknown[]> =>
      new Promise((resolve, reject) => {
        const slow = request(
          gateway.url + path,
          {
            method,
            headers: { authorization: `Bearer ${key}`, 'content-type': type, 'content-length': '100' },
          },
          (answer) => {
            answer.resume();
            resolve([answer.statusCode, answer.headers['content-type'], answer.headers.connection]);
          },
        );
        slow.on('error', reject);
        slow.write('{"id":');
      });
    const expected = [408, 'application/problem+json', 'close'];
    const answers = await Promise.all([
      send('PUT', '/api/v2/recipe/R-1/files/a', 'a/b'),
      send('POST', '/api/v2/recipe', 'application/json'),
    ]);
    expect(answers).toEqual([expected, expected]);
    await eventually(() => expect(arrivals[0]).toMatchObject({ isCut: true, sha256: undefined }), WITHIN);
  });

  it('needs its permission before anything of it is read, and comes uncompressed', async () => {
    const { key: reader } = await gateway.key(['recipes:read']);
    const denied = await put('R-1/files/a', { body: 'x', headers: { authorization: `Bearer ${reader}` } });
    expect(denied.status).toBe(403);
    const packed = await put('R-1/files/a', { body: 'x', headers: { 'content-encoding': 'gzip' } });
    expect(packed.status).toBe(415);
    expect(arrivals).toEqual([]);
  });

  it('changes nothing for others: their bodies are JSON', async () => {
    const answer = await fetch(`${gateway.url}/api/v2/recipe`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'text/csv' },
      body: 'a,b',
    });
    expect(answer.status).toBe(415);
    expect(Problem.parse(await answer.json()).detail).toContain('application/json');
  });
});
