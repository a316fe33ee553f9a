import { describe, expect, it } from '@jest/globals';

import { ProblemError } from '@heddle/platform';

import { MAX_FAULTS, readJsonBody } from './json-body.js';

const read = (text: string): ReturnType<typeof readJsonBody> => readJsonBody(Buffer.from(text));
const faults = (text: string): readonly string[] =>
  read(text).faults.map(({ pointer, code }) => `${pointer} ${code}`);

describe('a JSON body', () => {
  it('keeps its text and its bytes, without a byte order mark in the text', () => {
    const body = readJsonBody(Buffer.from('\ufeff{"a":1.0}'));
    expect(body.text).toBe('{"a":1.0}');
    expect(body.value).toEqual({ a: 1 });
    expect(read('').value).toBeUndefined();
  });

  it('is refused without a word of what it holds', () => {
    for (const text of ['{"name":"Jo Doe"', 'Jo Doe', '["Jo Doe",]']) {
      expect(() => read(text)).toThrow(new ProblemError(400, 'the body is not JSON'));
    }
  });

  it('names each part that nobody could store', () => {
    expect(faults('{"a/b":{"c~d":["\\u0000",1e309]}}')).toEqual([
      '/a~1b/c~0d/0 pattern',
      '/a~1b/c~0d/1 range',
    ]);
    expect(faults('["\\ud83d","\\ude00","\\ud83d\\ude00"]')).toEqual(['/0 pattern', '/1 pattern']);
    expect(faults('[{"\\udead":[1e999]}]')).toEqual(['/0 pattern', '/0 range']);
    expect(faults('"\\u0000\\ud800"')).toEqual([' pattern', ' pattern']);
    expect(faults('-1e999')).toEqual([' range']);
    expect(faults('[1e308,"\\u0001","\\\\u0000"]')).toEqual([]);
  });

  it('has at most 64 levels, and may have any number of them before it is refused', () => {
    const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
    expect(faults(nested(64))).toEqual([]);
    expect(faults(nested(65))).toEqual([`${'/0'.repeat(64)} range`]);
    expect(faults(nested(200_000))).toHaveLength(1);
  });

  it('gives a bounded answer to an unbounded number of faults', () => {
    expect(read(`[${Array(20_000).fill('1e999').join(',')}]`).faults).toHaveLength(MAX_FAULTS);
    const [fault] = read(`{"${'n'.repeat(5_000)}":1e999}`).faults;
    expect(fault?.pointer).toBe('');
  });

  it('has __proto__ as a member like any other', () => {
    const { value } = read('{"__proto__":{"polluted":true}}');
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(faults('{"__proto__":{"x":1e999}}')).toEqual(['/__proto__/x range']);
  });
});
