import { createHash, randomBytes, randomUUID } from 'node:crypto';

import type { AzureBlobSettings } from '@heddle/contracts';
import { AddressGuard, DestinationError, parseAllowedAddresses } from '@heddle/destination-kit';
import type { Delivery, DeliveryContext, DeliveryFile } from '@heddle/destination-kit';
import { aDelivery, aDeliveryFile, attempt, describeDestination } from '@heddle/destination-testing';
import type { AttemptResult } from '@heddle/destination-testing';
import { HttpGate, eventually, startAzurite } from '@heddle/testing';
import type { Azurite, GateAnswer, GatedRequest, SasOptions } from '@heddle/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { AzureBlobDestination } from '../src/azure-blob/azure-blob.destination.js';
import { AzureSdkContainers } from '../src/azure-blob/azure-sdk.client.js';

/** Of suites whose service falls silent. A busy machine takes its time. */
const SHORT_SILENCE_MS = 2_500;
const CONTAINER = 'press-room';
const OTHER_INTEGRATION = '0190a1b2-0000-7000-8000-00000000000c';

function aDestination(allowed = '127.0.0.1', silenceTimeoutMs = 15_000): AzureBlobDestination {
  const guard = new AddressGuard({ allowed: parseAllowedAddresses(allowed) });
  return new AzureBlobDestination(
    new AzureSdkContainers({ guard, connectTimeoutMs: silenceTimeoutMs, silenceTimeoutMs }),
  );
}

let azurite: Azurite;
let gate: HttpGate;
beforeAll(async () => {
  azurite = await startAzurite();
  gate = await HttpGate.start(azurite.port);
  await azurite.createContainer(CONTAINER);
});
afterAll(async () => {
  await gate.close();
  await azurite.close();
});

