import { loadTestingLibrary } from './testing-library.mjs';

/** One broker and one PostgreSQL for the whole run, unless TEST_KAFKA_BROKERS and TEST_DATABASE_URL name running ones. */
export default async function setUp() {
  // The projects of one run share the file; that Jest calls it once for all of them is not promised anywhere.
  globalThis.heddleServers ??= start();
  await globalThis.heddleServers;
}

async function start() {
  const { TEST_KAFKA_BROKERS: brokers, TEST_DATABASE_URL: database } = process.env;
  if (brokers && database) return [];
  const { startKafka, startPostgres } = await loadTestingLibrary();
  const starting = [];
  if (!brokers) {
    starting.push(
      startKafka().then((kafka) => {
        process.env.TEST_KAFKA_BROKERS = kafka.brokers;
        return kafka;
      }),
    );
  }
  if (!database) {
    starting.push(
      startPostgres().then((postgres) => {
        process.env.TEST_DATABASE_URL = postgres.url;
        return postgres;
      }),
    );
  }
  const started = await Promise.allSettled(starting);
  const servers = started.filter(({ status }) => status === 'fulfilled').map(({ value }) => value);
  // For tests that look for what must not be logged.
  process.env.TEST_SERVER_LOGS = servers
    .flatMap((server) => server.logFile ?? server.nodes.map((node) => node.logFile))
    .join(',');
  const failure = started.find(({ status }) => status === 'rejected');
  if (failure === undefined) return servers;
  await Promise.all(servers.map((server) => server.close()));
  throw failure.reason;
}
