import type { DeliveryCode, ZapierSettings } from '@heddle/contracts';
import { AddressGuard, DestinationError, parseAllowedAddresses } from '@heddle/destination-kit';
import type { Delivery, DeliveryFile } from '@heddle/destination-kit';
import { aDelivery, aDeliveryFile, attempt, describeDestination } from '@heddle/destination-testing';
import type { AttemptResult } from '@heddle/destination-testing';
import { userAgent } from '@heddle/platform';
import { HookCatcher, eventually } from '@heddle/testing';
import type { CaughtCall, HookReaction } from '@heddle/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { HookPacer } from '../src/zapier/hook-pacer.js';
import { NodeHookClient } from '../src/zapier/node-hook.client.js';
import { ZapierDestination } from '../src/zapier/zapier.destination.js';

const SECRET = 'secret-of-the-hook';
/** Long enough for a machine that is busy with other suites. */
const ANSWER_MS = 1_500;
const TICKET = aDeliveryFile('1022_ID_6182665224482_R_DRIVE-001_Ticket.pdf', Buffer.from('%PDF'));
const DOCUMENT = aDeliveryFile('1022_ID_6182665224482_R_DRIVE-001_Recipe.json', Buffer.from('{}'));

function aDestination(allowed = '127.0.0.1'): ZapierDestination {
  const guard = new AddressGuard({ allowed: parseAllowedAddresses(allowed) });
  const client = new NodeHookClient({ guard, connectTimeoutMs: ANSWER_MS, answerTimeoutMs: ANSWER_MS });
  return new ZapierDestination(client, new HookPacer(10_000));
}

interface Body {
  readonly files: readonly { readonly name: string; readonly mimeType: string; readonly url: string }[];
}
const bodyOf = ({ text }: CaughtCall): Body => JSON.parse(text) as Body;

let target: HookCatcher;
describeDestination<ZapierSettings>('a catch hook', {
  sendsLinks: true,
  start: async () => {
    target = await HookCatcher.start();
    const { port } = target;
    let isDown = false;
    refuseConnections = async () => {
      isDown = true;
      await target.close();
    };
    const destination = aDestination();
    return {
      destination,
      settings: { 'hook-url': target.hookUrl(SECRET), 'recipe-links': 'signed' },
      secrets: [SECRET],
      contents: async () => {
        const accepted = target.calls.filter(({ reaction }) => reaction === undefined);
        const files = accepted.flatMap((call) => bodyOf(call).files);
        return new Map(files.map(({ name, url }) => [name, Buffer.from(url)]));
      },
      isTemporary: () => false,
      reset: async () => {
        if (isDown) target = await HookCatcher.start({ port });
        isDown = false;
        target.reset();
      },
      close: async () => {
        await destination.close();
        await target.close();
      },
    };
  },
  faults: () => [
    { what: 'refuses connections', code: 'UNAVAILABLE', arrange: () => refuseConnections() },
    ...(
      [
        ['resets connections', 'UNAVAILABLE', 'reset'],
        ['never answers', 'TIMEOUT', 'hang'],
        ['answers too late', 'TIMEOUT', { afterMs: 3 * ANSWER_MS }],
        ['answers 201, which is no promise', 'UNKNOWN', { status: 201 }],
        ['answers 204', 'UNKNOWN', { status: 204 }],
        ['redirects', 'NOT_FOUND', { status: 307, headers: { location: '/hooks/catch/1/other/' } }],
        ['answers 400', 'UNKNOWN', { status: 400 }],
        ['answers 403', 'ACCESS_DENIED', { status: 403 }],
        ['answers 404', 'NOT_FOUND', { status: 404 }],
        ['is gone', 'GONE', { status: 410 }],
        ['has had too many calls', 'THROTTLED', { status: 429, headers: { 'retry-after': '3' } }],
        ['answers 500', 'UNAVAILABLE', { status: 500, body: `the hook ${SECRET} has failed` }],
      ] as const satisfies readonly (readonly [string, DeliveryCode, HookReaction])[]
    ).map(([what, code, reaction]) => ({
      what,
      code,
      arrange: () => {
        target.rule = () => reaction;
      },
    })),
  ],
});
let refuseConnections: () => Promise<void>;

