import type { FastifyInstance, FastifyRequest } from 'fastify';

import type { ApiKeys, Caller } from '@heddle/access';
import { callerOfKey, requirePermissions, unauthorized } from '@heddle/access';
import { RecipeId } from '@heddle/contracts';
import { ProblemError } from '@heddle/platform';

import type { LinkedFiles } from '../files/linked-files.js';
import type { GatewayRequest } from '../http/gateway-request.js';
import type { KeyRate } from '../http/key-rate.js';
import { sendOn, upstreamRequest } from '../upstream/pass-on.js';
import type { Upstream } from '../upstream/upstream.js';

import type { OpenReads } from './open-reads.js';

/** A ticket is drawn, with previews that are fetched, when it is asked for. */
const TICKET_WITHIN_MS = 40_000;

/**
 * `GET /recipe/{id}.json`, `/recipe/{id}.pdf`. With a link, whatever of the recipe it leads to. Without a key while the
 * recipes are open and it is clear whose they are; then any page may read them.
 */
export function registerRecipeRead(
  fastify: FastifyInstance,
  {
    store,
    keys,
    openReads,
    rate,
    linkedFiles,
  }: { store: Upstream; keys: ApiKeys; openReads: OpenReads; rate: KeyRate; linkedFiles: LinkedFiles },
): void {
  fastify.get('/recipe/:file', async (request, reply) => {
    const { file } = request.params as { file: string };
    const { link } = request.query as { link?: string | string[] };
    if (link !== undefined) {
      const token = String(link);
      return await linkedFiles.serve(request, reply, { path: `/recipe/${file}?link=${token}`, token });
    }
    const [, id, type = ''] = /^(.*)\.(json|pdf)$/is.exec(file) ?? [];
    const recipeId = RecipeId.safeParse(id);
    if (!recipeId.success) throw new ProblemError(404, 'there is nothing at this address');

    const open = await openReads.callerFor(request.headers.host ?? '');
    const caller = open ?? (await keyHolder(request));
    const asked = upstreamRequest(request as GatewayRequest, caller);
    const address = `/recipe/${encodeURIComponent(recipeId.data)}.${type.toLowerCase()}`;
    const isTicket = address.endsWith('.pdf');
    const answer = await store.call({
      ...asked,
      path: address + (isTicket ? queryOf(asked.path) : ''),
      ...(isTicket && { silenceMs: TICKET_WITHIN_MS }),
    });
    return sendOn(reply, answer, open === undefined ? {} : { 'access-control-allow-origin': '*' });
  });

  async function keyHolder(request: FastifyRequest): Promise<Caller> {
    const caller = await callerOfKey(keys, request);
    if (caller === undefined) throw unauthorized(['recipes:read']);
    requirePermissions(caller, ['recipes:read']);
    await rate.check(caller.actor);
    request.caller = caller;
    return caller;
  }
}

/** With its question mark; empty where there is none. */
function queryOf(path: string): string {
  const at = path.indexOf('?');
  return at === -1 ? '' : path.slice(at);
}
