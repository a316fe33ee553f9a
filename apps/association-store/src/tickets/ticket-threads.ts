import type { TicketInput } from '@heddle/pick-ticket';
import { Piscina } from 'piscina';

import { Turns } from './turns.js';

export interface TicketThreadsOptions {
  /** What a thread runs: exports `draw`. */
  readonly file: string;
  readonly threads: number;
  /** Longest time of one ticket. The thread that takes longer is ended, and another one started in its place. */
  readonly timeoutMs: number;
}

/** Tickets that wait for a thread. At the rate that is promised, the last one waits ten seconds. */
const MOST_WAITING = 200;
/** Threads that have nothing to do end, and give their fonts back. */
const IDLE_MS = 60_000;
/** Of one thread's own memory. A ticket of the largest document needs a third of it. */
const THREAD_MB = 256;

/** Draws tickets in threads of their own: one that crashes, or never ends, costs nothing but itself. */
export class TicketThreads {
  private readonly pool: Piscina;
  private readonly turns: Turns;

  constructor(private readonly options: TicketThreadsOptions) {
    const { file, threads } = options;
    this.pool = new Piscina({
      filename: file,
      minThreads: 0,
      maxThreads: threads,
      idleTimeout: IDLE_MS,
      atomics: 'disabled',
      resourceLimits: { maxOldGenerationSizeMb: THREAD_MB },
      // What the process was started with is for the process.
      execArgv: [],
    });
    // A ticket's time counts from when it is drawn, so the pool is never given more than it has threads.
    this.turns = new Turns(threads, MOST_WAITING);
  }

  /** @throws {NoTurnLeft} when too many wait; anything else when the ticket cannot be drawn. */
  async draw(input: TicketInput): Promise<Buffer> {
    return await this.turns.take(async () => {
      const signal = AbortSignal.timeout(this.options.timeoutMs);
      const bytes = (await this.pool.run(input, { name: 'draw', signal })) as Uint8Array;
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    });
  }

  async close(): Promise<void> {
    await this.pool.destroy();
  }
}
