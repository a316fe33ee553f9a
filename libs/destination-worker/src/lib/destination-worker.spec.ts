import { createHash, randomUUID } from 'node:crypto';
import { Writable } from 'node:stream';

import { DeliveryAttemptedV1, DeliveryRequestedV1 } from '@heddle/contracts';
import type { OfferedFile, Receipt } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import type { Delivery, DeliveryContext, Destination, Leftovers } from '@heddle/destination-kit';
import { PublishError } from '@heddle/messaging';
import type { EventBatch, OutgoingEvent, PublishResult } from '@heddle/messaging';
import { createLogger, createMetrics } from '@heddle/platform';
import { SecretSealer, parseKeyring } from '@heddle/secrets';
import { eventually } from '@heddle/testing';
import { afterEach, describe, expect, it } from '@jest/globals';
import { z } from 'zod';

import { DestinationWorker } from './destination-worker.js';
import type { DestinationWorkerOptions } from './destination-worker.js';
import { HubAway } from './hub-away.js';
import { DoesNotFit, Spool } from './spool.js';
import type { SpooledFile } from './spool.js';

const Settings = z.strictObject({ host: z.string(), 'password-secret': z.string() });
type Settings = z.infer<typeof Settings>;

const sealer = new SecretSealer(parseKeyring(`k1:${Buffer.alloc(32, 1).toString('base64')}`));
const INTEGRATION = randomUUID();
const spool = new Spool({ directory: '/nowhere', maxBytes: 1_000 });

function sealed(settings: Record<string, unknown>, integrationId: string): string {
  const place = { tenant: 'demo', integrationId };
  const members = Object.entries(settings).map(([field, value]) => [
    field,
    field.endsWith('-secret') ? sealer.seal(String(value), { ...place, field }) : value,
  ]);
  return sealer.seal(JSON.stringify(Object.fromEntries(members)), { ...place, field: 'settings' });
}

function aFile(name: string, text = name): OfferedFile {
  return { name, kind: 'attachment', mimeType: 'text/plain', source: { kind: 'inline', text } };
}

function anOffer(fields: Partial<DeliveryRequestedV1> = {}): DeliveryRequestedV1 {
  const integrationId = fields.integrationId ?? INTEGRATION;
  return DeliveryRequestedV1.parse({
    deliveryId: randomUUID(),
    offerId: randomUUID(),
    notAfter: new Date(Date.now() + 60_000).toISOString(),
    tenant: 'demo',
    channel: 'default',
    integrationId,
    integrationVersion: 1,
    trigger: 'order.submitted',
    attempt: 1,
    recipeIds: [],
    sealedSettings: sealed({ host: 'factory.example', 'password-secret': 'word-of-test' }, integrationId),
    files: [aFile('a.txt'), aFile('b.txt')],
    earlierOfferIds: [],
    acceptedAt: new Date().toISOString(),
    ...fields,
  });
}

function aBatch(...offers: DeliveryRequestedV1[]): EventBatch {
  return {
    topic: 'delivery.requested.sftp',
    chunks: [
      {
        topic: 'delivery.requested.sftp',
        partition: 3,
        firstOffset: '0',
        nextOffset: String(offers.length),
        cluster: 'test',
      },
    ],
    events: offers.map((data, offset) => ({
      topic: 'delivery.requested.sftp',
      partition: 3,
      offset: String(offset),
      key: `demo:${data.integrationId}:lane`,
      id: randomUUID(),
      type: 'heddle.delivery.requested.v1',
      source: '/dispatcher',
      time: new Date().toISOString(),
      tenant: 'demo',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      data,
      headers: {},
    })),
  };
}

type Deliver = (delivery: Delivery<Settings>, context: DeliveryContext) => AsyncIterable<Receipt>;

/** Keeps what arrived; each test says how it behaves. */
class FakeDestination implements Destination<Settings> {
  readonly kind = 'sftp';
  readonly arrived: string[] = [];
  readonly seen: Delivery<Settings>[] = [];
  readonly tidied: Leftovers<Settings>[] = [];
  /** Offers whose attempts were stopped from outside. */
  readonly aborted: string[] = [];
  behave: Deliver = (delivery, context) => this.takeAll(delivery, context);

  deliver(delivery: Delivery<Settings>, context: DeliveryContext): AsyncIterable<Receipt> {
    this.seen.push(delivery);
    context.signal.addEventListener('abort', () => this.aborted.push(delivery.offerId));
    return this.behave(delivery, context);
  }
  tidy(leftovers: Leftovers<Settings>): Promise<void> {
    this.tidied.push(leftovers);
    return Promise.resolve();
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
  async *takeAll({ files }: Delivery<Settings>, context: DeliveryContext): AsyncGenerator<Receipt> {
    for await (const { name, sizeBytes, sha256 } of files) {
      context.assertLeased();
      this.arrived.push(name);
      yield { name, location: `sftp://factory.example/${name}`, sizeBytes, sha256, details: {} };
    }
  }
}

class FakePublisher {
  readonly events: OutgoingEvent[] = [];
  readonly calls: number[] = [];
  isDown = false;
  /** Of one event; more is refused for good. */
  maxBytes = Infinity;

