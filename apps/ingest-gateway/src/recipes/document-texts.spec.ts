import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { memberTexts } from './document-texts.js';

describe('the texts of an array', () => {
  it('are cut where a parser would cut', () => {
    expect(memberTexts('[]')).toEqual([]);
    expect(memberTexts(' [ \n ] ')).toEqual([]);
    expect(memberTexts('[{"a":"],[\\"\\\\"},{"b":[1,{"c":","}]}]')).toEqual([
      '{"a":"],[\\"\\\\"}',
      '{"b":[1,{"c":","}]}',
    ]);
    expect(memberTexts('\t[ 1.0 ,\r\n"x" ]')).toEqual(['1.0', '"x"']);
  });

  it('are exactly what was sent, whatever was sent', () => {
    const member = fc.tuple(fc.json({ maxDepth: 3 }), fc.constantFrom('', ' ', '\n\t', '  '));
    fc.assert(
      fc.property(fc.array(member, { maxLength: 8 }), (members) => {
        const text = `[${members.map(([json, space]) => space + json + space).join(',')}]`;
        expect(memberTexts(text)).toEqual(members.map(([json]) => json));
      }),
    );
  });

  it('are as many as the values', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { maxLength: 8 }), (values) => {
        expect(
          memberTexts(JSON.stringify(values, null, 2)).map((text) => JSON.parse(text) as unknown),
        ).toEqual(JSON.parse(JSON.stringify(values)));
      }),
    );
  });
});
