import { Writable } from 'node:stream';

import { describe, expect, it } from '@jest/globals';
import { logLevel } from 'kafkajs';
import { pino } from 'pino';

import { kafkaLog } from './kafka-log.js';

function linesOf(level: logLevel, message: string, extra: object = {}): readonly Record<string, unknown>[] {
  const lines: Record<string, unknown>[] = [];
  const into = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
      done();
    },
  });
  const write = kafkaLog(
    pino({ level: 'trace', formatters: { level: (label) => ({ level: label }) } }, into),
  )(logLevel.INFO);
  write({
    namespace: 'Runner',
    level,
    label: '',
    log: { timestamp: '', logger: 'kafkajs', message, ...extra },
  });
  return lines;
}

describe("kafkajs' log", () => {
  it('is lowered: rebalances and lost connections are for debugging, other errors are warnings', () => {
    const levels = (level: logLevel, message: string): unknown[] =>
      linesOf(level, message).map((line) => line['level']);
    expect(levels(logLevel.ERROR, 'The group is rebalancing, re-joining')).toEqual(['debug']);
    expect(levels(logLevel.ERROR, 'Response Heartbeat(key: 12, version: 3)')).toEqual(['debug']);
    expect(levels(logLevel.ERROR, 'Connection error: connect ECONNREFUSED 127.0.0.1:1')).toEqual(['debug']);
    expect(levels(logLevel.ERROR, 'Offset out of range, resetting to default offset')).toEqual(['warn']);
    expect(levels(logLevel.WARN, 'anything')).toEqual(['debug']);
    expect(levels(logLevel.DEBUG, 'Request Produce(key: 0, version: 7)')).toEqual([]);
  });

  it('keeps places and counts only', () => {
    const [line] = linesOf(logLevel.ERROR, 'Invalid message without value for topic "t": {"secret":1}', {
      topic: 't',
      partition: 4,
      payload: 'secret',
      error: new Error('secret'),
      stack: 'secret',
    });
    expect(line).toMatchObject({ component: 'Runner', topic: 't', partition: 4, msg: 'kafka.client' });
    expect(JSON.stringify(line)).not.toContain('secret');
  });
});
