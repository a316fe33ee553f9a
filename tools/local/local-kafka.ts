import { kafkaConfig, kafkaOptions } from '@heddle/messaging';
import type { KafkaOptions } from '@heddle/messaging';
import { loadConfig } from '@heddle/platform';
import { z } from 'zod';

import { readLocalFile } from './local-file.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What is set of the variables that tell a service how it reaches Kafka; an empty one counts as absent. */
export function kafkaVariables(environment: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.keys(kafkaConfig).flatMap((name) => {
      const value = environment[name];
      return value === undefined || value === '' ? [] : [[name, value]];
    }),
  );
}

/** Of these only, as the rest is about brokers that the embedded Kafka is not. */
const OF_ANY_KAFKA: ReadonlySet<string> = new Set([
  'KAFKA_TOPIC_PREFIX',
  'KAFKA_COMPRESSION',
  'KAFKA_SESSION_TIMEOUT_MS',
]);

/** The same for the embedded Kafka. */
export function embeddedKafkaVariables(
  environment: Environment,
  embedded: { readonly brokers: string; readonly sessionTimeoutMs: number },
): Record<string, string> {
  const given = Object.entries(kafkaVariables(environment)).filter(([name]) => OF_ANY_KAFKA.has(name));
  return {
    KAFKA_SESSION_TIMEOUT_MS: String(embedded.sessionTimeoutMs),
    ...Object.fromEntries(given),
    KAFKA_BROKERS: embedded.brokers,
  };
}

/** @throws {ConfigError} */
export function kafkaFrom(variables: Environment, clientId: string): KafkaOptions {
  return kafkaOptions(loadConfig(z.object(kafkaConfig), variables), clientId);
}

/**
 * The Kafka of a command: the one that the environment names, else the one of the Heddle that runs here.
 *
 * @throws when there is neither.
 */
export async function kafkaOfCommand(environment: Environment, clientId: string): Promise<KafkaOptions> {
  const given = kafkaVariables(environment);
  if (given['KAFKA_BROKERS'] !== undefined) return kafkaFrom(given, clientId);
  const { kafka } = await readLocalFile(environment['HEDDLE_DIRECTORY']);
  return kafkaFrom({ ...kafka, ...given }, clientId);
}
