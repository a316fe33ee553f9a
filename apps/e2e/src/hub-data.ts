import { deadLetterTopic, topicCatalogue } from '@heddle/contracts';
import { readTopic } from '@heddle/messaging';
import type { IncomingMessage, KafkaOptions } from '@heddle/messaging';
import { createDataSource } from '@heddle/persistence';
import { createLogger } from '@heddle/platform';
import type { Heddle } from '@heddle/testing';

/** What a hub holds behind its API: its topics, and the tables of every service. */
export class HubData {
  readonly kafka: KafkaOptions;
  readonly logger = createLogger({ service: 'e2e', level: 'error' });
  private readonly databaseUrl: string;

  constructor({ kafkaBrokers, topicPrefix, databaseUrl }: Heddle) {
    this.kafka = { brokers: kafkaBrokers.split(','), clientId: 'e2e', topicPrefix };
    this.databaseUrl = databaseUrl;
  }

  read(topic: string): Promise<readonly IncomingMessage[]> {
    return readTopic(topic, { kafka: this.kafka, logger: this.logger });
  }

  /** Of all topics. */
  async deadLetters(): Promise<readonly IncomingMessage[]> {
    const found = await Promise.all(topicCatalogue.map(({ name }) => this.read(deadLetterTopic(name))));
    return found.flat();
  }

  /** Tables are named with their schema. */
  async query<TRow>(sql: string, params: readonly unknown[] = []): Promise<readonly TRow[]> {
    const dataSource = createDataSource({
      url: this.databaseUrl,
      poolSize: 1,
      applicationName: 'e2e',
      schema: 'public',
      migrations: [],
    });
    await dataSource.initialize();
    try {
      return await dataSource.query<TRow[]>(sql, [...params]);
    } finally {
      await dataSource.destroy();
    }
  }
}
