import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';

import type { ContractError } from './contract-error.js';
import type { IncomingMessage } from './events.js';
import { readMessage } from './read-message.js';
import type { TopicContract } from './topic-contract.js';

const contract: TopicContract = {
  name: 't',
  partitions: 1,
  retentionMs: 1,
  types: new Map([
    [
      'heddle.t.v1',
      z.object({
        items: z.array(z.object({ quantity: z.int() })).optional(),
        details: z.record(z.string(), z.string()).optional(),
        word: z.enum(['a', 'b']).optional(),
      }),
    ],
  ]),
};

const HEADERS = {
  ce_id: '1',
  ce_type: 'heddle.t.v1',
  ce_source: '/s',
  ce_time: '2026-01-01T00:00:00Z',
  tenant: 'demo',
};

function message(value: string, change: Partial<IncomingMessage> = {}): IncomingMessage {
  return {
    topic: 't',
    partition: 3,
    offset: '9',
    key: 'k',
    headers: HEADERS,
    value: Buffer.from(value),
    ...change,
  };
}

function faultOf(bad: IncomingMessage): readonly [string, string] {
  try {
    readMessage(bad, contract);
  } catch (error) {
    const { code, words } = error as ContractError;
    return [code, words];
  }
  return ['none', ''];
}

describe('readMessage', () => {
  it('drops what the contract does not name', () => {
    expect(readMessage(message('{"word":"a","phone":"1"}'), contract)).toEqual({
      topic: 't',
      partition: 3,
      offset: '9',
      key: 'k',
      id: '1',
      type: 'heddle.t.v1',
      source: '/s',
      time: '2026-01-01T00:00:00Z',
      tenant: 'demo',
      data: { word: 'a' },
      headers: HEADERS,
    });
  });

  it('skips a newer version of ours and refuses a foreign type', () => {
    expect(
      readMessage(message('{}', { headers: { ...HEADERS, ce_type: 'heddle.t.v2' } }), contract),
    ).toBeUndefined();
    expect(faultOf(message('{}', { headers: { ...HEADERS, ce_type: 'other' } }))[0]).toBe('UNKNOWN_TYPE');
  });

  it('says what is wrong without what was sent', () => {
    const secret = 'jane@example.org';
    expect(faultOf(message(`{"word":"${secret}"}`))).toEqual(['CONTRACT', 'word: invalid_value']);
    expect(faultOf(message(`{"details":{"${secret}":1}}`))).toEqual(['CONTRACT', 'details.*: invalid_type']);
    expect(faultOf(message(`{"items":[{"quantity":1},{"quantity":"${secret}"}]}`))).toEqual([
      'CONTRACT',
      'items.1.quantity: invalid_type',
    ]);
    expect(faultOf(message(`"${secret}"`))).toEqual(['CONTRACT', 'value: invalid_type']);
    expect(faultOf(message(`{"${secret}`))).toEqual(['NOT_JSON', 'the value is not JSON']);
  });

  it('needs a key and the headers that route and order', () => {
    expect(faultOf(message('{}', { key: undefined }))).toEqual(['NO_KEY', 'the key is missing']);
    for (const name of ['ce_id', 'ce_source', 'ce_time', 'tenant']) {
      expect(faultOf(message('{}', { headers: { ...HEADERS, [name]: '' } }))).toEqual([
        'NO_HEADER',
        `${name} is missing`,
      ]);
    }
  });
});
