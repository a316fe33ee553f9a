import { execFileSync } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { appendFileSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import {
  DELIVERY_REQUESTED,
  DeliveryRequestedV1,
  TOPIC,
  deliveryRequestedTopic,
  topicCatalogue,
} from '@heddle/contracts';
import type { DeliveryAttemptedV1, OfferedFile } from '@heddle/contracts';
import { KafkaPublisher, KafkaServer, createTopics } from '@heddle/messaging';
import type { EventBatch } from '@heddle/messaging';
import { Health, createLogger, createMetrics, newId, newTraceparent } from '@heddle/platform';
import { SecretSealer, parseKeyring } from '@heddle/secrets';
import {
  eventually,
  spawnService,
  startFileServer,
  startSftpServer,
  temporaryFolder,
  uniqueTopicPrefix,
  workspaceRoot,
} from '@heddle/testing';
import type { FileServer, SftpServer, SpawnedService } from '@heddle/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { jwtVerify } from 'jose';

const PASSWORD = 'word-of-the-factory';
const MASTER_KEY = `k1:${Buffer.alloc(32, 5).toString('base64')}`;
const TOKEN_KEY = Buffer.alloc(32, 6);
const RECIPE = JSON.stringify({ id: 'DRIVE-001', name: 'Team Cap' });

type Report = DeliveryAttemptedV1;

/** The most memory that the process has ever held, as Linux counts it; its memory now elsewhere. */
function peakMegabytes(pid = 0): number {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  } catch {
    return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) / 1024;
  }
}

