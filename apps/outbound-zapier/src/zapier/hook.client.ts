export interface HookCall {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** The head of an answer; its body says nothing to us. */
export interface HookAnswer {
  readonly status: number;
  /** As it came. */
  readonly retryAfter: string | undefined;
}

/** What the worker needs of HTTP, and nothing more: no redirect is followed. Errors are untranslated. */
export interface HookClient {
  post(call: HookCall, signal: AbortSignal): Promise<HookAnswer>;
  close(): void;
}

/** No answer in time, and no code of Node for it. */
export class HookSilence extends Error {
  override readonly name = 'HookSilence';
  readonly code = 'HOOK_SILENT';
}

/** A kept connection was closed while the call was on its way: nothing of an answer had come. */
export class StaleConnection extends Error {
  override readonly name = 'StaleConnection';
  readonly code = 'HOOK_STALE';
}

/** An answer that is no success. */
export class HookRefusal extends Error {
  override readonly name = 'HookRefusal';
  /** The status. */
  readonly code: number;
  readonly retryAfter: string | undefined;

  constructor({ status, retryAfter }: HookAnswer) {
    super(`status ${String(status)}`);
    this.code = status;
    this.retryAfter = retryAfter;
  }

  get isRedirect(): boolean {
    return this.code >= 300 && this.code < 400;
  }
}
