import { createHash } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  FILE_KINDS,
  OrderChangedV1,
  PreviewPlace,
  Problem,
  RecipeSavedV1,
  TOPIC,
  UploadedFile,
} from '@heddle/contracts';
import type { ManifestFile } from '@heddle/contracts';
import { connectDataSource, query, runMigrations } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import { createDatabase, eventually } from '@heddle/testing';
import type { TestDatabase } from '@heddle/testing';

import { purgeFiles } from '../src/files/file-purge.js';
import { LocalObjectStore } from '../src/files/local-object-store.js';
import { storeDataSource } from '../src/schema/data-source.js';
import { SCHEMA } from '../src/schema/migrations.js';

import { RunningStore } from './running-store.js';
import type { Body } from './running-store.js';
import { quiet } from './support.js';

const WITHIN = { withinMs: 15_000 };
const MAX_BYTES = 1_000_000;

let database: TestDatabase;
let store: RunningStore;
let dataSource: DataSource;

beforeAll(async () => {
  database = await createDatabase(process.env['TEST_DATABASE_URL'] ?? '');
  store = await RunningStore.start(database.url, { UPLOAD_MAX_BYTES: String(MAX_BYTES) });
  dataSource = storeDataSource(store.config);
  await runMigrations(dataSource);
  await connectDataSource(dataSource, { logger: quiet });
  await eventually(() => expect(store.failing).toEqual({}), WITHIN);
}, 60_000);

afterAll(async () => {
  await store.stop();
  await dataSource.destroy();
  await database.drop();
}, 30_000);