/** The signature says nothing about the host, so the gate takes it as well. */
function connection(options: SasOptions = {}, container = CONTAINER): string {
  return azurite.connectionString(container, options).replace(`:${azurite.port}/`, `:${gate.port}/`);
}
function settingsOf(fields: Partial<AzureBlobSettings> = {}, sas: SasOptions = {}): AzureBlobSettings {
  return {
    'connection-string-secure': connection(sas),
    container: CONTAINER,
    prefix: '',
    overwrite: true,
    ...fields,
  };
}
async function mend(): Promise<void> {
  gate.reset();
  azurite.resume();
  await azurite.start();
  await azurite.empty(CONTAINER);
}
const isCommit = ({ url }: GatedRequest): boolean => url.includes('comp=blocklist');
const refusal = (status: number, code: string, headers: GateAnswer['headers'] = {}): GateAnswer => ({
  status,
  headers: { 'x-ms-error-code': code, 'content-type': 'application/xml', ...headers },
  body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>text of the vendor</Message></Error>`,
});

describeDestination('Azure Blob', {
  start: async () => {
    const destination = aDestination('127.0.0.1', SHORT_SILENCE_MS);
    const settings = settingsOf({ prefix: 'in/{channel}' });
    const sas = settings['connection-string-secure'].split('SharedAccessSignature=')[1] ?? '';
    return {
      destination,
      settings,
      secrets: [
        sas,
        new URLSearchParams(sas).get('sig') ?? '',
        encodeURIComponent(new URLSearchParams(sas).get('sig') ?? ''),
      ],
      contents: async () => {
        // Whatever was done to it, what it holds can be looked at.
        azurite.resume();
        await azurite.start();
        await azurite.createContainer(CONTAINER);
        const blobs = await azurite.contents(CONTAINER);
        return new Map([...blobs].map(([name, bytes]) => [name.replace(/^in\/default\//, ''), bytes]));
      },
      // Blocks that are not committed have no name that a reader sees.
      isTemporary: () => false,
      changingDetails: ['etag'],
      reset: mend,
      close: () => destination.close(),
    };
  },
  faults: () => [
    // Killed, it would show what it held a few seconds ago when it comes back.
    { what: 'is gone', code: 'UNAVAILABLE', arrange: () => azurite.stop() },
    { what: 'stands still', code: 'TIMEOUT', arrange: () => azurite.pause() },
    {
      what: 'has lost the container',
      code: 'NOT_FOUND',
      arrange: async () => {
        await azurite.container(CONTAINER).delete();
      },
    },
    ...(
      [
        ['cuts connections', 'cut', 'UNAVAILABLE'],
        ['cuts connections in mid-block', { cutAfterBytes: 100_000 }, 'UNAVAILABLE'],
        ['takes requests and never answers', 'hang', 'TIMEOUT'],
        ['is busy', { answer: refusal(503, 'ServerBusy', { 'retry-after': '7' }) }, 'THROTTLED'],
        ['has a front that is busy', { answer: { status: 429 } }, 'THROTTLED'],
        [
          'has a front that is away',
          { answer: { status: 502, body: '<html>Bad Gateway</html>' } },
          'UNAVAILABLE',
        ],
        ['breaks', { answer: refusal(500, 'InternalError') }, 'UNAVAILABLE'],
        ['takes too long by its own word', { answer: refusal(500, 'OperationTimedOut') }, 'TIMEOUT'],
        ['refuses the signature', { answer: refusal(403, 'AuthenticationFailed') }, 'ACCESS_DENIED'],
        ['keeps the name for good', { answer: refusal(409, 'BlobImmutableDueToPolicy') }, 'ALREADY_EXISTS'],
        [
          'redirects',
          { answer: { status: 307, headers: { location: 'http://127.0.0.1:9/' } } },
          'UNAVAILABLE',
        ],
        ['is no blob service', { answer: { status: 200, body: 'x'.repeat(200_000) } }, 'UNAVAILABLE'],
        ['answers what nobody has heard of', { answer: refusal(418, 'Teapot') }, 'UNKNOWN'],
      ] as const
    ).map(([what, fault, code]) => ({
      what,
      code,
      arrange: () => {
        gate.rule = () => fault;
      },
    })),
    {
      what: 'never answers the last request',
      code: 'TIMEOUT',
      arrange: () => {
        gate.rule = (request) => (isCommit(request) ? 'hang' : undefined);
      },
    },
  ],
});

describe('what arrives in a container', () => {
  const destination = aDestination();
  afterEach(mend);
  afterAll(() => destination.close());
  const send = (
    files: readonly DeliveryFile[],
    settings = settingsOf(),
    fields: Partial<Delivery<AzureBlobSettings>> = {},
    context: Partial<DeliveryContext> = {},
  ): Promise<AttemptResult> => attempt(destination, aDelivery(settings, files, fields), context);

  it('is a blob with its type, its MD5 and its SHA-256, and the receipt names place and ETag', async () => {
    const bytes = randomBytes(9_000_000);
    const file = { ...aDeliveryFile('ticket.pdf', bytes), mimeType: 'application/pdf' };

    const { receipts, error } = await send([file], settingsOf({ prefix: '/für {channel}//' }), {
      channel: 'shop',
    });

    expect(error).toBeUndefined();

    const properties = await azurite
      .container(CONTAINER)
      .getBlobClient('für shop/ticket.pdf')
      .getProperties();
    expect(properties).toMatchObject({
      blobType: 'BlockBlob',
      contentType: 'application/pdf',
      contentLength: bytes.length,
      metadata: { sha256: file.sha256 },
    });
    expect(Buffer.from(properties.contentMD5 ?? [])).toEqual(createHash('md5').update(bytes).digest());
    const blocks = gate.requests.filter(({ url }) => url.includes('comp=block&'));
    expect(blocks).toHaveLength(9);
    for (const { headers } of blocks) expect(headers['content-md5']).toMatch(/^[A-Za-z0-9+/]{22}==$/);
    expect(receipts).toEqual([
      {
        name: 'ticket.pdf',
        location: `http://127.0.0.1:${gate.port}/heddle/${CONTAINER}/f%C3%BCr%20shop/ticket.pdf`,
        sizeBytes: bytes.length,
        sha256: file.sha256,
        details: { etag: properties.etag },
      },
    ]);
    expect((await azurite.contents(CONTAINER)).get('für shop/ticket.pdf')?.equals(bytes)).toBe(true);
  });

  it('is one of two files, and whole, where two integrations write the same name at the same time', async () => {
    const texts = ['first', 'second'].map((word) => word.repeat(300_000));
    const results = await Promise.all(
      texts.map((text, index) =>
        send([aDeliveryFile('same.txt', Buffer.from(text))], settingsOf(), {
          integrationId: index === 0 ? OTHER_INTEGRATION : randomUUID(),
        }),
      ),
    );

    expect(results.map(({ error }) => error)).toEqual([undefined, undefined]);
    expect(texts).toContain((await azurite.contents(CONTAINER)).get('same.txt')?.toString());
  });

  it('starts again where somebody else has taken the staged blocks away, and gives up after three times', async () => {
    const answer = refusal(400, 'InvalidBlockList');
    let refused = 0;
    gate.rule = (request) => (isCommit(request) && refused++ < 2 ? { answer } : undefined);
    expect((await send([aDeliveryFile('a.bin', randomBytes(10))])).error).toBeUndefined();

    gate.rule = (request) => (isCommit(request) ? { answer } : undefined);
    expect((await send([aDeliveryFile('b.bin', randomBytes(10))])).error).toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  it('is whole where the answer to the last request was lost, and stays so after the next attempt', async () => {
    const file = aDeliveryFile('lost.bin', randomBytes(2_000_000));
    gate.rule = (request) => (isCommit(request) ? 'lose-answer' : undefined);

    expect((await send([file])).error).toMatchObject({ code: 'UNAVAILABLE' });
    gate.reset();

    expect((await send([file])).error).toBeUndefined();
    expect([...(await azurite.contents(CONTAINER)).keys()]).toEqual(['lost.bin']);
  });

  it('is nothing where the service is killed in mid-file, and whole after the next attempt', async () => {
    const bytes = randomBytes(5_000_000);
    const { promise: killed, resolve } = Promise.withResolvers<undefined>();
    const file = aDeliveryFile('killed.bin', bytes, async function* () {
      yield bytes.subarray(0, 2_500_000);
      await killed;
      yield bytes.subarray(2_500_000);
    });
    const running = send([file]);
    await eventually(() => expect(gate.requests.length).toBeGreaterThan(0), { withinMs: 5_000 });
    await azurite.kill();
    resolve(undefined);

    expect((await running).error).toMatchObject({ code: 'UNAVAILABLE' });
    await azurite.start();
    await azurite.createContainer(CONTAINER);
    expect((await azurite.contents(CONTAINER)).has('killed.bin')).toBe(false);
    expect((await send([aDeliveryFile('killed.bin', bytes)])).error).toBeUndefined();
    expect((await azurite.contents(CONTAINER)).get('killed.bin')?.equals(bytes)).toBe(true);
  });

  it('passes on how long the service wants to be left alone', async () => {
    gate.rule = () => ({ answer: refusal(503, 'ServerBusy', { 'retry-after': '7' }) });
    const { error } = await send([aDeliveryFile('a.bin', randomBytes(10))]);
    expect(error).toMatchObject({ code: 'THROTTLED', retryAfterMs: expect.closeTo(7_000, -2) as unknown });

    gate.rule = () => ({
      answer: { status: 429, headers: { 'retry-after': 'Fri, 31 Dec 1999 23:59:59 GMT' } },
    });
    expect((await send([aDeliveryFile('a.bin', randomBytes(10))])).error).toMatchObject({ retryAfterMs: 0 });
  });
});

