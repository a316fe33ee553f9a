import { describe, expect, it } from '@jest/globals';

import { embeddedKafkaVariables, kafkaFrom, kafkaVariables } from './local-kafka.js';

const LOGIN = {
  KAFKA_BROKERS: 'one:9093,two:9093',
  KAFKA_TOPIC_PREFIX: 'shop.',
  KAFKA_SSL: 'true',
  KAFKA_SASL_MECHANISM: 'scram-sha-512',
  KAFKA_SASL_USERNAME: 'heddle',
  KAFKA_SASL_PASSWORD: 'secret',
};

describe('the Kafka of npm start', () => {
  it('is reached as the environment says, by topics and services alike', () => {
    const variables = kafkaVariables({ ...LOGIN, KAFKA_COMPRESSION: '', PATH: '/bin' });

    expect(variables).toEqual(LOGIN);
    expect(kafkaFrom(variables, 'local')).toMatchObject({
      brokers: ['one:9093', 'two:9093'],
      topicPrefix: 'shop.',
      ssl: true,
      sasl: { mechanism: 'scram-sha-512', username: 'heddle', password: 'secret' },
    });
  });

  it('takes a prefix when it is the embedded one, and no login', () => {
    const { KAFKA_BROKERS: _, ...login } = LOGIN;

    expect(embeddedKafkaVariables(login, { brokers: '127.0.0.1:9092', sessionTimeoutMs: 4_000 })).toEqual({
      KAFKA_BROKERS: '127.0.0.1:9092',
      KAFKA_TOPIC_PREFIX: 'shop.',
      KAFKA_SESSION_TIMEOUT_MS: '4000',
    });
  });
});
