/** Fetches Kafka. As a command it prints `{"version", "libs", "java"}`, or one sentence on stderr and exit code 1. */
import { fileURLToPath } from 'node:url';

import { fetchLibraries, runAsCommand } from '../maven/libraries.mjs';

const KAFKA = {
  name: 'Kafka',
  folder: 'kafka',
  pom: fileURLToPath(new URL('pom.xml', import.meta.url)),
  property: 'kafka.version',
  jar: (version) => `kafka_2.13-${version}.jar`,
  sizeMb: 44,
};

export const fetchKafka = (options) => fetchLibraries(KAFKA, options);

await runAsCommand(import.meta.url, fetchKafka);
