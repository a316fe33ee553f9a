/** The Kafka and the PostgreSQL that the run's set-up has started. */
export function testServers(): { readonly kafkaBrokers: string; readonly databaseUrl: string } {
  const kafkaBrokers = process.env['TEST_KAFKA_BROKERS'];
  const databaseUrl = process.env['TEST_DATABASE_URL'];
  if (kafkaBrokers === undefined || databaseUrl === undefined) {
    throw new Error(
      'TEST_KAFKA_BROKERS and TEST_DATABASE_URL are not set: run this through jest and its set-up',
    );
  }
  return { kafkaBrokers, databaseUrl };
}
