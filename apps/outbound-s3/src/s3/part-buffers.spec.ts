import { describe, expect, it } from '@jest/globals';

import { PartBuffers } from './part-buffers.js';

const { signal } = new AbortController();

describe('buffers of parts', () => {
  it('are never more than the count, and go to who waits in turn', async () => {
    const buffers = new PartBuffers(4, 2);
    const [first, second] = await Promise.all([buffers.lease(signal), buffers.lease(signal)]);
    const order: string[] = [];
    const third = buffers.lease(signal).then((lease) => (order.push('third'), lease));
    const fourth = buffers.lease(signal).then((lease) => (order.push('fourth'), lease));
    await Promise.resolve();
    expect(order).toEqual([]);

    first.release();
    first.release();
    const { buffer } = await third;
    expect(order).toEqual(['third']);
    expect(buffer).toBe(first.buffer);

    second.release();
    await fourth;
    expect(order).toEqual(['third', 'fourth']);
  });

  it('let go of who is aborted while it waits', async () => {
    const buffers = new PartBuffers(4, 1);
    const held = await buffers.lease(signal);
    const controller = new AbortController();
    const aborted = buffers.lease(controller.signal);
    const next = buffers.lease(signal);

    controller.abort(new Error('stopped'));
    await expect(aborted).rejects.toThrow('stopped');
    held.release();

    expect((await next).buffer).toBe(held.buffer);
    await expect(buffers.lease(controller.signal)).rejects.toThrow('stopped');
  });
});
