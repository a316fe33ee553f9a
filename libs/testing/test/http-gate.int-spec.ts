import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { HttpGate, eventually } from '@heddle/testing';

const received: string[] = [];
const server = createServer((request, answer) => {
  let body = '';
  request.setEncoding('utf8').on('data', (text: string) => (body += text));
  request.on('end', () => {
    received.push(`${request.method} ${request.url} ${request.headers.host} ${body}`);
    answer.writeHead(201, { 'x-from': 'server' }).end('done');
  });
  request.on('error', () => undefined);
});
let gate: HttpGate;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  gate = await HttpGate.start((server.address() as AddressInfo).port);
});
afterEach(() => {
  gate.reset();
  received.length = 0;
});
afterAll(async () => {
  await gate.close();
  await new Promise((resolve) => server.close(resolve));
});

const put = (body = 'text', signal?: AbortSignal): Promise<Response> =>
  fetch(`${gate.origin}/a?b=c`, { method: 'PUT', body, ...(signal && { signal }) });

describe('the gate in front of a server', () => {
  it('passes a request on as it is, and its answer back', async () => {
    const answer = await put();

    expect([answer.status, answer.headers.get('x-from'), await answer.text()]).toEqual([
      201,
      'server',
      'done',
    ]);
    expect(received).toEqual([`PUT /a?b=c 127.0.0.1:${gate.port} text`]);
    expect(gate.requests).toMatchObject([{ method: 'PUT', url: '/a?b=c' }]);
  });

  it('answers by itself where its rule says so', async () => {
    gate.rule = ({ method }) =>
      method === 'PUT'
        ? { answer: { status: 503, headers: { 'retry-after': '3' }, body: 'later' } }
        : undefined;

    const answer = await put();

    expect([answer.status, answer.headers.get('retry-after'), await answer.text()]).toEqual([
      503,
      '3',
      'later',
    ]);
    expect(received).toEqual([]);
  });

  it('cuts connections, before a request or in the middle of one', async () => {
    gate.rule = () => 'cut';
    await expect(put()).rejects.toThrow('fetch failed');
    gate.rule = () => ({ cutAfterBytes: 100_000 });
    await expect(put('x'.repeat(1_000_000))).rejects.toThrow('fetch failed');

    expect(received).toEqual([]);
  });

  it('lets a request through and loses its answer', async () => {
    gate.rule = () => 'lose-answer';

    await expect(put()).rejects.toThrow('fetch failed');

    expect(received).toHaveLength(1);
  });

  it('keeps a request waiting', async () => {
    gate.rule = () => 'hang';
    const controller = new AbortController();

    const waiting = put('text', controller.signal);
    await eventually(() => expect(gate.requests).toHaveLength(1), { withinMs: 5_000 });
    controller.abort();

    await expect(waiting).rejects.toThrow('aborted');
    expect(received).toEqual([]);
  });
});