describe('with overwrite off', () => {
  const destination = aDestination();
  const NAME = 'kept.bin';
  const bytes = randomBytes(50_000);
  afterEach(mend);
  afterAll(() => destination.close());
  const create = (
    rights: string,
    file: DeliveryFile = aDeliveryFile(NAME, bytes),
    context: Partial<DeliveryContext> = {},
  ): Promise<AttemptResult> =>
    attempt(destination, aDelivery(settingsOf({ overwrite: false }, { rights }), [file]), context);
  const standing = async (): Promise<Buffer | undefined> => (await azurite.contents(CONTAINER)).get(NAME);
  const isBegun = (): DeliveryFile => ({ ...aDeliveryFile(NAME, bytes), isBegun: true });

  it('a free name is taken, once it is on record that the write begins', async () => {
    const order: string[] = [];
    gate.rule = ({ method }) => void order.push(method);
    const { receipts } = await create('w', undefined, {
      begin: async ({ name }) => void order.push(`begin ${name}`),
    });

    expect(order).toEqual([`begin ${NAME}`, 'PUT', 'PUT']);
    expect(receipts).toMatchObject([{ name: NAME, details: { etag: expect.any(String) as unknown } }]);
  });

  it('nothing is sent where the beginning cannot be put on record', async () => {
    const lost = new DestinationError('TIMEOUT', 'making the attempt: it was stopped');

    expect((await create('w', undefined, { begin: () => Promise.reject(lost) })).error).toBe(lost);
    expect(gate.requests).toEqual([]);
  });

  it.each(['rw', 'w'])('a name that other bytes have is left alone (rights: %s)', async (rights) => {
    await attempt(destination, aDelivery(settingsOf(), [aDeliveryFile(NAME, Buffer.from('older'))]));

    const { error, receipts } = await create(rights);

    expect(error).toMatchObject({ code: 'ALREADY_EXISTS', retryable: false });
    expect((error as Error).message).toMatch(/kept\.bin: the name is taken, and overwrite is off$/);
    expect(receipts).toEqual([]);
    expect((await standing())?.toString()).toBe('older');
  });

  it('a taken name keeps no other file of the set back', async () => {
    await attempt(destination, aDelivery(settingsOf(), [aDeliveryFile(NAME, Buffer.from('older'))]));
    const names = [NAME, 'a.bin', 'b.bin', 'c.bin', 'd.bin'];
    const files = names.map((name) => aDeliveryFile(name, bytes));

    const { receipts, error } = await attempt(
      destination,
      aDelivery(settingsOf({ overwrite: false }), files),
    );

    expect(error).toMatchObject({ code: 'ALREADY_EXISTS' });
    expect(receipts.map(({ name }) => name).toSorted()).toEqual(names.slice(1));
  });

  it('a name that the same bytes have is a success where the hash can be read', async () => {
    await create('w');

    const { error, receipts } = await create('rw');

    expect(error).toBeUndefined();
    expect(receipts).toMatchObject([{ name: NAME, details: { found: 'the same bytes' } }]);
  });

  it('the same bytes of somebody else are a success, other bytes of that length are not', async () => {
    const blob = azurite.container(CONTAINER).getBlockBlobClient(NAME);
    await blob.uploadData(bytes);
    expect(await create('rw')).toMatchObject({ receipts: [{ details: { found: 'the same bytes' } }] });

    await blob.uploadData(randomBytes(bytes.length));
    expect((await create('rw')).error).toMatchObject({ code: 'ALREADY_EXISTS' });
  });

  it('a blob without a hash is not taken for ours', async () => {
    const blob = azurite.container(CONTAINER).getBlockBlobClient(NAME);
    await blob.stageBlock('MDAw', bytes, bytes.length);
    await blob.commitBlockList(['MDAw']);

    expect((await create('rw')).error).toMatchObject({ code: 'ALREADY_EXISTS' });
  });

  it('a name is a success without the right to read only where this delivery had begun with the same bytes', async () => {
    await create('w');

    expect((await create('w')).error).toMatchObject({ code: 'ALREADY_EXISTS' });
    expect(await create('w', isBegun())).toMatchObject({ receipts: [{ name: NAME }] });
  });

  it('bytes on record do not stand against other bytes that can be read', async () => {
    await attempt(destination, aDelivery(settingsOf(), [aDeliveryFile(NAME, Buffer.from('older'))]));

    expect((await create('rw', isBegun())).error).toMatchObject({ code: 'ALREADY_EXISTS' });
  });

  it('a write whose answer was lost is not repeated at once, and the next attempt knows it for its own', async () => {
    await create('w', aDeliveryFile('warm.bin', bytes));
    gate.rule = (request) => (isCommit(request) ? 'lose-answer' : undefined);
    expect((await create('w')).error).toMatchObject({ code: 'UNAVAILABLE' });
    expect(gate.requests.filter((request) => isCommit(request) && request.url.includes(NAME))).toHaveLength(
      1,
    );
    gate.reset();

    expect((await create('w', isBegun())).error).toBeUndefined();
    expect((await standing())?.equals(bytes)).toBe(true);
  });

  it('a service that calls a taken name a refusal, as for a SAS that may only create, is understood', async () => {
    const answer = refusal(403, 'UnauthorizedBlobOverwrite');
    gate.rule = (request) => (isCommit(request) ? { answer } : undefined);

    expect((await create('w')).error).toMatchObject({ code: 'ALREADY_EXISTS' });
    expect((await create('w', isBegun())).error).toBeUndefined();
  });

  it('of twenty offers at the same time one writes, and all of them agree', async () => {
    const results = await Promise.all(Array.from({ length: 20 }, () => create('rw')));

    expect(results.map(({ error }) => error).filter((error) => error !== undefined)).toEqual([]);
    expect(results.filter(({ receipts }) => receipts[0]?.details['etag'] !== undefined)).toHaveLength(1);
  });
});

