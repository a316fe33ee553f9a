import type { FastifyInstance } from 'fastify';
import { z } from 'zod';

import type { Caller } from '@heddle/access';
import {
  DeliveredOrders,
  MAX_CHOSEN_ORDERS,
  OrderPage,
  OrdersQuery,
  StoredOrdersQuery,
} from '@heddle/contracts';
import type { OrderView } from '@heddle/contracts';
import { decodeCursor, encodeCursor } from '@heddle/persistence';
import { ProblemError, parseQuery } from '@heddle/platform';

import { callerOf } from '../http/gateway-request.js';
import type { GatewayRequest } from '../http/gateway-request.js';
import { queryOf } from '../http/query.js';

import { sendOn, upstreamRequest } from './pass-on.js';
import type { Upstream, Upstreams } from './upstream.js';

/** Looks for orders of one page; what a look does not find is left to the next page. */
const MAX_LOOKS = 10;

const Position = z.tuple([z.uuid()]);
const ChosenOrders = OrderPage.pick({ items: true });

/** Passes a filter by `deliveryState` on to who knows it; all else the store answers alone. */
export function registerOrderList(fastify: FastifyInstance, upstreams: Upstreams): void {
  fastify.get('/api/v2/orders', async (request, reply) => {
    const caller = callerOf(request);
    const query = queryOf(request);
    if (query['deliveryState'] === undefined) {
      const asked = upstreamRequest(request as GatewayRequest, caller);
      return sendOn(reply, await upstreams['association-store'].call(asked));
    }
    return await ordersByDelivery(upstreams, query, { caller, requestId: request.id });
  });
}

interface Asker {
  readonly caller: Caller;
  readonly requestId: string;
}

/**
 * Walks the orders that have such a delivery, the last created first, and keeps those that the store lets through. A page
 * may be shorter than it could be, also empty, and have a next one.
 */
async function ordersByDelivery(
  upstreams: Upstreams,
  query: Readonly<Record<string, unknown>>,
  asker: Asker,
): Promise<{ items: OrderView[]; nextCursor: string | null }> {
  const { limit, cursor, deliveryState, ...filters } = parseQuery(OrdersQuery, query);
  const { tenant, channel } = asker.caller;
  const bound = { list: 'orders by delivery', tenant, channel, deliveryState, filters };
  let before = cursor === undefined ? undefined : decodeCursor(cursor, bound, Position)[0];
  const given = Object.entries(query).filter(
    ([name]) => name in StoredOrdersQuery.shape && !PAGING.has(name),
  );
  const items: OrderView[] = [];
  for (let look = 0; look < MAX_LOOKS; look += 1) {
    const { orderUids } = await ask(
      upstreams.dispatcher,
      DeliveredOrders,
      '/internal/orders',
      { state: String(deliveryState), ...(before !== undefined && { before }) },
      // They are part of the order here: who may read orders may read them.
      {
        ...asker,
        caller: { ...asker.caller, permissions: [...asker.caller.permissions, 'deliveries:read'] },
      },
    );
    if (orderUids.length > 0) {
      const chosen = await ask(
        upstreams['association-store'],
        ChosenOrders,
        '/internal/orders',
        { ...(Object.fromEntries(given) as Record<string, string>), orderUids: orderUids.join(',') },
        asker,
      );
      const taken = chosen.items.slice(0, limit - items.length);
      items.push(...taken);
      const isFull = items.length === limit;
      before = isFull ? taken.at(-1)?.orderUid : orderUids.at(-1);
      if (isFull && before !== undefined) return { items, nextCursor: encodeCursor([before], bound) };
    }
    if (orderUids.length < MAX_CHOSEN_ORDERS) return { items, nextCursor: null };
  }
  return { items, nextCursor: before === undefined ? null : encodeCursor([before], bound) };
}

const PAGING: ReadonlySet<string> = new Set(['limit', 'cursor']);

async function ask<T>(
  upstream: Upstream,
  schema: z.ZodType<T>,
  path: string,
  query: Readonly<Record<string, string>>,
  asker: Asker,
): Promise<T> {
  const text = new URLSearchParams(query).toString();
  const answer = await upstream.call({ method: 'GET', path: `${path}?${text}`, ...asker });
  const parsed = schema.safeParse(await upstream.json(answer));
  if (answer.statusCode === 200 && parsed.success) return parsed.data;
  throw new ProblemError(503, 'orders cannot be found by their deliveries at the moment, try again', {
    headers: { 'retry-after': '5' },
  });
}
