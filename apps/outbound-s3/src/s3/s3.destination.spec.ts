import { createHash, randomBytes, randomUUID } from 'node:crypto';

import type { Receipt } from '@heddle/contracts';
import { S3Settings } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import type { DeliveryContext, DeliveryFile } from '@heddle/destination-kit';
import { aDelivery, aDeliveryFile, attempt } from '@heddle/destination-testing';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { S3Fault } from './s3.client.js';
import type {
  Body,
  FoundObject,
  HeldBody,
  ObjectHead,
  PutOptions,
  S3Client,
  S3ClientsOf,
  Upload,
  UploadedPart,
  WriteOptions,
  Written,
} from './s3.client.js';
import { MAX_PUT_BYTES, PART_BYTES, S3Destination, objectKey } from './s3.destination.js';

const answer = (name: string, httpStatusCode: number): Error =>
  Object.assign(new Error('vendor detail'), { name, $metadata: { httpStatusCode } });
const taken = (): Error => answer('PreconditionFailed', 412);
const denied = (): Error => answer('Forbidden', 403);
const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64');
const md5Of = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

interface Stored {
  readonly bytes: Buffer;
  readonly head: ObjectHead;
  readonly came: Coming;
}

/** In parts, whole with its hash, or whole from somebody who sent none. */
type Coming = 'in parts' | 'hashed' | 'unhashed';

/** Keeps objects by key and can be told to fail. */
class InMemoryS3 implements S3Client, S3ClientsOf {
  readonly objects = new Map<string, Stored>();
  readonly uploads = new Map<string, { head: ObjectHead; parts: Map<number, Buffer> }>();
  readonly calls: string[] = [];
  /** Before a request is carried out. */
  failOn: (call: string) => Error | undefined = () => undefined;
  /** After it was carried out: its answer is lost. */
  loseOn: (call: string) => boolean = () => false;
  /** What one writer at a time may do between our requests. */
  between: (call: string) => void = () => undefined;
  isClosed = false;

  of(): S3Client {
    return this;
  }
  close(): void {
    this.isClosed = true;
  }

  async put(head: ObjectHead, body: Body | HeldBody, options: PutOptions): Promise<Written> {
    return await this.request(`put ${head.key}`, async () => {
      if (body.bytes instanceof Uint8Array) options.beforeSending();
      const bytes = await whole(body);
      return this.show(head, bytes, 'hashed', options);
    });
  }
  async startUpload(head: ObjectHead): Promise<string> {
    return await this.request(`start ${head.key}`, async () => {
      const uploadId = randomUUID();
      this.uploads.set(uploadId, { head, parts: new Map() });
      return uploadId;
    });
  }
  async putPart({ key, uploadId }: Upload, number: number, body: Body): Promise<UploadedPart> {
    return await this.request(`part ${number} ${key}`, async () => {
      const upload = this.uploads.get(uploadId);
      if (!upload) throw answer('NoSuchUpload', 404);
      upload.parts.set(number, Buffer.from(await whole(body)));
      return { number, etag: `"part-${number}"`, sha256: body.sha256 };
    });
  }
  async completeUpload(
    { key, uploadId }: Upload,
    parts: readonly UploadedPart[],
    options: WriteOptions,
  ): Promise<Written> {
    return await this.request(`complete ${key}`, async () => {
      const upload = this.uploads.get(uploadId);
      if (!upload) throw answer('NoSuchUpload', 404);
      const bytes = Buffer.concat(parts.map(({ number }) => upload.parts.get(number) ?? Buffer.alloc(0)));
      const written = this.show(upload.head, bytes, 'in parts', options);
      this.uploads.delete(uploadId);
      return written;
    });
  }
  async abortUpload({ key, uploadId }: Upload): Promise<void> {
    await this.request(`abort ${key}`, () => Promise.resolve(this.uploads.delete(uploadId)));
  }
  async find(key: string): Promise<FoundObject> {
    return await this.request(`find ${key}`, async () => {
      const found = this.objects.get(key);
      if (!found) throw answer('NotFound', 404);
      const { bytes, head, came } = found;
      const ofParts = `${hashOf(Buffer.from('of the parts'))}-2`;
      const sha256 = { 'in parts': ofParts, hashed: hashOf(bytes), unhashed: undefined }[came];
      return { ...written(bytes, came), sizeBytes: bytes.length, sha256, metadata: head.metadata };
    });
  }

  private show(head: ObjectHead, bytes: Buffer, came: Coming, { createOnly }: WriteOptions): Written {
    if (createOnly && this.objects.has(head.key)) throw taken();
    this.objects.set(head.key, { bytes, head, came });
    return written(bytes, came);
  }

