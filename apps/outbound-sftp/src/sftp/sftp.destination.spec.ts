import { createHash, randomUUID } from 'node:crypto';

import type { Receipt, SftpSettings } from '@heddle/contracts';
import type { DeliveryFile } from '@heddle/destination-kit';
import { describe, expect, it } from '@jest/globals';

import { SftpFault } from './sftp.client.js';
import type { SftpConnection, SftpConnections, SftpLease } from './sftp.client.js';
import { SftpDestination, directoryOf } from './sftp.destination.js';

const status = (code: number, message = 'Failure'): Error => Object.assign(new Error(message), { code });

/** Keeps files by path and can be told to fail. */
class InMemorySftp implements SftpConnection {
  readonly hostKey = 'SHA256:key';
  canReplace = true;
  free: number | undefined;
  readonly files = new Map<string, Buffer>();
  readonly folders = new Set(['']);
  readonly calls: string[] = [];
  failOn: (call: string) => Error | undefined = () => undefined;
  /** What a broken server makes of the size. */
  sizeIs: (size: number) => number | undefined = (size) => size;

  async write(path: string, bytes: AsyncIterable<Uint8Array>): Promise<number | undefined> {
    this.check('write', path);
    if (!this.folders.has(path.split('/').slice(0, -1).join('/'))) throw status(2, 'No such file');
    const chunks: Uint8Array[] = [];
    for await (const chunk of bytes) chunks.push(chunk);
    this.files.set(path, Buffer.concat(chunks));
    return this.sizeIs(Buffer.concat(chunks).length);
  }
  async sizeOf(path: string): Promise<number> {
    this.check('stat', path);
    return this.sizeIs(this.files.get(path)?.length ?? -1) ?? 0;
  }
  async replace(from: string, to: string): Promise<void> {
    this.check('replace', from);
    this.move(from, to);
  }
  async rename(from: string, to: string): Promise<void> {
    this.check('rename', from);
    if (this.files.has(to)) throw status(4);
    this.move(from, to);
  }
  async remove(path: string): Promise<void> {
    this.check('remove', path);
    if (!this.files.delete(path)) throw status(2);
  }
  async makeDirectory(path: string): Promise<void> {
    this.check('mkdir', path);
    if (this.folders.has(path)) throw status(4);
    this.folders.add(path);
  }
  async freeBytes(): Promise<number | undefined> {
    return this.free;
  }
  private move(from: string, to: string): void {
    const bytes = this.files.get(from);
    if (!bytes) throw status(2);
    this.files.delete(from);
    this.files.set(to, bytes);
  }
  private check(operation: string, path: string): void {
    this.calls.push(`${operation} ${path}`);
    const error = this.failOn(`${operation} ${path}`);
    if (error) throw error;
  }
}

