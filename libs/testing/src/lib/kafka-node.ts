import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { ChildServer } from './child-server.js';
import type { JavaLibraries } from './java-libraries.js';
import { aliveBrokers } from './kafka-probe.js';
import { kafkaProperties } from './kafka-properties.js';
import type { KafkaAddress } from './kafka-properties.js';
import { PID_FILE } from './temp-folder.js';

const run = promisify(execFile);
const READY_MS = 90_000;
const GRACE_MS = 10_000;

export interface KafkaNodeOptions {
  readonly address: KafkaAddress;
  readonly all: readonly KafkaAddress[];
  readonly folder: string;
  readonly clusterId: string;
  readonly libraries: JavaLibraries;
  readonly javaFlags: readonly string[];
  readonly properties: Readonly<Record<string, string>>;
}

/** One broker of a cluster. Its data outlives the process: `kill()` and `start()` is a crash and a recovery. */
export class KafkaNode extends ChildServer {
  readonly id: number;
  readonly port: number;
  readonly logFile: string;

  constructor(private readonly options: KafkaNodeOptions) {
    super();
    this.id = options.address.id;
    this.port = options.address.port;
    this.logFile = join(options.folder, 'kafka.log');
  }

  /** Resolves when `withBrokers` brokers of the cluster, this one among them, answer. */
  async start(withBrokers = 1): Promise<void> {
    if (this.isRunning) return;
    const { folder, libraries, javaFlags } = this.options;
    const config = this.writeConfig();
    const classPath = join(libraries.libs, '*');
    await this.format(config, classPath);
    await this.launch(
      {
        name: this.name,
        command: libraries.java,
        args: [
          ...javaFlags,
          '-Dlog4j2.level=WARN',
          '-Djava.awt.headless=true',
          '-cp',
          classPath,
          'kafka.Kafka',
          config,
        ],
        cwd: folder,
        logFile: this.logFile,
        pidFile: join(folder, PID_FILE),
      },
      { answers: () => this.isAmong(withBrokers), withinMs: READY_MS, everyMs: 100 },
    );
  }

  /** An orderly end; a broker that cannot reach its controllers any more is killed after ten seconds. */
  async stop(): Promise<void> {
    await this.end(GRACE_MS);
  }

  private get name(): string {
    return `Kafka broker ${this.id} on port ${this.port}`;
  }

  private writeConfig(): string {
    const { address, all, folder, properties } = this.options;
    mkdirSync(folder, { recursive: true });
    const config = join(folder, 'server.properties');
    writeFileSync(config, kafkaProperties(address, all, join(folder, 'data'), properties));
    return config;
  }

  private async format(config: string, classPath: string): Promise<void> {
    const { libraries, clusterId, folder } = this.options;
    if (existsSync(join(folder, 'data', 'meta.properties'))) return;
    const args = ['kafka.tools.StorageTool', 'format', '--ignore-formatted', '-t', clusterId, '-c', config];
    try {
      await run(libraries.java, [
        '-Xmx64m',
        '-XX:+UseSerialGC',
        '-XX:TieredStopAtLevel=1',
        '-cp',
        classPath,
        ...args,
      ]);
    } catch (error) {
      const output =
        error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
      throw new Error(`formatting the storage of ${this.name} in ${folder}: ${output}`, { cause: error });
    }
  }

  private async isAmong(withBrokers: number): Promise<boolean> {
    const alive = await aliveBrokers(this.port, 2_000);
    return alive.includes(this.id) && alive.length >= withBrokers;
  }
}
