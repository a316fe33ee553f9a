import { Readable } from 'node:stream';

import { Inject, Injectable } from '@nestjs/common';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import type { Caller } from '@heddle/access';
import { DestinationError, UrlSources } from '@heddle/destination-kit';
import { LOGGER, ProblemError, describeError } from '@heddle/platform';
import type { Logger } from '@heddle/platform';
import { FileLinkError, FileLinks } from '@heddle/secrets';
import type { LinkedFile } from '@heddle/secrets';

import { UPSTREAMS } from '../upstream/upstream.js';
import type { Upstream, Upstreams } from '../upstream/upstream.js';

/** One sentence for every link that does not open: why it does not is no business of whoever tries. */
const REFUSED = 'this link has expired or is not complete: ask for a new one';
const GONE = 'this file is gone';
const UNREADABLE = 'the source of this file cannot be read';

/** Longest pause of a transfer, whichever side makes it. */
const SILENCE_MS = 30_000;

/** Type and subtype alone, with parameters that hold nothing special. */
const MIME_TYPE = /^[A-Za-z0-9!#$&^_.+-]{1,127}\/[A-Za-z0-9!#$&^_.+-]{1,127}(?:; ?[a-z]+=[A-Za-z0-9_.-]+)?$/;

interface Opened {
  readonly body: Readable;
  readonly length: string | undefined;
}

/** Serves single files as a stream: to whoever has a link to them, and previews to whoever may read their recipe. */
@Injectable()
export class LinkedFiles {
  constructor(
    @Inject(UPSTREAMS) private readonly upstreams: Upstreams,
    private readonly links: FileLinks,
    private readonly urls: UrlSources,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  register(fastify: FastifyInstance): void {
    fastify.get('/files/:token/:name', async (request, reply) => {
      const { token, name } = request.params as { token: string; name: string };
      return await this.serve(request, reply, { path: `/files/${token}/${name}`, token });
    });
  }

  /**
   * @param link the address as it was asked for, and its token.
   * @throws {ProblemError}
   */
  async serve(
    request: FastifyRequest,
    reply: FastifyReply,
    link: { readonly path: string; readonly token: string },
  ): Promise<FastifyReply> {
    const file = await this.open(link);
    return await this.stream(request, reply, file, headersOf(file, link.path));
  }

  /**
   * The bytes of a file, wherever they come from, under headers that say what they are.
   *
   * @throws {ProblemError}
   */
  async stream(
    request: FastifyRequest,
    reply: FastifyReply,
    file: Pick<LinkedFile, 'tenant' | 'name' | 'source'>,
    headers: Readonly<Record<string, string>>,
  ): Promise<FastifyReply> {
    const { body, length } = await this.read(file, request.id, reply);
    // Also where the client leaves before its answer begins.
    reply.raw.once('close', () => body.destroy());
    void reply.status(200).headers({ ...headers, ...(length !== undefined && { 'content-length': length }) });
    if (request.method !== 'HEAD') return reply.send(body);
    body.destroy();
    // Without a body at all the length would become 0.
    return reply.send(Readable.from([]));
  }

  private async open({
    path,
    token,
  }: {
    readonly path: string;
    readonly token: string;
  }): Promise<LinkedFile> {
    try {
      return await this.links.open(path, token);
    } catch (error) {
      if (error instanceof FileLinkError) throw new ProblemError(403, REFUSED);
      throw error;
    }
  }

  private async read(
    { source, name, tenant }: Pick<LinkedFile, 'tenant' | 'name' | 'source'>,
    requestId: string,
    reply: FastifyReply,
  ): Promise<Opened> {
    switch (source.kind) {
      case 'inline': {
        const bytes = Buffer.from(source.text, 'utf8');
        return { body: Readable.from([bytes]), length: String(bytes.length) };
      }
      case 'hub': {
        const caller = { tenant, permissions: ['recipes:read'], actor: 'link' } as const;
        return await this.readHub(this.upstreams['association-store'], source.path, caller, requestId);
      }
      case 'delivery': {
        const caller = { tenant, permissions: ['deliveries:read'], actor: 'link' } as const;
        const path = `/internal/deliveries/${source.deliveryId}/files/${name}`;
        return await this.readHub(this.upstreams.dispatcher, path, caller, requestId);
      }
      case 'url':
        return await this.readUrl(source.url, name, requestId, reply);
    }
  }

  private async readHub(
    service: Upstream,
    path: string,
    caller: Omit<Caller, 'channel'>,
    requestId: string,
  ): Promise<Opened> {
    const answer = await service.call({
      method: 'GET',
      path,
      caller: { ...caller, channel: undefined },
      requestId,
      // A ticket is drawn when it is asked for.
      silenceMs: SILENCE_MS,
    });
    const { statusCode, headers, body } = answer;
    if (statusCode === 200) {
      const length = headers['content-length'];
      return { body, length: typeof length === 'string' ? length : undefined };
    }
    await body.dump();
    if (statusCode === 404) throw new ProblemError(404, GONE);
    if (statusCode === 422) throw new ProblemError(502, UNREADABLE);
    throw new ProblemError(503, 'the file cannot be read at the moment, try again', {
      headers: { 'retry-after': '5' },
    });
  }

  private async readUrl(
    address: string,
    name: string,
    requestId: string,
    reply: FastifyReply,
  ): Promise<Opened> {
    const left = new AbortController();
    reply.raw.once('close', () => left.abort());
    try {
      const response = await this.urls.get(address, `fetching ${name}`, left.signal);
      response.setTimeout(SILENCE_MS, () => response.destroy());
      return { body: response, length: response.headers['content-length'] };
    } catch (error) {
      if (!(error instanceof DestinationError)) throw error;
      this.logger.info(
        { request_id: requestId, code: error.code, err: describeError(error) },
        'link.source-failed',
      );
      throw new ProblemError(502, UNREADABLE, { cause: error });
    }
  }
}

/**
 * The type is what somebody's document says, so nothing may come of it in a browser: it is neither guessed nor shown as
 * a page of this host. Only what the hub makes itself opens in place.
 */
function headersOf({ name, mimeType }: LinkedFile, path: string): Record<string, string> {
  const isOurs = path.startsWith('/recipe/');
  return {
    'content-type': MIME_TYPE.test(mimeType) ? mimeType : 'application/octet-stream',
    'content-disposition': `${isOurs ? 'inline' : 'attachment'}; filename="${name}"`,
    // A sandbox would keep browsers from showing a ticket.
    ...(!isOurs && { 'content-security-policy': "default-src 'none'; sandbox" }),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': 'private, no-store',
    'accept-ranges': 'none',
  };
}
