import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';

import { ProblemError } from '@heddle/platform';

/** Requests per second of one key at this process. */
export class KeyRate {
  private readonly limiter: RateLimiterMemory | undefined;

  /** @param perSecond 0: no limit. */
  constructor(perSecond: number) {
    this.limiter = perSecond === 0 ? undefined : new RateLimiterMemory({ points: perSecond, duration: 1 });
  }

  /** Undefined where there is no limit, so that nobody waits for nothing. */
  check(actor: string): Promise<void> | undefined {
    return this.limiter === undefined ? undefined : take(this.limiter, actor);
  }
}

async function take(limiter: RateLimiterMemory, actor: string): Promise<void> {
  try {
    await limiter.consume(actor);
  } catch (error) {
    if (!(error instanceof RateLimiterRes)) throw error;
    const seconds = Math.max(1, Math.ceil(error.msBeforeNext / 1_000));
    throw new ProblemError(429, 'the key is over its rate', { headers: { 'retry-after': String(seconds) } });
  }
}
