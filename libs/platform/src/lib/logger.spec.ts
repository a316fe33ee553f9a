import { Writable } from 'node:stream';

import { describe, expect, it } from '@jest/globals';

import { createLogger } from './logger.js';

function logged(write: (logger: ReturnType<typeof createLogger>) => void): string {
  let text = '';
  const destination = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      text += chunk.toString();
      done();
    },
  });
  write(createLogger({ service: 'things', level: 'debug', destination }));
  return text;
}

describe('the log', () => {
  it('holds none of the secrets of an object that is logged', () => {
    const text = logged((logger) => {
      logger.info(
        {
          apikey: 'one-secret',
          integration: { settings: { host: 'two-secret' }, 'password-secret': 'three-secret' },
          request: { headers: { authorization: 'four-secret' } },
          attempts: [{ target: { access: { 'hook-url': 'five-secret' } } }],
        },
        'things.happened',
      );
      logger.info({ count: 1, 'hook-url': 'six-secret' }, 'things.happened');
    });

    expect(text).not.toMatch(/(?:one|two|three|four|five|six)-secret/);
    expect(text).toContain('[redacted]');
    expect(text).toContain('"msg":"things.happened"');
  });

  it('shows of an error its type, message and code, and nothing that a driver hung on it', () => {
    const error = Object.assign(new Error('connecting'), {
      code: 'ECONNREFUSED',
      parameters: ['jo@example.org'],
    });

    const text = logged((logger) => {
      logger.error({ err: error }, 'things.failed');
    });

    expect(text).toContain('ECONNREFUSED');
    expect(text).not.toContain('jo@example.org');
  });
});
