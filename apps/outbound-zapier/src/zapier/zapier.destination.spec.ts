import type { ZapierSettings } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import { aDelivery, aDeliveryFile, attempt } from '@heddle/destination-testing';
import { describe, expect, it } from '@jest/globals';

import { HookPacer } from './hook-pacer.js';
import type { HookAnswer, HookCall, HookClient } from './hook.client.js';
import { StaleConnection } from './hook.client.js';
import { ZapierDestination } from './zapier.destination.js';

/** Answers what it is told to, in turn; then 200. */
class ScriptedHook implements HookClient {
  readonly calls: HookCall[] = [];
  constructor(private readonly script: (HookAnswer | Error)[] = []) {}

  post(call: HookCall): Promise<HookAnswer> {
    this.calls.push(call);
    const next = this.script.shift() ?? { status: 200, retryAfter: undefined };
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
  }

  close(): void {}
}

const settings: ZapierSettings = {
  'hook-url': 'https://hooks.example/hooks/catch/1/secret/?token=more',
  'recipe-links': 'signed',
};
const files = [aDeliveryFile('a.pdf', Buffer.from('a')), aDeliveryFile('b.pdf', Buffer.from('b'))];

describe('a delivery to a hook', () => {
  it('calls the whole address and shows its host alone', async () => {
    const hook = new ScriptedHook();
    const { receipts } = await attempt(
      new ZapierDestination(hook, new HookPacer(30)),
      aDelivery(settings, files),
    );

    expect(hook.calls.map(({ url }) => url.href)).toEqual([settings['hook-url']]);
    expect(receipts.map(({ location }) => location)).toEqual([
      'https://hooks.example/',
      'https://hooks.example/',
    ]);
  });

  it('proves nothing where the call fails', async () => {
    const hook = new ScriptedHook([{ status: 503, retryAfter: '9' }]);
    const result = await attempt(new ZapierDestination(hook, new HookPacer(30)), aDelivery(settings, files));

    expect(result).toMatchObject({
      receipts: [],
      error: {
        code: 'UNAVAILABLE',
        retryAfterMs: 9_000,
        message: 'delivering to https://hooks.example: the hook answered 503',
      },
    });
  });

  it('gives up where a second connection breaks as well', async () => {
    const hook = new ScriptedHook([new StaleConnection(), new StaleConnection()]);
    const { error } = await attempt(
      new ZapierDestination(hook, new HookPacer(30)),
      aDelivery(settings, files),
    );

    expect(error).toMatchObject({ code: 'UNAVAILABLE' });
    expect(hook.calls).toHaveLength(2);
  });

  it('waits for its turn without a call, and gives it back when it is stopped', async () => {
    const hook = new ScriptedHook();
    const destination = new ZapierDestination(hook, new HookPacer(1));
    const controller = new AbortController();
    const reason = new DestinationError('TIMEOUT', 'making the attempt: it was stopped');
    await attempt(destination, aDelivery(settings, files));

    const waiting = attempt(destination, aDelivery(settings, files), { signal: controller.signal });
    controller.abort(reason);

    expect(await waiting).toEqual({ receipts: [], error: reason });
    expect(hook.calls).toHaveLength(1);
  });

  it('asks whether it may still call when its turn has come, not before', async () => {
    const hook = new ScriptedHook();
    const pacer = new HookPacer(30);
    const turnOf = pacer.turn.bind(pacer);
    const order: string[] = [];
    pacer.turn = async (...args) => {
      await turnOf(...args);
      order.push('turn');
    };

    await attempt(new ZapierDestination(hook, pacer), aDelivery(settings, files), {
      assertLeased: () => void order.push('lease'),
    });

    expect(order).toEqual(['turn', 'lease']);
  });
});
