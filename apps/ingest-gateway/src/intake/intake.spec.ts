import { describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';

import { PublishError } from '@heddle/messaging';
import type { OutgoingEvent, PublishResult } from '@heddle/messaging';
import { ProblemError, createLogger } from '@heddle/platform';

import type { EventLog } from './event-log.js';
import { Intake, PUBLISH_DEADLINE_MS } from './intake.js';

const OK: PublishResult = { ok: true, partition: 0, offset: '1' };
const failed = (code: 'TIMEOUT' | 'QUEUE_FULL' | 'REFUSED'): PublishResult => ({
  ok: false,
  error: new PublishError(code, 'order.received'),
});
const EVENTS = [{ data: 'a' }, { data: 'b' }, { data: 'c' }] as OutgoingEvent[];

function intakeOver(results: readonly PublishResult[]): {
  intake: Intake;
  lines: string[];
  deadlines: number[];
} {
  const lines: string[] = [];
  const deadlines: number[] = [];
  const log: EventLog = {
    isConnected: true,
    connect: async () => undefined,
    publish: async (_events, { deadlineMs }) => {
      deadlines.push(deadlineMs);
      return results;
    },
    close: async () => undefined,
  };
  const logger = createLogger({
    service: 'test',
    level: 'info',
    destination: { write: (line) => void lines.push(line) },
  });
  return { intake: new Intake(log, logger, new Registry()), lines, deadlines };
}

describe('the intake', () => {
  it('accepts when every event is acknowledged, within five seconds', async () => {
    const { intake, deadlines } = intakeOver([OK, OK, OK]);
    await expect(intake.append(EVENTS)).resolves.toBeUndefined();
    expect(deadlines).toEqual([PUBLISH_DEADLINE_MS]);
    expect(PUBLISH_DEADLINE_MS).toBe(5_000);
  });

  it.each([
    ['first', [failed('TIMEOUT'), OK, OK]],
    ['last', [OK, OK, failed('REFUSED')]],
    ['only', [failed('QUEUE_FULL')]],
  ])('accepts nothing when the %s event is not acknowledged', async (_place, results) => {
    const { intake } = intakeOver(results);
    const refusal = intake.append(EVENTS);
    await expect(refusal).rejects.toBeInstanceOf(ProblemError);
    await expect(refusal).rejects.toMatchObject({
      status: 503,
      options: { headers: { 'retry-after': '2' } },
    });
  });

  it('says once that Kafka does not acknowledge, not for every request', async () => {
    const { intake, lines } = intakeOver([failed('TIMEOUT')]);
    for (let request = 0; request < 100; request += 1) await intake.append(EVENTS).catch(() => undefined);
    expect(lines.filter((line) => line.includes('intake.not-durable'))).toHaveLength(1);
  });
});