/** A real worker process between a real Kafka and real servers; this suite plays the dispatcher. */
describe('the SFTP worker as a process', () => {
  const topicPrefix = uniqueTopicPrefix();
  const logger = createLogger({ service: 'worker-spec', level: 'error' });
  const kafka = {
    brokers: (process.env['TEST_KAFKA_BROKERS'] ?? '').split(','),
    clientId: 'worker-spec',
    topicPrefix,
  };
  const sealer = new SecretSealer(parseKeyring(MASTER_KEY));
  const reports: Report[] = [];
  const publisher = new KafkaPublisher({ kafka, logger, metrics: createMetrics('worker-spec') });
  let observer: KafkaServer;
  let store: Server;
  let files: FileServer;
  let good: SftpServer;
  let bad: SftpServer;
  let worker: SpawnedService;
  let spawn: (more?: Record<string, string>) => Promise<SpawnedService>;

  beforeAll(async () => {
    await createTopics(topicCatalogue, { kafka, logger, partitions: 3 });
    await publisher.connect();
    observer = new KafkaServer({
      kafka,
      groupId: 'worker-spec',
      catalogue: topicCatalogue,
      faultOf: () => 'transient',
      logger,
      metrics: createMetrics('worker-spec'),
      health: new Health(),
    });
    const observe = async (batch: EventBatch<Report>): Promise<void> => {
      reports.push(...batch.events.map(({ data }) => data));
    };
    observer.addHandler(TOPIC.deliveryAttempted, observe, true);
    await new Promise<void>((resolve, reject) =>
      observer.listen((error?: unknown) =>
        error === undefined ? resolve() : reject(new Error('listening', { cause: error })),
      ),
    );

    store = createServer((request, response) => {
      const token = (request.headers.authorization ?? '').replace('Bearer ', '');
      jwtVerify(token, TOKEN_KEY, { issuer: 'heddle', requiredClaims: ['exp', 'iat', 'sub'] }).then(
        ({ payload }) => response.writeHead(payload['tenant'] === 'demo' ? 200 : 403).end(RECIPE),
        () => response.writeHead(401).end(),
      );
    });
    await new Promise<void>((resolve) => store.listen(0, '127.0.0.1', resolve));
    files = await startFileServer({ directory: await temporaryFolder('files') });
    const users = [{ username: 'factory', password: PASSWORD }];
    good = await startSftpServer({ directory: await temporaryFolder('good'), users });
    bad = await startSftpServer({ directory: await temporaryFolder('bad'), users });

    const env = {
      KAFKA_BROKERS: kafka.brokers.join(','),
      KAFKA_TOPIC_PREFIX: topicPrefix,
      SECRETS_KEY: MASTER_KEY,
      SERVICE_TOKEN_KEYS: `t1:${TOKEN_KEY.toString('base64')}`,
      PUBLIC_URL: 'https://hub.example',
      STORE_URL: `http://127.0.0.1:${(store.address() as AddressInfo).port}`,
      OUTBOUND_ALLOWED_ADDRESSES: [good, bad, files].map(({ port }) => `127.0.0.1/32:${port}`).join(','),
      SPOOL_DIR: await temporaryFolder('spool'),
      PROGRESS_INTERVAL_MS: '500',
      SILENCE_TIMEOUT_MS: '60000',
      // As the topology starts it.
      NODE_OPTIONS: '--max-semi-space-size=4 --max-old-space-size=128',
    };
    spawn = (more = {}) =>
      spawnService({
        name: 'outbound-sftp',
        entry: join(workspaceRoot(), 'dist/apps/outbound-sftp/main.js'),
        env: { ...env, ...more },
      });
    worker = await spawn();
  });
  afterEach(() => {
    good.faults = {};
    bad.faults = {};
    files.clearFaults();
  });
  afterAll(async () => {
    await worker.kill();
    await Promise.all([observer.close(), publisher.close(), good.close(), bad.close(), files.close()]);
    await new Promise((resolve) => store.close(resolve));
  });

  function anOffer(
    server: SftpServer,
    names: readonly OfferedFile[],
    fields: Partial<DeliveryRequestedV1> = {},
  ): DeliveryRequestedV1 {
    const integrationId = fields.integrationId ?? randomUUID();
    const place = { tenant: 'demo', integrationId };
    const settings = {
      host: '127.0.0.1',
      port: server.port,
      username: 'factory',
      'password-secret': sealer.seal(PASSWORD, { ...place, field: 'password-secret' }),
      'host-key-sha256': server.hostKeySha256,
      directory: '/{channel}',
    };
    return DeliveryRequestedV1.parse({
      deliveryId: randomUUID(),
      offerId: randomUUID(),
      notAfter: new Date(Date.now() + 600_000).toISOString(),
      tenant: 'demo',
      channel: 'shop',
      integrationId,
      integrationVersion: 1,
      trigger: 'order.submitted',
      attempt: 1,
      recipeIds: ['DRIVE-001'],
      sealedSettings: sealer.seal(JSON.stringify(settings), { ...place, field: 'settings' }),
      files: names,
      earlierOfferIds: [],
      acceptedAt: new Date().toISOString(),
      ...fields,
    });
  }
  const inline = (name: string, text: string): OfferedFile => ({
    name,
    kind: 'attachment',
    mimeType: 'text/plain',
    source: { kind: 'inline', text },
  });
  const linked = (name: string, path = name): OfferedFile => ({
    name,
    kind: 'production',
    mimeType: 'application/octet-stream',
    source: { kind: 'url', url: files.url(path) },
  });
  const hub = (name: string, sha256 = createHash('sha256').update(RECIPE).digest('hex')): OfferedFile => ({
    name,
    kind: 'recipe',
    mimeType: 'application/json',
    source: { kind: 'hub', path: '/internal/recipes/demo/DRIVE-001/1', sha256 },
  });

  async function offer(...offers: readonly DeliveryRequestedV1[]): Promise<void> {
    const results = await publisher.publish(
      offers.map((data) => ({
        topic: deliveryRequestedTopic('sftp'),
        key: `demo:${data.integrationId}:${data.deliveryId}`,
        id: newId(),
        type: DELIVERY_REQUESTED,
        source: '/worker-spec',
        time: new Date().toISOString(),
        tenant: 'demo',
        traceparent: newTraceparent(),
        data: JSON.stringify(data),
      })),
      { deadlineMs: 10_000 },
    );
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
  }
  const reportsOf = ({ offerId }: DeliveryRequestedV1): Report[] =>
    reports.filter((report) => report.offerId === offerId);
  async function finished(
    of: DeliveryRequestedV1,
    withinMs = 20_000,
  ): Promise<Extract<Report, { phase: 'finished' }>> {
    return await eventually(
      () => {
        const report = reportsOf(of).find(({ phase }) => phase === 'finished');
        if (report?.phase !== 'finished') throw new Error(`no outcome of ${of.offerId}`);
        return report;
      },
      { withinMs },
    );
  }

  it('delivers files of every source and reports started before it and a receipt for each', async () => {
    const artwork = randomBytes(3_000_000);
    writeFileSync(join(files.directory, 'front.dst'), artwork);
    const set = anOffer(good, [hub('r.json'), linked('front.dst'), inline('note.txt', 'hello')]);

    await offer(set);
    const report = await finished(set);

    expect(report).toMatchObject({ outcome: 'succeeded', code: null, faults: [] });
    expect(report.receipts.map(({ name }) => name).sort()).toEqual(['front.dst', 'note.txt', 'r.json']);
    expect(reportsOf(set)[0]?.phase).toBe('started');
    const folder = join(good.directory, 'shop');
    expect(readFileSync(join(folder, 'front.dst')).equals(artwork)).toBe(true);
    expect(readFileSync(join(folder, 'r.json'), 'utf8')).toBe(RECIPE);
    expect(JSON.stringify(reports)).not.toContain(PASSWORD);
    expect(JSON.stringify(worker.lines)).not.toContain(PASSWORD);
  });

  it('delivers what it can fetch and names what it cannot', async () => {
    writeFileSync(join(files.directory, 'cut.bin'), randomBytes(50_000));
    files.setFault('cut.bin', { kind: 'cut', afterBytes: 20_000 });
    files.setFault('moved.bin', { kind: 'redirect', location: 'http://127.0.0.1:1/' });
    files.setFault('busy.bin', { kind: 'status', status: 503 });
    const forbidden: OfferedFile = {
      ...linked('x.bin'),
      name: 'metadata.bin',
      source: { kind: 'url', url: 'http://169.254.169.254/latest/meta-data' },
    };
    const own: OfferedFile = {
      ...linked('x.bin'),
      name: 'own.bin',
      source: {
        kind: 'url',
        url: `http://127.0.0.1:${(store.address() as AddressInfo).port}/internal/recipes`,
      },
    };
    const set = anOffer(good, [
      inline('there.txt', 'x'),
      linked('cut.bin'),
      linked('moved.bin'),
      linked('busy.bin'),
      linked('missing.bin'),
      hub('other.json', 'a'.repeat(64)),
      forbidden,
      own,
    ]);

    await offer(set);
    const report = await finished(set);

    expect(report).toMatchObject({ outcome: 'failed', code: 'SOURCE_UNAVAILABLE' });
    expect(report.message).toMatch(/^fetching cut\.bin: /);
    expect(report.faults.map(({ name, code }) => [name, code])).toEqual([
      ['cut.bin', 'SOURCE_UNAVAILABLE'],
      ['moved.bin', 'SOURCE_UNAVAILABLE'],
      ['busy.bin', 'SOURCE_UNAVAILABLE'],
      ['missing.bin', 'SOURCE_UNAVAILABLE'],
      ['other.json', 'SOURCE_UNAVAILABLE'],
      ['metadata.bin', 'ADDRESS_REFUSED'],
      ['own.bin', 'ADDRESS_REFUSED'],
    ]);
    expect(report.receipts.map(({ name }) => name)).toEqual(['there.txt']);
  });

  it('lets five integrations flow while five others hang', async () => {
    bad.faults = { hangOn: ['write'] };
    const of = (server: SftpServer): DeliveryRequestedV1[][] =>
      Array.from({ length: 5 }, () => {
        const integrationId = randomUUID();
        return Array.from({ length: 8 }, (_, index) =>
          anOffer(server, [inline(`${integrationId}-${index}.txt`, 'x'.repeat(20_000))], { integrationId }),
        );
      });
    const [hanging, flowing] = [of(bad), of(good)];

    await offer(...hanging.flat());
    await eventually(() => expect(hanging.flat().every((each) => reportsOf(each).length > 0)).toBe(true), {
      withinMs: 20_000,
    });
    await offer(...flowing.flat());
    const outcomes = await Promise.all(flowing.flat().map((each) => finished(each)));

    expect(outcomes.filter(({ outcome }) => outcome !== 'succeeded')).toEqual([]);
    const done = hanging.flat().filter((each) => reportsOf(each).some(({ phase }) => phase === 'finished'));
    expect(done).toEqual([]);
    // An attempt whose reused connection breaks opens another one: that must not hang as well.
    bad.faults = { refuseConnections: true };
    bad.cutConnections();
    const failed = await Promise.all(hanging.flat().map((each) => finished(each)));
    expect(new Set(failed.map(({ code }) => code))).toEqual(new Set(['UNAVAILABLE']));
  });

  it('takes more offers than its pool holds, one after the other', async () => {
    const offers = Array.from({ length: 240 }, (_, index) =>
      anOffer(good, [inline(`many-${index}.txt`, 'x')]),
    );

    await offer(...offers);
    const outcomes = await Promise.all(offers.map((each) => finished(each, 40_000)));

    expect(outcomes.filter(({ outcome }) => outcome !== 'succeeded')).toEqual([]);
    expect(
      offers.filter((each) => reportsOf(each).filter(({ phase }) => phase === 'started').length !== 1),
    ).toEqual([]);
  }, 60_000);

  it('leaves a repeatable state when it is killed in the middle of an attempt', async () => {
    bad.faults = { hangOn: ['close'] };
    const first = anOffer(bad, [inline('killed.txt', 'whole')]);
    await offer(first);
    const folder = join(bad.directory, 'shop');
    await eventually(() => expect(readdirSync(folder)).toContain(`.killed.txt.${first.offerId}.part`), {
      withinMs: 10_000,
    });

    await worker.kill();
    bad.faults = {};
    await worker.start();
    const second = anOffer(bad, [inline('killed.txt', 'whole')], {
      deliveryId: first.deliveryId,
      integrationId: first.integrationId,
      earlierOfferIds: [first.offerId],
    });
    await offer(second);

    expect(await finished(second, 30_000)).toMatchObject({ outcome: 'succeeded' });
    expect(readdirSync(folder).filter((name) => name.includes('killed'))).toEqual(['killed.txt']);
    // The offer of the killed process was committed before it began: Kafka must not hand it out again.
    expect(reportsOf(first).filter(({ phase }) => phase === 'started')).toHaveLength(1);
  }, 60_000);

  it('passes 200 MB through without ever holding 200 MB', async () => {
    const path = join(files.directory, 'big.bin');
    const chunk = randomBytes(8 * 1024 * 1024);
    rmSync(path, { force: true });
    for (let written = 0; written < 25; written += 1) appendFileSync(path, chunk);
    const set = anOffer(good, [linked('big.bin')]);

    await offer(set);
    const report = await finished(set, 90_000);

    expect(report).toMatchObject({ outcome: 'succeeded', sizeBytes: 25 * chunk.length });
    expect(peakMegabytes(worker.pid)).toBeLessThan(200);
  }, 120_000);

  it('gives running attempts back on SIGTERM and ends within its time', async () => {
    bad.faults = { hangOn: ['write'] };
    const set = anOffer(bad, [inline('unfinished.txt', 'x')]);
    await offer(set);
    await eventually(() => expect(reportsOf(set)).not.toEqual([]), { withinMs: 10_000 });

    await worker.stop();

    expect(await finished(set)).toMatchObject({ outcome: 'released', code: null });
  }, 40_000);

  it('makes nothing visible after it was suspended for longer than its lease', async () => {
    worker = await spawn({ LEASE_MS: '3000' });
    bad.faults = { delayMs: 1_500 };
    const set = anOffer(bad, [inline('suspended.txt', 'x')]);
    await offer(set);
    const folder = join(bad.directory, 'shop');
    await eventually(() => expect(readdirSync(folder)).toContain(`.suspended.txt.${set.offerId}.part`), {
      withinMs: 10_000,
    });

    worker.pause();
    const isStale = performance.now() + 4_000;
    await eventually(() => expect(performance.now()).toBeGreaterThan(isStale), { withinMs: 5_000 });
    bad.faults = {};
    worker.resume();

    expect(await finished(set)).toMatchObject({ outcome: 'released' });
    expect(readdirSync(folder)).not.toContain('suspended.txt');
  }, 60_000);
});
