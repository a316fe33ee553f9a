import { createHash, randomBytes, randomUUID } from 'node:crypto';

import type { DeliveryCode, Receipt } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import type { Delivery, DeliveryContext, DeliveryFile, Destination } from '@heddle/destination-kit';
import { describeError } from '@heddle/platform';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

/** A fault that the target can be given, and the code that it must become. */
export interface TargetFault {
  /** As in a test's title: `refuses to write`. */
  readonly what: string;
  readonly code: DeliveryCode;
  arrange(): void | Promise<void>;
}

/** One destination and its target, started for one suite. */
export interface DestinationHarness<TSettings> {
  readonly destination: Destination<TSettings>;
  readonly settings: TSettings;
  /** Texts of the settings that must be found nowhere. */
  readonly secrets: readonly string[];
  /** Everything that the target holds, by name, unfinished files included. */
  contents(): Promise<ReadonlyMap<string, Buffer>>;
  /** True for names under which unfinished files may stand. */
  isTemporary(name: string): boolean;
  /** Details of a receipt that another write of the same bytes changes: an ETag that counts writes, say. */
  readonly changingDetails?: readonly string[];
  /** Puts something where an earlier offer would have left it. Absent: the destination leaves nothing behind. */
  leaveBehind?(name: string, offerId: string): Promise<void>;
  /** Ends every fault and empties the target. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

export interface DestinationSuite<TSettings> {
  /** True: the target is sent links, and `contents` are the links that it holds. */
  readonly sendsLinks?: boolean;
  start(): Promise<DestinationHarness<TSettings>>;
  /** Faults of the running target. */
  faults(harness: () => DestinationHarness<TSettings>): readonly TargetFault[];
}

/** Files up to this size are at hand, as a worker has them. */
const MAX_HELD_BYTES = 1024 * 1024;
/** Longest that an aborted attempt may go on. */
const PROMPTLY_MS = 2_000;

/** A file of these bytes. `read` replaces how they come, for a slow or endless one. */
export function aDeliveryFile(
  name: string,
  bytes: Uint8Array,
  read?: () => AsyncIterable<Uint8Array>,
): DeliveryFile {
  return {
    name,
    mimeType: 'application/octet-stream',
    sizeBytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    ...(!read && bytes.length <= MAX_HELD_BYTES && { bytes }),
    open: read ?? (() => inPieces(bytes)),
  };
}

async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += 100_000) yield bytes.subarray(start, start + 100_000);
}

export function aDelivery<TSettings>(
  settings: TSettings,
  files: readonly DeliveryFile[],
  fields: Partial<Delivery<TSettings>> = {},
): Delivery<TSettings> {
  const offered =
    fields.offered ?? files.map(({ name, mimeType }) => ({ name, kind: 'attachment' as const, mimeType }));
  return {
    deliveryId: randomUUID(),
    offerId: randomUUID(),
    earlierOfferIds: [],
    tenant: 'demo',
    channel: 'default',
    integrationId: '0190a1b2-0000-7000-8000-00000000000a',
    settings,
    trigger: 'order.submitted',
    attempt: 1,
    order: {
      orderUid: '0190a1b2-0000-7000-8000-00000000000b',
      orderNumber: '1022',
      orderId: '6182665224482',
      version: 1,
      items: [{ itemId: '1', recipeId: 'DRIVE-001', itemQuantity: 2 }],
    },
    recipeIds: ['DRIVE-001'],
    notes: {},
    offered,
    files: inTurn(files),
    collect: async (maxBytes) => {
      let left = maxBytes;
      return offered.flatMap(({ name }) => {
        const file = files.find((each) => each.name === name);
        if (!file) return [];
        const fits = file.sizeBytes <= left;
        if (fits) left -= file.sizeBytes;
        return [{ name, sizeBytes: file.sizeBytes, file: fits ? file : undefined }];
      });
    },
    linkTo: async (name) => linkOf(files.find((file) => file.name === name) ?? name),
    ...fields,
  };
}

/** Who has it has the file: a link is as secret as what it leads to. */
const LINK_TOKEN = 'token-of-a-link';

/** Another one for other bytes, so that it can be told which of them arrived. */
function linkOf(file: DeliveryFile | string): string {
  return typeof file === 'string'
    ? `https://hub.example/files/${LINK_TOKEN}/${file}`
    : `https://hub.example/files/${LINK_TOKEN}-${file.sha256}/${file.name}`;
}

/** Each file goes to one of the readers, as the worker hands them out. */
function inTurn(files: readonly DeliveryFile[]): AsyncIterable<DeliveryFile> {
  const left = [...files];
  return {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        const value = left.shift();
        return value ? { done: false, value } : { done: true, value: undefined };
      },
    }),
  };
}

export interface AttemptResult {
  readonly receipts: Receipt[];
  readonly error?: unknown;
}

