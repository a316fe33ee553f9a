import { describe, expect, it } from '@jest/globals';

import { loadConfig } from '@heddle/platform';

import { Config } from './config.js';

const GOOD = {
  KAFKA_BROKERS: '127.0.0.1:9092',
  DATABASE_URL: 'postgres://u:secret-word@127.0.0.1/db',
  PUBLIC_URL: 'https://hub.example/base/',
  STORE_URL: 'http://127.0.0.1:1/',
  DISPATCHER_URL: 'http://127.0.0.1:2',
  SERVICE_TOKEN_KEYS: `a:${Buffer.alloc(32).toString('base64')}`,
};

describe('the configuration', () => {
  it('takes addresses without their last slash, and hosts without their case', () => {
    const config = loadConfig(Config, { ...GOOD, PUBLIC_HOSTS: 'Shop.Example=demo, localhost:8080=other' });
    expect(config.PUBLIC_URL).toBe('https://hub.example/base');
    expect([...config.PUBLIC_HOSTS]).toEqual([
      ['shop.example', 'demo'],
      ['localhost:8080', 'other'],
    ]);
    expect(config.KEY_RATE_PER_SECOND).toBe(0);
  });

  it('names all that is wrong and repeats none of it', () => {
    const load = (): unknown =>
      loadConfig(Config, {
        ...GOOD,
        PUBLIC_URL: 'ftp://secret-word',
        STORE_URL: '',
        PUBLIC_HOSTS: 'secret-word',
      });
    expect(load).toThrow(/PUBLIC_URL[^]*STORE_URL[^]*PUBLIC_HOSTS: entry 1/);
    expect(load).not.toThrow(/secret-word/);
  });
});
