import { constants } from 'node:fs';
import {
  link,
  lstat,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rmdir,
  stat,
  truncate,
  unlink,
  utimes,
  chmod,
} from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { join, posix } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { SFTP_FAILURES } from './sftp-faults.js';
import type { SftpFailure, SftpFaults, SftpOperation } from './sftp-faults.js';
import { FieldReader, OPEN, REQUEST, STATUS, packetsOf, reply } from './sftp-wire.js';
import type { Attributes, NamedEntry, Status } from './sftp-wire.js';

export interface SftpRename {
  readonly from: string;
  readonly to: string;
  /** An existing file of that name was replaced. */
  readonly replaced: boolean;
  /** In milliseconds since 1970. */
  readonly atMs: number;
}

export interface SftpSessionContext {
  /** The folder that the client sees as `/`. */
  readonly root: string;
  /** Where relative paths begin, `/` or below. */
  readonly home: string;
  readonly faults: () => SftpFaults;
  readonly cut: () => void;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  readonly renamed: (rename: SftpRename) => void;
}

type OpenHandle =
  | { readonly kind: 'file'; readonly file: FileHandle; readonly appends: boolean }
  | { readonly kind: 'folder'; readonly entries: NamedEntry[] };

const POSIX_RENAME = 'posix-rename@openssh.com';
const FSYNC = 'fsync@openssh.com';
const ENTRIES_PER_ANSWER = 100;
const MAX_READ_BYTES = 255 * 1024;
const MAX_HANDLES = 1_000;

const OPERATIONS: ReadonlyMap<number, SftpOperation> = new Map([
  [REQUEST.OPEN, 'open'],
  [REQUEST.CLOSE, 'close'],
  [REQUEST.READ, 'read'],
  [REQUEST.WRITE, 'write'],
  [REQUEST.LSTAT, 'stat'],
  [REQUEST.FSTAT, 'stat'],
  [REQUEST.STAT, 'stat'],
  [REQUEST.SETSTAT, 'setstat'],
  [REQUEST.FSETSTAT, 'setstat'],
  [REQUEST.OPENDIR, 'list'],
  [REQUEST.READDIR, 'list'],
  [REQUEST.REMOVE, 'remove'],
  [REQUEST.MKDIR, 'mkdir'],
  [REQUEST.RMDIR, 'rmdir'],
  [REQUEST.REALPATH, 'realpath'],
  [REQUEST.RENAME, 'rename'],
]);

class Refusal extends Error {
  constructor(
    readonly status: Status,
    message: string,
  ) {
    super(message);
  }
}

/** One SFTP session over a real folder. Requests are answered in order, as OpenSSH does. */
export class SftpSession {
  private readonly handles = new Map<string, OpenHandle>();
  private nextHandle = 0;
  private contentBytes = 0;

  constructor(
    private readonly context: SftpSessionContext,
    private readonly send: (packet: Buffer) => Promise<void>,
  ) {}

  /** Until the stream ends. @throws when the client breaks the protocol */
  async run(stream: AsyncIterable<Buffer>): Promise<void> {
    try {
      for await (const packet of packetsOf(stream)) {
        const type = packet.readUInt8(0);
        await (type === REQUEST.INIT ? this.greet() : this.answer(type, new FieldReader(packet.subarray(1))));
      }
    } finally {
      await Promise.allSettled(
        [...this.handles.values()].flatMap((each) => (each.kind === 'file' ? [each.file.close()] : [])),
      );
    }
  }

  private greet(): Promise<void> {
    const extensions = {
      ...(this.context.faults().noPosixRename !== true && { [POSIX_RENAME]: '1' }),
      [FSYNC]: '1',
    };
    return this.send(reply.version(extensions));
  }

  private async answer(type: number, fields: FieldReader): Promise<void> {
    const id = fields.int();
    const extension = type === REQUEST.EXTENDED ? fields.text() : undefined;
    const operation = extension === undefined ? OPERATIONS.get(type) : this.extended(extension);
    if (operation === undefined)
      return this.send(reply.status(id, STATUS.UNSUPPORTED, 'Operation unsupported'));
    const { hangOn, fail, delayMs, cutAfter } = this.context.faults();
    if (delayMs !== undefined) await Promise.race([delay(delayMs), this.context.closed]);
    if (hangOn?.includes(operation) === true) return this.context.closed;
    const failure = fail?.[operation];
    let packet: Buffer;
    try {
      if (failure !== undefined)
        throw new Refusal(SFTP_FAILURES[failure].status, SFTP_FAILURES[failure].message);
      packet = await (extension === undefined
        ? this.perform(type, id, fields)
        : this.extend(operation, id, fields));
    } catch (error) {
      const { status, message } = refusalOf(error);
      packet = reply.status(id, status, message);
    }
    if (cutAfter?.includes(operation) === true) this.context.cut();
    else await this.send(packet);
  }

  private extended(name: string): SftpOperation | undefined {
    if (name === FSYNC) return 'fsync';
    return name === POSIX_RENAME && this.context.faults().noPosixRename !== true ? 'posix-rename' : undefined;
  }