describe('calls of a hook', () => {
  let catcher: HookCatcher;
  let destination: ZapierDestination;

  beforeAll(async () => {
    catcher = await HookCatcher.start();
    destination = aDestination();
  });
  afterEach(() => catcher.reset());
  afterAll(async () => {
    await destination.close();
    await catcher.close();
  });

  const settings = (change: Partial<ZapierSettings> = {}): ZapierSettings => ({
    'hook-url': catcher.hookUrl(SECRET),
    'recipe-links': 'signed',
    ...change,
  });
  const run = (
    files: readonly DeliveryFile[] = [TICKET],
    fields: Partial<Delivery<ZapierSettings>> = {},
    by = destination,
  ): Promise<AttemptResult> => attempt(by, aDelivery(settings(), files, fields));

  it('say the order, and of each file its name, type and link', async () => {
    const { error, receipts } = await run([TICKET, DOCUMENT], {
      deliveryId: '0190a1b2-0000-7000-8000-0000000000aa',
      attempt: 2,
      linkTo: async (name) => `https://hub.example/files/token/${name}`,
    });

    expect(error).toBeUndefined();
    const [call] = catcher.calls;
    expect(call?.text).toBe(
      JSON.stringify({
        orderId: '6182665224482',
        orderNumber: '1022',
        files: [TICKET, DOCUMENT].map(({ name, mimeType }) => ({
          name,
          mimeType,
          url: `https://hub.example/files/token/${name}`,
        })),
      }),
    );
    expect(call).toMatchObject({
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': userAgent,
        'x-delivery-id': '0190a1b2-0000-7000-8000-0000000000aa',
        'x-attempt': '2',
      },
    });
    expect(receipts).toEqual(
      [TICKET, DOCUMENT].map(({ name }) => ({
        name,
        location: `http://127.0.0.1:${String(catcher.port)}/`,
        sizeBytes: null,
        sha256: null,
        details: { status: '200' },
      })),
    );
  });

  it('give the number of an order without an id in its place', async () => {
    const { order } = aDelivery(settings(), []);
    if (order === undefined) throw new Error('the sample has an order');
    await run([TICKET], { order: { ...order, orderId: null } });

    expect(JSON.parse(catcher.calls[0]?.text ?? '')).toMatchObject({ orderId: '1022', orderNumber: '1022' });
  });

  it('say the recipe where there is no order', async () => {
    const { order: _order, ...feed } = aDelivery(settings(), [DOCUMENT], { trigger: 'recipe.created' });
    await attempt(destination, feed);

    expect(Object.entries(JSON.parse(catcher.calls[0]?.text ?? '') as object)).toEqual([
      ['recipeId', 'DRIVE-001'],
      ['files', [expect.objectContaining({ name: DOCUMENT.name })]],
    ]);
  });

  it("ask for the recipe's own addresses where the settings want them", async () => {
    const delivery = aDelivery(settings({ 'recipe-links': 'public' }), [DOCUMENT], {
      linkTo: async (name, access) => `https://hub.example/${access ?? 'any'}/${name}`,
    });
    await attempt(destination, delivery);

    expect(bodyOf(catcher.calls[0]!).files[0]?.url).toBe(`https://hub.example/public/${DOCUMENT.name}`);
  });

  it.each([
    ['seconds', '7', 7_000],
    ['a date', new Date(Date.now() + 3_600_000).toUTCString(), 3_600_000],
  ])('pass on how long the hook wants to be left alone, in %s', async (_, retryAfter, waitMs) => {
    catcher.rule = () => ({ status: 429, headers: { 'retry-after': retryAfter } });

    const { error } = await run();

    expect(error).toMatchObject({ code: 'THROTTLED', retryable: true });
    const asked = (error as DestinationError).retryAfterMs ?? 0;
    expect(Math.abs(asked - waitMs)).toBeLessThan(20_000);
  });

  it('end where the hook redirects', async () => {
    const elsewhere = await HookCatcher.start();
    try {
      catcher.rule = () => ({ status: 308, headers: { location: elsewhere.hookUrl() } });

      const { error } = await run();

      expect((error as Error).message).toMatch(/answered 308, redirects are not followed$/);
      expect([catcher.calls.length, elsewhere.acceptedConnections]).toEqual([1, 0]);
    } finally {
      await elsewhere.close();
    }
  });

  it('succeed by their status, whatever comes after it', async () => {
    for (const reaction of [
      { status: 200, isEndless: true },
      { status: 200, body: 'x'.repeat(1_000_000) },
      { status: 200, headers: { 'content-type': 'application/json' }, body: '{"status":"error"' },
      { status: 200, body: '' },
    ] satisfies HookReaction[]) {
      catcher.rule = () => reaction;

      expect((await run()).error).toBeUndefined();
    }
  });

  it('are not made where the links are more than a hook is sent', async () => {
    const files = Array.from({ length: 40 }, (_, index) => aDeliveryFile(`${index}.png`, Buffer.from('')));

    const { error, receipts } = await run(files, {
      linkTo: async (name) => `https://${'x'.repeat(30_000)}/${name}`,
    });

    expect(error).toMatchObject({ code: 'TOO_LARGE', retryable: false });
    expect([receipts, catcher.calls]).toEqual([[], []]);
  });

  it('share a connection while they come one after the other', async () => {
    const by = aDestination();
    const before = catcher.acceptedConnections;
    for (let call = 0; call < 20; call += 1) expect((await run([TICKET], {}, by)).error).toBeUndefined();
    await by.close();

    expect(catcher.acceptedConnections - before).toBe(1);
  });

  it('come once more, as the same attempt, where a kept connection breaks', async () => {
    const by = aDestination();
    await run([TICKET], {}, by);
    let isBroken = false;
    catcher.rule = () => {
      if (isBroken) return undefined;
      isBroken = true;
      return 'reset';
    };

    const { error } = await run([TICKET], {}, by);
    await by.close();

    expect(error).toBeUndefined();
    const [, broken, again, ...others] = catcher.calls;
    expect(others).toEqual([]);
    expect(again?.text).toBe(broken?.text);
    for (const name of ['x-delivery-id', 'x-attempt'])
      expect(again?.headers[name]).toBe(broken?.headers[name]);
  });

  it('fail where a connection of their own breaks', async () => {
    const by = aDestination();
    catcher.rule = () => 'reset';

    const { error } = await run([TICKET], {}, by);
    await by.close();

    expect(error).toMatchObject({ code: 'UNAVAILABLE' });
    expect(catcher.calls).toHaveLength(1);
  });

  it('stop soon after an abort, with its reason', async () => {
    catcher.rule = () => 'hang';
    const controller = new AbortController();
    const reason = new DestinationError('TIMEOUT', 'stopped');

    const running = attempt(destination, aDelivery(settings(), [TICKET]), { signal: controller.signal });
    await eventually(() => expect(catcher.calls).toHaveLength(1), { withinMs: 5_000 });
    controller.abort(reason);

    expect(await running).toEqual({ receipts: [], error: reason });
  });

  it('never reach a private address that is not allowed', async () => {
    const by = aDestination('');
    const before = catcher.acceptedConnections;

    const { error } = await run([TICKET], {}, by);
    await by.close();

    expect(error).toMatchObject({ code: 'ADDRESS_REFUSED' });
    expect((error as Error).message).not.toContain(SECRET);
    expect(catcher.acceptedConnections).toBe(before);
  });

  it('fail where https is not spoken', async () => {
    const hookUrl = settings()['hook-url'].replace('http:', 'https:');

    const { error } = await attempt(destination, aDelivery(settings({ 'hook-url': hookUrl }), [TICKET]));

    expect(error).toMatchObject({ code: 'UNAVAILABLE' });
    expect(catcher.calls).toEqual([]);
  });
});
