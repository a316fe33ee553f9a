import { createHash } from 'node:crypto';

import { AnonymousCredential, BlobServiceClient, isRestError, newPipeline } from '@azure/storage-blob';
import type { ContainerClient, RestError } from '@azure/storage-blob';
import { readAzureConnectionString } from '@heddle/contracts';
import type { AzureBlobSettings } from '@heddle/contracts';
import { guardedAgents } from '@heddle/destination-kit';
import type { AddressGuard, GuardedAgents } from '@heddle/destination-kit';
import { LRUCache } from 'lru-cache';

import { AzureFault } from './azure-blob.client.js';
import type { BlobCommit, BlobContainer, BlobContainers, FoundBlob } from './azure-blob.client.js';
import { GuardedHttpClient } from './guarded-http.client.js';

export interface AzureSdkOptions {
  readonly guard: AddressGuard;
  readonly connectTimeoutMs: number;
  readonly silenceTimeoutMs: number;
}

/** Their sockets are closed after `IDLE_MS`, so one that is forgotten holds nothing for long. */
const MAX_SERVICES = 1_000;
const IDLE_MS = 60_000;
/** Kept by one integration between attempts. */
const MAX_IDLE_SOCKETS = 8;

interface Service {
  readonly client: BlobServiceClient;
  readonly address: string;
  readonly agents: GuardedAgents;
}

/** The blob service through its SDK: which requests, in which form. Retries are the dispatcher's. */
export class AzureSdkContainers implements BlobContainers {
  private readonly services = new LRUCache<string, Service>({ max: MAX_SERVICES });

  constructor(private readonly options: AzureSdkOptions) {}

  of(integrationId: string, settings: AzureBlobSettings): BlobContainer {
    const connection = settings['connection-string-secure'];
    const key = createHash('sha256')
      .update(JSON.stringify([integrationId, connection]))
      .digest('base64');
    const service = this.services.get(key) ?? this.open(connection);
    this.services.set(key, service);
    return new AzureSdkContainer(
      service.client.getContainerClient(settings.container),
      `${service.address}/${settings.container}`,
    );
  }

  close(): Promise<void> {
    for (const { agents } of this.services.values()) agents.destroy();
    return Promise.resolve();
  }

  private open(connection: string): Service {
    const { access } = readAzureConnectionString(connection);
    if (access === undefined) throw new AzureFault('AZURE_SETTINGS');
    const { guard, connectTimeoutMs, silenceTimeoutMs } = this.options;
    const agents = guardedAgents(guard, {
      connectTimeoutMs,
      keepAlive: true,
      maxFreeSockets: MAX_IDLE_SOCKETS,
      timeout: IDLE_MS,
    });
    const pipeline = newPipeline(new AnonymousCredential(), {
      httpClient: new GuardedHttpClient(agents, silenceTimeoutMs),
      retryOptions: { maxTries: 1 },
      userAgentOptions: { userAgentPrefix: 'Heddle' },
    });
    const client = new BlobServiceClient(`${access.endpoint}?${access.sas}`, pipeline);
    return { client, address: access.endpoint, agents };
  }
}

class AzureSdkContainer implements BlobContainer {
  constructor(
    private readonly client: ContainerClient,
    readonly address: string,
  ) {}

  async stage(
    name: string,
    { id, bytes, md5 }: { readonly id: string; readonly bytes: Uint8Array; readonly md5: Uint8Array },
    abortSignal: AbortSignal,
  ): Promise<void> {
    await withoutRequest(
      this.client
        .getBlockBlobClient(name)
        .stageBlock(id, bytes, bytes.length, { abortSignal, transactionalContentMD5: md5 }),
    );
  }

  async commit(blob: BlobCommit, abortSignal: AbortSignal): Promise<string> {
    const { name, blockIds, mimeType, md5, sha256, isCreateOnly } = blob;
    const { etag } = await withoutRequest(
      this.client.getBlockBlobClient(name).commitBlockList([...blockIds], {
        abortSignal,
        blobHTTPHeaders: { blobContentType: mimeType, blobContentMD5: md5 },
        metadata: { sha256 },
        ...(isCreateOnly && { conditions: { ifNoneMatch: '*' } }),
      }),
    );
    return etag ?? '';
  }

  async find(name: string, abortSignal: AbortSignal): Promise<FoundBlob> {
    const { contentLength, contentMD5, metadata } = await withoutRequest(
      this.client.getBlobClient(name).getProperties({ abortSignal }),
    );
    return { sizeBytes: contentLength, md5: contentMD5, sha256: metadata?.['sha256'] };
  }
}

async function withoutRequest<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw isRestError(error) ? faultOf(error) : error;
  }
}

function faultOf(error: RestError): AzureFault {
  const { statusCode, response } = error;
  const header = (name: string): string | undefined => response?.headers.get(name);
  const retryAfterMs = retryAfterOf(header('retry-after'));
  const requestId = header('x-ms-request-id');
  return new AzureFault(header('x-ms-error-code') ?? error.code ?? '', {
    ...(statusCode !== undefined && { status: statusCode }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(requestId !== undefined && { requestId }),
  });
}

/** Seconds or a date. Source: RFC 9110, section 10.2.3. */
function retryAfterOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const at = /^\d+$/.test(header) ? Date.now() + Number(header) * 1_000 : Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}