  private async extend(operation: SftpOperation, id: number, fields: FieldReader): Promise<Buffer> {
    if (operation === 'fsync') {
      await this.file(fields).file.sync();
      return ok(id);
    }
    const from = fields.text();
    const to = fields.text();
    const replaced = (await lstat(this.local(to)).catch(() => undefined)) !== undefined;
    await rename(this.local(from), this.local(to));
    this.context.renamed({ from: this.absolute(from), to: this.absolute(to), replaced, atMs: Date.now() });
    return ok(id);
  }

  private async perform(type: number, id: number, fields: FieldReader): Promise<Buffer> {
    switch (type) {
      case REQUEST.OPEN:
        return this.open(id, fields.text(), fields.int(), fields.attributes());
      case REQUEST.CLOSE:
        return this.close(id, fields.text());
      case REQUEST.READ:
        return this.read(id, this.file(fields).file, fields.long(), fields.int());
      case REQUEST.WRITE:
        return this.write(id, this.file(fields), fields.long(), fields.bytes());
      case REQUEST.STAT:
        return reply.attributes(id, attributesOf(await stat(this.local(fields.text()))));
      case REQUEST.LSTAT:
        return reply.attributes(id, attributesOf(await lstat(this.local(fields.text()))));
      case REQUEST.FSTAT:
        return reply.attributes(id, attributesOf(await this.file(fields).file.stat()));
      case REQUEST.SETSTAT:
        return this.change(id, this.local(fields.text()), fields.attributes());
      case REQUEST.FSETSTAT:
        return this.changeOpen(id, this.file(fields).file, fields.attributes());
      case REQUEST.OPENDIR:
        return this.openFolder(id, this.local(fields.text()));
      case REQUEST.READDIR:
        return this.readFolder(id, fields.text());
      case REQUEST.REMOVE:
        await unlink(this.local(fields.text()));
        return ok(id);
      case REQUEST.MKDIR:
        await mkdir(this.local(fields.text()), { mode: (fields.attributes().mode ?? 0o777) & 0o777 });
        return ok(id);
      case REQUEST.RMDIR:
        await rmdir(this.local(fields.text()));
        return ok(id);
      case REQUEST.REALPATH:
        return this.realPath(id, fields.text());
      case REQUEST.RENAME:
        return this.rename(id, fields.text(), fields.text());
      default:
        throw new Refusal(STATUS.UNSUPPORTED, 'Operation unsupported');
    }
  }

  private async open(id: number, path: string, flags: number, { mode }: Attributes): Promise<Buffer> {
    const has = (flag: number): boolean => (flags & flag) !== 0;
    const access = has(OPEN.WRITE)
      ? has(OPEN.READ)
        ? constants.O_RDWR
        : constants.O_WRONLY
      : constants.O_RDONLY;
    const native =
      access |
      (has(OPEN.APPEND) ? constants.O_APPEND : 0) |
      (has(OPEN.CREATE) ? constants.O_CREAT : 0) |
      (has(OPEN.TRUNCATE) ? constants.O_TRUNC : 0) |
      (has(OPEN.EXCLUSIVE) ? constants.O_EXCL : 0);
    const file = await open(this.local(path), native, (mode ?? 0o666) & 0o777);
    return this.remember(id, { kind: 'file', file, appends: has(OPEN.APPEND) });
  }

  private async close(id: number, name: string): Promise<Buffer> {
    const handle = this.handles.get(name);
    if (handle === undefined) throw new Refusal(STATUS.FAILURE, 'Failure');
    this.handles.delete(name);
    if (handle.kind === 'file') await handle.file.close();
    return ok(id);
  }

  private async read(id: number, file: FileHandle, offset: number, length: number): Promise<Buffer> {
    const buffer = Buffer.alloc(Math.min(length, MAX_READ_BYTES));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
    if (bytesRead === 0) return reply.status(id, STATUS.EOF, 'End of file');
    this.count(bytesRead);
    return reply.data(id, buffer.subarray(0, bytesRead));
  }

  private async write(
    id: number,
    { file, appends }: { file: FileHandle; appends: boolean },
    offset: number,
    data: Buffer,
  ): Promise<Buffer> {
    const limit = this.context.faults().cutAfterBytes;
    // Not a byte beyond the limit reaches the disk, as with a cable that is pulled.
    const part = limit === undefined ? data : data.subarray(0, Math.max(0, limit - this.contentBytes));
    for (let done = 0; done < part.length;) {
      const { bytesWritten } = await file.write(
        part,
        done,
        part.length - done,
        appends ? null : offset + done,
      );
      done += bytesWritten;
    }
    this.count(data.length);
    return ok(id);
  }

  private count(bytes: number): void {
    this.contentBytes += bytes;
    const { cutAfterBytes } = this.context.faults();
    if (cutAfterBytes !== undefined && this.contentBytes >= cutAfterBytes) this.context.cut();
  }

