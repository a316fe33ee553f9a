import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import SftpClient from 'ssh2-sftp-client';

import { generateKey, startOpenSsh, temporaryFolder } from '@heddle/testing';
import type { OpenSsh } from '@heddle/testing';

const TIMEOUT_MS = 60_000;

let directory: string;
let server: OpenSsh;

beforeAll(async () => {
  directory = await temporaryFolder('openssh');
  server = await startOpenSsh({ directory });
}, TIMEOUT_MS);

afterAll(async () => {
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

async function login(
  privateKey = server.privateKey,
  onHostKey: (hash: string) => void = () => undefined,
): Promise<SftpClient> {
  const client = new SftpClient('test', {
    error: () => undefined,
    end: () => undefined,
    close: () => undefined,
  });
  const hostVerifier = (hash: string): boolean => {
    onHostKey(hash);
    return true;
  };
  const { host, port, username } = server;
  await client.connect({
    host,
    port,
    username,
    privateKey,
    readyTimeout: 2_000,
    hostHash: 'sha256',
    hostVerifier,
  });
  return client;
}

describe('the local OpenSSH', () => {
  it('keeps what a client puts and renames', async () => {
    const client = await login();
    await client.put(Buffer.from('bytes'), 'ticket.part');
    await client.posixRename('ticket.part', server.path('ticket.pdf'));
    await client.end();
    expect(readFileSync(join(directory, 'ticket.pdf'), 'utf8')).toBe('bytes');
  });

  it('shows the host key that it names', async () => {
    let seen = '';
    const client = await login(server.privateKey, (hash) => (seen = hash));
    await client.end();
    expect(`SHA256:${Buffer.from(seen, 'hex').toString('base64').replace(/=+$/, '')}`).toBe(
      server.hostKeySha256,
    );
  });

  it('lets in its own key only', async () => {
    await expect(login(generateKey().privateKey)).rejects.toThrow(/authentication/i);
  });

  it(
    'cuts its sessions when it is killed, and comes back on the same port',
    async () => {
      const client = await login();
      const cut = new Promise((done) => client.on('close', done));
      await server.kill();
      await cut;
      await expect(login()).rejects.toThrow(/ECONNREFUSED/);
      await server.start();
      await (await login()).end();
    },
    TIMEOUT_MS,
  );

  it('answers nobody while it is paused', async () => {
    server.pause();
    await expect(login()).rejects.toThrow(/timed out/i);
    server.resume();
    await (await login()).end();
  });
});
