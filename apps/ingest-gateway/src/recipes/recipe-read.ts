import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import type { ApiKeys, Caller } from '@heddle/access';
import { callerOfKey, requirePermissions, unauthorized } from '@heddle/access';
import { PREVIEW_MIME_TYPES, PreviewPlace, PreviewType, RecipeId } from '@heddle/contracts';
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
 * `GET /recipe/{id}.json`, `/recipe/{id}.pdf`, `/recipe/{id}-{view}.png|jpg`. With a link, whatever of the recipe it leads to. Without a key while the
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
    const [, stem, image] = /^(.+-.+)\.(png|jpg)$/isu.exec(file) ?? [];
    if (stem !== undefined) {
      const type = PreviewType.parse(image?.toLowerCase());
      return await readPreview(request, reply, { stem, type });
    }
    const [, id, type = ''] = /^(.*)\.(json|pdf)$/is.exec(file) ?? [];
    const recipeId = RecipeId.safeParse(id);
    if (!recipeId.success) throw new ProblemError(404, 'there is nothing at this address');

    const { caller, headers } = await readerOf(request);
    const asked = upstreamRequest(request as GatewayRequest, caller);
    const address = `/recipe/${encodeURIComponent(recipeId.data)}.${type.toLowerCase()}`;
    const isTicket = address.endsWith('.pdf');
    const answer = await store.call({
      ...asked,
      path: address + (isTicket ? queryOf(asked.path) : ''),
      ...(isTicket && { silenceMs: TICKET_WITHIN_MS }),
    });
    return sendOn(reply, answer, headers);
  });

  /** Whether it was uploaded or somebody else serves it: as an image, and as nothing else. */
  async function readPreview(
    request: FastifyRequest,
    reply: FastifyReply,
    { stem, type }: { readonly stem: string; readonly type: PreviewType },
  ): Promise<FastifyReply> {
    const { caller, headers } = await readerOf(request);
    const { tenant } = caller;
    const answer = await store.call({
      method: 'GET',
      path: `/internal/previews/${tenant}/${encodeURIComponent(`${stem}.${type}`)}`,
      caller,
      requestId: request.id,
    });
    if (answer.statusCode !== 200) return sendOn(reply, answer, headers);
    const { source } = PreviewPlace.parse(await store.json(answer));
    const file = { tenant, name: 'a preview', source };
    return await linkedFiles.stream(request, reply, file, {
      'content-type': PREVIEW_MIME_TYPES[type],
      'content-disposition': 'inline',
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
      'accept-ranges': 'none',
      ...headers,
    });
  }

  /** Without a key where the recipes are open; then any page may read the answer. */
  async function readerOf(
    request: FastifyRequest,
  ): Promise<{ readonly caller: Caller; readonly headers: Readonly<Record<string, string>> }> {
    const open = await openReads.callerFor(request.headers.host ?? '');
    if (open !== undefined) return { caller: open, headers: { 'access-control-allow-origin': '*' } };
    return { caller: await keyHolder(request), headers: {} };
  }

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