describe('a SAS', () => {
  const destination = aDestination();
  afterEach(mend);
  afterAll(() => destination.close());
  const sendWith = async (text: string, container = CONTAINER): Promise<unknown> => {
    const settings = { ...settingsOf({ container }), 'connection-string-secure': text };
    return (await attempt(destination, aDelivery(settings, [aDeliveryFile('a.bin', randomBytes(9))]))).error;
  };

  it.each([
    ['that has expired', () => connection({ expiresAt: new Date(Date.now() - 1_000) }), /expired/],
    ['that was changed', () => connection().replace(/sig=..../, 'sig=AAAA'), /expired/],
    ['of another container', () => connection({}, 'elsewhere'), /expired|SAS/],
  ])('%s is ACCESS_DENIED in words, and none of it shows', async (_what, text, words) => {
    const error = await sendWith(text());

    expect(error).toMatchObject({ code: 'ACCESS_DENIED', retryable: true });
    expect((error as Error).message).toMatch(words);
    expect(String(error) + JSON.stringify(error)).not.toContain('sig=');
  });

  it('of a container that is not there is NOT_FOUND in words', async () => {
    const error = await sendWith(connection({}, 'elsewhere'), 'elsewhere');

    expect(error).toMatchObject({ code: 'NOT_FOUND' });
    expect((error as Error).message).toMatch(/the container is not there$/);
  });

  it('cannot be used where the settings do not hold one', async () => {
    expect(await sendWith('nonsense')).toMatchObject({ code: 'INVALID_SETTINGS' });
  });
});

