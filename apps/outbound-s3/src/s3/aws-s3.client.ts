import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client as AwsClient,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { S3Settings } from '@heddle/contracts';
import { DestinationError, guardedAgents } from '@heddle/destination-kit';
import type { AddressGuard, GuardedAgents } from '@heddle/destination-kit';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { LRUCache } from 'lru-cache';

import { S3Fault } from './s3.client.js';
import { SignedPut } from './signed-put.js';
import type {
  Body,
  FoundObject,
  HeldBody,
  ObjectHead,
  PutOptions,
  S3Client,
  S3ClientsOf,
  Upload,
  UploadedPart,
  WriteOptions,
  Written,
} from './s3.client.js';

export interface S3ClientsOptions {
  readonly guard: AddressGuard;
  readonly connectTimeoutMs: number;
  readonly silenceTimeoutMs: number;
  readonly idleMs?: number;
}

/** Of one integration; requests beyond it wait for one that is free. */
const MAX_CONNECTIONS = 32;
const MAX_CLIENTS = 100;
const IDLE_MS = 60_000;

const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };
function ignore(): void {
  // The SDK writes advice for developers; what goes wrong comes as an error.
}

interface Kept {
  readonly client: AwsS3Client;
  readonly agents: GuardedAgents;
}

/**
 * Clients with connections of their own, apart for each integration and each set of credentials. One that is pushed
 * out finishes what it does; its connections close when they have been idle.
 */
export class S3Clients implements S3ClientsOf {
  private readonly kept = new LRUCache<string, Kept>({ max: MAX_CLIENTS });
  /** Attempts that run at one time share their settings. */
  private readonly hashes = new WeakMap<S3Settings, string>();

  constructor(private readonly options: S3ClientsOptions) {}

  get connections(): number {
    return [...this.kept.values()].reduce(
      (sum, { agents: { http, https } }) => sum + socketsOf(http) + socketsOf(https),
      0,
    );
  }

  of(integrationId: string, settings: S3Settings): AwsS3Client {
    const hash = this.hashes.get(settings) ?? hashOf(settings);
    this.hashes.set(settings, hash);
    const key = `${integrationId}:${hash}`;
    const known = this.kept.get(key);
    if (known) return known.client;
    const { guard, connectTimeoutMs, silenceTimeoutMs, idleMs = IDLE_MS } = this.options;
    const agents = guardedAgents(guard, {
      connectTimeoutMs,
      keepAlive: true,
      maxSockets: MAX_CONNECTIONS,
      timeout: idleMs,
    });
    const client = new AwsS3Client(settings, agents, silenceTimeoutMs);
    this.kept.set(key, { client, agents });
    return client;
  }

  close(): void {
    for (const { agents } of this.kept.values()) agents.destroy();
    this.kept.clear();
  }
}

/** One bucket through the SDK. No decisions: every request goes out once, errors go out as they come. */
export class AwsS3Client implements S3Client {
  private readonly client: AwsClient;
  private readonly bucket: string;
  private readonly signedPut: SignedPut;

  constructor(settings: S3Settings, agents: GuardedAgents, silenceTimeoutMs: number) {
    const { endpoint } = settings;
    this.bucket = settings.bucket;
    const requestHandler = new GuardedHandler(agents, silenceTimeoutMs);
    this.client = new AwsClient({
      region: settings.region,
      // Compatible stores are not reached by a host name per bucket.
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
      credentials: {
        accessKeyId: settings['access-key-secret'],
        secretAccessKey: settings['secret-key-secret'],
      },
      maxAttempts: 1,
      // Every body comes with its SHA-256. Compatible stores do not know the SDK's own default, CRC-64.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      followRegionRedirects: false,
      disableS3ExpressSessionAuth: true,
      expectContinueHeader: false,
      logger: SILENT,
      requestHandler,
    });
    this.signedPut = new SignedPut(this.client, this.bucket, settings, requestHandler);
  }

  async put(
    head: ObjectHead,
    body: Body | HeldBody,
    options: PutOptions,
    signal: AbortSignal,
  ): Promise<Written> {
    if (isHeld(body)) return await this.signedPut.send(head, body, options, signal);
    return await sending(body, signal, async (Body, aborting) => {
      const { ETag, VersionId } = await this.client.send(
        new PutObjectCommand({
          ...this.at(head.key),
          ...storedWith(head),
          Body,
          ContentLength: body.sizeBytes,
          ChecksumSHA256: body.sha256,
          ...onlyWhere(options),
        }),
        { abortSignal: aborting },
      );
      return { etag: ETag, versionId: VersionId };
    });
  }

  async startUpload(head: ObjectHead, signal: AbortSignal): Promise<string> {
    const { UploadId } = await this.client.send(
      new CreateMultipartUploadCommand({
        ...this.at(head.key),
        ...storedWith(head),
        ChecksumAlgorithm: 'SHA256',
      }),
      { abortSignal: signal },
    );
    if (UploadId === undefined) throw new S3Fault('UPLOAD_WITHOUT_ID');
    return UploadId;
  }

