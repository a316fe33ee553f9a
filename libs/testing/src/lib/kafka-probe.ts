import { connect } from 'node:net';

const METADATA = 3;
const METADATA_VERSION = 1;

/**
 * Asks a broker which brokers are alive, in Kafka's own protocol: an open port alone does not prove that a broker has
 * joined its cluster, and no client library is needed for one question.
 * @throws when it does not answer within the time
 */
export async function aliveBrokers(port: number, timeoutMs: number): Promise<readonly number[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    let received = Buffer.alloc(0);
    const timer = setTimeout(
      () => socket.destroy(new Error(`port ${port}: no answer in ${timeoutMs} ms`)),
      timeoutMs,
    );
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      reject(new Error(`port ${port}: closed without an answer`));
    });
    socket.on('connect', () => socket.write(metadataRequest()));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return;
      try {
        resolve(brokerIds(received.subarray(8)));
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
      socket.destroy();
    });
  });
}

function metadataRequest(): Buffer {
  const client = Buffer.from('heddle-probe');
  const body = Buffer.alloc(10 + client.length + 4);
  body.writeInt16BE(METADATA, 0);
  body.writeInt16BE(METADATA_VERSION, 2);
  body.writeInt32BE(1, 4);
  body.writeInt16BE(client.length, 8);
  client.copy(body, 10);
  body.writeInt32BE(0, 10 + client.length); // no topics
  const size = Buffer.alloc(4);
  size.writeInt32BE(body.length);
  return Buffer.concat([size, body]);
}

/** Metadata response v1: an array of (node id, host, port, rack), then what is not needed here. */
function brokerIds(body: Buffer): readonly number[] {
  const ids: number[] = [];
  let at = 4;
  for (let left = body.readInt32BE(0); left > 0; left--) {
    ids.push(body.readInt32BE(at));
    at += 4;
    at += 2 + body.readInt16BE(at) + 4;
    at += 2 + Math.max(0, body.readInt16BE(at));
  }
  return ids;
}
