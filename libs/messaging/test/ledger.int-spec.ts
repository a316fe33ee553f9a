import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { KafkaOptions } from '../src/index.js';
import { startKafka, uniqueTopicPrefix } from '@heddle/testing';
import type { KafkaCluster } from '@heddle/testing';

import { compare, ledgerRun, readAll, withPublisher } from './ledger.js';

/** The short form of `no-acknowledged-event-is-lost.fault-spec.ts`, without its control. */
describe('no acknowledged event is lost', () => {
  let cluster: KafkaCluster;
  beforeAll(async () => {
    cluster = await startKafka({ brokers: 3 });
  }, 120_000);
  afterAll(() => cluster.close());

  it('when two brokers are killed one after the other, and each key keeps its order', async () => {
    const kafka: KafkaOptions = {
      brokers: cluster.brokers.split(','),
      clientId: 'ledger',
      topicPrefix: uniqueTopicPrefix(),
    };
    const acknowledged = await withPublisher(kafka, (write) =>
      ledgerRun({ cluster, kafka, write, faults: ['kill', 'kill'] }),
    );
    const ledger = compare(acknowledged, await readAll(kafka));
    expect(ledger).toMatchObject({ lost: 0, reordered: [], unacknowledged: 0 });
    expect(ledger.acknowledged).toBeGreaterThan(1_000);
  }, 120_000);
});
