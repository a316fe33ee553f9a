import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import SftpClient from 'ssh2-sftp-client';

import { eventually, fingerprint, generateKey, startSftpServer, temporaryFolder } from '@heddle/testing';
import type { SftpServer } from '@heddle/testing';

const USER = { username: 'press', password: 'correct horse' };
const key = generateKey();

let directory: string;
let server: SftpServer;
const clients: SftpClient[] = [];

beforeAll(async () => {
  directory = await temporaryFolder('sftp');
  server = await startSftpServer({ directory, users: [{ ...USER, publicKeys: [key.publicKey] }] });
});

afterEach(async () => {
  server.faults = {};
  await Promise.allSettled(clients.splice(0).map((client) => client.end()));
  await eventually(() => expect(server.connections).toBe(0), { withinMs: 5_000 });
});

afterAll(async () => {
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

async function login(options: SftpClient.ConnectOptions = { password: USER.password }): Promise<SftpClient> {
  // Without listeners of its own, the client writes lost connections to the console.
  const client = new SftpClient('test', {
    error: () => undefined,
    end: () => undefined,
    close: () => undefined,
  });
  clients.push(client);
  // ssh2 leaves Nagle's algorithm on: 40 ms for each small request.
  const sock = connect({ host: server.host, port: server.port, noDelay: true });
  sock.on('error', () => undefined);
  await client.connect({ sock, username: USER.username, readyTimeout: 2_000, ...options });
  return client;
}

const local = (name: string): string => join(directory, name);

describe('the SFTP server', () => {
  it('keeps the bytes that a client puts, and gives them back', async () => {
    const client = await login();
    const content = Buffer.alloc(700_000, 'abcdefg');
    await client.put(content, '/ticket.pdf');
    expect(readFileSync(local('ticket.pdf')).equals(content)).toBe(true);
    expect((await client.stat('/ticket.pdf')).size).toBe(700_000);
    expect(((await client.get('/ticket.pdf')) as Buffer).equals(content)).toBe(true);
  });

  it('replaces an existing file with posix-rename, and refuses to with the plain rename', async () => {
    const client = await login();
    await client.put(Buffer.from('new'), '/.part');
    await client.put(Buffer.from('old'), '/final.txt');
    await expect(client.rename('/.part', '/final.txt')).rejects.toThrow(/Failure/);
    expect(readFileSync(local('final.txt'), 'utf8')).toBe('old');
    await client.posixRename('/.part', '/final.txt');
    expect(readFileSync(local('final.txt'), 'utf8')).toBe('new');
    expect(existsSync(local('.part'))).toBe(false);
    expect(server.renames.at(-1)).toMatchObject({ from: '/.part', to: '/final.txt', replaced: true });
  });

  it('makes, lists and removes folders', async () => {
    const client = await login();
    await client.mkdir('/eu/2024', true);
    await client.put(Buffer.from('x'), '/eu/2024/a.txt');
    expect((await client.list('/eu/2024')).map(({ name, size }) => [name, size])).toEqual([['a.txt', 1]]);
    expect(await client.exists('/eu/none')).toBe(false);
    await client.rmdir('/eu', true);
    expect(existsSync(local('eu'))).toBe(false);
  });

  it('shows nothing above its folder', async () => {
    const client = await login();
    expect(await client.realPath('/../../etc')).toBe('/etc');
    expect(await client.exists('../../../etc/passwd')).toBe(false);
  });

  it('proves its host key by the fingerprint that it names', async () => {
    let seen = '';
    const hostVerifier = (hash: string): boolean => {
      seen = hash;
      return true;
    };
    await login({ password: USER.password, hostHash: 'sha256', hostVerifier });
    expect(server.hostKeySha256).toBe(
      `SHA256:${Buffer.from(seen, 'hex').toString('base64').replace(/=+$/, '')}`,
    );
    expect(server.hostKeySha256).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
  });

  it('keeps its host key in a file', async () => {
    const hostKeyFile = local('.host-key');
    const first = await startSftpServer({ directory, users: [], hostKeyFile });
    await first.close();
    const second = await startSftpServer({ directory, users: [], hostKeyFile });
    await second.close();
    expect(second.hostKeySha256).toBe(first.hostKeySha256);
    expect(fingerprint(readFileSync(hostKeyFile, 'utf8'))).toBe(first.hostKeySha256);
    expect(statSync(hostKeyFile).mode & 0o077).toBe(0);
    rmSync(hostKeyFile);
  });

  it('lets in the right password and key only', async () => {
    await login({ privateKey: key.privateKey });
    await expect(login({ password: 'wrong' })).rejects.toThrow(/authentication/i);
    await expect(login({ privateKey: generateKey().privateKey })).rejects.toThrow(/authentication/i);
    await expect(login({ username: 'nobody', password: USER.password })).rejects.toThrow(/authentication/i);
  });
});

describe('the faults of the SFTP server', () => {
  it('refuses connections', async () => {
    server.faults = { refuseConnections: true };
    await expect(login()).rejects.toThrow(/ECONNRESET|closed|ended|handshake/i);
  });

  it('refuses logins', async () => {
    server.faults = { refuseLogin: true };
    await expect(login()).rejects.toThrow(/authentication/i);
  });

  it.each(['connect', 'login'] as const)('hangs on %s', async (operation) => {
    server.faults = { hangOn: [operation] };
    await expect(login({ password: USER.password, readyTimeout: 300 })).rejects.toThrow(/timed out/i);
  });

  it.each(['open', 'write', 'close'] as const)(
    'hangs on %s until the client goes away',
    async (operation) => {
      const client = await login();
      server.faults = { hangOn: [operation] };
      const put = client.put(Buffer.from('x'), '/hanging.txt').then(
        () => 'done',
        () => 'failed',
      );
      expect(await Promise.race([put, new Promise((done) => setTimeout(done, 300, 'hanging'))])).toBe(
        'hanging',
      );
      server.cutConnections();
      await eventually(() => expect(server.connections).toBe(0), { withinMs: 2_000 });
    },
  );

  it('cuts the connection after so many bytes, and not a byte more is on the disk', async () => {
    const client = await login();
    server.faults = { cutAfterBytes: 100_000 };
    await expect(client.put(Buffer.alloc(500_000), '/cut.bin')).rejects.toThrow();
    await eventually(() => expect(server.connections).toBe(0), { withinMs: 2_000 });
    expect(statSync(local('cut.bin')).size).toBe(100_000);
  });

  it('cuts the connection after a rename that took effect', async () => {
    const client = await login();
    await client.put(Buffer.from('x'), '/.late');
    server.faults = { cutAfter: ['posix-rename'] };
    // The client library never answers a request whose connection went away.
    void client.posixRename('/.late', '/late').catch(() => undefined);
    await eventually(() => expect(readdirSync(directory)).toContain('late'), { withinMs: 2_000 });
    await eventually(() => expect(server.connections).toBe(0), { withinMs: 2_000 });
  });

  it('answers with what a full disk and a missing right look like', async () => {
    const client = await login();
    const source = local('source.txt');
    writeFileSync(source, 'x');
    server.faults = { fail: { write: 'ENOSPC' } };
    // Not `put`: its stream swallows the failure of a write and resolves.
    await expect(client.fastPut(source, '/full.txt')).rejects.toThrow(/No space left on device/);
    server.faults = { fail: { open: 'EACCES' } };
    await expect(client.put(Buffer.from('x'), '/denied.txt')).rejects.toThrow(/Permission denied/);
    expect(existsSync(local('denied.txt'))).toBe(false);
  });

  it('has no posix-rename when it is an old server', async () => {
    server.faults = { noPosixRename: true };
    const client = await login();
    await client.put(Buffer.from('x'), '/.old');
    await expect(client.posixRename('/.old', '/old')).rejects.toThrow(/not support/i);
    await client.rename('/.old', '/old');
    expect(existsSync(local('old'))).toBe(true);
  });

  it('is slow', async () => {
    server.faults = { delayMs: 100 };
    const client = await login();
    const before = performance.now();
    await client.put(Buffer.from('x'), '/slow.txt');
    expect(performance.now() - before).toBeGreaterThan(200);
  });

  it('outlives clients that speak nonsense', async () => {
    const before = server.acceptedConnections;
    for (const text of ['GET / HTTP/1.1\r\n\r\n', 'SSH-2.0-x\r\n\0\0\0\x08garbage garbage', '']) {
      const socket = connect(server.port, server.host);
      socket.on('error', () => undefined);
      socket.end(text);
    }
    await eventually(() => expect(server.acceptedConnections).toBe(before + 3), { withinMs: 2_000 });
    const client = await login();
    await client.put(Buffer.from('still here'), '/after.txt');
    writeFileSync(local('after.txt'), '');
  });
});
