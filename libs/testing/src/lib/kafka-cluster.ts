import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { endLeftover } from './child.js';
import { freePort, isPortFree } from './free-port.js';
import { javaLibraries } from './java-libraries.js';
import { KafkaNode } from './kafka-node.js';
import type { KafkaAddress } from './kafka-properties.js';
import { PID_FILE, temporaryFolder } from './temp-folder.js';

export interface KafkaOptions {
  readonly brokers?: 1 | 3;
  /** Folder that keeps the data between starts, with its ports; a temporary one otherwise. */
  readonly dir?: string;
  /** Client port per broker. Without it: the ones of the last start where they are free, else free ones. */
  readonly ports?: readonly number[];
  /** Lets the JVM compile fully: slower to start, faster under load. */
  readonly forBenchmarks?: boolean;
  /** Beyond or instead of the ones in `kafkaProperties`. */
  readonly properties?: Readonly<Record<string, string>>;
}

export interface KafkaCluster {
  /** `127.0.0.1:1,127.0.0.1:2`, for clients. */
  readonly brokers: string;
  readonly nodes: readonly KafkaNode[];
  readonly dir: string;
  /** Ends all brokers; removes the data if the folder is a temporary one. */
  close(): Promise<void>;
}

interface SavedCluster {
  readonly clusterId: string;
  readonly addresses: readonly KafkaAddress[];
}

const JAVA_FLAGS = ['-Xms192m', '-Xmx512m', '-XX:+UseSerialGC', '-Xshare:auto'];

/** A real Kafka in KRaft mode. Needs Java 17, and Maven for the first start in a checkout. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaCluster> {
  const isTemporary = options.dir === undefined;
  const libraries = await javaLibraries('kafka');
  const dir = isTemporary ? await temporaryFolder('kafka') : resolve(options.dir);
  mkdirSync(dir, { recursive: true });
  const { clusterId, addresses } = await provideCluster(dir, options);
  const nodes = addresses.map(
    (address) =>
      new KafkaNode({
        address,
        all: addresses,
        folder: join(dir, `broker-${address.id}`),
        clusterId,
        libraries,
        javaFlags: options.forBenchmarks === true ? JAVA_FLAGS : [...JAVA_FLAGS, '-XX:TieredStopAtLevel=1'],
        properties: options.properties ?? {},
      }),
  );
  const close = async (): Promise<void> => {
    // Two of three brokers would wait for a quorum that is gone: only a single one ends in an orderly way.
    await Promise.all(nodes.map((node) => (isTemporary || nodes.length > 1 ? node.kill() : node.stop())));
    if (isTemporary) rmSync(dir, { recursive: true, force: true });
  };
  try {
    await Promise.all(nodes.map((node) => node.start(nodes.length)));
  } catch (error) {
    await close();
    throw error;
  }
  return { brokers: nodes.map((node) => `127.0.0.1:${node.port}`).join(','), nodes, dir, close };
}

async function provideCluster(dir: string, options: KafkaOptions): Promise<SavedCluster> {
  const file = join(dir, 'cluster.json');
  const count = options.brokers ?? 1;
  const saved = readSaved(file);
  if (saved !== undefined && saved.addresses.length !== count) {
    throw new Error(
      `${dir} holds a cluster of ${saved.addresses.length} brokers, not of ${count}: take another folder`,
    );
  }
  const addresses: KafkaAddress[] = [];
  for (const { id } of saved?.addresses ?? []) {
    await endLeftover(join(dir, `broker-${id}`, PID_FILE), `Kafka broker ${id} of ${dir}`);
  }
  for (let index = 0; index < count; index++) {
    const before = saved?.addresses[index];
    addresses.push({
      id: index + 1,
      port: options.ports?.[index] ?? (await keepPort(before?.port)),
      controllerPort: await keepPort(before?.controllerPort),
    });
  }
  // Kafka's own form: 16 random bytes in base64url without padding; a leading dash would read as an option.
  const clusterId = saved?.clusterId ?? `H${randomBytes(16).toString('base64url').slice(1)}`;
  const cluster: SavedCluster = { clusterId, addresses };
  writeFileSync(file, JSON.stringify(cluster));
  return cluster;
}

async function keepPort(port: number | undefined): Promise<number> {
  return port !== undefined && (await isPortFree(port)) ? port : freePort();
}

function readSaved(file: string): SavedCluster | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as SavedCluster;
  } catch {
    return undefined;
  }
}
