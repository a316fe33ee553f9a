import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { HookCatcher, eventually, temporaryFolder } from '@heddle/testing';

let directory: string;
let catcher: HookCatcher;

beforeAll(async () => {
  directory = join(await temporaryFolder('hooks'), 'calls');
  catcher = await HookCatcher.start({ directory });
});
afterEach(() => {
  catcher.reset();
});
afterAll(() => catcher.close());

const call = (body: unknown = { orderNumber: '1022' }, signal?: AbortSignal): Promise<Response> =>
  fetch(catcher.hookUrl(), {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-attempt': '1' },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });

describe('the hook catcher', () => {
  it('answers as the vendor does and remembers what it was told', async () => {
    const answer = await call({ orderNumber: '1022', files: [] });

    expect([answer.status, await answer.json()]).toMatchObject([200, { status: 'success' }]);
    expect(catcher.calls).toMatchObject([
      {
        method: 'POST',
        url: '/hooks/catch/1/caught/',
        headers: { 'x-attempt': '1' },
        text: '{"orderNumber":"1022","files":[]}',
      },
    ]);
  });

  it('has written each call into its folder, for people to read, when it answers', async () => {
    await call({ orderNumber: '../1/2', files: [{ name: 'a' }] });

    const names = (await readdir(directory)).filter((name) => name.endsWith('-.._1_2.json'));
    expect(names).toHaveLength(1);
    const page = await readFile(join(directory, names[0] ?? ''), 'utf8');
    expect(page).toContain('"request": "POST /hooks/catch/1/caught/"');
    expect(JSON.parse(page)).toMatchObject({
      body: { files: [{ name: 'a' }] },
      headers: { 'x-attempt': '1' },
      answer: { status: 200 },
    });
  });

  it('goes on counting in a folder that has calls already', async () => {
    await call();
    const before = (await readdir(directory)).length;
    const again = await HookCatcher.start({ directory });
    try {
      await fetch(again.hookUrl(), { method: 'POST', body: 'no json' });

      expect(await readdir(directory)).toHaveLength(before + 1);
      expect(again.calls).toMatchObject([{ number: before + 1, text: 'no json' }]);
    } finally {
      await again.close();
    }
  });

  it('answers with any status, headers and body that its rule says', async () => {
    catcher.rule = ({ headers }) =>
      headers['x-attempt'] === '1'
        ? { status: 429, headers: { 'retry-after': '7' }, body: 'slow down' }
        : undefined;

    const answer = await call();

    expect([answer.status, answer.headers.get('retry-after'), await answer.text()]).toEqual([
      429,
      '7',
      'slow down',
    ]);
  });

  it('resets a connection once it has read the call', async () => {
    catcher.rule = () => 'reset';

    await expect(call()).rejects.toThrow('fetch failed');

    expect(catcher.calls).toHaveLength(1);
  });

  it('hangs, or begins an answer that has no end', async () => {
    for (const reaction of ['hang', { status: 200, isEndless: true }] as const) {
      catcher.rule = () => reaction;
      const controller = new AbortController();
      const waiting = call({}, controller.signal).then((answer) => answer.text());
      await eventually(() => expect(catcher.calls).toHaveLength(1), { withinMs: 5_000 });
      controller.abort();

      await expect(waiting).rejects.toThrow('aborted');
      catcher.reset();
    }
  });

  it('answers late where its rule says so, and others meanwhile', async () => {
    catcher.rule = ({ text }) => (text.includes('late') ? { afterMs: 300 } : undefined);
    const order: string[] = [];

    await Promise.all(
      ['late', 'early'].map(async (orderNumber) => {
        const { status } = await call({ orderNumber });
        order.push(`${orderNumber} ${String(status)}`);
      }),
    );

    expect(order).toEqual(['early 200', 'late 200']);
  });
});
