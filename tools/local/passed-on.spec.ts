import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { workspaceRoot } from '@heddle/testing';
import { describe, expect, it } from '@jest/globals';

import { PASSED_ON } from './passed-on.js';

/** What `npm start` chooses, makes, or gives in a form of its own. */
const DECIDED = [
  'DATABASE_URL',
  'DISPATCHER_URL',
  'FILES_DIR',
  'HOST',
  'HUB_ADDRESSES',
  'INTERNAL_PORT',
  'KAFKA_BROKERS',
  'KAFKA_COMPRESSION',
  'KAFKA_SASL_MECHANISM',
  'KAFKA_SASL_PASSWORD',
  'KAFKA_SASL_USERNAME',
  'KAFKA_SESSION_TIMEOUT_MS',
  'KAFKA_SSL',
  'KAFKA_TOPIC_PREFIX',
  'LOG_LEVEL',
  'MAIL_FROM',
  'NOTIFICATION_WINDOW_MS',
  'OUTBOUND_ALLOWED_ADDRESSES',
  'PORT',
  'PUBLIC_URL',
  'RETRY_DELAYS_MS',
  'SECRETS_KEY',
  'SERVICE_TOKEN_KEYS',
  'SMTP_REQUIRE_TLS',
  'SMTP_URL',
  'SPOOL_DIR',
  'STORE_URL',
];
/** Of Node itself. */
const OF_NODE = ['NODE_EXTRA_CA_CERTS'];

describe('the settings that npm start passes on', () => {
  it('are those of all services but the ones that it decides', () => {
    const page = readFileSync(join(workspaceRoot(), 'docs', 'generated', 'settings.md'), 'utf8');
    const settings = new Set([...page.matchAll(/^\| `([A-Z0-9_]+)` \|/gm)].map(([, name]) => name));
    const expected = [...settings].filter((name) => !DECIDED.includes(name ?? ''));
    expect(PASSED_ON.toSorted()).toEqual([...expected, ...OF_NODE].toSorted());
  });
});