class OneConnection implements SftpConnections {
  acquired = 0;
  released = 0;
  isReused = false;
  constructor(private readonly connection: SftpConnection) {}
  async acquire(): Promise<SftpLease> {
    this.acquired += 1;
    return { connection: this.connection, isReused: this.isReused, release: () => (this.released += 1) };
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

const SETTINGS: SftpSettings = {
  host: 'factory.example',
  port: 22,
  username: 'factory',
  'password-secret': 'word-of-test',
  'host-key-sha256': 'SHA256:key',
  directory: '/in/{channel}',
};
const OFFER = randomUUID();

function aFile(name: string, text = name): DeliveryFile {
  const bytes = Buffer.from(text);
  return {
    name,
    mimeType: 'text/plain',
    sizeBytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    open: async function* () {
      yield bytes;
    },
  };
}

async function deliver(
  sftp: InMemorySftp,
  files: readonly DeliveryFile[],
  { connections = new OneConnection(sftp), earlier = [] as string[], settings = SETTINGS } = {},
): Promise<{ receipts: Receipt[]; error?: unknown }> {
  const receipts: Receipt[] = [];
  const left = [...files];
  try {
    const attempt = new SftpDestination(connections).deliver(
      {
        deliveryId: randomUUID(),
        offerId: OFFER,
        earlierOfferIds: earlier,
        tenant: 'demo',
        channel: 'shop',
        integrationId: randomUUID(),
        settings,
        trigger: 'order.submitted',
        attempt: 1,
        recipeIds: [],
        notes: {},
        offered: files.map(({ name, mimeType }) => ({ name, kind: 'attachment', mimeType })),
        collect: async () => [],
        linkTo: async (name) => `https://hub.example/files/token/${name}`,
        files: {
          [Symbol.asyncIterator]: () => ({
            next: async () => {
              const value = left.shift();
              return value ? { done: false, value } : { done: true, value: undefined };
            },
          }),
        },
      },
      {
        signal: new AbortController().signal,
        assertLeased: () => undefined,
        begin: () => Promise.resolve(),
        note: () => Promise.resolve(),
        noteAtEnd: () => undefined,
      },
    );
    for await (const receipt of attempt) receipts.push(receipt);
    return { receipts };
  } catch (error) {
    return { receipts, error };
  }
}

describe('the SFTP destination', () => {
  it('makes the folders of a path only when they are missing', async () => {
    const sftp = new InMemorySftp();

    await deliver(sftp, [aFile('a.txt')]);
    const first = sftp.calls.splice(0);
    await deliver(sftp, [aFile('a.txt')]);

    expect(first.filter((call) => call.startsWith('mkdir'))).toEqual(['mkdir /in', 'mkdir /in/shop']);
    expect(sftp.calls).toEqual([
      `write /in/shop/.a.txt.${OFFER}.part`,
      `replace /in/shop/.a.txt.${OFFER}.part`,
    ]);
    expect([...sftp.files.keys()]).toEqual(['/in/shop/a.txt']);
  });

  it('removes and renames where the server cannot replace, and the receipt says so', async () => {
    const sftp = new InMemorySftp();
    sftp.canReplace = false;
    sftp.folders.add('/in/shop');
    sftp.files.set('/in/shop/a.txt', Buffer.from('old'));

    const { receipts } = await deliver(sftp, [aFile('a.txt', 'new')]);

    expect(receipts[0]?.details).toEqual({ hostKey: 'SHA256:key', placedBy: 'remove and rename' });
    expect(sftp.files.get('/in/shop/a.txt')?.toString()).toBe('new');
  });

  it('asks for the size by path where the open file does not tell it', async () => {
    const sftp = new InMemorySftp();
    sftp.folders.add('/in/shop');
    let asked = 0;
    sftp.sizeIs = (size) => (asked++ === 0 ? undefined : size);

    expect((await deliver(sftp, [aFile('a.txt')])).error).toBeUndefined();
    expect(sftp.calls).toContain(`stat /in/shop/.a.txt.${OFFER}.part`);
  });

  it('does not place a file of another size', async () => {
    const sftp = new InMemorySftp();
    sftp.folders.add('/in/shop');
    sftp.sizeIs = (size) => size - 1;

    const { error } = await deliver(sftp, [aFile('a.txt')]);

    expect(error).toMatchObject({ code: 'UNAVAILABLE', cause: expect.any(SftpFault) });
    expect(sftp.files.size).toBe(0);
  });

  it('calls an unexplained failure TARGET_FULL where the server says that no room is left', async () => {
    const sftp = new InMemorySftp();
    sftp.folders.add('/in/shop');
    sftp.failOn = (call) => (call.startsWith('write') ? status(4) : undefined);
    sftp.free = 3;

    expect((await deliver(sftp, [aFile('a.txt', 'more than three')])).error).toMatchObject({
      code: 'TARGET_FULL',
    });
    sftp.free = 1_000_000;
    expect((await deliver(sftp, [aFile('a.txt', 'more than three')])).error).toMatchObject({
      code: 'UNKNOWN',
    });
  });

  it('keeps the receipts of files before the one that failed, and sends no further ones', async () => {
    const sftp = new InMemorySftp();
    sftp.folders.add('/in/shop');
    sftp.failOn = (call) => (call.includes('bad') ? status(3) : undefined);
    const names = [
      '1.txt',
      '2.txt',
      'bad.txt',
      ...Array.from({ length: 20 }, (_, index) => `later-${index}.txt`),
    ];

    const { receipts, error } = await deliver(
      sftp,
      names.map((name) => aFile(name)),
    );

    expect(error).toMatchObject({ code: 'ACCESS_DENIED' });
    expect(receipts.map(({ name }) => name)).toEqual(expect.arrayContaining(['1.txt', '2.txt']));
    expect(receipts.length).toBeLessThan(8);
  });

  it('tries once more where a kept connection turns out dead, and not where a new one does', async () => {
    const sftp = new InMemorySftp();
    sftp.folders.add('/in/shop');
    const connections = new OneConnection(sftp);
    let isDead = true;
    sftp.failOn = (call) =>
      call.startsWith('write') && isDead ? ((isDead = false), new SftpFault('SFTP_CLOSED')) : undefined;

    expect((await deliver(sftp, [aFile('a.txt')], { connections })).error).toMatchObject({
      code: 'UNAVAILABLE',
    });
    isDead = true;
    connections.isReused = true;
    expect((await deliver(sftp, [aFile('a.txt')], { connections })).error).toBeUndefined();
    expect(connections.released).toBe(connections.acquired);
  });

  it('removes what earlier offers left before it writes', async () => {
    const sftp = new InMemorySftp();
    sftp.folders.add('/in/shop');
    const earlier = randomUUID();
    sftp.files.set(`/in/shop/.a.txt.${earlier}.part`, Buffer.from('half'));

    await deliver(sftp, [aFile('a.txt')], { earlier: [earlier] });

    expect(sftp.calls[0]).toBe(`remove /in/shop/.a.txt.${earlier}.part`);
    expect([...sftp.files.keys()]).toEqual(['/in/shop/a.txt']);
  });

  it('removes what a worker that died left of a delivery that sends nothing any more, and nothing else', async () => {
    const sftp = new InMemorySftp();
    const [earlier, foreign] = [randomUUID(), randomUUID()];
    for (const name of [`.a.txt.${earlier}.part`, `.a.txt.${foreign}.part`, 'a.txt'])
      sftp.files.set(`/in/shop/${name}`, Buffer.from('half'));
    const connections = new OneConnection(sftp);

    await new SftpDestination(connections).tidy(
      {
        deliveryId: randomUUID(),
        earlierOfferIds: [randomUUID(), earlier],
        tenant: 'demo',
        channel: 'shop',
        integrationId: randomUUID(),
        settings: SETTINGS,
        fileNames: ['b.txt', 'a.txt'],
      },
      new AbortController().signal,
    );

    expect([...sftp.files.keys()]).toEqual([`/in/shop/.a.txt.${foreign}.part`, '/in/shop/a.txt']);
    expect(connections.released).toBe(connections.acquired);
  });

  it.each([
    ['.', ''],
    ['', ''],
    ['/', '/'],
    ['in//{channel}/', 'in/shop'],
    ['/in/./x', '/in/x'],
  ])('reads the directory %j as %j', (setting, path) => {
    expect(directoryOf(setting, 'shop')).toBe(path);
  });

  it.each([
    ['/in', 22, 'factory.example', 'sftp://factory.example/in/a.txt'],
    ['in', 2222, 'factory.example', 'sftp://factory.example:2222/~/in/a.txt'],
    ['.', 22, '2001:db8::1', 'sftp://[2001:db8::1]/~/a.txt'],
  ])('writes %s on port %i of %s as %s', async (directory, port, host, location) => {
    const sftp = new InMemorySftp();
    const { receipts } = await deliver(sftp, [aFile('a.txt')], {
      settings: { ...SETTINGS, directory, port, host },
    });

    expect(receipts[0]?.location).toBe(location);
  });
});