  private async request<T>(call: string, work: () => Promise<T>): Promise<T> {
    this.calls.push(call);
    this.between(call);
    const failure = this.failOn(call);
    if (failure) throw failure;
    const result = await work();
    if (this.loseOn(call)) throw new S3Fault('ECONNRESET');
    return result;
  }
}

const written = (bytes: Buffer, came: Coming): Written => ({
  etag: `"${md5Of(bytes)}${came === 'in parts' ? '-2' : ''}"`,
  versionId: undefined,
});

async function whole(body: Body | HeldBody): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  if (body.bytes instanceof Uint8Array) chunks.push(body.bytes);
  else for await (const chunk of body.bytes) chunks.push(Uint8Array.from(chunk));
  const all = Buffer.concat(chunks);
  if ('sizeBytes' in body && all.length !== body.sizeBytes) throw answer('IncompleteBody', 400);
  if (hashOf(all) !== body.sha256) throw answer('BadDigest', 400);
  return all;
}

const SETTINGS = S3Settings.parse({
  'access-key-secret': 'access-key-of-test',
  'secret-key-secret': 'secret-key-of-test',
  bucket: 'press-room',
  prefix: 'in/{channel}',
});
const CREATE_ONLY = { ...SETTINGS, overwrite: false };
const KEY = 'in/default/a.bin';

function deliver(
  s3: InMemoryS3,
  files: readonly DeliveryFile[],
  { settings = SETTINGS, ...context }: Partial<DeliveryContext> & { settings?: S3Settings } = {},
): Promise<{ receipts: Receipt[]; error?: unknown }> {
  return attempt(new S3Destination(s3), aDelivery(settings, files), context);
}

