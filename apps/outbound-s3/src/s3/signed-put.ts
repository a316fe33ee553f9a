import type { IncomingMessage } from 'node:http';

import type { S3Client as AwsClient } from '@aws-sdk/client-s3';
import { userAgent } from '@heddle/platform';

import { S3Fault, S3Refusal } from './s3.client.js';
import type { HeldBody, ObjectHead, PutOptions, Written } from './s3.client.js';

type Signer = Awaited<ReturnType<AwsClient['config']['signer']>>;
type Request = Parameters<Signer['sign']>[0];

/** As the SDK's handlers are. */
interface Sender {
  handle(
    request: Request,
    options: { readonly abortSignal: AbortSignal },
  ): Promise<{
    readonly response: {
      readonly statusCode: number;
      readonly headers: Record<string, string>;
      readonly body?: unknown;
    };
  }>;
}

/** Of an answer: more says nothing that we look for. */
const MAX_ANSWER_BYTES = 65_536;
/** A store refuses what is signed by a clock that differs by a quarter of an hour. */
const MAX_SKEW_MS = 5 * 60_000;
const CODE = /<Code>\s*([\w.]+)\s*<\/Code>/;

/**
 * Writes an object whose bytes are at hand. It does what the SDK's own PutObject does, with the SDK's own address,
 * signature and clock, but without what is worked out anew there for each request of a bucket: at small files that is
 * most of what a delivery costs. And the hash that is known is signed, where the SDK would compute it a second time.
 */
export class SignedPut {
  private readonly base: URL;
  private signer: Promise<Signer> | undefined;

  constructor(
    private readonly client: AwsClient,
    bucket: string,
    settings: { readonly region: string; readonly endpoint?: string | undefined },
    private readonly sender: Sender,
  ) {
    const { region, endpoint } = settings;
    this.base = client.config.endpointProvider({
      Bucket: bucket,
      Region: region,
      ...(endpoint !== undefined && { Endpoint: endpoint, ForcePathStyle: true }),
    }).url;
  }

  async send(head: ObjectHead, body: HeldBody, options: PutOptions, signal: AbortSignal): Promise<Written> {
    const { config } = this.client;
    this.signer ??= config.signer();
    const signer = await this.signer;
    const signed = await signer.sign(this.requestOf(head, body, options), {
      signingDate: new Date(Date.now() + config.systemClockOffset),
    });
    options.beforeSending();
    const { response } = await this.sender.handle(signed, { abortSignal: signal });
    const { statusCode, headers } = response;
    this.noteClock(headers['date']);
    const answer = response.body as IncomingMessage;
    if (statusCode === 200) {
      // It is stored, whatever becomes of the rest; the next request may have the connection.
      await textOf(answer).catch(() => undefined);
      return { etag: headers['etag'], versionId: headers['x-amz-version-id'] };
    }
    const text = await textOf(answer).catch((error: unknown) => {
      throw new S3Fault(codeOf(error), { cause: error });
    });
    throw new S3Refusal(CODE.exec(text)?.[1] ?? 'S3Refusal', { statusCode, headers });
  }

  private requestOf(head: ObjectHead, { bytes, sha256 }: HeldBody, { createOnly }: PutOptions): Request {
    const { protocol, hostname, port, host, pathname } = this.base;
    const folder = pathname.endsWith('/') ? pathname : `${pathname}/`;
    const metadata = Object.entries(head.metadata).map(
      ([name, value]) => [`x-amz-meta-${name}`, value] as const,
    );
    return {
      method: 'PUT',
      protocol,
      hostname,
      ...(port !== '' && { port: Number(port) }),
      path: folder + head.key.split('/').map(escaped).join('/'),
      query: {},
      headers: {
        host,
        'user-agent': userAgent,
        'content-type': head.mimeType,
        'content-length': String(bytes.byteLength),
        'x-amz-content-sha256': Buffer.from(sha256, 'base64').toString('hex'),
        'x-amz-checksum-sha256': sha256,
        ...Object.fromEntries(metadata),
        ...(createOnly && { 'if-none-match': '*' }),
      },
      body: bytes,
    };
  }

  /** As the SDK does: the next request is signed by the clock of the store. */
  private noteClock(date: string | undefined): void {
    const { config } = this.client;
    const now = Date.parse(date ?? '');
    if (Math.abs(now - Date.now() - config.systemClockOffset) >= MAX_SKEW_MS)
      config.systemClockOffset = now - Date.now();
  }
}

/** The beginning of it. A body without an end must not hold its connection. */
async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}

function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return typeof code === 'string' ? code : 'Error';
}

/** Source: RFC 3986, 2.3: nothing but these goes as it is. */
function escaped(level: string): string {
  return encodeURIComponent(level).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
