import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

import { HeadObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import type { HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import type { S3Settings } from '@heddle/contracts';
import { AddressGuard, DestinationError, parseAllowedAddresses } from '@heddle/destination-kit';
import type { DeliveryFile } from '@heddle/destination-kit';
import { aDelivery, aDeliveryFile, attempt, describeDestination } from '@heddle/destination-testing';
import type { AttemptResult } from '@heddle/destination-testing';
import { HttpGate, eventually, startS3Proxy } from '@heddle/testing';
import type { GateFault, S3Proxy } from '@heddle/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { S3Clients } from '../src/s3/aws-s3.client.js';
import { MAX_PUT_BYTES, PART_BYTES, S3Destination } from '../src/s3/s3.destination.js';

/** Short where silence is on trial; a machine that does much else takes its time. */
const [SHORT_SILENCE_MS, SILENCE_MS] = [1_500, 4_000];
const ACCESS_KEY = 'access-key-of-the-factory';
/** Under these, s3proxy keeps uploads that are not completed. */
const UNFINISHED = /^\.(?:mpus-|s3proxy-mpu-)/;
/** The server's own name for bytes that it is receiving; it shows none of them, and drops them by and by. */
const RECEIVING = /-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const TIMEOUT_MS = 90_000;

let server: S3Proxy;
let gate: HttpGate;
/** The one that is written to. */
let bucket: string;

function aDestination({ allowed = '127.0.0.1', idleMs = 60_000, silenceTimeoutMs = SILENCE_MS } = {}): {
  destination: S3Destination;
  clients: S3Clients;
} {
  const guard = new AddressGuard({ allowed: parseAllowedAddresses(allowed) });
  const clients = new S3Clients({
    guard,
    connectTimeoutMs: SILENCE_MS,
    silenceTimeoutMs,
    idleMs,
  });
  return { destination: new S3Destination(clients), clients };
}

const settingsOf = (fields: Partial<S3Settings> = {}): S3Settings => ({
  'access-key-secret': server.accessKey,
  'secret-key-secret': server.secretKey,
  bucket,
  region: server.region,
  endpoint: gate.origin,
  prefix: 'in/{channel}',
  overwrite: true,
  ...fields,
});

/** Objects and unfinished uploads alike, by name without its folder. */
function contents(): ReadonlyMap<string, Buffer> {
  const folder = join(server.directory, bucket);
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => !RECEIVING.test(path) && statSync(path).isFile());
  return new Map(
    files.map((path) => [relative(folder, path).replace(/^in\/default\//, ''), readFileSync(path)] as const),
  );
}

/** In place of emptying the one before, where the server may still be writing what was sent and given up. */
function useNewBucket(): void {
  bucket = `press-room-${randomUUID()}`;
  server.makeBucket(bucket);
}

/** As a tool does that knows nothing of us, and of no hash but the store's own. */
async function somebodyElsePuts(name: string, bytes: Buffer): Promise<void> {
  const client = new S3Client({
    region: server.region,
    endpoint: server.endpoint,
    forcePathStyle: true,
    credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    requestChecksumCalculation: 'WHEN_REQUIRED',
  });
  await client.send(new PutObjectCommand({ Bucket: bucket, Key: `in/default/${name}`, Body: bytes }));
  client.destroy();
}

async function headOf(key: string): Promise<HeadObjectCommandOutput> {
  const client = new S3Client({
    region: server.region,
    endpoint: server.endpoint,
    forcePathStyle: true,
    credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
  });
  const head = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
  client.destroy();
  return head;
}

const error = (status: number, code: string, headers = {}): GateFault => ({
  answer: {
    status,
    headers: { 'content-type': 'application/xml', ...headers },
    body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>vendor detail</Message><AWSAccessKeyId>${ACCESS_KEY}</AWSAccessKeyId></Error>`,
  },
});

beforeAll(async () => {
  server = await startS3Proxy({ accessKey: ACCESS_KEY });
  useNewBucket();
  gate = await HttpGate.start(server.port);
}, TIMEOUT_MS);
afterAll(async () => {
  await gate.close();
  await server.close();
});

/** A write-only key: whoever asks for more than writing is refused. */
const writeOnly = ({ method }: { readonly method: string }): GateFault | undefined =>
  method === 'GET' || method === 'HEAD' ? error(403, 'AccessDenied') : undefined;

describeDestination('S3', {
  start: async () => {
    const { destination } = aDestination({ silenceTimeoutMs: SHORT_SILENCE_MS });
    return {
      destination,
      get settings() {
        return settingsOf();
      },
      secrets: [server.secretKey, server.accessKey],
      contents: async () => contents(),
      isTemporary: (name) => UNFINISHED.test(name),
      reset: async () => {
        gate.reset();
        gate.rule = writeOnly;
        server.resume();
        await server.start();
        useNewBucket();
      },
      close: () => destination.close(),
    };
  },
  faults: () => [
    { what: 'is gone', code: 'UNAVAILABLE', arrange: () => server.kill() },
    { what: 'stands still', code: 'TIMEOUT', arrange: () => server.pause() },
    {
      what: 'refuses the key',
      code: 'ACCESS_DENIED',
      arrange: () => answers(error(403, 'InvalidAccessKeyId')),
    },
    { what: 'refuses to write', code: 'ACCESS_DENIED', arrange: () => answers(error(403, 'AccessDenied')) },
    { what: 'has lost the bucket', code: 'NOT_FOUND', arrange: () => answers(error(404, 'NoSuchBucket')) },
    { what: 'asks for less', code: 'THROTTLED', arrange: () => answers(error(503, 'SlowDown')) },
    { what: 'is full', code: 'TARGET_FULL', arrange: () => answers(error(507, 'XMinioStorageFull')) },
    { what: 'is in trouble', code: 'UNAVAILABLE', arrange: () => answers(error(500, 'InternalError')) },
    {
      what: 'is elsewhere',
      code: 'INVALID_SETTINGS',
      arrange: () => answers(error(301, 'PermanentRedirect')),
    },
    {
      what: 'is behind a proxy in trouble',
      code: 'UNAVAILABLE',
      arrange: () => answers({ answer: { status: 502 } }),
    },
    {
      what: 'answers nonsense',
      code: 'UNKNOWN',
      arrange: () => answers({ answer: { status: 400, body: 'no' } }),
    },
    { what: 'never answers', code: 'TIMEOUT', arrange: () => answers('hang') },
    { what: 'cuts connections', code: 'UNAVAILABLE', arrange: () => answers('cut') },
    {
      what: 'cuts them in mid-file',
      code: 'UNAVAILABLE',
      arrange: () => answers({ cutAfterBytes: 100_000 }),
    },
  ],
});

function answers(fault: GateFault): void {
  gate.rule = () => fault;
}

describe('S3 settings', () => {
  const { destination, clients } = aDestination();
  afterEach(() => {
    gate.reset();
    useNewBucket();
  });
  afterAll(() => destination.close());

  const send = (
    fields: Partial<S3Settings>,
    files: readonly DeliveryFile[] = [aDeliveryFile('a.bin', randomBytes(2_000))],
    integrationId = randomUUID(),
  ): Promise<AttemptResult> => attempt(destination, aDelivery(settingsOf(fields), files, { integrationId }));

  it.each([
    ['another secret', { 'secret-key-secret': 'another-secret' }, 'ACCESS_DENIED'],
    ['another key', { 'access-key-secret': 'another-key' }, 'ACCESS_DENIED'],
    ['a bucket that does not exist', { bucket: 'missing' }, 'NOT_FOUND'],
    ['a port where nobody listens', { endpoint: 'http://127.0.0.1:1' }, 'UNAVAILABLE'],
    ['a name that does not exist', { endpoint: 'http://no-such-host.invalid' }, 'UNAVAILABLE'],
    ['a server that speaks no TLS', { endpoint: 'tls' }, 'UNAVAILABLE'],
  ])('with %s fail', async (_what, fields: Partial<S3Settings>, code) => {
    const { error: failure } = await send(
      fields.endpoint === 'tls' ? { endpoint: gate.origin.replace('http:', 'https:') } : fields,
    );

    expect(failure).toMatchObject({ code });
  });

  it('lead nowhere that is not allowed, and open no socket to it', async () => {
    const strict = aDestination({ allowed: '' }).destination;
    const spellings = ['127.0.0.1', '2130706433', '0x7f000001', '[::ffff:127.0.0.1]', 'localhost'];
    const before = gate.acceptedConnections;

    for (const host of spellings) {
      const settings = settingsOf({ endpoint: `http://${host}:${gate.port}` });
      const delivery = aDelivery(settings, [aDeliveryFile('a.bin', randomBytes(10))]);
      expect((await attempt(strict, delivery)).error).toMatchObject({ code: 'ADDRESS_REFUSED' });
    }
    expect(gate.acceptedConnections).toBe(before);
  });

  it('follow no redirect', async () => {
    const other = await HttpGate.start(server.port);
    answers({ answer: { status: 307, headers: { location: `${other.origin}/${bucket}/in/default/a.bin` } } });

    const { error: failure } = await send({});

    expect(failure).toMatchObject({ code: 'INVALID_SETTINGS' });
    expect(other.requests).toEqual([]);
    await other.close();
  });

  it('write under the prefix, or into the root', async () => {
    await send({ prefix: '/a//{channel}/b/' });
    await send({ prefix: '' });

    expect([...contents().keys()].sort()).toEqual(['a.bin', 'a/default/b/a.bin']);
  });

  it('never send credentials or ask for more than writing', async () => {
    await send({});
    await send({}, [aDeliveryFile('b.bin', randomBytes(MAX_PUT_BYTES + 1))]);

    expect([...new Set(gate.requests.map(({ method }) => method))].sort()).toEqual(['POST', 'PUT']);
    expect(JSON.stringify(gate.requests)).not.toContain(server.secretKey);
  });

  it('share connections between deliveries, and not with other credentials or integrations', async () => {
    const integrationId = randomUUID();
    const files = (): DeliveryFile[] => [aDeliveryFile('a.bin', randomBytes(2_000))];
    const before = gate.acceptedConnections;
    for (let index = 0; index < 5; index += 1) await send({}, files(), integrationId);
    expect(gate.acceptedConnections - before).toBe(1);

    await send({ 'secret-key-secret': 'another-secret' }, files(), integrationId);
    await send({}, files());
    expect(gate.acceptedConnections - before).toBe(3);
    expect(clients.connections).toBeGreaterThanOrEqual(3);
  });

  it('cost no attempt where kept connections died while nobody used them', async () => {
    const integrationId = randomUUID();
    await send({}, [aDeliveryFile('a.bin', randomBytes(10))], integrationId);
    gate.cutConnections();

    expect((await send({}, [aDeliveryFile('b.bin', randomBytes(10))], integrationId)).error).toBeUndefined();
  });

  it('let connections go that are idle', async () => {
    const idle = aDestination({ idleMs: 50 });
    await attempt(idle.destination, aDelivery(settingsOf(), [aDeliveryFile('a.bin', randomBytes(10))]));

    await eventually(() => expect(idle.clients.connections).toBe(0), { withinMs: 5_000 });
    await idle.destination.close();
  });

  it('wait as long as the store asks for', async () => {
    answers(error(503, 'SlowDown', { 'retry-after': '30' }));

    expect((await send({})).error).toMatchObject({ code: 'THROTTLED', retryAfterMs: 30_000 });
  });
});

describe('a file that is at hand', () => {
  const { destination } = aDestination();
  afterEach(() => {
    gate.reset();
    useNewBucket();
  });
  afterAll(() => destination.close());

  const send = (
    file: DeliveryFile,
    fields: Partial<S3Settings> = {},
    context: Parameters<typeof attempt>[2] = {},
    integrationId = randomUUID(),
  ): Promise<AttemptResult> =>
    attempt(destination, aDelivery(settingsOf(fields), [file], { integrationId }), context);

  it('arrives as a stream of it does, with its type and what is stored with it', async () => {
    const bytes = randomBytes(20_000);
    const held = { ...aDeliveryFile('held.pdf', bytes), mimeType: 'application/pdf' };
    const streamed = {
      ...aDeliveryFile('streamed.pdf', bytes, async function* () {
        yield bytes;
      }),
      mimeType: 'application/pdf',
    };
    const integrationId = randomUUID();
    const results = [await send(held, {}, {}, integrationId), await send(streamed, {}, {}, integrationId)];

    expect(held.bytes).toBe(bytes);
    const [first, second] = results.map(({ receipts }) => receipts[0]);
    expect(first).toEqual({
      ...second,
      name: 'held.pdf',
      location: `s3://${bucket}/in/default/held.pdf`,
    });
    const heads = await Promise.all(['held.pdf', 'streamed.pdf'].map((name) => headOf(`in/default/${name}`)));
    for (const head of heads) {
      expect(head).toMatchObject({
        ContentType: 'application/pdf',
        ContentLength: bytes.length,
        Metadata: { 'heddle-sha256': held.sha256 },
      });
    }
  });

  it('arrives under every name that settings and files allow', async () => {
    const prefix = "it's/(a+b)=@!*,._-";
    const name = 'Ünïcode 漢字 & #1 %41 +.bin';
    await send(aDeliveryFile(name, Buffer.from('here')), { prefix });

    expect(contents().get(`${prefix}/${name}`)?.toString()).toBe('here');
    expect(gate.requests.map(({ url }) => url)).toEqual([
      expect.stringContaining('/it%27s/%28a%2Bb%29%3D%40%21%2A%2C._-/%C3%9Cn%C3%AFcode%20'),
    ]);
  });

  it('that is empty arrives', async () => {
    expect((await send(aDeliveryFile('empty.bin', Buffer.alloc(0)))).error).toBeUndefined();
    expect(contents().get('empty.bin')).toHaveLength(0);
  });

  it('of which the bytes are not those that were hashed is refused by the store', async () => {
    const file = { ...aDeliveryFile('changed.bin', Buffer.from('one')), bytes: Buffer.from('two') };

    expect((await send(file)).error).toMatchObject({ code: 'UNAVAILABLE' });
    expect([...contents().keys()]).toEqual([]);
  });

  it('is not sent once the lease has gone while it was signed', async () => {
    const stale = new DestinationError('TIMEOUT', 'the lease is stale');
    let checks = 0;
    const assertLeased = (): void => {
      checks += 1;
      if (checks > 1) throw stale;
    };

    expect((await send(aDeliveryFile('stale.bin', randomBytes(10)), {}, { assertLeased })).error).toBe(stale);
    expect(gate.requests).toEqual([]);
  });

  it('is signed by the clock of the store where ours is wrong', async () => {
    const integrationId = randomUUID();
    const theirs = new Date(Date.now() + 3_600_000);
    answers(error(403, 'RequestTimeTooSkewed', { date: theirs.toUTCString() }));
    const file = aDeliveryFile('a.bin', randomBytes(10));

    expect((await send(file, {}, {}, integrationId)).error).toMatchObject({ code: 'UNAVAILABLE' });
    await send(file, {}, {}, integrationId);

    const hours = gate.requests.map(({ headers }) => String(headers['x-amz-date']).slice(0, 11));
    expect(hours[1]).toBe(theirs.toISOString().replaceAll('-', '').slice(0, 11));
    expect(hours[1]).not.toBe(hours[0]);
  });

  it('is refused with an answer that has no end', async () => {
    gate.rule = () => ({ answer: { status: 403, body: 'x'.repeat(1_000_000) } });

    expect((await send(aDeliveryFile('a.bin', randomBytes(10)))).error).toMatchObject({
      code: 'ACCESS_DENIED',
    });
  });
});

describe('a large file', () => {
  const { destination } = aDestination();
  afterEach(async () => {
    gate.reset();
    server.resume();
    await server.start();
    useNewBucket();
  });
  afterAll(() => destination.close());

  const SIZE = 3 * PART_BYTES + 5;
  const send = (
    file: DeliveryFile,
    fields: Partial<S3Settings> = {},
    signal?: AbortSignal,
  ): Promise<AttemptResult> =>
    attempt(destination, aDelivery(settingsOf(fields), [file]), signal === undefined ? {} : { signal });
  const isPart =
    (number: number) =>
    ({ url }: { readonly url: string }) =>
      url.includes(`partNumber=${number}&`);

  it('arrives in parts, with the right bytes', async () => {
    const bytes = randomBytes(SIZE);

    const { receipts, error: failure } = await send(aDeliveryFile('large.bin', bytes));

    expect(failure).toBeUndefined();
    expect(receipts).toMatchObject([
      {
        sizeBytes: SIZE,
        sha256: createHash('sha256').update(bytes).digest('hex'),
        details: { placedBy: 'write' },
      },
    ]);
    expect([...contents().keys()]).toEqual(['large.bin']);
    expect(contents().get('large.bin')?.equals(bytes)).toBe(true);
  });

  it.each([
    ['is refused', error(403, 'AccessDenied'), 'ACCESS_DENIED'],
    ['is cut', { cutAfterBytes: 1_000_000 } as const, 'UNAVAILABLE'],
    ['is never answered', 'hang' as const, 'TIMEOUT'],
  ])('of which a part %s leaves nothing in the bucket', async (_what, fault, code) => {
    gate.rule = (request) => (isPart(3)(request) ? fault : undefined);

    const { error: failure } = await send(aDeliveryFile('large.bin', randomBytes(SIZE)));

    expect(failure).toMatchObject({ code });
    expect([...contents().keys()]).toEqual([]);
  });

  it('of which a connection is cut once goes on with that part', async () => {
    let cuts = 1;
    gate.rule = (request) => (isPart(2)(request) && cuts-- > 0 ? { cutAfterBytes: 1_000_000 } : undefined);
    const bytes = randomBytes(SIZE);

    expect((await send(aDeliveryFile('large.bin', bytes))).error).toBeUndefined();

    expect(contents().get('large.bin')?.equals(bytes)).toBe(true);
    expect(gate.requests.filter(({ url }) => url.includes('?uploads'))).toHaveLength(1);
  });

  it('whose bytes change on the way is refused by the store', async () => {
    const meant = randomBytes(2_000_000);
    const file = aDeliveryFile('changed.bin', meant, async function* () {
      yield Buffer.from(meant).fill(0, 0, 1);
    });

    expect((await send(file)).error).toMatchObject({ code: 'UNAVAILABLE' });
    expect([...contents().keys()]).toEqual([]);
  });

  it('whose source breaks off ends its upload and says what the source said', async () => {
    const broken = new Error('reading a spooled file: it is shorter than it was');
    for (const size of [2_000_000, SIZE]) {
      const file = aDeliveryFile('broken.bin', Buffer.alloc(size), async function* () {
        yield Buffer.alloc(size - 1_000_000);
        throw broken;
      });
      expect((await send(file)).error).toMatchObject({ code: 'UNKNOWN', cause: broken });
    }
    expect([...contents().keys()]).toEqual([]);
  });
});

describe('S3 without overwriting', () => {
  const { destination } = aDestination();
  const settings = (): S3Settings => settingsOf({ overwrite: false });
  afterEach(() => {
    gate.reset();
    useNewBucket();
  });
  afterAll(() => destination.close());

  const send = (file: DeliveryFile): Promise<AttemptResult> =>
    attempt(destination, aDelivery(settings(), [file]));
  const text = (words: string): DeliveryFile => aDeliveryFile('a.txt', Buffer.from(words));

  it('leaves a taken name alone', async () => {
    await send(text('the first'));

    expect((await send(text('the other'))).error).toMatchObject({ code: 'ALREADY_EXISTS', retryable: false });
    expect(contents().get('a.txt')?.toString()).toBe('the first');
  });

  it.each([2_000, MAX_PUT_BYTES + 1])('is done where the same %i bytes stand there', async (size) => {
    const file = aDeliveryFile('a.txt', randomBytes(size));
    await send(file);

    const { receipts, error: failure } = await send(file);

    expect(failure).toBeUndefined();
    expect(receipts).toMatchObject([{ sha256: file.sha256, details: { placedBy: 'found' } }]);
  });

  it('is done where somebody else put the same bytes, without a hash of them', async () => {
    const bytes = randomBytes(2_000);
    await somebodyElsePuts('a.txt', bytes);

    expect(await send(aDeliveryFile('a.txt', bytes))).toMatchObject({
      receipts: [{ details: { placedBy: 'found' } }],
    });
    expect((await send(aDeliveryFile('a.txt', randomBytes(2_000)))).error).toMatchObject({
      code: 'ALREADY_EXISTS',
    });
  });

  it.each([
    ['may be read', undefined],
    ['may not be read', writeOnly],
  ])('delivers once where the answer of the store is lost and names %s', async (_what, rule) => {
    const file = text('delivered once');
    let losses = 2;
    gate.rule = (request) => (request.method === 'PUT' && losses-- > 0 ? 'lose-answer' : rule?.(request));

    const first = await send(file);
    // The dispatcher hands the record of the first offer to the second one.
    const second = await send({ ...file, isBegun: true });

    expect(first.error).toMatchObject({ code: 'UNAVAILABLE' });
    expect(second.error).toBeUndefined();
    expect(second.receipts).toHaveLength(1);
    expect(contents().get('a.txt')?.toString()).toBe('delivered once');
  });

  it('takes nothing for its own that it may not read and had not begun', async () => {
    await send(text('somebody else'));
    gate.rule = writeOnly;

    expect((await send(text('somebody else'))).error).toMatchObject({ code: 'ALREADY_EXISTS' });
  });

  it('lets one of several racing offers win, in parts too', async () => {
    for (const size of [1_000, MAX_PUT_BYTES + 1]) {
      const results = await Promise.all(
        Array.from({ length: 5 }, () => send(aDeliveryFile(`race-${size}.bin`, randomBytes(size)))),
      );
      expect(results.filter(({ receipts }) => receipts.length === 1)).toHaveLength(1);
      for (const { error: failure } of results.filter(({ receipts }) => receipts.length === 0))
        expect(failure).toMatchObject({ code: 'ALREADY_EXISTS' });
    }
    expect([...contents().keys()].filter((name) => UNFINISHED.test(name))).toEqual([]);
  });
});
