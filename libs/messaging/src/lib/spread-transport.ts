import type { PublisherTransport } from './kafka-transport.js';
import type { WireMessage } from './produce-request.js';

/**
 * Spreads partitions over several connections to each broker. A broker handles one request of a connection at a time
 * and answers it when all replicas have it, so with one connection every partition waits for the others.
 */
export class SpreadTransport implements PublisherTransport {
  constructor(private readonly lanes: readonly PublisherTransport[]) {}

  async partitionsOf(topic: string): Promise<number> {
    const counts = await Promise.all(this.lanes.map((lane) => lane.partitionsOf(topic)));
    return Math.min(...counts);
  }

  send(topic: string, partition: number, messages: readonly WireMessage[]): Promise<string> {
    const lane = this.lanes[partition % this.lanes.length];
    if (lane === undefined) throw new RangeError('sending without a connection');
    return lane.send(topic, partition, messages);
  }

  async refresh(): Promise<void> {
    await Promise.all(this.lanes.map((lane) => lane.refresh()));
  }

  async close(): Promise<void> {
    await Promise.all(this.lanes.map((lane) => lane.close()));
  }
}