describe('connections to the blob service', () => {
  const ended: AzureBlobDestination[] = [];
  afterEach(async () => {
    await Promise.all(ended.splice(0).map((destination) => destination.close()));
    await mend();
  });
  function started(allowed?: string): AzureBlobDestination {
    const destination = aDestination(allowed);
    ended.push(destination);
    return destination;
  }
  const send = (
    destination: AzureBlobDestination,
    settings = settingsOf(),
    integrationId = randomUUID(),
  ): Promise<AttemptResult> =>
    attempt(
      destination,
      aDelivery(settings, [aDeliveryFile('a.bin', randomBytes(2_000))], { integrationId }),
    );

  it('are kept between deliveries, apart for each integration and each connection string', async () => {
    const destination = started();
    const integrationId = randomUUID();
    const before = gate.acceptedConnections;
    const opened = (): number => gate.acceptedConnections - before;

    for (let index = 0; index < 8; index += 1) await send(destination, settingsOf(), integrationId);
    // Two requests each. One may start a moment before the connection of the last is free.
    expect(opened()).toBeLessThan(6);
    const kept = opened();
    await send(destination, settingsOf({}, { rights: 'rw' }), integrationId);
    expect(opened()).toBeGreaterThan(kept);
    const both = opened();
    await send(destination, settingsOf(), OTHER_INTEGRATION);
    expect(opened()).toBeGreaterThan(both);
  });

  it('that the service closed while nobody used them cost no attempt', async () => {
    const destination = started();
    const integrationId = randomUUID();
    const settings = settingsOf();
    await send(destination, settings, integrationId);
    gate.rule = () => (gate.requests.length === 3 ? 'cut' : undefined);

    expect((await send(destination, settings, integrationId)).error).toBeUndefined();
  });

  it('are refused to an address that is not allowed, without a socket', async () => {
    const before = gate.acceptedConnections;

    expect((await send(started(''))).error).toMatchObject({ code: 'ADDRESS_REFUSED', retryable: false });
    expect((await send(started('127.0.0.1:1'))).error).toMatchObject({ code: 'ADDRESS_REFUSED' });
    expect(gate.acceptedConnections).toBe(before);
  });

  it.each(['[::ffff:127.0.0.1]', '0x7f.1', '2130706433', 'localhost', '[::1]', '169.254.169.254'])(
    'are refused to %s as well',
    async (host) => {
      const text = connection().replace('127.0.0.1', host);

      expect(
        (await send(started(''), { ...settingsOf(), 'connection-string-secure': text })).error,
      ).toMatchObject({
        code: 'ADDRESS_REFUSED',
      });
    },
  );

  it('follow no redirect, also not to an allowed address', async () => {
    const other = await HttpGate.start(azurite.port);
    gate.rule = ({ url }) => ({
      answer: { status: 307, headers: { location: `http://127.0.0.1:${other.port}${url}` } },
    });

    expect((await send(started())).error).toMatchObject({ code: 'UNAVAILABLE' });
    expect(other.acceptedConnections).toBe(0);
    await other.close();
  });

  it('go through no proxy of the environment', async () => {
    const proxy = await HttpGate.start(azurite.port);
    const names = ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY'];
    const before = new Map(names.map((name) => [name, process.env[name]]));
    for (const name of names) process.env[name] = `http://127.0.0.1:${proxy.port}`;
    try {
      expect((await send(started())).error).toBeUndefined();
      expect(proxy.acceptedConnections).toBe(0);
    } finally {
      for (const [name, value] of before) {
        if (value === undefined) Reflect.deleteProperty(process.env, name);
        else process.env[name] = value;
      }
      await proxy.close();
    }
  });

  it('that nobody accepts, and names that do not exist, are UNAVAILABLE', async () => {
    const closed = connection().replace(`:${gate.port}/`, ':1/');
    const nowhere = connection().replace('127.0.0.1', 'no-such-account.invalid');

    for (const text of [closed, nowhere])
      expect(
        (await send(started(), { ...settingsOf(), 'connection-string-secure': text })).error,
      ).toMatchObject({
        code: 'UNAVAILABLE',
      });
  });

  it('end soon after an abort, and with the destination', async () => {
    const destination = started();
    gate.rule = () => 'hang';
    const controller = new AbortController();
    const running = attempt(
      destination,
      aDelivery(settingsOf(), [aDeliveryFile('a.bin', randomBytes(3_000_000))]),
      { signal: controller.signal },
    );
    await eventually(() => expect(gate.requests.length).toBeGreaterThan(0), { withinMs: 5_000 });
    const stopped = new DestinationError('TIMEOUT', 'making the attempt: it was stopped');
    controller.abort(stopped);

    expect((await running).error).toBe(stopped);
  });
});