  private async change(id: number, path: string, { size, mode, times }: Attributes): Promise<Buffer> {
    if (size !== undefined) await truncate(path, size);
    if (mode !== undefined) await chmod(path, mode & 0o777);
    if (times !== undefined) await utimes(path, times.accessed, times.modified);
    return ok(id);
  }

  private async changeOpen(id: number, file: FileHandle, { size, mode, times }: Attributes): Promise<Buffer> {
    if (size !== undefined) await file.truncate(size);
    if (mode !== undefined) await file.chmod(mode & 0o777);
    if (times !== undefined) await file.utimes(times.accessed, times.modified);
    return ok(id);
  }

  private async openFolder(id: number, path: string): Promise<Buffer> {
    const entries: NamedEntry[] = [];
    for (const name of ['.', '..', ...(await readdir(path))]) {
      // Gone meanwhile: not there.
      const stats = await lstat(join(path, name)).catch(() => undefined);
      if (stats !== undefined)
        entries.push({ name, longName: longName(name, stats), attributes: attributesOf(stats) });
    }
    return this.remember(id, { kind: 'folder', entries });
  }

  private readFolder(id: number, name: string): Buffer {
    const handle = this.handles.get(name);
    if (handle?.kind !== 'folder') throw new Refusal(STATUS.FAILURE, 'Failure');
    const entries = handle.entries.splice(0, ENTRIES_PER_ANSWER);
    return entries.length === 0 ? reply.status(id, STATUS.EOF, 'End of file') : reply.names(id, entries);
  }

  private async realPath(id: number, path: string): Promise<Buffer> {
    const local = this.local(path);
    const real = await realpath(local).catch(() => local);
    const inside = real.startsWith(this.context.root)
      ? real.slice(this.context.root.length)
      : this.absolute(path);
    const name = posix.normalize(`/${inside}`);
    return reply.names(id, [{ name, longName: name, attributes: {} }]);
  }

  /** Version 3 refuses an existing target; link and unlink decide that without a gap between look and act. */
  private async rename(id: number, from: string, to: string): Promise<Buffer> {
    const [source, target] = [this.local(from), this.local(to)];
    if ((await lstat(source)).isDirectory()) {
      if ((await lstat(target).catch(() => undefined)) !== undefined)
        throw new Refusal(STATUS.FAILURE, 'Failure');
      await rename(source, target);
    } else {
      await link(source, target);
      await unlink(source);
    }
    this.context.renamed({
      from: this.absolute(from),
      to: this.absolute(to),
      replaced: false,
      atMs: Date.now(),
    });
    return ok(id);
  }

  private remember(id: number, handle: OpenHandle): Buffer {
    if (this.handles.size >= MAX_HANDLES) throw new Refusal(STATUS.FAILURE, 'Failure');
    const name = String(this.nextHandle++);
    this.handles.set(name, handle);
    return reply.handle(id, name);
  }

  private file(fields: FieldReader): Extract<OpenHandle, { kind: 'file' }> {
    const handle = this.handles.get(fields.text());
    if (handle?.kind !== 'file') throw new Refusal(STATUS.FAILURE, 'Failure');
    return handle;
  }

  /** What the client calls it; `..` stops at the root. */
  private absolute(path: string): string {
    return posix.resolve('/', this.context.home, path);
  }

  private local(path: string): string {
    if (path.includes('\0')) throw new Refusal(STATUS.NO_SUCH_FILE, 'No such file');
    return join(this.context.root, this.absolute(path));
  }
}

function ok(id: number): Buffer {
  return reply.status(id, STATUS.OK, 'Success');
}

function refusalOf(error: unknown): { readonly status: Status; readonly message: string } {
  if (error instanceof Refusal) return error;
  // Not instanceof: under Jest the errors of node: modules belong to another realm.
  const code = Error.isError(error) && 'code' in error ? String(error.code) : '';
  const alias: Readonly<Record<string, SftpFailure>> = {
    EPERM: 'EACCES',
    EROFS: 'EACCES',
    ENOTDIR: 'ENOENT',
    ELOOP: 'ENOENT',
  };
  const known = code in SFTP_FAILURES ? (code as SftpFailure) : alias[code];
  return SFTP_FAILURES[known ?? 'EIO'];
}

function attributesOf(stats: Stats): Attributes {
  return {
    size: stats.size,
    uid: stats.uid,
    gid: stats.gid,
    mode: stats.mode,
    times: { accessed: Math.floor(stats.atimeMs / 1000), modified: Math.floor(stats.mtimeMs / 1000) },
  };
}

/** The line of `ls -l` that clients show. */
function longName(name: string, stats: Stats): string {
  const type = stats.isDirectory() ? 'd' : stats.isSymbolicLink() ? 'l' : '-';
  const rights = [6, 3, 0]
    .map((shift) => (stats.mode >> shift) & 7)
    .map((bits) => `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${bits & 1 ? 'x' : '-'}`)
    .join('');
  const date = stats.mtime.toUTCString().slice(5, 22);
  return `${type}${rights} ${stats.nlink} ${stats.uid} ${stats.gid} ${String(stats.size).padStart(10)} ${date} ${name}`;
}
