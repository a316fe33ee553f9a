import type { AzureBlobSettings } from '@heddle/contracts';

/** A blob to be made of blocks that are staged. */
export interface BlobCommit {
  readonly name: string;
  /** In the order of their bytes. */
  readonly blockIds: readonly string[];
  readonly mimeType: string;
  /** Of the whole. The service keeps it and does not check it. */
  readonly md5: Uint8Array;
  /** Lower-case hex, of the whole: kept in the metadata. */
  readonly sha256: string;
  /** Fails where the name is taken. */
  readonly isCreateOnly: boolean;
}

/** What a service says of a blob that it holds. */
export interface FoundBlob {
  readonly sizeBytes: number | undefined;
  /** Of the whole. The service's own where the blob came in one piece, else what its writer left, if anything. */
  readonly md5: Uint8Array | undefined;
  /** What stands in the metadata. */
  readonly sha256: string | undefined;
}

/** What the worker needs of one container, and nothing more. Errors are as the service put them, see `AzureFault`. */
export interface BlobContainer {
  /** Its address, without the signature. */
  readonly address: string;

  /** Hands over one block, which nobody sees. The service refuses it where its bytes changed on the way. */
  stage(
    name: string,
    block: { readonly id: string; readonly bytes: Uint8Array; readonly md5: Uint8Array },
    signal: AbortSignal,
  ): Promise<void>;

  /** Shows the blob whole, in the place of what stood there. Resolves with its ETag. */
  commit(blob: BlobCommit, signal: AbortSignal): Promise<string>;

  /** Needs the right to read. */
  find(name: string, signal: AbortSignal): Promise<FoundBlob>;
}

/** Connections are kept by every setting that changes them, credentials included. */
export interface BlobContainers {
  of(integrationId: string, settings: AzureBlobSettings): BlobContainer;
  close(): Promise<void>;
}

export const AZURE_FAULTS = [
  'AZURE_REDIRECT',
  'AZURE_SILENT',
  'AZURE_ANSWER',
  'AZURE_SIZE',
  'AZURE_SETTINGS',
] as const;

/**
 * What the service answered, or went wrong around it. It never holds the request, whose address carries the
 * signature, nor the answer's text.
 */
export class AzureFault extends Error {
  override readonly name = 'AzureFault';
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;

  /** @param code one of the service's, one of ours (`AZURE_FAULTS`), or empty where the service gave none. */
  constructor(
    readonly code: string,
    details: { readonly status?: number; readonly retryAfterMs?: number; readonly requestId?: string } = {},
  ) {
    const { status, requestId } = details;
    super([code, status, requestId].filter((part) => part !== undefined && part !== '').join(' '));
    this.status = status;
    this.retryAfterMs = details.retryAfterMs;
  }
}