describe('the S3 destination', () => {
  it('writes each file under prefix and name, with its type and what wrote it', async () => {
    const s3 = new InMemoryS3();
    const bytes = randomBytes(1_000);
    const file = aDeliveryFile('a.bin', bytes);

    const { receipts } = await deliver(s3, [file]);

    expect(receipts).toEqual([
      {
        name: 'a.bin',
        location: `s3://press-room/${KEY}`,
        sizeBytes: 1_000,
        sha256: file.sha256,
        details: { placedBy: 'write', etag: md5Of(bytes) },
      },
    ]);
    expect(s3.objects.get(KEY)?.head).toMatchObject({
      mimeType: 'application/octet-stream',
      metadata: { 'heddle-sha256': file.sha256 },
    });
    expect(s3.calls).toEqual([`put ${KEY}`]);
  });

  it.each([
    [MAX_PUT_BYTES, [`put ${KEY}`]],
    [MAX_PUT_BYTES + 1, [`start ${KEY}`, `part 1 ${KEY}`, `part 2 ${KEY}`, `complete ${KEY}`]],
    [2 * PART_BYTES, [`start ${KEY}`, `part 1 ${KEY}`, `part 2 ${KEY}`, `complete ${KEY}`]],
  ])('sends %i bytes as it should', async (size, calls) => {
    const s3 = new InMemoryS3();
    const bytes = randomBytes(size);

    const { error } = await deliver(s3, [aDeliveryFile('a.bin', bytes)]);

    expect(error).toBeUndefined();
    expect(s3.calls).toEqual(calls);
    expect(s3.objects.get(KEY)?.bytes.equals(bytes)).toBe(true);
  });

  it('goes on over a fresh connection where a kept one was dead, once', async () => {
    const s3 = new InMemoryS3();
    let cuts = 1;
    s3.failOn = () => (cuts-- > 0 ? new S3Fault('ECONNRESET') : undefined);
    expect((await deliver(s3, [aDeliveryFile('a.bin', randomBytes(10))])).error).toBeUndefined();

    cuts = 2;
    expect((await deliver(s3, [aDeliveryFile('a.bin', randomBytes(10))])).error).toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  it('sends a part again whose connection was cut, and not the file', async () => {
    const s3 = new InMemoryS3();
    let cuts = 1;
    s3.failOn = (call) => (call.startsWith('part 2') && cuts-- > 0 ? new S3Fault('EPIPE') : undefined);
    const bytes = randomBytes(MAX_PUT_BYTES + 10);

    expect((await deliver(s3, [aDeliveryFile('a.bin', bytes)])).error).toBeUndefined();

    expect(s3.calls.filter((call) => call.startsWith('start'))).toHaveLength(1);
    expect(s3.objects.get(KEY)?.bytes.equals(bytes)).toBe(true);
  });

  it.each(['part 1', 'part 2', 'complete'])('takes an upload back whose %s fails', async (failing) => {
    const s3 = new InMemoryS3();
    s3.failOn = (call) => (call.startsWith(failing) ? answer('InternalError', 500) : undefined);

    const { error } = await deliver(s3, [aDeliveryFile('a.bin', randomBytes(2 * PART_BYTES))]);

    expect(error).toMatchObject({ code: 'UNAVAILABLE', message: `writing s3://press-room/${KEY}` });
    expect(s3.calls.at(-1)).toBe(`abort ${KEY}`);
    expect([s3.uploads.size, s3.objects.size]).toEqual([0, 0]);
  });

  it('tells what went wrong first where taking back fails as well', async () => {
    const s3 = new InMemoryS3();
    s3.failOn = (call) => {
      if (call.startsWith('abort')) return answer('AccessDenied', 403);
      return call.startsWith('part 1') ? answer('SlowDown', 503) : undefined;
    };

    const { error } = await deliver(s3, [aDeliveryFile('a.bin', randomBytes(2 * PART_BYTES))]);

    expect(error).toMatchObject({ code: 'THROTTLED' });
  });

  it('keeps the receipts of the files before the one that failed', async () => {
    const s3 = new InMemoryS3();
    s3.failOn = (call) => (call.endsWith('b.bin') ? answer('AccessDenied', 403) : undefined);

    const { receipts, error } = await deliver(
      s3,
      ['a.bin', 'b.bin'].map((name) => aDeliveryFile(name, randomBytes(10))),
    );

    expect(receipts.map(({ name }) => name)).toEqual(['a.bin']);
    expect(error).toMatchObject({ code: 'ACCESS_DENIED' });
    expect(String(error)).not.toMatch(/vendor detail|key-of-test/);
  });

  it('refuses a file that no store takes without sending it', async () => {
    const s3 = new InMemoryS3();
    const file = { ...aDeliveryFile('a.bin', randomBytes(1)), sizeBytes: 10_000 * PART_BYTES + 1 };

    expect((await deliver(s3, [file])).error).toMatchObject({ code: 'TOO_LARGE', retryable: false });
    expect(s3.calls).toEqual([]);
  });

  it.each([10, 2 * PART_BYTES])(
    'shows nothing of %i bytes on a lease that went stale meanwhile',
    async (size) => {
      const s3 = new InMemoryS3();
      const stale = new DestinationError('TIMEOUT', 'the lease is stale');
      let checks = 0;
      const assertLeased = (): void => {
        checks += 1;
        // Of a small file the first check is before its request, the second before its last byte.
        if (checks > (size > MAX_PUT_BYTES ? 0 : 1)) throw stale;
      };

      expect((await deliver(s3, [aDeliveryFile('a.bin', randomBytes(size))], { assertLeased })).error).toBe(
        stale,
      );
      expect([s3.objects.size, s3.uploads.size]).toEqual([0, 0]);
    },
  );

  it('has at most six parts in memory, however many files there are', async () => {
    const s3 = new InMemoryS3();
    let inFlight = 0;
    let most = 0;
    const putPart = s3.putPart.bind(s3);
    s3.putPart = async (...part) => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      await new Promise((resolve) => setImmediate(resolve));
      return await putPart(...part).finally(() => (inFlight -= 1));
    };
    const bytes = randomBytes(3 * PART_BYTES);
    const destination = new S3Destination(s3);
    const deliveries = Array.from({ length: 3 }, (_, index) =>
      aDelivery(SETTINGS, [aDeliveryFile(`${index}.bin`, bytes)]),
    );

    const results = await Promise.all(deliveries.map((delivery) => attempt(destination, delivery)));

    expect(results.flatMap(({ error }) => error ?? [])).toEqual([]);
    expect(most).toBeLessThanOrEqual(6);
    for (const { bytes: stored } of s3.objects.values()) expect(stored.equals(bytes)).toBe(true);
  });

  it('never lets a prefix or a name lead out of each other', () => {
    const names = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/);
    fc.assert(
      fc.property(fc.array(names, { maxLength: 4 }), names, names, (levels, channel, name) => {
        const key = objectKey(`/${levels.join('//')}/{channel}/`, channel, name);
        expect(key.split('/')).toEqual([...levels, channel, name]);
      }),
    );
    expect(objectKey('', 'shop', 'a.bin')).toBe('a.bin');
  });
});

