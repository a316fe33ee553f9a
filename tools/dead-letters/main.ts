import { deadLetterTopic, topicCatalogue } from '@heddle/contracts';
import { DeadLetterStore, KafkaPublisher } from '@heddle/messaging';
import type { DeadLetter } from '@heddle/messaging';
import { createLogger } from '@heddle/platform';
import { Registry } from 'prom-client';

import { UsageError, runCommand } from '../local/command.js';
import { kafkaOfCommand } from '../local/local-kafka.js';

const USAGE = `usage: npm run dead-letters -- list [<topic>] [--before=<offset>]
       npm run dead-letters -- show <topic> <offset>
       npm run dead-letters -- replay <topic> <offset>

Messages that were set aside: what they are, why, and once the cause is gone, back to where they were consumed.
A replayed message loses against anything newer of its key. A topic is the one that was consumed: order.received.
KAFKA_BROKERS and the services' other KAFKA_ variables choose another Kafka than the one of npm start.
`;

const PAGE = 50;

interface Parts {
  readonly letters: DeadLetterStore;
  readonly publisher: KafkaPublisher;
}

/** What was set aside may be anything: nothing of it steers the terminal. */
function say(text: string): void {
  process.stdout.write(`${text.replaceAll(/[^\P{Cc}\n\t]/gu, '\u{fffd}')}\n`);
}

/** Also understands the name of the topic where dead letters stand. */
function topicOf(word: string | undefined): string {
  const topic = topicCatalogue.find(({ name }) => word === name || word === deadLetterTopic(name));
  if (topic !== undefined) return topic.name;
  const known = topicCatalogue.map(({ name }) => `  ${name}`).join('\n');
  throw new UsageError(
    `${word === undefined ? 'A topic is missing.' : `There is no topic ${word}.`} Topics:\n${known}\n`,
  );
}

function offsetOf(word: string | undefined): string {
  if (word === undefined || !/^\d{1,15}$/.test(word))
    throw new UsageError('An offset is a number; `list` shows them.\n');
  return word;
}

function print(letter: DeadLetter): void {
  const { offset, at, code, words, key, origin, sizeBytes, replayedAt } = letter;
  const place = `stood at ${String(origin.partition)}/${origin.offset}`;
  const replays = replayedAt.length === 0 ? '' : `  replayed ${replayedAt.join(', ')}`;
  say(
    `  ${offset.padStart(6)}  ${at}  ${code.padEnd(12)}  ${key}  ${place}  ${String(sizeBytes)} B${replays}`,
  );
  say(`          ${words}`);
}

async function list(
  { letters }: Parts,
  topics: readonly string[],
  before: string | undefined,
): Promise<void> {
  let found = 0;
  for (const topic of topics) {
    const page = await letters.list(topic, { limit: PAGE, ...(before !== undefined && { before }) });
    if (page.items.length === 0 && page.before === undefined) continue;
    found += page.items.length;
    say(topic);
    for (const letter of page.items) print(letter);
    if (page.before !== undefined) say(`  older ones: list ${topic} --before=${page.before}`);
  }
  if (found === 0) say('nothing was set aside');
}

async function show({ letters }: Parts, topic: string, offset: string): Promise<void> {
  const found = await letters.read(topic, offset);
  if (found === undefined) throw new Error(`${topic} has no dead letter ${offset}`);
  say(topic);
  print(found.letter);
  say('');
  for (const [name, value] of Object.entries(found.letter.headers)) say(`${name}: ${value}`);
  say(`\n${readable(found.value.toString())}`);
}

function readable(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function replay({ letters, publisher }: Parts, topic: string, offset: string): Promise<void> {
  await publisher.connect();
  const result = await letters.replay(topic, offset);
  if (result.ok) {
    say(`replayed: it stands at ${String(result.partition)}/${result.offset} of ${topic} now`);
    return;
  }
  const reasons = {
    NOT_FOUND: `${topic} has no dead letter ${offset}`,
    VALUE_OMITTED: 'its value was too large to be kept: post the order or the recipe again',
    NOT_PUBLISHED: 'Kafka did not acknowledge it in time: try again',
  } as const;
  throw new Error(reasons[result.reason]);
}

/** @throws {UsageError} before anything is connected. */
function commandOf(words: readonly string[]): (parts: Parts) => Promise<void> {
  const before = words.find((word) => word.startsWith('--before='))?.slice('--before='.length);
  const [name, topic, offset] = words.filter((word) => !word.startsWith('--'));
  if (name === 'list') {
    const topics = topic === undefined ? topicCatalogue.map((each) => each.name) : [topicOf(topic)];
    const from = before === undefined ? undefined : offsetOf(before);
    return (parts) => list(parts, topics, from);
  }
  if (name !== 'show' && name !== 'replay') throw new UsageError('');
  const [of, at] = [topicOf(topic), offsetOf(offset)];
  return (parts) => (name === 'show' ? show(parts, of, at) : replay(parts, of, at));
}

async function main(words: readonly string[]): Promise<void> {
  const command = commandOf(words);
  const kafka = await kafkaOfCommand(process.env, 'dead-letters');
  const logger = createLogger({ service: 'dead-letters', level: 'error' });
  const publisher = new KafkaPublisher({ kafka, logger, metrics: new Registry() });
  const letters = new DeadLetterStore({ kafka, catalogue: topicCatalogue, publisher, logger });
  try {
    await command({ letters, publisher });
  } finally {
    await publisher.close();
  }
}

await runCommand(USAGE, main);
