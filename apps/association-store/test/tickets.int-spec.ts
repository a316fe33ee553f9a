import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PNG } from 'pngjs';
import { Registry } from 'prom-client';

import { AddressGuard, UrlSources, parseAllowedAddresses } from '@heddle/destination-kit';
import type { OutboxRelay } from '@heddle/persistence';
import { createLogger } from '@heddle/platform';
import { temporaryFolder } from '@heddle/testing';

import { FileService } from '../src/files/file.service.js';
import { LocalObjectStore } from '../src/files/local-object-store.js';
import type { Linker } from '../src/links/linker.js';
import { StoreMetrics } from '../src/operations/store-metrics.js';
import { PreviewSource } from '../src/tickets/preview-source.js';
import { TicketThreads } from '../src/tickets/ticket-threads.js';
import { TicketMetrics } from '../src/tickets/ticket.metrics.js';
import { TicketService } from '../src/tickets/ticket.service.js';
import type { AskedTicket } from '../src/tickets/ticket.service.js';
import { UploadedPreviews } from '../src/tickets/uploaded-previews.js';

import { PUBLIC, StoreUnderTest, quiet } from './support.js';
import { buildThread, buildTicketThread } from './ticket-thread.js';

const RECIPE_ID = 'DRIVE-001';
const asked: AskedTicket = { tenant: 'demo', recipeId: RECIPE_ID, order: null, paper: 'a4' };

function png(colour = '#ffffff'): Buffer {
  const image = new PNG({ width: 8, height: 8 });
  const pixel = Buffer.from(`${colour.slice(1)}ff`, 'hex');
  image.data.fill(pixel);
  return PNG.sync.write(image);
}

/** Serves previews, and counts what it was asked for. */
class ImageHost {
  readonly seen: string[] = [];
  private constructor(private readonly server: Server) {}

