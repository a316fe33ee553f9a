import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { SftpSettings } from '@heddle/contracts';
import { AddressGuard, parseAllowedAddresses } from '@heddle/destination-kit';
import { aDelivery, aDeliveryFile, attempt, describeDestination } from '@heddle/destination-testing';
import type { AttemptResult, DestinationHarness } from '@heddle/destination-testing';
import { eventually, generateKey, startOpenSsh, startSftpServer, temporaryFolder } from '@heddle/testing';
import type { OpenSsh, SftpServer } from '@heddle/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { ConnectionPool } from '../src/sftp/connection-pool.js';
import { SftpDestination } from '../src/sftp/sftp.destination.js';
import { Ssh2SftpConnection } from '../src/sftp/ssh2-sftp.client.js';

const PASSWORD = 'word-of-the-factory';
/** What hangs is waited for as long; two suites at once on a busy machine stay below it (1.7 s were measured). */
const SILENCE_MS = 3_000;
const INTEGRATION = '0190a1b2-0000-7000-8000-00000000000a';

function aDestination(
  allowed = '127.0.0.1',
  idleMs = 60_000,
): { destination: SftpDestination; pool: ConnectionPool } {
  const guard = new AddressGuard({ allowed: parseAllowedAddresses(allowed) });
  const pool = new ConnectionPool({
    idleMs,
    open: (settings, onClose) =>
      Ssh2SftpConnection.open(
        settings,
        { guard, connectTimeoutMs: SILENCE_MS, silenceTimeoutMs: SILENCE_MS },
        onClose,
      ),
  });
  return { destination: new SftpDestination(pool), pool };
}

function contentsOf(directory: string): ReadonlyMap<string, Buffer> {
  if (!existsSync(directory)) return new Map();
  return new Map(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name))]));
}

function harnessOf(
  directory: string,
  settings: SftpSettings,
  target: { reset(): void | Promise<void>; close(): Promise<void> },
): DestinationHarness<SftpSettings> {
  const { destination } = aDestination();
  return {
    destination,
    settings,
    secrets: [PASSWORD, settings['private-key-secret'] ?? PASSWORD],
    contents: async () => contentsOf(directory),
    isTemporary: (name) => /^\..+\.part$/.test(name),
    leaveBehind: async (name, offerId) => {
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, `.${name}.${offerId}.part`), 'left');
    },
    reset: async () => {
      await target.reset();
      rmSync(directory, { recursive: true, force: true });
    },
    close: async () => {
      await destination.close();
      await target.close();
    },
  };
}

