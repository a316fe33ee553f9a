import { logLevel } from 'kafkajs';
import type { LogEntry, logCreator } from 'kafkajs';
import type { Level, Logger } from 'pino';

/** The only fields of kafkajs' lines that pass: places and counts. Its errors and stacks can quote messages. */
const FIELDS = [
  'broker',
  'groupId',
  'memberId',
  'topic',
  'partition',
  'retryCount',
  'retryTime',
  'duration',
] as const;

/** Said as errors by kafkajs and part of every deployment: a member joins, a leader moves, a broker restarts. */
const ORDINARY =
  /^Response |rebalanc|re-?join|not aware of this member|coordinator|leader|Closed connection|Connection (?:error|timeout)|Not connected|Failed to (?:connect|send messages)|timed out|Crash: KafkaJSNumberOfRetriesExceeded|Restarting the consumer|hosts this topic-partition|does not answer/i;

/** Lowers each line: what kafkajs calls an error is at most a warning, what it calls a warning is for debugging. */
export function kafkaLog(logger: Logger): logCreator {
  return () =>
    ({ level, namespace, log }: LogEntry): void => {
      const to = levelOf(level, log.message);
      if (to === undefined || !logger.isLevelEnabled(to)) return;
      const fields: Record<string, unknown> = { component: namespace };
      for (const field of FIELDS) {
        const value: unknown = log[field];
        if (typeof value === 'string' || typeof value === 'number') fields[field] = value;
      }
      logger[to]({ ...fields, detail: detailOf(log.message) }, 'kafka.client');
    };
}

function levelOf(level: logLevel, message: string): Level | undefined {
  if (level === logLevel.ERROR) return ORDINARY.test(message) ? 'debug' : 'warn';
  if (level === logLevel.WARN || level === logLevel.INFO) return 'debug';
  return undefined;
}

/** "Invalid message without value ...: {...}" is the one text of kafkajs that quotes a message. */
function detailOf(message: string): string {
  return (message.split('{', 1)[0] ?? '').slice(0, 300);
}
