import { deadLetterTopic, topicCatalogue } from '@heddle/contracts';
import { followTopics } from '@heddle/messaging';
import type { FollowedMessage } from '@heddle/messaging';
import { createLogger } from '@heddle/platform';

import { kafkaOfCommand } from '../local/local-kafka.js';

const USAGE = `usage: npm run tail -- <topic> [<topic> ...] [--from-beginning] [--raw]

Prints the events of topics as they come. --raw prints each value whole, one JSON line an event.
KAFKA_BROKERS and the services' other KAFKA_ variables choose another Kafka than the one of npm start.
`;

/** What is worth a column of an event's data; the rest is for --raw. */
const COLUMNS = [
  'orderNumber',
  'orderId',
  'recipeId',
  'version',
  'status',
  'reason',
  'phase',
  'outcome',
  'attempt',
  'code',
];

function print(message: FollowedMessage, raw: boolean): void {
  const text = Buffer.from(message.value).toString();
  if (raw) {
    process.stdout.write(`${text}\n`);
    return;
  }
  const time = new Date(message.timestampMs).toISOString().slice(11, 23);
  const place = `${message.topic} ${String(message.partition)}/${message.offset}`;
  process.stdout.write(`${time}  ${place.padEnd(30)}  ${message.key ?? '(no key)'}  ${summaryOf(text)}\n`);
}

function summaryOf(text: string): string {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    return `(not JSON, ${String(text.length)} characters)`;
  }
  if (typeof data !== 'object' || data === null) return text;
  const value = data as Record<string, unknown>;
  const parts = COLUMNS.flatMap((name) =>
    value[name] === undefined || value[name] === null
      ? []
      : [`${name}=${String(value[name] as string | number)}`],
  );
  for (const list of ['items', 'associations', 'files', 'receipts', 'faults']) {
    const members = value[list];
    if (Array.isArray(members)) parts.push(`${list}=${String(members.length)}`);
  }
  return parts.join(' ');
}

async function tail(words: readonly string[]): Promise<void> {
  const known = topicCatalogue.flatMap(({ name }) => [name, deadLetterTopic(name)]);
  const topics = words.filter((word) => !word.startsWith('--'));
  const unknown = topics.find((topic) => !known.includes(topic));
  if (topics.length === 0 || unknown !== undefined) {
    const complaint = unknown === undefined ? '' : `There is no topic ${unknown}.\n\n`;
    process.stderr.write(`${complaint}${USAGE}\nTopics:\n${known.map((name) => `  ${name}`).join('\n')}\n`);
    process.exitCode = 2;
    return;
  }
  const reader = await followTopics({
    kafka: await kafkaOfCommand(process.env, 'tail'),
    logger: createLogger({ service: 'tail', level: 'error' }),
    topics,
    fromBeginning: words.includes('--from-beginning'),
    onMessage: (message) => {
      print(message, words.includes('--raw'));
    },
  });
  process.stderr.write(`following ${topics.join(', ')}; Ctrl-C ends it\n`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void reader.close().finally(() => process.exit(0));
    });
  }
}

try {
  await tail(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