let inProcess: SftpServer;
const inProcessSuite = (noPosixRename: boolean) => ({
  start: async () => {
    const directory = await temporaryFolder('sftp');
    inProcess = await startSftpServer({ directory, users: [{ username: 'factory', password: PASSWORD }] });
    const healthy = { noPosixRename };
    inProcess.faults = healthy;
    return harnessOf(
      join(directory, 'in/default'),
      {
        host: '127.0.0.1',
        port: inProcess.port,
        username: 'factory',
        'password-secret': PASSWORD,
        'host-key-sha256': inProcess.hostKeySha256,
        directory: '/in/{channel}',
      },
      {
        reset: () => {
          inProcess.faults = healthy;
        },
        close: () => inProcess.close(),
      },
    );
  },
  faults: () => [
    {
      what: 'refuses connections',
      code: 'UNAVAILABLE' as const,
      arrange: () => fresh({ refuseConnections: true }),
    },
    {
      what: 'refuses the login',
      code: 'ACCESS_DENIED' as const,
      arrange: () => fresh({ refuseLogin: true }),
    },
    {
      what: 'accepts and says nothing',
      code: 'TIMEOUT' as const,
      arrange: () => fresh({ hangOn: ['connect'] }),
    },
    { what: 'never answers a login', code: 'TIMEOUT' as const, arrange: () => fresh({ hangOn: ['login'] }) },
    ...(['open', 'write', 'close', noPosixRename ? 'rename' : 'posix-rename'] as const).map((operation) => ({
      what: `never answers ${operation}`,
      code: 'TIMEOUT' as const,
      arrange: () => fresh({ noPosixRename, hangOn: [operation] }),
    })),
    {
      what: 'cuts connections in mid-file',
      code: 'UNAVAILABLE' as const,
      arrange: () => fresh({ noPosixRename, cutAfterBytes: 100_000 }),
    },
    {
      what: 'denies to open files',
      code: 'ACCESS_DENIED' as const,
      arrange: () => fresh({ noPosixRename, fail: { open: 'EACCES' } }),
    },
    {
      what: 'denies to make the folder',
      code: 'ACCESS_DENIED' as const,
      arrange: () => fresh({ noPosixRename, fail: { mkdir: 'EACCES' } }),
    },
    {
      what: 'denies the final name',
      code: 'ACCESS_DENIED' as const,
      arrange: () => fresh({ noPosixRename, fail: { rename: 'EACCES', 'posix-rename': 'EACCES' } }),
    },
    {
      what: 'has a full disk',
      code: 'TARGET_FULL' as const,
      arrange: () => fresh({ noPosixRename, fail: { write: 'ENOSPC' } }),
    },
    {
      what: 'has a full quota',
      code: 'TARGET_FULL' as const,
      arrange: () => fresh({ noPosixRename, fail: { write: 'EDQUOT' } }),
    },
    {
      what: 'has lost the folder',
      code: 'NOT_FOUND' as const,
      arrange: () => fresh({ noPosixRename, fail: { open: 'ENOENT' } }),
    },
    {
      what: 'fails without a reason',
      code: 'UNKNOWN' as const,
      arrange: () => fresh({ noPosixRename, fail: { write: 'EIO' } }),
    },
  ],
});

/** Faults of a login show on a new connection alone. */
function fresh(faults: SftpServer['faults']): void {
  inProcess.cutConnections();
  inProcess.faults = faults;
}

describeDestination('SFTP in process', inProcessSuite(false));
describeDestination('SFTP without posix-rename', inProcessSuite(true));

let openSsh: OpenSsh;
describeDestination('OpenSSH', {
  start: async () => {
    const directory = await temporaryFolder('openssh');
    const server = await startOpenSsh({ directory });
    openSsh = server;
    return harnessOf(
      join(directory, 'deep/er/default'),
      {
        host: '127.0.0.1',
        port: server.port,
        username: server.username,
        'private-key-secret': server.privateKey,
        'host-key-sha256': server.hostKeySha256,
        directory: `deep/er//{channel}/`,
      },
      {
        reset: async () => {
          server.resume();
          await server.start();
        },
        close: () => server.close(),
      },
    );
  },
  faults: () => [
    { what: 'is gone', code: 'UNAVAILABLE', arrange: () => openSsh.kill() },
    { what: 'stands still', code: 'TIMEOUT', arrange: () => openSsh.pause() },
  ],
});

