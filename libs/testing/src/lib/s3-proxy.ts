import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { ChildServer } from './child-server.js';
import { freePort } from './free-port.js';
import { javaLibraries } from './java-libraries.js';
import type { JavaLibraries } from './java-libraries.js';
import { PID_FILE, temporaryFolder } from './temp-folder.js';

export interface S3ProxyOptions {
  /** Each folder in it is a bucket, each file in that an object. Without it, a temporary one that `close` removes. */
  readonly directory?: string;
  readonly port?: number;
  readonly accessKey?: string;
  readonly secretKey?: string;
  /** Made where they are missing. */
  readonly buckets?: readonly string[];
}

const READY_MS = 60_000;
const GRACE_MS = 5_000;

/** s3proxy: honours conditional writes, checksums and credentials, over plain folders. */
export async function startS3Proxy(options: S3ProxyOptions = {}): Promise<S3Proxy> {
  const [libraries, folder, port] = await Promise.all([
    javaLibraries('s3proxy'),
    temporaryFolder('s3proxy'),
    options.port ?? freePort(),
  ]);
  const server = new S3Proxy(libraries, folder, port, options);
  try {
    for (const bucket of options.buckets ?? []) server.makeBucket(bucket);
    await server.start();
  } catch (error) {
    await server.close();
    throw error;
  }
  return server;
}

export class S3Proxy extends ChildServer {
  readonly host = '127.0.0.1';
  readonly region = 'us-east-1';
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly directory: string;
  readonly logFile: string;

  constructor(
    private readonly libraries: JavaLibraries,
    private readonly folder: string,
    readonly port: number,
    { directory, accessKey, secretKey }: S3ProxyOptions,
  ) {
    super();
    this.endpoint = `http://${this.host}:${String(port)}`;
    this.accessKey = accessKey ?? 'access-key-of-s3proxy';
    this.secretKey = secretKey ?? 'secret-key-of-s3proxy';
    this.directory = resolve(directory ?? join(folder, 'buckets'));
    this.logFile = join(folder, 's3proxy.log');
    mkdirSync(this.directory, { recursive: true });
    writeFileSync(join(folder, 's3.properties'), this.properties(), { mode: 0o600 });
    writeFileSync(join(folder, 'logback.xml'), LOGBACK);
  }

  async start(): Promise<void> {
    if (this.isRunning) return;
    const { java, libs } = this.libraries;
    await this.launch(
      {
        name: `s3proxy on port ${String(this.port)}`,
        command: java,
        args: [
          '-Xmx128m',
          '-XX:+UseSerialGC',
          '-XX:TieredStopAtLevel=1',
          '-Xshare:auto',
          `-Dlogback.configurationFile=${join(this.folder, 'logback.xml')}`,
          '-cp',
          join(libs, '*'),
          'org.gaul.s3proxy.Main',
          '--properties',
          join(this.folder, 's3.properties'),
        ],
        logFile: this.logFile,
        pidFile: join(this.folder, PID_FILE),
      },
      { answers: () => this.answers(), withinMs: READY_MS, everyMs: 50 },
    );
  }

  makeBucket(bucket: string): void {
    mkdirSync(join(this.directory, bucket), { recursive: true });
  }

  async close(): Promise<void> {
    await this.end(GRACE_MS);
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async answers(): Promise<boolean> {
    // 403 to a stranger is an answer.
    const answer = await fetch(this.endpoint, { signal: AbortSignal.timeout(2_000) });
    await answer.body?.cancel();
    return true;
  }

  private properties(): string {
    const properties = {
      's3proxy.endpoint': this.endpoint,
      's3proxy.authorization': 'aws-v2-or-v4',
      's3proxy.identity': this.accessKey,
      's3proxy.credential': this.secretKey,
      'jclouds.provider': 'filesystem-nio2',
      // Required, and of no meaning to a folder.
      'jclouds.identity': 'local',
      'jclouds.credential': 'local',
      'jclouds.filesystem.basedir': this.directory,
    };
    return Object.entries(properties)
      .map(([name, value]) => `${name}=${value}\n`)
      .join('');
  }
}

/** Without a configuration it logs every request, bodies included. */
const LOGBACK = `<configuration>
  <appender name="STDOUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %-5level %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="warn"><appender-ref ref="STDOUT"/></root>
</configuration>
`;
