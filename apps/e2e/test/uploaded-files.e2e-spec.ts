import { createHash, randomBytes } from 'node:crypto';
import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { RecipePage, UploadedFile } from '@heddle/contracts';
import { Heddle, eventually } from '@heddle/testing';
import type { HubClient } from '@heddle/testing';

import { testServers } from '../src/test-servers.js';

const WITHIN = { withinMs: 30_000, everyMs: 50 } as const;

jest.setTimeout(90_000);

describe('files that are uploaded', () => {
  let heddle: Heddle;

  beforeAll(async () => {
    heddle = await Heddle.start(testServers());
    await heddle.integrate();
  }, 90_000);
  afterAll(() => heddle.stop(), 30_000);

  const pathOf = (recipeId: string, name: string): string =>
    `/api/v2/recipe/${recipeId}/files/${encodeURIComponent(name)}`;
  const call = (...args: Parameters<HubClient['send']>): Promise<Response> => heddle.client.send(...args);
  const digestOf = (bytes: Buffer): string =>
    `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;
  const arrived = async (start: string): Promise<readonly string[]> =>
    (await readdir(heddle.sftpDirectory)).filter((name) => name.startsWith(start)).sort();
  const content = (name: string): Promise<Buffer> => readFile(join(heddle.sftpDirectory, name));
  const order = (orderNumber: string, recipeId: string): Promise<unknown> =>
    heddle.client.expect('POST', '/api/v2/recipe/order', [
      { recipeId, orderNumber, orderId: `9${orderNumber}`, itemId: '1', itemQuantity: 1 },
    ]);
  const save = (recipeId: string): Promise<unknown> =>
    heddle.client.expect('POST', '/api/v2/recipe', { id: recipeId, name: 'Team Cap' });

  it('go out with the orders of their recipe under their own names, byte for byte, also when they change', async () => {
    const bytes = randomBytes(20_000_000);
    await save('UPLOAD-1');
    const answer = await call('PUT', `${pathOf('UPLOAD-1', 'Front stitches.dst')}?kind=production`, {
      body: bytes,
      headers: { 'content-type': 'application/x-dst', 'content-digest': digestOf(bytes) },
    });
    expect(answer.status).toBe(201);
    const { sha256 } = UploadedFile.parse(await answer.json());
    expect(sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
    // Before the order, so that its first delivery has the file already.
    await eventually(async () => {
      expect((await call('GET', '/recipe/UPLOAD-1.json')).status).toBe(200);
    }, WITHIN);
    await order('3001', 'UPLOAD-1');
    const prefix = '3001_ID_93001_R_UPLOAD-1_';
    const name = await eventually(async () => {
      const names = await arrived(`${prefix}Front_stitches-`);
      expect(names).toHaveLength(1);
      return names[0]!;
    }, WITHIN);
    expect(name).toMatch(/Front_stitches-[0-9a-f]{8}\.dst$/);
    expect((await content(name)).equals(bytes)).toBe(true);

    const listed = await heddle.client.expect('GET', '/api/v2/recipes?search=UPLOAD-1&ordered=true');
    expect(RecipePage.parse(listed).items).toMatchObject([
      { recipeId: 'UPLOAD-1', name: 'Team Cap', version: 2, uploadedFiles: 1, ordered: true },
    ]);

    const etag = `"${sha256}"`;
    const part = await call('GET', pathOf('UPLOAD-1', 'Front stitches.dst'), {
      headers: { range: 'bytes=19999990-' },
    });
    expect([part.status, part.headers.get('etag'), part.headers.get('content-range')]).toEqual([
      206,
      etag,
      'bytes 19999990-19999999/20000000',
    ]);
    expect(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(-10))).toBe(true);
    const same = await call('GET', pathOf('UPLOAD-1', 'Front stitches.dst'), {
      headers: { 'if-none-match': etag },
    });
    expect(same.status).toBe(304);

    const other = randomBytes(100_000);
    const replaced = await call('PUT', `${pathOf('UPLOAD-1', 'Front stitches.dst')}?kind=production`, {
      body: other,
    });
    expect(replaced.status).toBe(200);
    await eventually(async () => expect((await content(name)).equals(other)).toBe(true), WITHIN);
  });

  it("go out as what the document says where it links them at the hub's own address", async () => {
    const recipeId = 'UPLOAD-4';
    const production = new URL(pathOf(recipeId, 'cut.dst'), heddle.baseUrl).href;
    await call('PUT', pathOf(recipeId, 'cut.dst'), { body: Buffer.from('stitches') });
    await heddle.client.expect('POST', '/api/v2/recipe', {
      id: recipeId,
      views: [{ code: 'Front', productionReady: true, production }],
    });
    await order('3004', recipeId);

    await eventually(async () => expect(await arrived('3004_')).toHaveLength(3), WITHIN);

    const prefix = `3004_ID_93004_R_${recipeId}`;
    expect(await arrived('3004_')).toEqual(
      ['Production-Front.dst', 'Recipe.json', 'Ticket.pdf'].map((name) => `${prefix}_${name}`),
    );
    expect((await content(`${prefix}_Production-Front.dst`)).toString()).toBe('stitches');
  });

  it('are the previews of their recipe, for whoever knows its id', async () => {
    const recipeId = '2-PREVIEW';
    const views = [
      { code: 'Front', previewPng: `${heddle.baseUrl}/recipe/${recipeId}-Front.png` },
      { code: 'Back', previewJpg: heddle.fileUrl('back') },
    ];
    await writeFile(join(heddle.filesDirectory, 'back'), 'linked');
    await call('PUT', `${pathOf(recipeId, 'Front.png')}?kind=preview`, { body: Buffer.from('uploaded') });
    await heddle.client.expect('POST', '/api/v2/recipe', { id: recipeId, views });
    const read = async (name: string): Promise<readonly unknown[]> => {
      const answer = await fetch(`${heddle.baseUrl}/recipe/${recipeId}-${name}`);
      return [answer.status, answer.headers.get('content-type'), await answer.text()];
    };

    await eventually(async () => {
      expect(await read('Front.png')).toEqual([200, 'image/png', 'uploaded']);
    }, WITHIN);
    expect(await read('Back.jpg')).toEqual([200, 'image/jpeg', 'linked']);
    expect((await read('Back.png'))[0]).toBe(404);
    await order('3005', recipeId);
    await eventually(async () => {
      expect(await arrived('3005_')).toHaveLength(4);
    }, WITHIN);
    expect((await content(`3005_ID_93005_R_${recipeId}_Preview-Front.png`)).toString()).toBe('uploaded');
  });

  it('with another digest leave nothing', async () => {
    const answer = await call('PUT', pathOf('UPLOAD-2', 'a.bin'), {
      body: randomBytes(1_000),
      headers: { 'content-digest': digestOf(Buffer.from('other')) },
    });
    expect(answer.status).toBe(400);
    expect((await call('GET', pathOf('UPLOAD-2', 'a.bin'))).status).toBe(404);
  });

  it('leave nothing to be seen when the store is killed meanwhile, and may come again', async () => {
    const bytes = randomBytes(2_000_000);
    const endless = new ReadableStream<Uint8Array>({
      start: (controller) => {
        controller.enqueue(bytes.subarray(0, 1_000_000));
      },
    });
    const answered = call('PUT', pathOf('UPLOAD-3', 'a.bin'), { body: endless });
    await eventually(async () => {
      const objects = await readdir(join(heddle.directory, 'uploads', heddle.tenant)).catch(() => []);
      const sizes = await Promise.all(
        objects.map((name) => stat(join(heddle.directory, 'uploads', heddle.tenant, name))),
      );
      expect(sizes.map(({ size }) => size)).toContain(1_000_000);
    }, WITHIN);
    heddle.service('association-store').signal('SIGKILL');
    expect((await answered).status).toBe(503);
    await eventually(async () => {
      expect((await call('GET', pathOf('UPLOAD-3', 'a.bin'))).status).toBe(404);
    }, WITHIN);
    const again = await call('PUT', pathOf('UPLOAD-3', 'a.bin'), { body: bytes });
    expect(again.status).toBe(201);
    expect(
      Buffer.from(await (await call('GET', pathOf('UPLOAD-3', 'a.bin'))).arrayBuffer()).equals(bytes),
    ).toBe(true);
  });
});