describe('SFTP settings against OpenSSH', () => {
  let server: Awaited<ReturnType<typeof startOpenSsh>>;
  let directory: string;
  let settings: SftpSettings;
  const { destination, pool } = aDestination();
  beforeAll(async () => {
    directory = await temporaryFolder('openssh');
    server = await startOpenSsh({ directory });
    settings = {
      host: '127.0.0.1',
      port: server.port,
      username: server.username,
      'private-key-secret': server.privateKey,
      'host-key-sha256': server.hostKeySha256,
      directory: 'in',
    };
  });
  afterAll(async () => {
    await destination.close();
    await server.close();
  });
  const run = (fields: Partial<SftpSettings>, bytes = randomBytes(2_000)): Promise<AttemptResult> =>
    attempt(destination, aDelivery({ ...settings, ...fields }, [aDeliveryFile('a.bin', bytes)]));

  it('proves a file with its path, size, hash and host key', async () => {
    const { receipts } = await run({});

    expect(receipts).toEqual([
      expect.objectContaining({
        name: 'a.bin',
        location: `sftp://127.0.0.1:${server.port}/~/in/a.bin`,
        sizeBytes: 2_000,
        details: { hostKey: server.hostKeySha256, placedBy: 'posix-rename' },
      }),
    ]);
  });

  it('does not talk to a host with another key', async () => {
    const other = { 'host-key-sha256': `SHA256:${Buffer.alloc(32, 7).toString('base64').replace(/=$/, '')}` };

    expect((await run(other)).error).toMatchObject({ code: 'HOST_KEY_MISMATCH', retryable: false });
  });

  it('takes a fingerprint with its padding', async () => {
    expect((await run({ 'host-key-sha256': `${server.hostKeySha256}=` })).error).toBeUndefined();
  });

  it('answers ACCESS_DENIED for another key and INVALID_SETTINGS for none', async () => {
    const stranger = generateKey().privateKey;
    expect((await run({ 'private-key-secret': stranger })).error).toMatchObject({ code: 'ACCESS_DENIED' });
    expect((await run({ 'private-key-secret': 'nonsense' })).error).toMatchObject({
      code: 'INVALID_SETTINGS',
    });
  });

  it('answers NOT_FOUND where a file stands in the place of the folder', async () => {
    writeFileSync(join(directory, 'plain'), '');

    expect((await run({ directory: 'plain' })).error).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('answers ACCESS_DENIED where the account may not write', async () => {
    expect((await run({ directory: deniedFolder() })).error).toMatchObject({ code: 'ACCESS_DENIED' });
  });

  it('answers UNKNOWN where writing fails and the disk is not full', async () => {
    mkdirSync(join(directory, 'odd'), { recursive: true });
    const offerId = '0190a1b2-0000-7000-8000-00000000000b';
    symlinkSync('/dev/full', join(directory, `odd/.a.bin.${offerId}.part`));

    const delivery = aDelivery({ ...settings, directory: 'odd' }, [aDeliveryFile('a.bin', randomBytes(9))], {
      offerId,
    });

    expect((await attempt(destination, delivery)).error).toMatchObject({ code: 'UNKNOWN' });
    expect(readdirSync(join(directory, 'odd'))).toEqual([]);
  });

  it('answers UNAVAILABLE for a host that does not listen, and for a name that does not exist', async () => {
    expect((await run({ port: 1 })).error).toMatchObject({ code: 'UNAVAILABLE' });
    expect((await run({ host: 'no-such-host.invalid' })).error).toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('refuses an address that is not allowed without opening a socket', async () => {
    const strict = aDestination('').destination;
    const file = aDeliveryFile('a.bin', randomBytes(10));

    expect((await attempt(strict, aDelivery(settings, [file]))).error).toMatchObject({
      code: 'ADDRESS_REFUSED',
    });
  });

  it('never sends a password over the connection of another one', async () => {
    await run({});
    const before = pool.size;

    await run({ 'passphrase-secret': 'another' });

    expect(pool.size).toBe(before + 1);
  });
});

/** Root may write nearly everywhere, and where not differs between machines and containers. */
function deniedFolder(): string {
  const denied = ['/', '/sys', '/proc/sys', '/proc'].find((folder) => {
    try {
      writeFileSync(join(folder, '.heddle-denied'), '', { flag: 'wx' });
      rmSync(join(folder, '.heddle-denied'));
      return false;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return code === 'EACCES' || code === 'EPERM';
    }
  });
  if (denied === undefined) throw new Error('this account may write everywhere');
  return denied;
}

/** Most containers may not, and then nothing here can be full: the server in this process tells the same above. */
function mayMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// A disk of its own that is soon full.
if (mayMount()) {
  describe('OpenSSH on a full disk', () => {
    let server: OpenSsh;
    let directory: string;
    const { destination } = aDestination();
    beforeAll(async () => {
      directory = await temporaryFolder('full');
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', directory]);
      server = await startOpenSsh({ directory });
    });
    afterAll(async () => {
      await destination.close();
      await server.close();
      execFileSync('umount', [directory]);
    });

    it.each(['.', 'in'])(
      'answers TARGET_FULL in the folder %s and leaves nothing half-written',
      async (folder) => {
        const settings: SftpSettings = {
          host: '127.0.0.1',
          port: server.port,
          username: server.username,
          'private-key-secret': server.privateKey,
          'host-key-sha256': server.hostKeySha256,
          directory: folder,
        };
        const run = (bytes: number): Promise<AttemptResult> =>
          attempt(destination, aDelivery(settings, [aDeliveryFile('a.bin', randomBytes(bytes))]));

        expect((await run(1_000_000)).error).toMatchObject({ code: 'TARGET_FULL', retryable: true });
        expect(readdirSync(join(directory, folder)).filter((name) => name.includes('a.bin'))).toEqual([]);
        expect((await run(10_000)).error).toBeUndefined();
      },
    );
  });
}

describe('connections', () => {
  let server: SftpServer;
  let settings: SftpSettings;
  const ended: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    server = await startSftpServer({
      directory: await temporaryFolder('sftp'),
      users: [{ username: 'factory', password: PASSWORD }],
    });
    settings = {
      host: '127.0.0.1',
      port: server.port,
      username: 'factory',
      'password-secret': PASSWORD,
      'host-key-sha256': server.hostKeySha256,
      directory: '.',
    };
  });
  afterEach(async () => {
    server.faults = {};
    await Promise.all(ended.splice(0).map((end) => end()));
    await eventually(() => expect(server.connections).toBe(0), { withinMs: 5_000 });
  });
  afterAll(() => server.close());

  function started(idleMs?: number): ReturnType<typeof aDestination> {
    const made = aDestination('127.0.0.1', idleMs);
    ended.push(() => made.destination.close());
    return made;
  }
  const send = (
    destination: SftpDestination,
    name: string,
    integrationId = INTEGRATION,
  ): Promise<AttemptResult> =>
    attempt(destination, aDelivery(settings, [aDeliveryFile(name, randomBytes(20_000))], { integrationId }));

  it('serve many deliveries of an integration, and none of another one', async () => {
    const { destination } = started();
    const before = server.acceptedConnections;

    for (let index = 0; index < 5; index += 1) await send(destination, `${index}.bin`);
    expect(server.acceptedConnections - before).toBe(1);

    await send(destination, 'other.bin', '0190a1b2-0000-7000-8000-00000000000c');
    expect(server.acceptedConnections - before).toBe(2);
  });

  it('are at most four for one integration', async () => {
    const { destination } = started();
    const before = server.acceptedConnections;

    const results = await Promise.all(
      Array.from({ length: 60 }, (_, index) => send(destination, `m${index}.bin`)),
    );

    expect(results.every(({ error }) => error === undefined)).toBe(true);
    expect(server.acceptedConnections - before).toBeLessThanOrEqual(4);
  });

  it('are closed after a while without use', async () => {
    const { destination, pool } = started(50);

    await send(destination, 'idle.bin');

    await eventually(() => expect([pool.size, server.connections]).toEqual([0, 0]), { withinMs: 5_000 });
  });

  it('that died while nobody used them cost no attempt', async () => {
    const { destination } = started();
    await send(destination, 'one.bin');
    server.cutConnections();

    expect((await send(destination, 'two.bin')).error).toBeUndefined();
  });

  it('that die during the rename leave the file once', async () => {
    const { destination } = started();
    await send(destination, 'before.bin');
    server.faults = { cutAfter: ['posix-rename'] };

    const first = await send(destination, 'renamed.bin');
    server.faults = {};

    expect(first.error).toMatchObject({ code: 'UNAVAILABLE' });
    expect((await send(destination, 'renamed.bin')).error).toBeUndefined();
    expect(readdirSync(server.directory).filter((name) => name.includes('renamed'))).toEqual(['renamed.bin']);
  });

  it('to a server that is no SSH server end at the deadline and leave no socket', async () => {
    const sockets = new Set<unknown>();
    const silent = createServer((socket) => {
      sockets.add(socket.resume());
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { destination, pool } = started();
    const { port } = silent.address() as AddressInfo;

    const result = await attempt(
      destination,
      aDelivery({ ...settings, port }, [aDeliveryFile('a.bin', randomBytes(10))]),
    );

    expect(result.error).toMatchObject({ code: 'TIMEOUT' });
    await eventually(() => expect([pool.size, sockets.size]).toEqual([0, 0]), { withinMs: 2_000 });
    await new Promise((resolve) => silent.close(resolve));
  });
});
