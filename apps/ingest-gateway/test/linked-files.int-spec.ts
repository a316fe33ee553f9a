import { randomBytes, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { Problem } from '@heddle/contracts';
import { FileLinks, parseKeyring } from '@heddle/secrets';
import type { LinkedFile } from '@heddle/secrets';
import { eventually, startFileServer, temporaryFolder } from '@heddle/testing';
import type { FileServer } from '@heddle/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';

import { TENANT, startTestGateway, untilReady } from './harness.js';
import type { TestGateway } from './harness.js';

const KEYS = `test:${randomBytes(32).toString('base64')}`;
const links = new FileLinks(parseKeyring(KEYS));

describe('files behind links', () => {
  let gateway: TestGateway;
  let sources: FileServer;
  let lost = 0;
  const endless = createServer((_request, response) => {
    response.writeHead(200).write('the beginning');
    response.once('close', () => (lost += 1));
  });

  beforeAll(async () => {
    sources = await startFileServer({ directory: await temporaryFolder('sources') });
    await new Promise<void>((resolve) => endless.listen(0, '127.0.0.1', resolve));
    const ports = [sources.port, (endless.address() as AddressInfo).port];
    gateway = await startTestGateway({
      env: {
        SERVICE_TOKEN_KEYS: KEYS,
        OUTBOUND_ALLOWED_ADDRESSES: ports.map((port) => `127.0.0.1/32:${String(port)}`).join(','),
      },
    });
    await untilReady(gateway);
  }, 60_000);
  afterEach(() => {
    sources.clearFaults();
    gateway.store.seen.length = 0;
  });
  afterAll(async () => {
    await gateway.close();
    await sources.close();
    endless.closeAllConnections();
    await new Promise((resolve) => endless.close(resolve));
  });

  const linkTo = async (source: LinkedFile['source'], fields: Partial<LinkedFile> = {}): Promise<string> =>
    gateway.url +
    links.pathTo({
      tenant: TENANT,
      name: '1022_ID_6_R_DRIVE-001_Production-Front.dst',
      mimeType: 'application/x-dst',
      source,
      ...fields,
    });
  const anUrl = (name: string): LinkedFile['source'] => ({ kind: 'url', url: sources.url(name) });

  it('stream what somebody else serves, byte for byte, as a download that no browser runs', async () => {
    const bytes = randomBytes(3_000_000);
    writeFileSync(join(sources.directory, 'Front.dst'), bytes);

    const answer = await fetch(await linkTo(anUrl('Front.dst')));

    expect(answer.status).toBe(200);
    expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'application/x-dst',
      'content-length': '3000000',
      'content-disposition': 'attachment; filename="1022_ID_6_R_DRIVE-001_Production-Front.dst"',
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
      'cache-control': 'private, no-store',
    });
    const head = await fetch(await linkTo(anUrl('Front.dst')), { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '3000000']);
  });

  it('serve a type that is no type as plain bytes', async () => {
    writeFileSync(join(sources.directory, 'x'), 'x');
    const answer = await fetch(await linkTo(anUrl('x'), { mimeType: 'text/html\u00e4; <script>' }));
    expect(answer.headers.get('content-type')).toBe('application/octet-stream');
  });

  it("read the recipe's document and ticket from the store as their tenant, at the recipe's own address", async () => {
    gateway.store.answer = () => ({ status: 200, headers: { 'set-cookie': 'no=1' }, body: 'from the store' });
    const path = '/internal/tickets/demo/DRIVE-001/3.pdf?orderNumber=1022';
    const address = await linkTo({ kind: 'hub', path }, { mimeType: 'application/pdf' });
    expect(new URL(address).pathname).toBe('/recipe/DRIVE-001.pdf');

    const answer = await fetch(address);

    expect(await answer.text()).toBe('from the store');
    expect(answer.headers.get('content-type')).toBe('application/pdf');
    expect(answer.headers.get('content-disposition')).toMatch(/^inline; /);
    expect(answer.headers.get('set-cookie')).toBeNull();
    expect(gateway.store.seen[0]?.url).toBe(path);
    expect(decodeJwt(gateway.store.seen[0]?.headers.authorization?.slice(7) ?? '')).toMatchObject({
      tenant: TENANT,
      permissions: ['recipes:read'],
    });
    gateway.store.answer = () => ({ status: 404 });
    expect((await fetch(address)).status).toBe(404);
    gateway.store.answer = () => ({ status: 500 });
    const away = await fetch(address);
    expect([away.status, away.headers.get('retry-after')]).toEqual([503, '5']);
  });

  it('read a document that travelled in its offer: a short one from the link, a long one from the dispatcher', async () => {
    const fields = { name: '1022_ID_6_Cancelled.json', mimeType: 'application/json' };
    const short = await fetch(await linkTo({ kind: 'inline', text: '{"ä":1}' }, fields));
    expect(await short.text()).toBe('{"ä":1}');
    const deliveryId = randomUUID();
    gateway.dispatcher.answer = () => ({ status: 200, body: '{}' });
    const long = await fetch(await linkTo({ kind: 'delivery', deliveryId }, fields));
    expect(await long.text()).toBe('{}');
    expect(gateway.dispatcher.seen.at(-1)?.url).toBe(
      `/internal/deliveries/${deliveryId}/files/1022_ID_6_Cancelled.json`,
    );
  });

  it('are refused alike when they are changed, expired, of another file or given twice, before anything is asked', async () => {
    const week = new Date(Date.now() - 8 * 24 * 3_600_000);
    const file = { tenant: TENANT, name: 'a.dst', mimeType: 'x/y', source: anUrl('x') };
    const document = {
      ...file,
      source: { kind: 'hub' as const, path: '/internal/recipes/demo/DRIVE-001/3' },
    };
    const good = gateway.url + links.pathTo(file);
    const asked = sources.requests.length;
    const addresses = [
      gateway.url + links.pathTo(file, week),
      gateway.url + links.pathTo(document, week),
      good.replace('a.dst', 'b.dst'),
      good.replace(/.(?=\/a\.dst$)/, (last) => (last === 'A' ? 'B' : 'A')),
      `${gateway.url}/recipe/OTHER.json${new URL(links.pathTo(document), gateway.url).search}`,
      `${gateway.url}${links.pathTo(document)}&link=x`,
      `${gateway.url}/recipe/DRIVE-001.json?link=`,
    ];
    const details = new Set<string>();
    for (const address of addresses) {
      const answer = await fetch(address);
      expect([address, answer.status]).toEqual([address, 403]);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
      details.add(Problem.parse(await answer.json()).detail);
    }
    expect([...details]).toEqual(['this link has expired or is not complete: ask for a new one']);
    expect(sources.requests.length).toBe(asked);
    expect(gateway.store.seen).toEqual([]);
  });

  it('never lead to private addresses or the hub itself, and say nothing of them', async () => {
    for (const url of ['http://169.254.169.254/latest', 'http://127.0.0.1:1/x', `${gateway.url}/x`]) {
      const answer = await fetch(await linkTo({ kind: 'url', url }));
      expect([url, answer.status]).toEqual([url, 502]);
      expect(await answer.text()).not.toMatch(/127\.0|169\.254/);
    }
  });

  it('answer 502 where the source fails, and cut the transfer where it breaks off', async () => {
    writeFileSync(join(sources.directory, 'cut'), randomBytes(500_000));
    sources.setFault('/cut', { kind: 'status', status: 404, times: 1 });
    expect((await fetch(await linkTo(anUrl('cut')))).status).toBe(502);
    sources.setFault('/cut', { kind: 'redirect', location: 'http://127.0.0.1:1/', times: 1 });
    expect((await fetch(await linkTo(anUrl('cut')))).status).toBe(502);
    sources.setFault('/cut', { kind: 'cut', afterBytes: 100_000 });
    await expect(fetch(await linkTo(anUrl('cut'))).then((answer) => answer.arrayBuffer())).rejects.toThrow();
  });

  it('let go of the source when the client leaves', async () => {
    const url = `http://127.0.0.1:${String((endless.address() as AddressInfo).port)}/`;
    const leaving = new AbortController();
    const answer = await fetch(await linkTo({ kind: 'url', url }), { signal: leaving.signal });
    expect([answer.status, lost]).toEqual([200, 0]);
    leaving.abort();
    await eventually(async () => expect(lost).toBe(1), { withinMs: 10_000 });
  });

  describe('that are previews', () => {
    const serve = (source: LinkedFile['source'], body = ''): void => {
      gateway.store.answer = ({ url }) =>
        url.startsWith('/internal/previews/')
          ? { status: 200, body: JSON.stringify({ source }) }
          : { status: 200, headers: { 'content-type': 'text/html' }, body };
    };
    const SHOWN = {
      'access-control-allow-origin': '*',
      'content-disposition': 'inline',
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
    };

    it('are streamed without a link, from whoever serves them, as images and nothing else', async () => {
      writeFileSync(join(sources.directory, 'front.html'), 'an image');
      serve(anUrl('front.html'));

      const answer = await fetch(`${gateway.url}/Recipe/2-aB.c-Front%20%2F%C3%A4.PNG?apikey=x`);

      expect([answer.status, await answer.text()]).toEqual([200, 'an image']);
      expect(Object.fromEntries(answer.headers)).toMatchObject({ ...SHOWN, 'content-type': 'image/png' });
      expect(gateway.store.seen.map(({ url }) => url)).toEqual([
        `/internal/previews/${TENANT}/2-aB.c-Front%20%2F%C3%A4.png`,
      ]);
      const head = await fetch(`${gateway.url}/recipe/A-Front.jpg`, { method: 'HEAD' });
      expect([head.status, head.headers.get('content-type')]).toEqual([200, 'image/jpeg']);
      expect([head.headers.get('content-length'), await head.text()]).toEqual(['8', '']);
    });

    it('come from the store where they were uploaded', async () => {
      const sha256 = 'a'.repeat(64);
      serve({ kind: 'hub', path: `/internal/contents/${TENANT}/${sha256}`, sha256 }, 'uploaded');

      const answer = await fetch(`${gateway.url}/recipe/A-Front.jpg`);

      expect([answer.status, await answer.text()]).toEqual([200, 'uploaded']);
      expect(Object.fromEntries(answer.headers)).toMatchObject({ ...SHOWN, 'content-type': 'image/jpeg' });
      expect(gateway.store.seen[1]?.url).toBe(`/internal/contents/${TENANT}/${sha256}`);
    });

    it('answer for what is not there, and go to no address that is refused', async () => {
      gateway.store.answer = () => ({ status: 404, body: '{}' });
      expect((await fetch(`${gateway.url}/recipe/A-Front.png`)).status).toBe(404);
      serve(anUrl('gone.png'));
      expect((await fetch(`${gateway.url}/recipe/A-Front.png`)).status).toBe(502);
      serve({ kind: 'url', url: gateway.store.url });
      const asked = gateway.store.seen.length;
      expect((await fetch(`${gateway.url}/recipe/A-Front.png`)).status).toBe(502);
      expect(gateway.store.seen).toHaveLength(asked + 1);
      expect((await fetch(`${gateway.url}/recipe/A.png`)).status).toBe(404);
    });
  });
});
