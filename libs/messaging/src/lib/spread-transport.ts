import type { Append } from './broker-writer.js';
import type { PublisherTransport } from './kafka-transport.js';

/**
 * Spreads requests over several connections to each broker. A broker handles one request of a connection at a time and
 * answers it when all replicas have it, so with one connection what comes now would wait for what was sent before.
 */
export class SpreadTransport implements PublisherTransport {
  private readonly lanes: readonly Lane[];
  /** Takes what is sent until the end of this turn, so that it goes out together. */
  private chosen: Lane | undefined;

  constructor(transports: readonly PublisherTransport[]) {
    this.lanes = transports.map((transport) => ({ transport, underWay: 0 }));
  }

  async partitionsOf(topic: string): Promise<number> {
    const counts = await Promise.all(this.lanes.map(({ transport }) => transport.partitionsOf(topic)));
    return Math.min(...counts);
  }

  async send(append: Append): Promise<string> {
    const lane = this.lane();
    lane.underWay += 1;
    try {
      return await lane.transport.send(append);
    } finally {
      lane.underWay -= 1;
    }
  }

  async refresh(): Promise<void> {
    await Promise.all(this.lanes.map(({ transport }) => transport.refresh()));
  }

  async close(): Promise<void> {
    await Promise.all(this.lanes.map(({ transport }) => transport.close()));
  }

  private lane(): Lane {
    if (this.chosen !== undefined) return this.chosen;
    queueMicrotask(() => (this.chosen = undefined));
    this.chosen = this.lanes.reduce((least, lane) => (lane.underWay < least.underWay ? lane : least));
    return this.chosen;
  }
}

interface Lane {
  readonly transport: PublisherTransport;
  /** Appends that are not answered. */
  underWay: number;
}
