import { setTimeout as delay } from 'node:timers/promises';

import type { Heddle, KafkaCluster, LocalPostgres, ServiceName } from '@heddle/testing';

/** Something that is done to a running hub, and undone. */
export interface FaultStep {
  readonly name: string;
  readonly strike: () => Promise<void>;
  /** `recovered by`: from here the 15 s run. For a kill it is the kill itself. */
  readonly measuredFrom: 'strike' | 'mend';
  readonly mend: () => Promise<void>;
}

/** How long a stopped process stays stopped: longer than a session of its consumer group. */
const STOPPED_MS = 8_000;

export function killService(heddle: Heddle, name: ServiceName): FaultStep {
  return {
    name: `SIGKILL ${name}`,
    measuredFrom: 'strike',
    strike: () => {
      heddle.service(name).signal('SIGKILL');
      return Promise.resolve();
    },
    // Its supervisor starts it again.
    mend: () => Promise.resolve(),
  };
}

export function stopService(heddle: Heddle, name: ServiceName): FaultStep {
  return {
    name: `SIGSTOP ${name}`,
    measuredFrom: 'mend',
    strike: async () => {
      heddle.service(name).signal('SIGSTOP');
      await delay(STOPPED_MS);
    },
    mend: () => {
      heddle.service(name).signal('SIGCONT');
      return Promise.resolve();
    },
  };
}

export function killPostgres(postgres: LocalPostgres): FaultStep {
  return {
    name: 'SIGKILL PostgreSQL',
    measuredFrom: 'strike',
    strike: () => postgres.kill(),
    mend: () => postgres.start(),
  };
}

export function stopPostgres(postgres: LocalPostgres): FaultStep {
  return {
    name: 'SIGSTOP PostgreSQL',
    measuredFrom: 'mend',
    strike: async () => {
      postgres.pause();
      await delay(STOPPED_MS);
    },
    mend: () => {
      postgres.resume();
      return Promise.resolve();
    },
  };
}

export function killBroker(kafka: KafkaCluster): FaultStep {
  return {
    name: 'SIGKILL broker',
    measuredFrom: 'strike',
    strike: async () => {
      await kafka.nodes[0]?.kill();
    },
    mend: async () => {
      await kafka.nodes[0]?.start();
    },
  };
}

export function stopBroker(kafka: KafkaCluster): FaultStep {
  return {
    name: 'SIGSTOP broker',
    measuredFrom: 'mend',
    strike: async () => {
      kafka.nodes[0]?.pause();
      await delay(STOPPED_MS);
    },
    mend: () => {
      kafka.nodes[0]?.resume();
      return Promise.resolve();
    },
  };
}
