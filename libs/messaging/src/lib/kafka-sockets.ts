import net from 'node:net';
import tls from 'node:tls';

import type { ISocketFactory } from 'kafkajs';

const KEEP_ALIVE_DELAY_MS = 60_000;
/** How long a broker that did not answer is passed over while another one can be asked. */
const AVOID_MS = 3_000;

/**
 * Opens the sockets of one Kafka client and makes a broker that hangs look like one that died.
 *
 * kafkajs keeps a connection whose requests time out, sends the next request into it, and asks it for metadata
 * too, so a stopped broker takes the client with it long after its partitions have new leaders. A closed
 * connection is what kafkajs handles well: it drops the broker, refreshes its metadata and connects anew.
 */
export class KafkaSockets {
  private readonly open = new Map<string, Set<net.Socket>>();
  private readonly avoidedUntil = new Map<string, number>();

  readonly factory: ISocketFactory = ({ host, port, ssl, onConnect }) => {
    const broker = `${host}:${String(port)}`;
    const known = this.open.get(broker) ?? new Set();
    this.open.set(broker, known);
    if (this.isAvoided(broker)) return new net.Socket().destroy(new Error(`${broker} does not answer`));

    // The types promise TLS options; without TLS kafkajs passes nothing.
    const options = ssl as tls.ConnectionOptions | undefined | null;
    const socket = options
      ? tls.connect({ host, port, ...(net.isIP(host) === 0 && { servername: host }), ...options }, onConnect)
      : net.connect({ host, port, noDelay: true }, onConnect);
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
    known.add(socket);
    socket.once('close', () => known.delete(socket));
    return socket;
  };

  /** Called when a request to `broker` (`host:port`) timed out. */
  suspect(broker: string): void {
    this.avoidedUntil.set(broker, performance.now() + AVOID_MS);
    for (const socket of this.open.get(broker) ?? []) socket.destroy(new Error(`${broker} does not answer`));
  }

  private isAvoided(broker: string): boolean {
    const now = performance.now();
    const avoided = (other: string): boolean => (this.avoidedUntil.get(other) ?? 0) > now;
    return avoided(broker) && [...this.open.keys()].some((other) => !avoided(other));
  }
}
