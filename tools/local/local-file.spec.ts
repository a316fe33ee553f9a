import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from '@jest/globals';

import { identityOf, temporaryFolder } from '@heddle/testing';

import { readLocalFile } from './local-file.js';
import type { LocalFile } from './local-file.js';

const FACTS: Omit<LocalFile, 'pid' | 'began'> = {
  baseUrl: 'http://127.0.0.1:8080',
  tenant: 'demo',
  apiKey: 'key',
  adminApiKey: 'key',
  kafkaBrokers: '127.0.0.1:9092',
  kafka: { KAFKA_BROKERS: '127.0.0.1:9092' },
  databaseUrl: 'postgres://127.0.0.1/postgres',
  services: [],
  sandbox: {
    sftp: { host: '127.0.0.1', port: 22, username: 'heddle', directory: '/sftp' },
    smtp: { host: '127.0.0.1', port: 2525, directory: '/mail', url: 'smtp://127.0.0.1:2525' },
    files: { baseUrl: 'http://127.0.0.1:8081/', directory: '/files' },
    zapier: { hookUrl: 'http://127.0.0.1:8082/hooks/catch/1/caught/', directory: '/hooks' },
  },
};

describe('the facts of a running Heddle', () => {
  async function left(process: { readonly pid: number; readonly began: string }): Promise<string> {
    const directory = await temporaryFolder('local');
    await writeFile(join(directory, 'local.json'), JSON.stringify({ ...FACTS, ...process }));
    return directory;
  }
  const own = identityOf(process.pid) ?? { pid: 0, began: '' };

  it('are read while the process runs that wrote them', async () => {
    expect(await readLocalFile(await left(own))).toEqual({ ...FACTS, ...own });
  });

  it('are nothing when a crash left them and another process has the pid by now', async () => {
    await expect(readLocalFile(await left({ ...own, began: 'earlier' }))).rejects.toThrow(
      'No Heddle runs here',
    );
  });
});
