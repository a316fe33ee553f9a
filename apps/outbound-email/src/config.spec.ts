import { ConfigError, loadConfig } from '@heddle/platform';
import { describe, expect, it } from '@jest/globals';

import { Config } from './config.js';

const KEY = `k1:${Buffer.alloc(32, 1).toString('base64')}`;
const ENV = {
  KAFKA_BROKERS: 'kafka:9092',
  SECRETS_KEY: KEY,
  SERVICE_TOKEN_KEYS: KEY,
  STORE_URL: 'http://store:8080',
  PUBLIC_URL: 'https://hub.example/',
  SMTP_URL: 'smtp://heddle%40factory.example:p%40ss%2Fword@mail.example',
  MAIL_FROM: 'Heddle <heddle@factory.example>',
};

describe('the environment of outbound-email', () => {
  it('says where mails go and who sends them', () => {
    const config = loadConfig(Config, ENV);
    expect(config.SMTP_URL).toEqual({
      host: 'mail.example',
      port: 587,
      secure: false,
      login: { user: 'heddle@factory.example', password: 'p@ss/word' },
    });
    expect(config.MAIL_FROM).toEqual({ name: 'Heddle', address: 'heddle@factory.example' });
    expect(config.MAIL_MAX_BYTES).toBe(25_000_000);
    const tls = loadConfig(Config, { ...ENV, SMTP_URL: 'smtps://[2001:db8::1]', MAIL_FROM: 'a@b.example' });
    expect(tls.SMTP_URL).toEqual({ host: '2001:db8::1', port: 465, secure: true, login: undefined });
    expect(tls.MAIL_FROM).toEqual({ name: '', address: 'a@b.example' });
  });

  it('names what is wrong and shows no value of it', () => {
    const load = (): unknown =>
      loadConfig(Config, {
        ...ENV,
        SMTP_URL: 'smtp://user:secret-word%@mail.example',
        MAIL_FROM: 'Heddle <secret-word>\r\nBcc: x@y.example',
      });
    expect(load).toThrow(ConfigError);
    expect(load).toThrow(/SMTP_URL: [^]*MAIL_FROM: must be/);
    expect(load).not.toThrow(/secret-word/);
    expect(() => loadConfig(Config, { ...ENV, SMTP_URL: 'https://mail.example' })).toThrow(/SMTP_URL/);
  });
});