describe('the S3 destination without overwriting', () => {
  const settings = CREATE_ONLY;
  const [BYTES, OTHERS] = [Buffer.from('our bytes'), Buffer.from('not ours!')];
  const ours = (isBegun = false): DeliveryFile => ({ ...aDeliveryFile('a.bin', BYTES), isBegun });

  /** Somebody else's object, without our metadata. */
  function occupied(
    bytes: Buffer,
    came: Coming = 'hashed',
    metadata: Record<string, string> = {},
  ): InMemoryS3 {
    const s3 = new InMemoryS3();
    s3.objects.set(KEY, { bytes, head: { key: KEY, mimeType: 'x', metadata }, came });
    return s3;
  }

  it('has each write on record before it begins', async () => {
    const s3 = new InMemoryS3();
    const begun: string[] = [];
    const begin = ({ name }: DeliveryFile): Promise<void> => {
      begun.push(name);
      expect(s3.calls).toEqual([]);
      return Promise.resolve();
    };

    expect((await deliver(s3, [ours()], { settings, begin })).error).toBeUndefined();

    expect(begun).toEqual(['a.bin']);
    expect(s3.objects.size).toBe(1);
  });

  it('writes nothing that could not be put on record', async () => {
    const s3 = new InMemoryS3();
    const lost = new DestinationError('TIMEOUT', 'making the attempt: it was stopped');

    expect((await deliver(s3, [ours()], { settings, begin: () => Promise.reject(lost) })).error).toBe(lost);
    expect(s3.calls).toEqual([]);
  });

  it.each([
    ['the store tells the same hash', BYTES, 'hashed', {}, 'found'],
    ['the store tells another hash', OTHERS, 'hashed', {}, undefined],
    ['it came in parts, and its writer left the same hash', BYTES, 'in parts', 'same', 'found'],
    ['it came in parts, and its writer left none', BYTES, 'in parts', {}, undefined],
    ['another hash speaks against what its writer says', OTHERS, 'hashed', 'same', undefined],
    ['it came in one piece without a hash', BYTES, 'unhashed', {}, 'found'],
    ['it came in one piece without a hash, with other bytes', OTHERS, 'unhashed', {}, undefined],
  ] as const)('looks at what stands there: %s', async (_what, bytes, came, left, placedBy) => {
    const s3 = occupied(bytes, came, left === 'same' ? { 'heddle-sha256': ours().sha256 } : {});

    const { receipts, error } = await deliver(s3, [ours()], { settings });

    expect(receipts.map(({ details }) => details['placedBy'])).toEqual(
      placedBy === undefined ? [] : [placedBy],
    );
    if (placedBy === undefined) expect(error).toMatchObject({ code: 'ALREADY_EXISTS', retryable: false });
    expect(s3.objects.get(KEY)?.bytes).toBe(bytes);
  });

  it.each([
    ['had begun', true, undefined],
    ['had not begun', false, 'ALREADY_EXISTS'],
  ])('takes a name that nobody may read for ours where an earlier offer %s', async (_what, isBegun, code) => {
    const s3 = occupied(BYTES);
    s3.failOn = (call) => (call.startsWith('find') ? denied() : undefined);

    const { receipts, error } = await deliver(s3, [ours(isBegun)], { settings });

    if (code === undefined) expect(receipts).toMatchObject([{ details: { placedBy: 'an earlier attempt' } }]);
    else expect(error).toMatchObject({ code });
  });

  it('takes the name for ours where the answer to our own write was lost', async () => {
    const s3 = new InMemoryS3();
    let losses = 1;
    s3.loseOn = (call) => call.startsWith('put') && losses-- > 0;
    s3.failOn = (call) => (call.startsWith('find') ? denied() : undefined);

    const { receipts, error } = await deliver(s3, [ours()], { settings });

    expect(error).toBeUndefined();
    expect(receipts).toHaveLength(1);
  });

  it('leaves it to the next attempt where the name is free once it looks', async () => {
    const s3 = occupied(OTHERS);
    s3.between = (call) => {
      if (call.startsWith('find')) s3.objects.clear();
    };

    expect((await deliver(s3, [ours()], { settings })).error).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('for a moment') as unknown,
    });
  });

  it('tries again where another writer is at the same key', async () => {
    const s3 = new InMemoryS3();
    let conflicts = 2;
    s3.failOn = (call) =>
      call.startsWith('put') && conflicts-- > 0 ? answer('ConditionalRequestConflict', 409) : undefined;

    expect((await deliver(s3, [ours()], { settings })).error).toBeUndefined();

    conflicts = 100;
    expect((await deliver(s3, [ours()], { settings })).error).toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  it('takes back the parts of a name that is taken', async () => {
    const s3 = occupied(OTHERS);

    const { error } = await deliver(s3, [aDeliveryFile('a.bin', randomBytes(2 * PART_BYTES))], { settings });

    expect(error).toMatchObject({ code: 'ALREADY_EXISTS' });
    expect(s3.uploads.size).toBe(0);
    expect(s3.objects.get(KEY)?.bytes).toBe(OTHERS);
  });
});