  async putPart(upload: Upload, number: number, body: Body, signal: AbortSignal): Promise<UploadedPart> {
    return await sending(body, signal, async (Body, aborting) => {
      const { ETag } = await this.client.send(
        new UploadPartCommand({
          ...this.at(upload.key),
          UploadId: upload.uploadId,
          PartNumber: number,
          Body,
          ContentLength: body.sizeBytes,
          ChecksumSHA256: body.sha256,
        }),
        { abortSignal: aborting },
      );
      return { number, etag: ETag, sha256: body.sha256 };
    });
  }

  async completeUpload(
    upload: Upload,
    parts: readonly UploadedPart[],
    options: WriteOptions,
    signal: AbortSignal,
  ): Promise<Written> {
    const { ETag, VersionId } = await this.client.send(
      new CompleteMultipartUploadCommand({
        ...this.at(upload.key),
        UploadId: upload.uploadId,
        MultipartUpload: {
          Parts: parts.map(({ number, etag, sha256 }) => ({
            PartNumber: number,
            ETag: etag,
            ChecksumSHA256: sha256,
          })),
        },
        ...onlyWhere(options),
      }),
      { abortSignal: signal },
    );
    return { etag: ETag, versionId: VersionId };
  }

  async abortUpload(upload: Upload, signal: AbortSignal): Promise<void> {
    await this.client.send(
      new AbortMultipartUploadCommand({ ...this.at(upload.key), UploadId: upload.uploadId }),
      { abortSignal: signal },
    );
  }

  async find(key: string, signal: AbortSignal): Promise<FoundObject> {
    const found = await this.client.send(
      new HeadObjectCommand({ ...this.at(key), ChecksumMode: 'ENABLED' }),
      { abortSignal: signal },
    );
    return {
      etag: found.ETag,
      versionId: found.VersionId,
      sizeBytes: found.ContentLength,
      sha256: found.ChecksumSHA256,
      metadata: found.Metadata ?? {},
    };
  }

  private at(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.bucket, Key: key };
  }
}

/** Every socket was opened by the guard; what fails below the answer becomes `S3Fault`. */
class GuardedHandler extends NodeHttpHandler {
  constructor(
    private readonly agents: GuardedAgents,
    silenceTimeoutMs: number,
  ) {
    super({
      httpAgent: agents.http,
      httpsAgent: agents.https,
      socketTimeout: silenceTimeoutMs,
      logger: SILENT,
    });
  }

  override async handle(
    ...request: Parameters<NodeHttpHandler['handle']>
  ): ReturnType<NodeHttpHandler['handle']> {
    try {
      return await super.handle(...request);
    } catch (error) {
      // What ended one kept connection has ended the others: the next request gets a fresh one.
      dropIdle(this.agents);
      throw error instanceof DestinationError ? error : new S3Fault(codeOf(error), { cause: error });
    }
  }
}

function dropIdle({ http, https }: GuardedAgents): void {
  for (const { freeSockets } of [http, https])
    for (const socket of Object.values(freeSockets).flat()) socket?.destroy();
}

/** Node's code is the more exact one; the handler's own time-outs have but a name. */
function codeOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown };
  return [code, name].find((word) => typeof word === 'string') ?? 'Error';
}

/**
 * Bytes go out as a stream, so the SDK reads them once: their hash is signed with the other headers. A stream that
 * fails ends its request, and that failure is the one to tell.
 */
async function sending<T>(
  { bytes }: Body,
  signal: AbortSignal,
  send: (body: Readable, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const broken = new AbortController();
  let failure: { readonly error: unknown } | undefined;
  const body = Readable.from(bytes, { objectMode: false });
  body.on('error', (error) => {
    failure ??= { error };
    broken.abort();
  });
  try {
    return await send(body, AbortSignal.any([signal, broken.signal]));
  } catch (error) {
    throw failure ? failure.error : error;
  } finally {
    body.destroy();
  }
}

function isHeld(body: Body | HeldBody): body is HeldBody {
  return body.bytes instanceof Uint8Array;
}

function storedWith({ mimeType, metadata }: ObjectHead): {
  readonly ContentType: string;
  readonly Metadata: Record<string, string>;
} {
  return { ContentType: mimeType, Metadata: { ...metadata } };
}

function onlyWhere({ createOnly }: WriteOptions): { readonly IfNoneMatch?: '*' } {
  return createOnly ? { IfNoneMatch: '*' } : {};
}

/** Every setting that changes the client; hashed, so that no secret stays in a key. */
function hashOf(settings: S3Settings): string {
  const { prefix: _prefix, overwrite: _overwrite, ...rest } = settings;
  const parts = Object.entries(rest).sort(([left], [right]) => (left < right ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64');
}

function socketsOf({ sockets, freeSockets }: GuardedAgents['http']): number {
  return [sockets, freeSockets]
    .flatMap((byHost) => Object.values(byHost))
    .reduce((sum, held = []) => sum + held.length, 0);
}