  async publish(events: readonly OutgoingEvent[]): Promise<readonly PublishResult[]> {
    if (this.isDown) {
      const error = Object.assign(new Error('down'), { code: 'TIMEOUT', permanent: false }) as never;
      return events.map(() => ({ ok: false, error }));
    }
    this.calls.push(events.length);
    return events.map((event) => {
      if (event.data.length > this.maxBytes)
        return { ok: false, error: new PublishError('REFUSED', event.topic) };
      this.events.push(event);
      return { ok: true, partition: 0, offset: '0' };
    });
  }
  get reports(): DeliveryAttemptedV1[] {
    return this.events.map(({ data }) => DeliveryAttemptedV1.parse(JSON.parse(data)));
  }
  get phases(): string[] {
    return this.reports.map((report) => (report.phase === 'finished' ? report.outcome : report.phase));
  }
  finished(): Extract<DeliveryAttemptedV1, { phase: 'finished' }> {
    const [report] = this.reports.filter(({ phase }) => phase === 'finished').slice(-1);
    if (report?.phase !== 'finished') throw new Error('not finished');
    return report;
  }
}

const inline = async (file: OfferedFile): Promise<SpooledFile> => {
  const bytes = Buffer.from(file.source.kind === 'inline' ? file.source.text : '');
  return {
    sizeBytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    open: async function* () {
      yield bytes;
    },
    dispose: () => Promise.resolve(),
  };
};

const soon = (assertion: () => void): Promise<void> =>
  eventually(async () => assertion(), { withinMs: 5_000, everyMs: 5 });

const started: DestinationWorker<Settings>[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((worker) => worker.drain(0)));
});

function aWorker(options: Partial<DestinationWorkerOptions<Settings>> = {}): {
  worker: DestinationWorker<Settings>;
  destination: FakeDestination;
  publisher: FakePublisher;
  log: string[];
  rooms: number[];
  take: (...offers: DeliveryRequestedV1[]) => Promise<number>;
} {
  const destination = new FakeDestination();
  const publisher = new FakePublisher();
  const log: string[] = [];
  const rooms: number[] = [];
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      log.push(chunk.toString());
      done();
    },
  });
  const worker = new DestinationWorker<Settings>({
    service: 'outbound-test',
    destination,
    settings: Settings,
    sealer,
    publisher,
    fetch: inline,
    check: () => Promise.resolve(),
    reserveTogether: (bytes, signal) => spool.reserveTogether(bytes, signal),
    link: ({ name }, { deliveryId }) => `https://hub.example/${deliveryId}/${name}`,
    logger: createLogger({ service: 'outbound-test', level: 'debug', destination: sink }),
    metrics: createMetrics('outbound-test'),
    pool: 64,
    attemptTimeoutMs: 10_000,
    progressIntervalMs: 20,
    leaseMs: 30_000,
    ...options,
  });
  worker.start(() => rooms.push(1));
  started.push(worker);
  const take = async (...offers: DeliveryRequestedV1[]): Promise<number> => {
    const result = await worker.take(aBatch(...offers));
    result?.afterCommit(true);
    return result?.taken ?? -1;
  };
  return { worker, destination, publisher, log, rooms, take };
}

/** Delivers nothing until it is aborted. */
const hang: Deliver = async function* (_delivery, { signal }) {
  await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
  yield undefined as never;
};

