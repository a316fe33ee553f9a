import { createHash } from 'node:crypto';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import { describe, expect, it } from '@jest/globals';

import { ReceivedBytes } from './received-bytes.js';

describe('the bytes of an upload', () => {
  it('pass as they are, counted and hashed', async () => {
    const received = new ReceivedBytes(Readable.from([Buffer.from('ab'), Buffer.from('c')]), 3);
    expect((await buffer(received)).toString()).toBe('abc');
    expect([received.sizeBytes, received.sha256()]).toEqual([
      3,
      createHash('sha256').update('abc').digest('hex'),
    ]);
  });

  it('are too many one byte beyond the limit, and the rest of them is read away', async () => {
    const body = new PassThrough();
    const received = new ReceivedBytes(body, 3);
    body.write('abcd');
    await expect(buffer(received)).rejects.toThrow('at most 3 bytes');
    body.end(Buffer.alloc(1_000_000));
    await new Promise((resolve) => body.once('end', resolve));
  });

  it('may be cut short before anybody reads them, and end nothing but themselves', async () => {
    const body = new PassThrough();
    const received = new ReceivedBytes(body, 3);
    body.destroy();
    await new Promise((resolve) => received.once('close', resolve));
    await expect(buffer(received)).rejects.toThrow('cut short');
  });
});
