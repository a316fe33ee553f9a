import type { FastifyInstance } from 'fastify';

import type { Caller } from '@heddle/access';
import { DeliveryPage } from '@heddle/contracts';
import type { DeliverySummary } from '@heddle/contracts';
import { etagOfText, isUnchanged } from '@heddle/platform';

import { callerOf } from '../http/gateway-request.js';
import type { GatewayRequest } from '../http/gateway-request.js';

import { sendOn, upstreamRequest } from './pass-on.js';
import type { Upstreams } from './upstream.js';

/** An order is read without its deliveries rather than not at all. */
const DELIVERIES_WITHIN_MS = 2_000;
/** Pages of 200 deliveries of one order. */
const MAX_PAGES = 10;

/** `GET /api/v2/orders/{orderUid}`: the order of the store with the deliveries of the dispatcher. */
export function registerOrderRead(fastify: FastifyInstance, upstreams: Upstreams): void {
  fastify.get('/api/v2/orders/:orderUid', async (request, reply) => {
    const { orderUid } = request.params as { orderUid: string };
    const caller = callerOf(request);
    const store = upstreams['association-store'];
    const { headers: { 'if-none-match': _, ...headers } = {}, ...asked } = upstreamRequest(
      request as GatewayRequest,
      caller,
    );
    const [answer, deliveries] = await Promise.all([
      store.call({ ...asked, headers, method: 'GET' }),
      deliveriesOf(upstreams, orderUid, caller, request.id),
    ]);
    if (answer.statusCode !== 200) return sendOn(reply, answer);
    const order = (await store.json(answer)) as object;
    // The store's own tag knows nothing of deliveries.
    const text = JSON.stringify({ ...order, deliveries });
    const etag = etagOfText(text);
    void reply.header('etag', etag);
    if (isUnchanged(request.headers['if-none-match'], etag)) return reply.status(304).send();
    return reply.header('content-type', 'application/json').send(Buffer.from(text));
  });
}

async function deliveriesOf(
  upstreams: Upstreams,
  orderUid: string,
  caller: Caller,
  requestId: string,
): Promise<DeliverySummary[] | null> {
  // They are part of the order here: who may read orders may read them.
  const reader: Caller = { ...caller, permissions: [...caller.permissions, 'deliveries:read'] };
  const deadline = performance.now() + DELIVERIES_WITHIN_MS;
  const found: DeliverySummary[] = [];
  let cursor: string | null = null;
  try {
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const query = new URLSearchParams({ orderUid, limit: '200', ...(cursor === null ? {} : { cursor }) });
      const silenceMs = Math.max(1, deadline - performance.now());
      const answer = await upstreams.dispatcher.call({
        method: 'GET',
        path: `/api/v2/deliveries?${query.toString()}`,
        caller: reader,
        requestId,
        silenceMs,
      });
      const parsed = DeliveryPage.safeParse(await upstreams.dispatcher.json(answer));
      if (answer.statusCode !== 200 || !parsed.success) return null;
      found.push(...parsed.data.items);
      cursor = parsed.data.nextCursor;
      if (cursor === null) return found;
    }
    return found;
  } catch {
    return null;
  }
}