const hashOf = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');
const digestOf = (bytes: string): string =>
  `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;
const pathOf = (recipeId: string, name: string): string =>
  `/api/v2/recipe/${recipeId}/files/${encodeURIComponent(name)}`;

const put = (
  recipeId: string,
  name: string,
  body: Body,
  { kind, ...headers }: Record<string, string> = {},
): Promise<Response> =>
  store.call('PUT', pathOf(recipeId, name) + (kind === undefined ? '' : `?kind=${kind}`), { headers, body });
const read = (recipeId: string, name: string, headers: Record<string, string> = {}): Promise<Response> =>
  store.call('GET', pathOf(recipeId, name), { headers });

/** Files in the storage, whatever their names. */
async function objects(): Promise<string[]> {
  const entries = await readdir(store.config.FILES_DIR, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name !== '.owner.json')
    .map(({ parentPath, name }) => join(parentPath, name));
}

async function count(table: string): Promise<number> {
  const [row] = await query<{ count: string }>(dataSource, `SELECT count(*) FROM ${SCHEMA}.${table}`);
  return Number(row?.count);
}

async function recipeEvents(recipeId: string): Promise<RecipeSavedV1[]> {
  const messages = [
    ...(await store.messages(TOPIC.recipeCreated)),
    ...(await store.messages(TOPIC.recipeUpdated)),
  ];
  return messages
    .map(({ value }) => RecipeSavedV1.strict().parse(JSON.parse(Buffer.from(value).toString())))
    .filter((recipe) => recipe.recipeId === recipeId);
}

const uploadsIn = (files: readonly ManifestFile[]): ManifestFile[] =>
  files.filter(({ kind, sha256 }) => sha256 !== null && kind !== 'recipe');

describe('an uploaded file', () => {
  it('is kept with its type, read as it came, replaced, and deleted', async () => {
    const first = await put('UP-1', 'Käppi front.dst', 'stitches', { 'content-type': 'application/x-dst' });
    expect(first.status).toBe(201);
    expect(UploadedFile.strict().parse(await first.json())).toEqual({
      name: 'Käppi front.dst',
      mimeType: 'application/x-dst',
      sizeBytes: 8,
      sha256: hashOf('stitches'),
    });
    const answer = await read('UP-1', 'Käppi front.dst');
    expect(await answer.text()).toBe('stitches');
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'application/x-dst',
      'content-length': '8',
      etag: `"${hashOf('stitches')}"`,
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
      'content-disposition': "attachment; filename*=UTF-8''K%C3%A4ppi%20front.dst",
    });
    const second = await put('UP-1', 'Käppi front.dst', Buffer.from('other stitches'));
    expect([second.status, await second.json()]).toMatchObject([
      200,
      { mimeType: 'application/octet-stream', sizeBytes: 14 },
    ]);
    expect(await (await read('UP-1', 'Käppi front.dst')).text()).toBe('other stitches');
    expect((await store.call('DELETE', pathOf('UP-1', 'Käppi front.dst'))).status).toBe(204);
    expect((await read('UP-1', 'Käppi front.dst')).status).toBe(404);
    expect((await store.call('DELETE', pathOf('UP-1', 'Käppi front.dst'))).status).toBe(404);
  });

  it('is read in parts, and not again while it is the same', async () => {
    const text = 'abcdefghij';
    await put('UP-2', 'letters.txt', text);
    const etag = `"${hashOf(text)}"`;
    const part = await read('UP-2', 'letters.txt', { range: 'bytes=2-4' });
    expect([part.status, await part.text(), part.headers.get('content-range')]).toEqual([
      206,
      'cde',
      'bytes 2-4/10',
    ]);
    const rest = await read('UP-2', 'letters.txt', { range: 'bytes=7-', 'if-range': etag });
    expect([rest.status, await rest.text()]).toEqual([206, 'hij']);
    const stale = await read('UP-2', 'letters.txt', { range: 'bytes=7-', 'if-range': '"old"' });
    expect([stale.status, await stale.text()]).toEqual([200, text]);
    const beyond = await read('UP-2', 'letters.txt', { range: 'bytes=10-' });
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */10']);
    expect(Problem.parse(await beyond.json()).status).toBe(416);
    expect((await read('UP-2', 'letters.txt', { 'if-none-match': etag })).status).toBe(304);
    const head = await store.call('HEAD', pathOf('UP-2', 'letters.txt'));
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '10', '']);
  });

  it('is seen by its own tenant and with its own permission alone', async () => {
    await put('UP-3', 'mine.txt', 'mine');
    const path = pathOf('UP-3', 'mine.txt');
    const content = `/internal/contents/demo/${hashOf('mine')}`;
    expect(await (await store.call('GET', content)).text()).toBe('mine');
    for (const address of [path, content])
      expect((await store.call('GET', address, { tenant: 'other' })).status).toBe(404);
    for (const [method, body] of [['PUT', 'x'], ['DELETE']] as const)
      expect(
        (
          await store.call(method, path, {
            permissions: ['recipes:read'],
            ...(body !== undefined && { body }),
          })
        ).status,
      ).toBe(403);
    expect((await store.call('GET', path, { permissions: ['orders:read'] })).status).toBe(403);
  });

  it('has a name that no folder takes for another, and a kind of its own', async () => {
    for (const [name, word] of [
      ['../x', 'slash'],
      ['a\\b', 'backslash'],
      ['a\0b', 'control'],
      ['gpj.\u202etxt', 'invisible'],
      ['.hidden', 'dot'],
      ['x.', 'dot'],
      ['aux.txt', 'device'],
      ['a:b', '< >'],
      [`${'ä'.repeat(89)}.png`, '180 bytes'],
    ] as const) {
      const answer = await put('UP-4', name, 'x');
      expect([name, answer.status]).toEqual([name, 400]);
      expect(Problem.parse(await answer.json()).errors?.[0]?.message).toContain(word);
    }
    for (const kind of FILE_KINDS) expect((await put('UP-4', `${kind}.x`, 'x', { kind })).status).toBe(201);
    expect((await put('UP-4', 'x.json', 'x', { kind: 'notification' })).status).toBe(400);
    expect((await put('.up', 'x.json', 'x')).status).toBe(400);
    expect((await put('UP-4', `${'ä'.repeat(88)}.png`, 'x')).status).toBe(201);
  });
});

describe('an upload that comes to nothing', () => {
  it('with another digest keeps nothing; with its own it is kept', async () => {
    const before = [await objects(), await count('loose_objects')];
    const wrong = await put('UP-5', 'a.txt', 'text', { 'content-digest': digestOf('other') });
    expect(wrong.status).toBe(400);
    expect(Problem.parse(await wrong.json()).detail).toContain('digest');
    expect((await put('UP-5', 'a.txt', 'text', { 'content-digest': 'md5=:AA==:' })).status).toBe(400);
    expect((await read('UP-5', 'a.txt')).status).toBe(404);
    expect([await objects(), await count('loose_objects')]).toEqual(before);
    expect((await put('UP-5', 'a.txt', 'text', { 'content-digest': digestOf('text') })).status).toBe(201);
  });

  it('for its size keeps nothing, whether it says its length or not', async () => {
    const before = [await objects(), await count('loose_objects')];
    const large = Buffer.alloc(MAX_BYTES + 1);
    expect((await put('UP-6', 'a.bin', large)).status).toBe(413);
    const pieces = new Blob([large]).stream();
    expect((await put('UP-6', 'a.bin', pieces)).status).toBe(413);
    expect([await objects(), await count('loose_objects')]).toEqual(before);
    expect((await put('UP-6', 'a.bin', Buffer.alloc(MAX_BYTES))).status).toBe(201);
  });

  it('by its client leaving keeps nothing', async () => {
    const before = [await objects(), await count('loose_objects')];
    const path = pathOf('UP-7', 'cut.bin');
    const token = await store.token();
    const cut = request(store.url + path, {
      method: 'PUT',
      headers: { authorization: `Bearer ${token}`, 'content-length': '1000' },
    });
    cut.on('error', () => undefined);
    cut.write(Buffer.alloc(500));
    await eventually(async () => expect(await count('loose_objects')).toBe(Number(before[1]) + 1), WITHIN);
    cut.destroy();
    await eventually(
      async () => expect([await objects(), await count('loose_objects')]).toEqual(before),
      WITHIN,
    );
    expect((await read('UP-7', 'cut.bin')).status).toBe(404);
  });
});

describe('the storage', () => {
  it('keeps the same content once, and only while a recipe or a delivery may ask for it', async () => {
    const storage = new LocalObjectStore(store.config.FILES_DIR);
    const before = (await objects()).length;
    await put('UP-8', 'a.txt', 'the same');
    await put('UP-8', 'b.txt', 'the same');
    await put('UP-9', 'c.txt', 'the same');
    expect((await objects()).length).toBe(before + 1);
    await store.call('DELETE', pathOf('UP-8', 'a.txt'));
    await store.call('DELETE', pathOf('UP-8', 'b.txt'));
    const purge = (untouchedSince: Date) =>
      purgeFiles(dataSource, storage, { untouchedSince, now: new Date() });
    await purge(new Date(Date.now() + 1_000));
    expect(await (await read('UP-9', 'c.txt')).text()).toBe('the same');
    await put('UP-9', 'c.txt', 'another');
    await purge(new Date(0));
    const content = `/internal/contents/demo/${hashOf('the same')}`;
    expect(await (await store.call('GET', content)).text()).toBe('the same');
    expect(await purge(new Date(Date.now() + 1_000))).toBeGreaterThan(0);
    expect((await store.call('GET', content)).status).toBe(404);
    expect((await put('UP-9', 'c.txt', 'the same')).status).toBe(200);
    expect(await (await read('UP-9', 'c.txt')).text()).toBe('the same');
  });

  it('is cleaned of what a killed upload left', async () => {
    const storage = new LocalObjectStore(store.config.FILES_DIR);
    const before = await objects();
    await storage.write('demo/half', Readable.from([Buffer.from('half')]));
    await query(
      dataSource,
      `INSERT INTO ${SCHEMA}.loose_objects VALUES ('demo/half', now() - interval '1 s')`,
    );
    await purgeFiles(dataSource, storage, { untouchedSince: new Date(0), now: new Date() });
    expect(await objects()).toEqual(before);
    expect(await count('loose_objects')).toBe(0);
  });

  it('that has lost a file says so', async () => {
    await put('UP-10', 'lost.txt', 'about to be lost');
    const [row] = await query<{ object_key: string }>(
      dataSource,
      `SELECT object_key FROM ${SCHEMA}.file_contents WHERE sha256 = $1`,
      [hashOf('about to be lost')],
    );
    await rm(join(store.config.FILES_DIR, row!.object_key));
    expect((await read('UP-10', 'lost.txt')).status).toBe(404);
  });
});

describe('the files of a recipe', () => {
  it('are a new version of it with each other content, and its orders are told once', async () => {
    await store.save('UP-20', JSON.stringify({ id: 'UP-20', name: 'Cap', styleCode: 'C1' }));
    await eventually(async () => expect(await recipeEvents('UP-20')).toHaveLength(1), WITHIN);
    await store.associate('2001', [['a', 'UP-20', 1]]);
    await eventually(
      async () => expect(await store.ordersOn(TOPIC.orderSubmitted, '2001')).toHaveLength(1),
      WITHIN,
    );
    for (const status of [201, 200]) {
      const answer = await put('UP-20', 'cut.dst', Buffer.from('stitches'), { kind: 'production' });
      expect(answer.status).toBe(status);
    }
    const [order] = await eventually(async () => {
      const orders = await store.ordersOn(TOPIC.orderUpdated, '2001');
      expect(orders).toHaveLength(1);
      return orders;
    }, WITHIN);
    const file = {
      name: 'cut.dst',
      kind: 'production',
      mimeType: 'application/octet-stream',
      url: 'https://hub.example/api/v2/recipe/UP-20/files/cut.dst',
      sizeBytes: 8,
      sha256: hashOf('stitches'),
    };
    expect(OrderChangedV1.parse(order)).toMatchObject({ version: 2, reason: 'recipe-updated' });
    const { recipe } = order!.items[0]!;
    expect(recipe.version).toBe(2);
    expect(uploadsIn(recipe.files)).toEqual([file]);
    const events = await recipeEvents('UP-20');
    expect(events.map(({ version, files }) => [version, uploadsIn(files)])).toEqual([
      [1, []],
      [2, [file]],
    ]);
    expect(events[1]).toMatchObject({ name: 'Cap', styleCode: 'C1', channel: 'default', temporary: false });

    // Another document keeps them; the same one is nothing; a deleted file is another version.
    await store.save('UP-20', JSON.stringify({ id: 'UP-20', name: 'Hat', styleCode: 'C1' }));
    await store.save('UP-20', JSON.stringify({ id: 'UP-20', styleCode: 'C1', name: 'Hat' }));
    await eventually(async () => expect(await recipeEvents('UP-20')).toHaveLength(3), WITHIN);
    await store.call('DELETE', pathOf('UP-20', 'cut.dst'));
    const all = await eventually(async () => {
      const found = await recipeEvents('UP-20');
      expect(found).toHaveLength(4);
      return found;
    }, WITHIN);
    expect(all.map(({ name, files }) => [name, uploadsIn(files).length])).toEqual([
      ['Cap', 0],
      ['Cap', 1],
      ['Hat', 1],
      ['Hat', 0],
    ]);
  });

  it('may come before its document, and join it', async () => {
    await put('UP-21', 'early.txt', 'early');
    expect(await recipeEvents('UP-21')).toEqual([]);
    await store.save('UP-21', JSON.stringify({ id: 'UP-21' }));
    const [created] = await eventually(async () => {
      const events = await recipeEvents('UP-21');
      expect(events).toHaveLength(1);
      return events;
    }, WITHIN);
    expect(uploadsIn(created!.files).map(({ name, kind }) => [name, kind])).toEqual([
      ['early.txt', 'attachment'],
    ]);
  });

  it('are counted, and are not too many, also when they come side by side', async () => {
    await query(
      dataSource,
      `INSERT INTO ${SCHEMA}.recipes (tenant, recipe_id, version, files, uploads, created_at, updated_at)
      VALUES ('demo', 'UP-22', 0, '[]', 98, now(), now())`,
    );
    await query(
      dataSource,
      `INSERT INTO ${SCHEMA}.recipe_files (tenant, recipe_id, name, kind, mime_type, sha256, created_at, updated_at)
       SELECT 'demo', 'UP-22', n::text, 'attachment', 'a/b', sha256, now(), now()
       FROM generate_series(1, 98) n, (SELECT sha256 FROM ${SCHEMA}.file_contents WHERE tenant = 'demo' LIMIT 1) c`,
    );
    const answers = await Promise.all(
      Array.from({ length: 5 }, (_, index) => put('UP-22', `more-${String(index)}.txt`, 'more')),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 409, 409, 409]);
    expect((await put('UP-22', '1', 'replaced')).status).toBe(200);
  });
});

describe('the preview of a view', () => {
  const place = async (file: string, tenant?: string): Promise<PreviewPlace | number> => {
    const answer = await store.get(
      `/internal/previews/demo/${encodeURIComponent(file)}`,
      tenant === undefined ? {} : { tenant },
    );
    return answer.status === 200 ? PreviewPlace.strict().parse(await answer.json()) : answer.status;
  };
  const linked = (url: string): PreviewPlace => ({ source: { kind: 'url', url } });
  const uploaded = (bytes: string): PreviewPlace => {
    const sha256 = hashOf(bytes);
    return { source: { kind: 'hub', path: `/internal/contents/demo/${sha256}`, sha256 } };
  };

  beforeAll(async () => {
    const view = (code: string, members: object): object => ({ code, ...members });
    const documents = [
      {
        id: 'PV-1',
        views: [
          view('Front', { preview: '//img.example/f', previewPng: '//img.example/f.png' }),
          view('Back-Left', {
            preview: '//img.example/bl',
            previewPng: '//hub.example/recipe/PV-1-Back-Left.png',
          }),
          view('Back-Both', { previewPng: '//img.example/short.png' }),
          view('B/ä', { previewJpg: '//img.example/b.jpg' }),
        ],
      },
      {
        id: 'PV-1-Back',
        views: [
          view('Right', { previewPng: '//img.example/right.png' }),
          view('Both', { previewPng: '//img.example/long.png' }),
        ],
      },
    ];
    await put('PV-1', 'Back-Left.png', 'uploaded back', { kind: 'preview' });
    await put('PV-1', 'Extra.jpeg', 'uploaded extra', { kind: 'preview' });
    await put('PV-1', 'Note.png', 'a note');
    for (const document of documents) await store.save(document.id, JSON.stringify(document));
    await put('PV-2', 'Front.png', 'no document', { kind: 'preview' });
    await eventually(async () => expect(await recipeEvents('PV-1-Back')).toHaveLength(1), WITHIN);
    await eventually(async () => expect(await recipeEvents('PV-1')).toHaveLength(1), WITHIN);
  }, 30_000);

  it('is the uploaded one, else what the document links, else its render address', async () => {
    expect(await place('PV-1-Back-Left.png')).toEqual(uploaded('uploaded back'));
    expect(await place('PV-1-Extra.jpg')).toEqual(uploaded('uploaded extra'));
    expect(await place('PV-1-Front.png')).toEqual(linked('https://img.example/f.png'));
    expect(await place('PV-1-Front.jpg')).toEqual(linked('https://img.example/f'));
    expect(await place('PV-1-B/ä.jpg')).toEqual(linked('https://img.example/b.jpg'));
  });

  it('is of the longest id that has the view, as dashes stand in ids and in views', async () => {
    expect(await place('PV-1-Back-Right.png')).toEqual(linked('https://img.example/right.png'));
    expect(await place('PV-1-Back-Both.png')).toEqual(linked('https://img.example/long.png'));
    expect(await place('PV-1-Back-Left.png')).toEqual(uploaded('uploaded back'));
  });

  it('is not there without a recipe, a view, that type or its tenant', async () => {
    for (const file of [
      'PV-1-Side.png',
      'PV-1-B/ä.png',
      'PV-1-Note.png',
      'PV-1.png',
      'PV-1-.png',
      'PV-2-Front.png',
      'PV-3-Front.png',
      '-Front.png',
      'PV-1-Front.gif',
    ])
      expect([file, await place(file)]).toEqual([file, 404]);
    expect(await place('PV-1-Front.png', 'other')).toBe(404);
  });
});