  static async start(): Promise<ImageHost> {
    const server = createServer();
    const host = new ImageHost(server);
    server.on('request', ({ url = '' }, response) => {
      host.seen.push(url);
      if (url.startsWith('/hang')) return;
      if (url.startsWith('/huge')) {
        response.writeHead(200, { 'content-type': 'image/png' });
        const chunk = Buffer.alloc(1024 * 1024, 0x89);
        const more = (): void => {
          if (!response.destroyed && response.write(chunk)) setImmediate(more);
          else response.once('drain', more);
        };
        more();
        return;
      }
      if (url.startsWith('/moved')) {
        response.writeHead(302, { location: '/front.png' }).end();
        return;
      }
      if (url.startsWith('/page')) {
        response.end('<html></html>');
        return;
      }
      response.end(png());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return host;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  url(path: string): string {
    return `http://127.0.0.1:${String(this.port)}${path}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

let store: StoreUnderTest;
let host: ImageHost;
let sources: UrlSources;
let uploads: FileService;
let lines: string[] = [];
const services: TicketService[] = [];

function serviceOn(
  file: string,
  options: { timeoutMs?: number; previewsWithinMs?: number } = {},
): TicketService {
  const service = new TicketService(
    store.dataSource,
    new TicketThreads({ file, threads: 1, timeoutMs: options.timeoutMs ?? 15_000 }),
    new UploadedPreviews(store.dataSource, uploads),
    new PreviewSource(sources, options.previewsWithinMs ?? 5_000),
    sources,
    new TicketMetrics(new Registry()),
    PUBLIC,
    createLogger({
      service: 'test',
      level: 'info',
      destination: { write: (line: string) => void lines.push(line) },
    }),
  );
  services.push(service);
  return service;
}

beforeAll(async () => {
  [store, host] = await Promise.all([StoreUnderTest.start(), ImageHost.start()]);
  const nothing = { nudge: () => undefined };
  uploads = new FileService(
    store.dataSource,
    nothing as OutboxRelay,
    nothing as unknown as Linker,
    new StoreMetrics(new Registry()),
    new LocalObjectStore(await temporaryFolder('uploads')),
    PUBLIC,
    10_000_000,
    quiet,
  );
  sources = new UrlSources({
    guard: new AddressGuard({ allowed: parseAllowedAddresses(`127.0.0.1/32:${String(host.port)}`) }),
    connectTimeoutMs: 2_000,
    silenceTimeoutMs: 5_000,
  });
}, 60_000);

afterAll(async () => {
  await Promise.all(services.map((service) => service.onApplicationShutdown()));
  await Promise.all([store.close(), host.close()]);
});

describe('a troubled ticket', () => {
  let file: string;
  beforeAll(async () => {
    file = await buildThread(join(import.meta.dirname, 'troubled-thread.fixture.ts'));
  });

  it.each(['ends the thread', 'never ends', 'throws later', 'eats memory'])(
    'costs nothing but itself when it %s',
    async (name) => {
      await store.clear();
      await store.save({ id: RECIPE_ID, name }, { id: 'GOOD-1', name: 'fine' });
      lines = [];
      const service = serviceOn(file, { timeoutMs: name === 'eats memory' ? 15_000 : 1_000 });
      await expect(service.find(asked)).rejects.toMatchObject({ status: 422 });
      expect((await service.find({ ...asked, recipeId: 'GOOD-1' }))?.bytes.toString()).toBe('%PDF-fine');
      expect(lines.filter((line) => line.includes('ticket.failed'))).toHaveLength(1);
      // It is not tried at each request.
      await expect(service.find(asked)).rejects.toMatchObject({ status: 422 });
      expect(lines.filter((line) => line.includes('ticket.failed'))).toHaveLength(1);
    },
    30_000,
  );

  it('is drawn without its previews where it is they that harm', async () => {
    await store.clear();
    await store.save({
      id: RECIPE_ID,
      name: 'dislikes previews',
      views: [{ previewPng: host.url('/front.png') }],
    });
    const ticket = await serviceOn(file).find(asked);
    expect(ticket?.bytes.toString()).toBe('%PDF-dislikes previews');
  });
});

describe('previews', () => {
  const names = async (paths: readonly (readonly string[])[], withinMs = 5_000) =>
    (await new PreviewSource(sources, withinMs).fetch(paths)).map((image) => image !== null);

  it('come by the first address that has an image', async () => {
    host.seen.length = 0;
    const views = [
      [host.url('/front.png'), host.url('/front.jpg')],
      [host.url('/page'), host.url('/back.jpg')],
      [host.url('/moved'), 'http://10.0.0.1/x.png', 'https://user:secret@img.example/x.png', 'no address'],
      [],
    ];
    expect(await names(views)).toEqual([true, true, false, false]);
    expect(host.seen.sort()).toEqual(['/back.jpg', '/front.png', '/moved', '/page']);
  });

  it('are left out when they are endless or hang, and their host rests', async () => {
    const source = new PreviewSource(sources, 600);
    expect(await source.fetch([[host.url('/huge')], [host.url('/front.png')]])).toMatchObject([null, {}]);
    expect(await source.fetch([[host.url('/hang')], [host.url('/front.png')]])).toMatchObject([null, {}]);
    host.seen.length = 0;
    expect(await source.fetch([[host.url('/front.png')]])).toEqual([null]);
    expect(host.seen).toEqual([]);
  });
});

describe('a ticket', () => {
  let service: TicketService;
  beforeAll(async () => {
    service = serviceOn(await buildTicketThread());
  });

  it('is drawn once however many ask for it, and anew when something else is asked for', async () => {
    await store.clear();
    await store.save({
      id: RECIPE_ID,
      name: 'Team Cap',
      views: [{ code: 'F', previewPng: host.url('/front.png') }],
    });
    host.seen.length = 0;
    const tickets = await Promise.all(Array.from({ length: 5 }, () => service.find(asked)));
    expect(new Set(tickets.map((ticket) => ticket?.etag)).size).toBe(1);
    expect(tickets[0]?.bytes.subarray(0, 5).toString()).toBe('%PDF-');
    expect(host.seen).toEqual(['/front.png']);
    expect((await service.find({ ...asked, version: 1 }))?.etag).toBe(tickets[0]?.etag);
    const order = { orderNumber: '1022', orderId: null, quantity: 1, items: [], moreItems: 0 };
    const others = await Promise.all([
      service.find({ ...asked, order }),
      service.find({ ...asked, order: { ...order, quantity: 2 } }),
      service.find({ ...asked, paper: 'letter' }),
    ]);
    expect(new Set([...tickets, ...others].map((ticket) => ticket?.etag)).size).toBe(4);
  });

  it('is that of the version that is asked for', async () => {
    await store.clear();
    await store.save({ id: RECIPE_ID, name: 'Old' }, { id: RECIPE_ID, name: 'New' });
    const [old, current, newest] = await Promise.all([
      service.find({ ...asked, version: 1 }),
      service.find({ ...asked, version: 2 }),
      service.find(asked),
    ]);
    expect(current?.etag).toBe(newest?.etag);
    expect(old?.etag).not.toBe(newest?.etag);
    expect(await service.find({ ...asked, version: 3 })).toBeUndefined();
    expect(await service.find({ ...asked, tenant: 'other' })).toBeUndefined();
  });

  it('shows the uploaded preview of a view, as of its version, and asks nobody for another', async () => {
    await store.clear();
    const view = {
      code: 'F',
      previewPng: host.url('/front.png'),
      previewJpg: `//${PUBLIC.url.host}/recipe/x-F.jpg`,
    };
    await store.save({ id: RECIPE_ID, views: [view, null, { ...view, code: 'B' }] });
    const upload = async (name: string, bytes: Buffer): Promise<void> => {
      const about = { tenant: 'demo', recipeId: RECIPE_ID, kind: 'preview', mimeType: 'image/png' } as const;
      const unknown = { length: undefined, digest: undefined, traceparent: undefined, requestId: 'r' };
      await uploads.keep({ ...about, ...unknown, name }, Readable.from([bytes]));
    };
    await upload('F.png', png('#c00000'));
    await upload('B.png', Buffer.from('no image'));
    host.seen.length = 0;
    const shown = await service.find(asked);
    // The view whose upload is no image shows what is linked.
    expect(host.seen).toEqual(['/front.png']);
    await upload('F.png', png('#00c000'));
    expect((await service.find(asked))?.etag).not.toBe(shown?.etag);
    expect((await service.find({ ...asked, version: 3 }))?.etag).toBe(shown?.etag);
  });

  it('asks the hub itself for no preview', async () => {
    await store.clear();
    host.seen.length = 0;
    await store.save({ id: RECIPE_ID, views: [{ previewPng: `//${PUBLIC.url.host}/recipe/x-F.png` }] });
    expect((await service.find(asked))?.bytes.length).toBeGreaterThan(1_000);
    expect(host.seen).toEqual([]);
  });
});
