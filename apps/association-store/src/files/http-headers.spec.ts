import { describe, expect, it } from '@jest/globals';

import { attachmentNamed, digestIn, mimeTypeIn, rangeIn } from './http-headers.js';

const BASE64 = '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=';
const HEX = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

describe('a digest', () => {
  it('is read among others, and only where it is whole', () => {
    expect(digestIn(`sha-256=:${BASE64}:`)).toBe(HEX);
    expect(digestIn(`sha-512=:AA==:, sha-256=:${BASE64}:`)).toBe(HEX);
    for (const header of [
      '',
      `sha-256=${BASE64}`,
      'sha-256=:AA==:',
      `x-sha-256=:${BASE64}:`,
      'sha-512=:AA==:',
    ])
      expect(digestIn(header)).toBeUndefined();
  });
});

describe('a content type', () => {
  it('is kept as it came, with parameters, or not at all', () => {
    for (const type of ['image/png', 'text/plain; charset=utf-8', 'application/vnd.ms-word+xml; a="b c"'])
      expect(mimeTypeIn(type)).toBe(type);
    for (const type of ['', 'png', 'text/html, text/plain', 'a/b;\r\nc=d', `a/${'b'.repeat(300)}`])
      expect(mimeTypeIn(type)).toBeUndefined();
  });
});

describe('a range', () => {
  const file = { etag: '"e"', sizeBytes: 10 };
  const of = (range: string, ifRange?: string) => rangeIn({ range, ifRange }, file);

  it('is a beginning and an end, an open end, or so many of the last', () => {
    expect(of('bytes=0-3')).toMatchObject({ start: 0, end: 3 });
    expect(of('bytes=4-')).toMatchObject({ start: 4, end: 9 });
    expect(of('bytes=-4')).toMatchObject({ start: 6, end: 9 });
    expect(of('bytes=8-100')).toMatchObject({ start: 8, end: 9 });
  });

  it('beyond the end cannot be had', () => {
    expect(of('bytes=10-')).toBe('unsatisfiable');
  });

  it('is left out where it cannot be read, is several, or is of other content', () => {
    for (const range of ['lines=1-2', 'bytes=a-b', 'bytes=', 'bytes=0-1,4-5'])
      expect(of(range)).toBeUndefined();
    expect(of('bytes=0-3', '"other"')).toBeUndefined();
    expect(of('bytes=0-3', '"e"')).toMatchObject({ start: 0 });
  });
});

describe('the name of a file that is saved', () => {
  it('may be in any script', () => {
    expect(attachmentNamed("Käppi (1)'s.pdf")).toBe(
      "attachment; filename*=UTF-8''K%C3%A4ppi%20%281%29%27s.pdf",
    );
  });
});