/** Runs one attempt to its end: what it proved, and the error that stopped it, if any. */
export async function attempt<TSettings>(
  destination: Destination<TSettings>,
  delivery: Delivery<TSettings>,
  context: Partial<DeliveryContext> = {},
): Promise<AttemptResult> {
  const receipts: Receipt[] = [];
  const whole = {
    signal: new AbortController().signal,
    assertLeased: () => undefined,
    begin: () => Promise.resolve(),
    note: () => Promise.resolve(),
    noteAtEnd: () => undefined,
    ...context,
  };
  try {
    for await (const receipt of destination.deliver(delivery, whole)) receipts.push(receipt);
    return { receipts };
  } catch (error) {
    return { receipts, error };
  }
}

/** What every destination promises, proven against a real target. Source: house style, section 10. */
export function describeDestination<TSettings>(name: string, suite: DestinationSuite<TSettings>): void {
  describe(`${name} as a destination`, () => {
    let harness: DestinationHarness<TSettings>;
    beforeAll(async () => {
      harness = await suite.start();
    });
    afterEach(() => harness.reset());
    afterAll(() => harness.close());

    const run = (
      files: readonly DeliveryFile[],
      fields: Partial<Delivery<TSettings>> = {},
      context: Partial<DeliveryContext> = {},
    ): Promise<AttemptResult> =>
      attempt(harness.destination, aDelivery(harness.settings, files, fields), context);
    /** What the target holds of a file that has arrived. */
    const arrivedOf = (file: DeliveryFile): Promise<Buffer> =>
      suite.sendsLinks === true ? Promise.resolve(Buffer.from(linkOf(file))) : bytesOf(file);

    async function finalNames(): Promise<string[]> {
      return [...(await harness.contents()).keys()].filter((each) => !harness.isTemporary(each)).sort();
    }
    async function temporaryNames(): Promise<string[]> {
      return [...(await harness.contents()).keys()].filter((each) => harness.isTemporary(each));
    }
    /** What stays the same when the same bytes are written again. */
    function provenBy({ receipts, error }: AttemptResult): unknown {
      const changing = new Set(harness.changingDetails);
      return {
        error,
        receipts: receipts.map(({ details, ...receipt }) => ({
          ...receipt,
          details: Object.entries(details).filter(([name]) => !changing.has(name)),
        })),
      };
    }
    function expectNoSecret(value: unknown): void {
      const text = JSON.stringify(value instanceof Error ? describeError(value) : value);
      for (const secret of [...harness.secrets, LINK_TOKEN]) expect(text).not.toContain(secret);
    }

    it('delivers exactly the files of every size, with a receipt for each', async () => {
      const sizes = [0, 1, 32_767, 32_768, 32_769, 99_999, 1_048_577];
      const files = sizes.map((size) => aDeliveryFile(`size-${size}.bin`, randomBytes(size)));
      const expected = await Promise.all(
        files.map(async (file) => [file.name, await arrivedOf(file)] as const),
      );

      const { receipts, error } = await run(files);

      expect(error === undefined ? undefined : describeError(error)).toBeUndefined();
      const contents = await harness.contents();
      for (const [file, bytes] of expected) expect(contents.get(file)?.equals(bytes)).toBe(true);
      expect(contents.size).toBe(sizes.length);
      for (const { name: file, sizeBytes, sha256 } of files) {
        const proof = suite.sendsLinks === true ? { sizeBytes: null, sha256: null } : { sizeBytes, sha256 };
        expect(receipts).toContainEqual(expect.objectContaining({ name: file, ...proof }));
      }
      expect(receipts).toHaveLength(files.length);
      expectNoSecret(receipts);
    });

    it('leaves one file behind when a delivery is attempted twice', async () => {
      const file = aDeliveryFile('twice.bin', randomBytes(40_000));

      const [deliveryId, offerId] = [randomUUID(), randomUUID()];
      const first = await run([file], { deliveryId, offerId });
      const second = await run([file], { deliveryId, attempt: 2, earlierOfferIds: [offerId] });

      expect(provenBy(second)).toEqual(provenBy(first));
      expect([...(await harness.contents()).keys()]).toEqual(['twice.bin']);
    });

    it('replaces the file of an older version', async () => {
      const newer = aDeliveryFile('version.txt', Buffer.from('the second'));
      await run([aDeliveryFile('version.txt', Buffer.from('the first and longer one'))]);
      await run([newer]);

      expect((await harness.contents()).get('version.txt')).toEqual(await arrivedOf(newer));
    });

    it('does not mix deliveries that run side by side', async () => {
      const sets = Array.from({ length: 12 }, (_, set) =>
        [0, 1, 2].map((index) =>
          aDeliveryFile(`${set}-${index}.txt`, Buffer.from(`${set}/${index};`.repeat(5_000))),
        ),
      );

      const results = await Promise.all(sets.map((files) => run(files)));

      expect(results.map(({ error }) => error).filter((error) => error !== undefined)).toEqual([]);
      const contents = await harness.contents();
      expect(contents.size).toBe(36);
      for (const file of sets.flat())
        expect(contents.get(file.name)?.equals(await arrivedOf(file))).toBe(true);
    });

    it('leaves one whole file when two offers of a delivery overlap', async () => {
      const file = aDeliveryFile('overlap.bin', randomBytes(400_000));
      const deliveryId = randomUUID();
      const [old, current] = [randomUUID(), randomUUID()];

      const results = await Promise.all([
        run([file], { deliveryId, offerId: old }),
        run([file], { deliveryId, offerId: current, earlierOfferIds: [old] }),
      ]);

      expect(results[1].error).toBeUndefined();
      const contents = await harness.contents();
      expect([...contents.keys()]).toEqual(['overlap.bin']);
      expect(contents.get('overlap.bin')?.equals(await arrivedOf(file))).toBe(true);
    });

    // A link has no halves, and nothing of the file is read.
    if (suite.sendsLinks !== true) {
      it('shows nothing half-written under its final name', async () => {
        const bytes = randomBytes(300_000);
        const { promise: goOn, resolve } = Promise.withResolvers<undefined>();
        const { promise: halfWay, resolve: isHalfWay } = Promise.withResolvers<undefined>();
        const file = aDeliveryFile('slow.bin', bytes, async function* () {
          yield bytes.subarray(0, 150_000);
          isHalfWay(undefined);
          await goOn;
          yield bytes.subarray(150_000);
        });

        const running = run([file]);
        await halfWay;
        const names = await finalNames();
        resolve(undefined);

        expect(names).toEqual([]);
        expect((await running).error).toBeUndefined();
        expect((await harness.contents()).get('slow.bin')?.equals(bytes)).toBe(true);
      });

      it('stops soon after an abort and leaves nothing', async () => {
        const controller = new AbortController();
        const file = aDeliveryFile('aborted.bin', Buffer.alloc(10_000_000), async function* () {
          yield Buffer.alloc(200_000);
          setImmediate(() => controller.abort(new DestinationError('TIMEOUT', 'stopped')));
          for (;;) {
            yield Buffer.alloc(1_000);
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
        });

        const startedAt = performance.now();
        const { error, receipts } = await run([file], {}, { signal: controller.signal });

        expect(error).toBeInstanceOf(DestinationError);
        expect(performance.now() - startedAt).toBeLessThan(PROMPTLY_MS);
        expect(receipts).toEqual([]);
        expect([...(await harness.contents()).keys()]).toEqual([]);
      });
    }

    it('makes nothing visible once the lease is stale', async () => {
      const stale = new DestinationError('TIMEOUT', 'the lease is stale');
      const assertLeased = (): void => {
        throw stale;
      };

      const { error } = await run([aDeliveryFile('stale.bin', randomBytes(10_000))], {}, { assertLeased });

      expect(error).toBe(stale);
      expect([...(await harness.contents()).keys()]).toEqual([]);
    });

    it('removes what earlier offers of the delivery left', async () => {
      const earlier = randomUUID();
      const foreign = randomUUID();
      await harness.leaveBehind?.('left.bin', earlier);
      await harness.leaveBehind?.('left.bin', foreign);

      await run([aDeliveryFile('left.bin', randomBytes(10))], { earlierOfferIds: [earlier] });

      expect(await finalNames()).toEqual(['left.bin']);
      expect(await temporaryNames()).toEqual(
        harness.leaveBehind ? [expect.stringContaining(foreign) as unknown as string] : [],
      );
    });

    // To a destination that sends links every file can be linked, whether it can be fetched or not.
    if (suite.sendsLinks !== true) {
      it('makes nothing of files that cannot be fetched, and leaves their faults to the worker', async () => {
        const offered = [{ name: 'gone.bin', kind: 'attachment', mimeType: 'x/y' }] as const;
        const { receipts, error } = await run([], { offered });

        expect({ receipts, error }).toEqual({ receipts: [], error: undefined });
      });
    }

    for (const fault of suite.faults(() => harness)) {
      describe(`where the target ${fault.what}`, () => {
        it(`answers ${fault.code}, shows no secret and leaves nothing half-written`, async () => {
          const file = aDeliveryFile('fault.bin', randomBytes(300_000));
          await fault.arrange();

          const { error, receipts } = await run([file]);

          expect(error).toBeInstanceOf(DestinationError);
          expect(error).toMatchObject({ code: fault.code });
          expect(receipts).toEqual([]);
          expectNoSecret(error);
          expect((error as Error).message).toMatch(/^(?:writing|connecting to|delivering|reading) /);
          expect(await finalNames()).toEqual([]);
        });

        it('delivers when the fault is over', async () => {
          const file = aDeliveryFile('fault.bin', randomBytes(3_000));
          const deliveryId = randomUUID();
          const offerId = randomUUID();
          await fault.arrange();
          await run([file], { deliveryId, offerId });
          await harness.reset();

          const { error } = await run([file], { deliveryId, earlierOfferIds: [offerId] });

          expect(error).toBeUndefined();
          expect([...(await harness.contents()).keys()]).toEqual(['fault.bin']);
        });
      });
    }
  });
}

async function bytesOf(file: DeliveryFile): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of file.open()) chunks.push(chunk);
  return Buffer.concat(chunks);
}