describe('an outbound worker', () => {
  it('reports started for a whole batch in one request, and begins after the commit', async () => {
    const { worker, destination, publisher } = aWorker();

    const result = await worker.take(aBatch(anOffer(), anOffer(), anOffer()));

    expect(publisher.phases).toEqual(['started', 'started', 'started']);
    expect(publisher.calls).toEqual([3]);
    expect(result?.taken).toBe(3);
    expect(destination.seen).toHaveLength(0);
    result?.afterCommit(true);
    await soon(() => expect(publisher.phases.filter((phase) => phase === 'succeeded')).toHaveLength(3));
  });

  it('opens the settings for the attempt and proves each file with a receipt', async () => {
    const { destination, publisher, take, log } = aWorker();
    const offer = anOffer();

    await take(offer);

    await soon(() => expect(publisher.finished().outcome).toBe('succeeded'));
    expect(destination.seen[0]?.settings).toEqual({
      host: 'factory.example',
      'password-secret': 'word-of-test',
    });
    const report = publisher.finished();
    expect(report.receipts.map(({ name }) => name)).toEqual(['a.txt', 'b.txt']);
    expect(publisher.reports.map(({ acceptedAt }) => acceptedAt)).toEqual(
      publisher.reports.map(() => offer.acceptedAt),
    );
    expect(report).toMatchObject({
      offerId: offer.offerId,
      code: null,
      message: null,
      faults: [],
      sizeBytes: 10,
    });
    const event = publisher.events.at(-1);
    expect(event).toMatchObject({ topic: 'delivery.attempted', key: `demo:${INTEGRATION}:lane` });
    expect(event?.traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)/);
    expect([log.join(''), JSON.stringify(publisher.events)].join('')).not.toContain('word-of-test');
    expect(log.filter((line) => line.includes('"delivery.attempted"'))).toHaveLength(1);
    expect(log.join('')).toContain('"trace_id":"0af7651916cd43dd8448eb211c80319c"');
  });

  it('tells the destination what the delivery is about, and gives it a link to each file', async () => {
    const { destination, publisher, take } = aWorker();
    const order = {
      orderUid: randomUUID(),
      orderNumber: '1022',
      orderId: null,
      version: 3,
      items: [{ itemId: '1', recipeId: 'DRIVE-001', itemQuantity: 2 }],
    };
    const recipes = { recipeIds: ['DRIVE-001', 'DRIVE-002'], missingRecipeIds: ['DRIVE-002'] };
    const offer = anOffer({ trigger: 'order.updated', attempt: 2, order, ...recipes });

    await take(offer);

    await soon(() => expect(publisher.finished().outcome).toBe('succeeded'));
    const [delivery] = destination.seen;
    expect(delivery).toMatchObject({ trigger: 'order.updated', attempt: 2, order, ...recipes });
    expect(delivery?.offered).toEqual([
      { name: 'a.txt', kind: 'attachment', mimeType: 'text/plain' },
      { name: 'b.txt', kind: 'attachment', mimeType: 'text/plain' },
    ]);
    expect(await delivery?.linkTo('b.txt')).toBe(`https://hub.example/${offer.deliveryId}/b.txt`);
    await expect(delivery?.linkTo('c.txt')).rejects.toMatchObject({ code: 'UNKNOWN' });
  });

  it('fetches nothing for a destination that sends links, and takes receipts without a size', async () => {
    const fetched: string[] = [];
    const { destination, publisher, take } = aWorker({
      fetch: (file) => (fetched.push(file.name), inline(file)),
    });
    Object.assign(destination, { fetches: false });
    destination.behave = async function* ({ offered, files, linkTo }) {
      for await (const file of files) throw new Error(`not asked for: ${file.name}`);
      for (const { name } of offered)
        yield { name, location: await linkTo(name), sizeBytes: null, sha256: null, details: {} };
    };

    await take(anOffer());

    await soon(() => expect(publisher.finished()).toMatchObject({ outcome: 'succeeded', sizeBytes: 0 }));
    expect(fetched).toEqual([]);
  });

  it('makes no attempt where there is nothing behind a link, and says so of each file', async () => {
    const { destination, publisher, take } = aWorker({
      check: async ({ name }) => {
        if (name === 'a.txt') throw new DestinationError('ADDRESS_REFUSED', 'fetching a.txt: refused');
        if (name === 'c.txt') throw new DestinationError('SOURCE_UNAVAILABLE', 'fetching c.txt: gone');
      },
    });
    Object.assign(destination, { fetches: false });

    await take(anOffer({ files: [aFile('a.txt'), aFile('b.txt'), aFile('c.txt')] }));

    await soon(() =>
      expect(publisher.finished()).toMatchObject({
        outcome: 'failed',
        code: 'SOURCE_UNAVAILABLE',
        message: 'fetching c.txt: gone',
        faults: [
          { name: 'a.txt', code: 'ADDRESS_REFUSED', message: 'fetching a.txt: refused' },
          { name: 'c.txt', code: 'SOURCE_UNAVAILABLE', message: 'fetching c.txt: gone' },
        ],
        receipts: [],
      }),
    );
    expect(destination.seen).toEqual([]);
  });

  it('fetches a set that is held together when the destination says how much it can hold', async () => {
    const fetched: string[] = [];
    const { destination, publisher, take } = aWorker({
      fetch: async (file, _tenant, _signal, room) => {
        fetched.push(file.name);
        if (room?.reservation.tryHold(5) !== true) throw new DoesNotFit(5);
        return await inline(file);
      },
    });
    Object.assign(destination, { collects: true });
    const collected: unknown[] = [];
    destination.behave = async function* ({ files, collect }) {
      for await (const file of files) throw new Error(`not asked for: ${file.name}`);
      expect(fetched).toEqual([]);
      for (const { name, sizeBytes, file } of await collect(5)) {
        collected.push([name, sizeBytes, file?.sha256.length]);
        yield { name, location: 'mailto:a', sizeBytes: null, sha256: null, details: {} };
      }
    };

    await take(anOffer());

    await soon(() => expect(publisher.finished()).toMatchObject({ outcome: 'succeeded' }));
    expect(collected).toEqual([
      ['a.txt', 5, 64],
      ['b.txt', 5, undefined],
    ]);
    expect(spool.usedBytes).toBe(0);
  });

  it('reports the file that could not be fetched where a destination that sends all or nothing sent nothing', async () => {
    const { destination, publisher, take } = aWorker({
      fetch: async (file) => {
        if (file.name === 'b.txt') throw new DestinationError('SOURCE_UNAVAILABLE', 'fetching b.txt: gone');
        return await inline(file);
      },
    });
    Object.assign(destination, { collects: true });
    destination.behave = async function* ({ offered, collect }) {
      const collected = await collect(100);
      if (collected.length === offered.length) yield undefined as never;
    };

    await take(anOffer());

    await soon(() =>
      expect(publisher.finished()).toMatchObject({
        outcome: 'failed',
        code: 'SOURCE_UNAVAILABLE',
        message: 'fetching b.txt: gone',
        receipts: [],
      }),
    );
  });

  it('forgets offers whose commit failed, for another worker gets them', async () => {
    const { worker, destination, publisher } = aWorker();
    const offer = anOffer();

    (await worker.take(aBatch(offer)))?.afterCommit(false);
    expect((await worker.take(aBatch(offer)))?.taken).toBe(1);

    expect(destination.seen).toHaveLength(0);
    expect(publisher.phases).toEqual(['started', 'started']);
  });

  it('takes nothing while it cannot report, and asks for the offers again', async () => {
    const { worker, publisher, rooms } = aWorker();
    publisher.isDown = true;

    expect((await worker.take(aBatch(anOffer())))?.taken).toBe(0);

    await soon(() => expect(rooms.length).toBeGreaterThan(0));
  });

  it('leaves what its pool has no room for, and asks for it when an attempt ends', async () => {
    const { destination, publisher, rooms, take } = aWorker({ pool: 2 });
    const { promise, resolve } = Promise.withResolvers<undefined>();
    destination.behave = async function* (delivery, context) {
      await promise;
      yield* destination.takeAll(delivery, context);
    };
    const offers = [1, 2, 3].map(() => anOffer({ integrationId: randomUUID() }));

    expect(await take(...offers)).toBe(2);
    resolve(undefined);

    await soon(() => expect(publisher.phases.filter((phase) => phase === 'succeeded')).toHaveLength(2));
    await soon(() => expect(rooms.length).toBeGreaterThan(0));
    expect(await take(offers[2]!)).toBe(1);
  });

  it('lets one integration hold an eighth of the pool and gives its other offers back', async () => {
    const { destination, publisher, take } = aWorker({ pool: 16 });
    destination.behave = hang;
    const other = anOffer({ integrationId: randomUUID() });

    expect(await take(anOffer(), anOffer(), anOffer(), other)).toBe(4);

    expect(publisher.phases).toEqual(['started', 'started', 'released', 'started']);
    expect(publisher.reports[2]).toMatchObject({ phase: 'finished', startedAt: null });
  });

  it('reports an offer that comes too late as expired and does nothing', async () => {
    const { destination, publisher, take } = aWorker();

    expect(await take(anOffer({ notAfter: new Date(Date.now() - 1).toISOString() }))).toBe(1);

    expect(publisher.phases).toEqual(['expired']);
    expect(destination.seen).toHaveLength(0);
  });

  it('takes away what earlier offers left when the offer that comes too late names them, and sends nothing', async () => {
    const { destination, publisher, take } = aWorker();
    const earlier = randomUUID();

    await take(anOffer({ notAfter: new Date(0).toISOString(), earlierOfferIds: [earlier] }));

    await soon(() => expect(destination.tidied).toHaveLength(1));
    expect(destination.tidied[0]).toMatchObject({
      earlierOfferIds: [earlier],
      fileNames: ['a.txt', 'b.txt'],
      settings: { host: 'factory.example', 'password-secret': 'word-of-test' },
    });
    expect(publisher.phases).toEqual(['expired']);
    expect(destination.seen).toHaveLength(0);
  });

  it('cleans up one delivery after the other of an integration, and beside those of another one', async () => {
    const { destination, take } = aWorker();
    const { promise: answer, resolve: answers } = Promise.withResolvers<undefined>();
    const tidied: string[] = [];
    destination.tidy = async ({ integrationId, deliveryId }) => {
      tidied.push(deliveryId);
      if (integrationId === INTEGRATION) await answer;
      if (deliveryId === first.deliveryId) throw new DestinationError('UNAVAILABLE', 'removing');
    };
    const tooLate = { notAfter: new Date(0).toISOString(), earlierOfferIds: [randomUUID()] };
    const [first, second] = [anOffer(tooLate), anOffer(tooLate)];
    const other = anOffer({ ...tooLate, integrationId: randomUUID() });

    await take(first, second, other);
    await soon(() => expect(tidied).toEqual([first.deliveryId, other.deliveryId]));
    answers(undefined);
    await soon(() => expect(tidied).toEqual([first.deliveryId, other.deliveryId, second.deliveryId]));
  });

  it('does not begin an offer a second time while it is under way', async () => {
    const { destination, publisher, take } = aWorker();
    destination.behave = hang;
    const offer = anOffer();

    await take(offer);
    await take(offer);

    expect(publisher.phases).toEqual(['started']);
    expect(destination.seen).toHaveLength(1);
  });

  it('gives an attempt up when its delivery is offered anew', async () => {
    const { destination, publisher, take } = aWorker();
    destination.behave = hang;
    const offer = anOffer();
    await take(offer);
    destination.behave = (delivery, context) => destination.takeAll(delivery, context);

    await take(anOffer({ deliveryId: offer.deliveryId, earlierOfferIds: [offer.offerId] }));

    await soon(() =>
      expect(publisher.phases.slice().sort()).toEqual(['released', 'started', 'started', 'succeeded']),
    );
  });

  it.each([
    ['settings that are no envelope', 'nonsense'],
    ['settings sealed for another integration', sealed({ host: 'a', 'password-secret': 'b' }, randomUUID())],
    ['settings without a required member', sealed({ host: 'a' }, INTEGRATION)],
  ])('ends with INVALID_SETTINGS for %s', async (_what, sealedSettings) => {
    const { publisher, take } = aWorker();

    await take(anOffer({ sealedSettings }));

    await soon(() =>
      expect(publisher.finished()).toMatchObject({ outcome: 'failed', code: 'INVALID_SETTINGS' }),
    );
  });

  it('delivers the other files when one cannot be fetched, and names that one', async () => {
    const { publisher, take } = aWorker({
      fetch: (file) =>
        file.name === 'b.txt' || file.name === 'd.txt'
          ? Promise.reject(
              file.name === 'b.txt'
                ? new DestinationError('SOURCE_UNAVAILABLE', 'fetching b.txt: the source answered 404')
                : new DestinationError('TOO_LARGE', 'fetching d.txt: larger'),
            )
          : inline(file),
    });

    await take(anOffer({ files: ['a.txt', 'b.txt', 'c.txt', 'd.txt'].map((name) => aFile(name)) }));

    await soon(() =>
      expect(publisher.finished()).toMatchObject({
        outcome: 'failed',
        code: 'SOURCE_UNAVAILABLE',
        message: 'fetching b.txt: the source answered 404',
        faults: [
          { name: 'b.txt', code: 'SOURCE_UNAVAILABLE' },
          { name: 'd.txt', code: 'TOO_LARGE' },
        ],
      }),
    );
    expect(
      publisher
        .finished()
        .receipts.map(({ name }) => name)
        .sort(),
    ).toEqual(['a.txt', 'c.txt']);
  });

  it.each([
    ['before', ['TOO_LARGE', 'SOURCE_UNAVAILABLE']],
    ['after', ['SOURCE_UNAVAILABLE', 'TOO_LARGE']],
  ] as const)(
    'is retried for a source that waiting may mend, with one that it cannot %s it',
    async (_where, codes) => {
      const files = codes.map((code) => aFile(`${code}.txt`));
      const { publisher, take } = aWorker({
        fetch: async ({ name }) => {
          throw new DestinationError(
            codes.find((code) => name.startsWith(code))!,
            `fetching ${name}`,
          );
        },
      });

      await take(anOffer({ files }));

      await soon(() =>
        expect(publisher.finished()).toMatchObject({
          code: 'SOURCE_UNAVAILABLE',
          message: 'fetching SOURCE_UNAVAILABLE.txt',
          faults: codes.map((code) => ({ name: `${code}.txt`, code })),
        }),
      );
    },
  );

  it.each([
    ['ALREADY_EXISTS', 'SOURCE_UNAVAILABLE'],
    ['HOST_KEY_MISMATCH', 'HOST_KEY_MISMATCH'],
  ] as const)(
    'where the target answers %s to one file and waiting may bring another, ends with %s',
    async (refusal, code) => {
      const { destination, publisher, take } = aWorker({
        fetch: (file) =>
          file.name === 'later.txt'
            ? Promise.reject(new DestinationError('SOURCE_UNAVAILABLE', 'fetching later.txt'))
            : inline(file),
      });
      destination.behave = async function* (delivery) {
        for await (const { name, sizeBytes, sha256 } of delivery.files)
          yield { name, location: 'x', sizeBytes, sha256, details: {} };
        throw new DestinationError(refusal, 'writing a.txt');
      };

      await take(anOffer({ files: [aFile('a.txt'), aFile('later.txt')] }));

      await soon(() => expect(publisher.finished()).toMatchObject({ outcome: 'failed', code }));
    },
  );

  it('keeps the receipts of an attempt that fails, and the wish of the target', async () => {
    const { destination, publisher, take } = aWorker();
    destination.behave = async function* (delivery) {
      for await (const { name, sizeBytes, sha256 } of delivery.files) {
        yield { name, location: 'x', sizeBytes, sha256, details: {} };
        throw new DestinationError('THROTTLED', 'writing b.txt', {
          retryAfterMs: 7_000,
          cause: new Error('secret host'),
        });
      }
    };

    await take(anOffer());

    await soon(() =>
      expect(publisher.finished()).toMatchObject({
        code: 'THROTTLED',
        retryAfterMs: 7_000,
        receipts: [{ name: 'a.txt' }],
      }),
    );
    expect(JSON.stringify(publisher.events)).not.toContain('secret host');
  });

  it('ends an attempt with TIMEOUT at its deadline', async () => {
    const { destination, publisher, take } = aWorker({ attemptTimeoutMs: 30 });
    destination.behave = hang;

    await take(anOffer());

    await soon(() => expect(publisher.finished()).toMatchObject({ outcome: 'failed', code: 'TIMEOUT' }));
  });

  it('gives an attempt back that waited for the store of the hub until its deadline', async () => {
    const { publisher, take } = aWorker({
      attemptTimeoutMs: 30,
      fetch: (file, _tenant, signal) =>
        file.name === 'a.txt'
          ? inline(file)
          : new Promise((_, reject) =>
              signal.addEventListener('abort', () => reject(new HubAway(file.name))),
            ),
    });

    await take(anOffer());

    await soon(() =>
      expect(publisher.finished()).toMatchObject({
        outcome: 'released',
        code: null,
        receipts: [{ name: 'a.txt' }],
      }),
    );
  });

  it('opens the settings of an integration once for the attempts that run at one time, and again for later ones', async () => {
    let opened = 0;
    const counting: Pick<SecretSealer, 'open'> = {
      open: (text, place) => {
        if (place.field === 'settings') opened += 1;
        return sealer.open(text, place);
      },
    };
    const { destination, publisher, take } = aWorker({ sealer: counting });
    const { promise: released, resolve: release } = Promise.withResolvers<undefined>();
    destination.behave = async function* (delivery, context) {
      await released;
      yield* destination.takeAll(delivery, context);
    };
    const { sealedSettings } = anOffer();

    await take(anOffer({ sealedSettings }), anOffer({ sealedSettings }));
    await soon(() => expect(destination.seen).toHaveLength(2));
    // The same envelope in the name of somebody else stays shut.
    await take(anOffer({ sealedSettings, integrationId: randomUUID() }));
    await soon(() => expect(publisher.finished()).toMatchObject({ code: 'INVALID_SETTINGS' }));
    expect(opened).toBe(2);
    release(undefined);
    await soon(() => expect(publisher.phases.filter((phase) => phase === 'succeeded')).toHaveLength(2));

    await take(anOffer({ sealedSettings }));
    await soon(() => expect(publisher.phases.filter((phase) => phase === 'succeeded')).toHaveLength(3));
    expect(opened).toBe(3);
  });

  it('reports no progress of attempts that have only just begun', async () => {
    const { publisher, destination, take } = aWorker({ progressIntervalMs: 1_000 });
    const old = anOffer();
    let begun = Promise.withResolvers<undefined>();
    destination.behave = async function* (delivery, context) {
      if (delivery.offerId === old.offerId) yield* hang(delivery, context);
      // Until the next one has begun: at any time there is one, and none gets old.
      await begun.promise;
      yield* destination.takeAll(delivery, context);
    };
    const progress = (): string[] =>
      publisher.reports.filter(({ phase }) => phase === 'progress').map(({ offerId }) => offerId);

    await take(old);
    await eventually(
      async () => {
        const last = begun;
        begun = Promise.withResolvers();
        await take(anOffer());
        last.resolve(undefined);
        expect(progress()).not.toEqual([]);
      },
      { withinMs: 10_000, everyMs: 5 },
    );

    begun.resolve(undefined);
    expect(progress()).toEqual([old.offerId]);
  });

  it('reports the progress of all attempts in one request, with the receipts that are new', async () => {
    const { destination, publisher, take } = aWorker();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    destination.behave = async function* (delivery) {
      for await (const { name, sizeBytes, sha256 } of delivery.files) {
        yield { name, location: 'x', sizeBytes, sha256, details: {} };
        await promise;
      }
    };

    await take(anOffer(), anOffer());

    await soon(() => expect(publisher.calls.filter((size) => size === 2).length).toBeGreaterThan(3));
    resolve(undefined);
    const progress = publisher.reports.filter((report) => report.phase === 'progress');
    expect(progress.flatMap(({ receipts }) => receipts.map(({ name }) => name))).toEqual(['a.txt', 'a.txt']);
  });

  it('gives its attempts up when it could not report for the time of the lease', async () => {
    const { destination, publisher, take } = aWorker({ leaseMs: 300 });
    let reason: unknown;
    destination.behave = async function* (delivery, context) {
      context.signal.addEventListener('abort', () => {
        reason = context.signal.reason;
      });
      yield* hang(delivery, context);
    };
    await take(anOffer());

    publisher.isDown = true;
    await soon(() => expect(reason).toBeInstanceOf(DestinationError));
    publisher.isDown = false;

    await soon(() => expect(publisher.finished().outcome).toBe('released'));
  });

  it('gives an attempt up at the end of the lease that its offer names, where that is shorter', async () => {
    const { destination, publisher, take } = aWorker();
    destination.behave = hang;
    await take(anOffer({ leaseMs: 300 }), anOffer({ integrationId: randomUUID() }));

    publisher.isDown = true;
    await soon(() => expect(destination.aborted).toHaveLength(1));
    publisher.isDown = false;

    await soon(() => expect(publisher.phases.filter((phase) => phase === 'released')).toHaveLength(1));
    expect(destination.aborted).toEqual([destination.seen[0]!.offerId]);
  });

  it('reports progress in time for a lease that is shorter than its own interval', async () => {
    const { destination, publisher, take } = aWorker({ progressIntervalMs: 10_000 });
    destination.behave = hang;

    await take(anOffer({ leaseMs: 2_000 }));

    await soon(() => expect(publisher.phases.filter((phase) => phase === 'progress')).toHaveLength(2));
    expect(publisher.phases).not.toContain('released');
  });

  it('has it on record what it begins to write before the first byte, and knows what earlier offers began', async () => {
    const { destination, publisher, take } = aWorker({ progressIntervalMs: 5_000 });
    const begun: (boolean | undefined)[] = [];
    destination.behave = async function* (delivery, context) {
      for await (const file of delivery.files) {
        begun.push(file.isBegun);
        await context.begin(file);
        expect(publisher.reports.at(-1)).toMatchObject({
          phase: 'progress',
          begun: [{ name: file.name, sha256: file.sha256 }],
        });
        const { name, sizeBytes, sha256 } = file;
        yield { name, location: `sftp://factory.example/${name}`, sizeBytes, sha256, details: {} };
      }
    };
    const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

    await take(
      anOffer({
        files: [
          { ...aFile('a.txt'), begun: [hashOf('older'), hashOf('a.txt')] },
          { ...aFile('b.txt'), begun: [hashOf('older')] },
          aFile('c.txt'),
        ],
      }),
    );

    await soon(() => expect(publisher.finished().outcome).toBe('succeeded'));
    expect(begun).toEqual([true, false, false]);
  });

  it('has it on record what an attempt notes before that goes on, and knows what earlier ones noted', async () => {
    const { destination, publisher, take } = aWorker({ progressIntervalMs: 5_000 });
    destination.behave = async function* (delivery, context) {
      await context.note({ 'b@factory.example': '550' });
      const { offerId } = delivery;
      expect(publisher.reports).toContainEqual(
        expect.objectContaining({ phase: 'progress', offerId, notes: { 'b@factory.example': '550' } }),
      );
      yield* destination.takeAll(delivery, context);
    };

    await take(anOffer({ notes: { 'a@factory.example': '250' } }));
    await take(anOffer());

    await soon(() => expect(publisher.phases.filter((phase) => phase === 'succeeded')).toHaveLength(2));
    expect(destination.seen.map(({ notes }) => notes)).toEqual([{ 'a@factory.example': '250' }, {}]);
  });

  it('tells with the end of an attempt what it has noted for then, and the next one of earlier deliveries', async () => {
    const { destination, publisher, take } = aWorker();
    destination.behave = async function* (delivery, context) {
      context.noteAtEnd({ 'a@factory.example': '250' });
      context.noteAtEnd({ 'b@factory.example': '250' });
      yield* destination.takeAll(delivery, context);
    };

    await take(anOffer({ earlierNotes: { 'c@factory.example': '250' } }));

    await soon(() => expect(publisher.finished().outcome).toBe('succeeded'));
    expect(publisher.finished()).toMatchObject({
      notes: { 'a@factory.example': '250', 'b@factory.example': '250' },
    });
    expect(destination.seen).toMatchObject([{ notes: {}, earlierNotes: { 'c@factory.example': '250' } }]);
  });

  it('begins no write that cannot be put on record, and gives the attempt back', async () => {
    const { destination, publisher, take } = aWorker();
    destination.behave = async function* (delivery, context) {
      for await (const file of delivery.files) {
        publisher.isDown = true;
        await context.begin(file).finally(() => (publisher.isDown = false));
        destination.arrived.push(file.name);
        yield undefined as never;
      }
    };

    await take(anOffer());

    await soon(() => expect(publisher.finished().outcome).toBe('released'));
    expect(destination.arrived).toEqual([]);
  });

  it('lets no effect happen on a stale lease, whatever timers have not noticed', async () => {
    const { destination, publisher, take } = aWorker({ leaseMs: 150, progressIntervalMs: 5_000 });
    destination.behave = async function* (delivery, context) {
      // Stops the process as SIGSTOP does: no timer runs meanwhile.
      const wakeUp = performance.now() + 250;
      while (performance.now() < wakeUp);
      yield* destination.takeAll(delivery, context);
    };

    await take(anOffer());

    await soon(() => expect(publisher.finished().outcome).toBe('released'));
    expect(destination.arrived).toEqual([]);
  });

  it('repeats a finished report until it is acknowledged', async () => {
    const { destination, publisher, take } = aWorker();
    destination.behave = async function* (delivery, context) {
      yield* destination.takeAll(delivery, context);
      publisher.isDown = true;
    };
    await take(anOffer());
    await soon(() => expect(destination.arrived).toHaveLength(2));

    publisher.isDown = false;

    await soon(() => expect(publisher.finished().outcome).toBe('succeeded'));
  });

  it('reports the end without the details of its receipts where Kafka refuses the report as too large', async () => {
    const { destination, publisher, take, log } = aWorker({ progressIntervalMs: 60_000 });
    publisher.maxBytes = 4_000;
    const to = Array.from({ length: 50 }, (_, each) => `recipient-${each}@factory.example`);
    destination.behave = async function* (delivery, context) {
      for await (const receipt of destination.takeAll(delivery, context))
        yield {
          ...receipt,
          location: `mailto:${to.join(',')}`,
          details: Object.fromEntries(to.map((address) => [`had ${address}`, 'from an earlier delivery'])),
        };
      context.noteAtEnd({ 'a@factory.example': '250' });
    };

    await take(anOffer());

    await soon(() => expect(publisher.finished().outcome).toBe('succeeded'));
    const { receipts, notes, sizeBytes } = publisher.finished();
    const sha256 = expect.stringMatching(/^[0-9a-f]{64}$/);
    expect(receipts).toEqual(
      ['a.txt', 'b.txt'].map((name) => ({
        name,
        location: expect.stringMatching(/^mailto:recipient-0@.*@factory\.example,…$/),
        sizeBytes: 5,
        sha256,
        details: {},
      })),
    );
    expect({ notes, sizeBytes }).toEqual({ notes: { 'a@factory.example': '250' }, sizeBytes: 10 });
    await soon(() => expect(log.join('')).toContain('"delivery.report-shortened"'));
    expect(log.join('')).not.toContain('"delivery.report-lost"');
  });

  it('gives up a report that is refused in its shortest form too', async () => {
    const { destination, publisher, take, log } = aWorker({ progressIntervalMs: 60_000 });
    destination.behave = async function* (delivery, context) {
      yield* destination.takeAll(delivery, context);
      publisher.maxBytes = 10;
    };

    await take(anOffer());

    await soon(() => expect(log.join('')).toContain('"delivery.report-lost"'));
    expect(publisher.phases).toEqual(['started']);
  });

  it('lets attempts finish at shutdown, takes nothing more, and gives the rest back', async () => {
    const { worker, destination, publisher, take } = aWorker();
    const slow = anOffer();
    const quick = anOffer();
    destination.behave = async function* (delivery, context) {
      if (delivery.offerId === slow.offerId) yield* hang(delivery, context);
      await new Promise((resolve) => setTimeout(resolve, 50));
      yield* destination.takeAll(delivery, context);
    };
    await take(slow, quick);

    const drained = worker.drain(150);
    expect((await worker.take(aBatch(anOffer())))?.taken).toBe(0);
    await drained;

    const outcomes = publisher.reports.flatMap((report) =>
      report.phase === 'finished' ? [[report.offerId, report.outcome]] : [],
    );
    expect(Object.fromEntries(outcomes)).toEqual({
      [slow.offerId]: 'released',
      [quick.offerId]: 'succeeded',
    });
  });

  it('calls what no table knows UNKNOWN', async () => {
    const { destination, publisher, take, log } = aWorker();
    destination.behave = () => {
      throw Object.assign(new Error('text of a vendor'), { code: 'E_NEW' });
    };

    await take(anOffer());

    await soon(() =>
      expect(publisher.finished()).toMatchObject({ code: 'UNKNOWN', message: 'making the attempt' }),
    );
    expect(log.join('')).toContain('"cause_code":"Error:E_NEW"');
  });
});
