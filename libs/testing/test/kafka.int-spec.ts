import { existsSync, rmSync } from 'node:fs';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { eventually, startKafka, temporaryFolder } from '@heddle/testing';
import type { KafkaCluster } from '@heddle/testing';

import { aliveBrokers } from '../src/lib/kafka-probe.js';

const TIMEOUT_MS = 120_000;

let dir: string;
let kafka: KafkaCluster;

beforeAll(async () => {
  dir = await temporaryFolder('kept-kafka');
  kafka = await startKafka({ dir });
}, TIMEOUT_MS);

afterAll(async () => {
  await kafka.close();
  rmSync(dir, { recursive: true, force: true });
}, TIMEOUT_MS);

describe('the local Kafka', () => {
  it(
    'comes back on the same port after a SIGKILL',
    async () => {
      const [node] = kafka.nodes;
      const exits: unknown[] = [];
      node!.onExit((exit) => exits.push(exit));
      await node!.kill();
      expect(exits).toEqual([{ code: null, signal: 'SIGKILL' }]);
      await expect(aliveBrokers(node!.port, 1_000)).rejects.toThrow(/ECONNREFUSED/);
      await node!.start();
      expect(await aliveBrokers(node!.port, 1_000)).toEqual([1]);
    },
    TIMEOUT_MS,
  );

  it(
    'answers nobody while it is paused',
    async () => {
      const [node] = kafka.nodes;
      node!.pause();
      await expect(aliveBrokers(node!.port, 500)).rejects.toThrow(/no answer/);
      node!.resume();
      await eventually(async () => expect(await aliveBrokers(node!.port, 1_000)).toEqual([1]), {
        withinMs: 15_000,
      });
    },
    TIMEOUT_MS,
  );

  it(
    'keeps its data and ports for the next start, and serves one owner at a time',
    async () => {
      await expect(startKafka({ dir })).rejects.toThrow(/already running/);
      await expect(startKafka({ dir, brokers: 3 })).rejects.toThrow(/holds a cluster of 1 brokers/);
      const { brokers } = kafka;
      await kafka.close();
      kafka = await startKafka({ dir });
      expect(kafka.brokers).toBe(brokers);
    },
    TIMEOUT_MS,
  );

  it(
    'shows the end of its log when it cannot start',
    async () => {
      await expect(startKafka({ properties: { 'num.io.threads': '0' } })).rejects.toThrow(/num\.io\.threads/);
    },
    TIMEOUT_MS,
  );

  it(
    'has three brokers that see one of them go and come back',
    async () => {
      const cluster = await startKafka({ brokers: 3 });
      try {
        const [first, second] = cluster.nodes;
        expect([...(await aliveBrokers(second!.port, 2_000))].sort()).toEqual([1, 2, 3]);
        await first!.kill();
        await eventually(
          async () => expect([...(await aliveBrokers(second!.port, 2_000))].sort()).toEqual([2, 3]),
          {
            withinMs: 20_000,
            everyMs: 100,
          },
        );
        await first!.start(3);
        expect([...(await aliveBrokers(first!.port, 2_000))].sort()).toEqual([1, 2, 3]);
      } finally {
        await cluster.close();
      }
      expect(existsSync(cluster.dir)).toBe(false);
    },
    TIMEOUT_MS,
  );
});
