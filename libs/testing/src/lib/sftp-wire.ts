/**
 * SFTP version 3 on the wire (draft-ietf-secsh-filexfer-02). The server side of `ssh2` cannot announce extensions, so
 * the posix-rename that real servers have is out of its reach; the SSH part below is still its own.
 */
export const REQUEST = {
  INIT: 1,
  OPEN: 3,
  CLOSE: 4,
  READ: 5,
  WRITE: 6,
  LSTAT: 7,
  FSTAT: 8,
  SETSTAT: 9,
  FSETSTAT: 10,
  OPENDIR: 11,
  READDIR: 12,
  REMOVE: 13,
  MKDIR: 14,
  RMDIR: 15,
  REALPATH: 16,
  STAT: 17,
  RENAME: 18,
  EXTENDED: 200,
} as const;

const RESPONSE = { VERSION: 2, STATUS: 101, HANDLE: 102, DATA: 103, NAME: 104, ATTRS: 105 } as const;

export const STATUS = {
  OK: 0,
  EOF: 1,
  NO_SUCH_FILE: 2,
  PERMISSION_DENIED: 3,
  FAILURE: 4,
  UNSUPPORTED: 8,
} as const;
export type Status = (typeof STATUS)[keyof typeof STATUS];

export const OPEN = { READ: 1, WRITE: 2, APPEND: 4, CREATE: 8, TRUNCATE: 16, EXCLUSIVE: 32 } as const;

const ATTRIBUTE = { SIZE: 1, OWNER: 2, PERMISSIONS: 4, TIMES: 8 } as const;
/** OpenSSH's own limit (SFTP_MAX_MSG_LENGTH). */
const MAX_PACKET_BYTES = 256 * 1024;

export interface Attributes {
  readonly size?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mode?: number;
  /** In seconds. */
  readonly times?: { readonly accessed: number; readonly modified: number };
}

export interface NamedEntry {
  readonly name: string;
  readonly longName: string;
  readonly attributes: Attributes;
}

/** Reads fields one after the other. @throws RangeError when a packet is shorter than its fields */
export class FieldReader {
  private at = 0;

  constructor(private readonly packet: Buffer) {}

  byte(): number {
    return this.packet.readUInt8(this.move(1));
  }

  int(): number {
    return this.packet.readUInt32BE(this.move(4));
  }

  long(): number {
    return Number(this.packet.readBigUInt64BE(this.move(8)));
  }

  bytes(): Buffer {
    const length = this.int();
    const from = this.move(length);
    if (this.at > this.packet.length) throw new RangeError('field beyond the end of its packet');
    return this.packet.subarray(from, this.at);
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  attributes(): Attributes {
    const flags = this.int();
    return {
      ...((flags & ATTRIBUTE.SIZE) !== 0 && { size: this.long() }),
      ...((flags & ATTRIBUTE.OWNER) !== 0 && { uid: this.int(), gid: this.int() }),
      ...((flags & ATTRIBUTE.PERMISSIONS) !== 0 && { mode: this.int() }),
      ...((flags & ATTRIBUTE.TIMES) !== 0 && { times: { accessed: this.int(), modified: this.int() } }),
    };
  }

  private move(count: number): number {
    const from = this.at;
    this.at += count;
    return from;
  }
}

/** Cuts a byte stream into packets, without their length. */
export async function* packetsOf(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let available = 0;
  for await (const chunk of stream) {
    parts.push(chunk);
    available += chunk.length;
    while (available >= 4) {
      if (parts[0]!.length < 4) parts = [Buffer.concat(parts)];
      const length = parts[0]!.readUInt32BE(0);
      if (length === 0 || length > MAX_PACKET_BYTES) throw new RangeError(`packet of ${length} bytes`);
      if (available < 4 + length) break;
      const all = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
      yield all.subarray(4, 4 + length);
      available -= 4 + length;
      parts = available === 0 ? [] : [all.subarray(4 + length)];
    }
  }
}

export const reply = {
  version: (extensions: Readonly<Record<string, string>>): Buffer =>
    packet(
      RESPONSE.VERSION,
      int(3),
      ...Object.entries(extensions).flatMap(([name, data]) => [text(name), text(data)]),
    ),
  status: (id: number, status: Status, message: string): Buffer =>
    packet(RESPONSE.STATUS, int(id), int(status), text(message), text('en')),
  handle: (id: number, handle: string): Buffer => packet(RESPONSE.HANDLE, int(id), text(handle)),
  data: (id: number, data: Buffer): Buffer => packet(RESPONSE.DATA, int(id), int(data.length), data),
  attributes: (id: number, attributes: Attributes): Buffer =>
    packet(RESPONSE.ATTRS, int(id), attributeFields(attributes)),
  names: (id: number, entries: readonly NamedEntry[]): Buffer =>
    packet(
      RESPONSE.NAME,
      int(id),
      int(entries.length),
      ...entries.flatMap((each) => [text(each.name), text(each.longName), attributeFields(each.attributes)]),
    ),
} as const;

function packet(type: number, ...fields: readonly Buffer[]): Buffer {
  const length = fields.reduce((sum, field) => sum + field.length, 1);
  return Buffer.concat([int(length), Buffer.from([type]), ...fields]);
}

function attributeFields({ size, uid, gid, mode, times }: Attributes): Buffer {
  const fields: Buffer[] = [];
  let flags = 0;
  if (size !== undefined) {
    flags |= ATTRIBUTE.SIZE;
    const field = Buffer.alloc(8);
    field.writeBigUInt64BE(BigInt(size));
    fields.push(field);
  }
  if (uid !== undefined && gid !== undefined) {
    flags |= ATTRIBUTE.OWNER;
    fields.push(int(uid), int(gid));
  }
  if (mode !== undefined) {
    flags |= ATTRIBUTE.PERMISSIONS;
    fields.push(int(mode));
  }
  if (times !== undefined) {
    flags |= ATTRIBUTE.TIMES;
    fields.push(int(times.accessed), int(times.modified));
  }
  return Buffer.concat([int(flags), ...fields]);
}

function int(value: number): Buffer {
  const field = Buffer.alloc(4);
  field.writeUInt32BE(value >>> 0);
  return field;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([int(bytes.length), bytes]);
}
