import type { S3Settings } from '@heddle/contracts';

/** An object to write, without its bytes. */
export interface ObjectHead {
  readonly key: string;
  readonly mimeType: string;
  /** Stored with the object. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Bytes on their way, with what the store checks them by. */
export interface Body {
  readonly bytes: AsyncIterable<Uint8Array>;
  readonly sizeBytes: number;
  /** Of these bytes, in base64: the store refuses others. */
  readonly sha256: string;
}

/** Bytes that are at hand, all of them. */
export interface HeldBody {
  readonly bytes: Uint8Array;
  /** As of `Body`. */
  readonly sha256: string;
}

export interface WriteOptions {
  /** Fails where the key is taken, and only one of several writers wins. */
  readonly createOnly: boolean;
}

export interface PutOptions extends WriteOptions {
  /** Called right before a body that is at hand goes out, which may be late; nothing does where it throws. */
  readonly beforeSending: () => void;
}

/** What a store says of an object that it has taken. */
export interface Written {
  readonly etag: string | undefined;
  readonly versionId: string | undefined;
}

export interface UploadedPart {
  /** From 1. */
  readonly number: number;
  readonly etag: string | undefined;
  readonly sha256: string;
}

/** What a store says of an object that it holds. */
export interface FoundObject extends Written {
  readonly sizeBytes: number | undefined;
  /** In base64; of the parts' hashes, with `-<parts>` behind it, where the object came in parts. */
  readonly sha256: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * One bucket, with the credentials of one integration: what the worker needs of it, and nothing more. Rejects with
 * the error of the store untranslated, with `S3Fault` where the connection failed, with what the bytes failed with.
 */
export interface S3Client {
  put(head: ObjectHead, body: Body | HeldBody, options: PutOptions, signal: AbortSignal): Promise<Written>;

  /** Nothing of an upload shows under its key before it is completed. @returns its id */
  startUpload(head: ObjectHead, signal: AbortSignal): Promise<string>;
  putPart(upload: Upload, number: number, body: Body, signal: AbortSignal): Promise<UploadedPart>;
  completeUpload(
    upload: Upload,
    parts: readonly UploadedPart[],
    options: WriteOptions,
    signal: AbortSignal,
  ): Promise<Written>;
  abortUpload(upload: Upload, signal: AbortSignal): Promise<void>;

  /** Needs the right to read. */
  find(key: string, signal: AbortSignal): Promise<FoundObject>;
}

export interface Upload {
  readonly key: string;
  readonly uploadId: string;
}

/** Clients are kept by every setting that changes them, credentials included. */
export interface S3ClientsOf {
  of(integrationId: string, settings: S3Settings): S3Client;
  close(): void;
}

/** The store answered with a failure. The name is the store's own word for it, as with the SDK's errors. */
export class S3Refusal extends Error {
  readonly $metadata: { readonly httpStatusCode: number };
  readonly $response: { readonly headers: Record<string, string> };

  constructor(
    code: string,
    answer: { readonly statusCode: number; readonly headers: Record<string, string> },
  ) {
    super(code);
    this.name = code;
    this.$metadata = { httpStatusCode: answer.statusCode };
    this.$response = { headers: answer.headers };
  }
}

/** The connection failed before the store answered. The code is Node's own. */
export class S3Fault extends Error {
  override readonly name = 'S3Fault';

  constructor(
    readonly code: string,
    options?: ErrorOptions,
  ) {
    super(code, options);
  }
}
