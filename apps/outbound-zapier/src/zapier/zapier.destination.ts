import type { Receipt, ZapierSettings } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import type { Delivery, DeliveryContext, Destination } from '@heddle/destination-kit';
import { userAgent } from '@heddle/platform';

import type { HookPacer } from './hook-pacer.js';
import { HookRefusal, StaleConnection } from './hook.client.js';
import type { HookAnswer, HookCall, HookClient } from './hook.client.js';
import { toDestinationError } from './zapier.error.js';

type ZapierDelivery = Delivery<ZapierSettings>;

/** Zapier takes 10 MB, other hooks less. Source: wire/zapier.md. */
export const MAX_BODY_BYTES = 1_000_000;
/** The only status that says that the call was taken. Source: wire/zapier.md. */
const ACCEPTED = 200;

/**
 * Tells a hook of one delivery in one call, with a link for each file and never a byte of one. So it goes out whole or
 * not at all: all files have their receipts, or none has.
 *
 * A call whose answer was lost comes again, under the same `X-Delivery-Id`.
 */
export class ZapierDestination implements Destination<ZapierSettings> {
  readonly kind = 'zapier';
  readonly fetches = false;

  constructor(
    private readonly client: HookClient,
    private readonly pacer: HookPacer,
  ) {}

  async *deliver(delivery: ZapierDelivery, context: DeliveryContext): AsyncGenerator<Receipt, void> {
    if (delivery.offered.length === 0) return;
    const url = new URL(delivery.settings['hook-url']);
    // Never the path: whoever has it may post.
    const place = `delivering to ${url.origin}`;
    try {
      const { status } = await this.call(await callOf(delivery, url, place), context);
      for (const { name } of delivery.offered) {
        yield {
          name,
          location: `${url.origin}/`,
          sizeBytes: null,
          sha256: null,
          details: { status: String(status) },
        };
      }
    } catch (error) {
      if (context.signal.aborted) throw context.signal.reason;
      throw toDestinationError(error, place);
    }
  }

  close(): Promise<void> {
    this.client.close();
    return Promise.resolve();
  }

  private async call(call: HookCall, context: DeliveryContext): Promise<HookAnswer> {
    for (let isRepetition = false; ; isRepetition = true) {
      await this.pacer.turn(call.url.href, context.signal);
      context.assertLeased();
      try {
        const answer = await this.client.post(call, context.signal);
        if (answer.status !== ACCEPTED) throw new HookRefusal(answer);
        return answer;
      } catch (error) {
        // The server may have closed a kept connection just now, which is no failure of the hook.
        if (error instanceof StaleConnection && !isRepetition) continue;
        throw error;
      }
    }
  }
}

async function callOf(delivery: ZapierDelivery, url: URL, place: string): Promise<HookCall> {
  const body = Buffer.from(JSON.stringify(await contentOf(delivery)));
  if (body.byteLength > MAX_BODY_BYTES) {
    throw new DestinationError(
      'TOO_LARGE',
      `${place}: the links take ${String(body.byteLength)} bytes, a hook is sent ${String(MAX_BODY_BYTES)} at most`,
    );
  }
  const headers = {
    'content-type': 'application/json',
    'user-agent': userAgent,
    'x-delivery-id': delivery.deliveryId,
    'x-attempt': String(delivery.attempt),
  };
  return { url, headers, body };
}

/** Exactly these members: a Zap makes a variable of each. Source: wire/zapier.md. */
async function contentOf(delivery: ZapierDelivery): Promise<Readonly<Record<string, unknown>>> {
  const { order, recipeIds, settings, offered, linkTo } = delivery;
  const files = await Promise.all(
    offered.map(async ({ name, mimeType }) => ({
      name,
      mimeType,
      url: await linkTo(name, settings['recipe-links']),
    })),
  );
  if (order === undefined) return { recipeId: recipeIds[0], files };
  const { orderNumber, orderId } = order;
  return { orderId: orderId ?? orderNumber, orderNumber, files };
}
