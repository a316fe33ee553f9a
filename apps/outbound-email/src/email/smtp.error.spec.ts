import { DestinationError } from '@heddle/destination-kit';
import { describe, expect, it } from '@jest/globals';

import { isConnectionLoss, toDestinationError } from './smtp.error.js';

const reply = (response: string, command = 'RCPT TO', fields: object = {}): Error =>
  Object.assign(new Error(`vendor says ${response}`), {
    code: 'EENVELOPE',
    responseCode: Number(response.slice(0, 3)),
    response,
    command,
    ...fields,
  });
const coded = (code: string, message = 'vendor text'): Error => Object.assign(new Error(message), { code });

describe('what a mail server answers', () => {
  it.each([
    [reply('421 4.3.2 shutting down', 'CONN'), 'UNAVAILABLE'],
    [reply('450 4.2.0 greylisted'), 'UNAVAILABLE'],
    [reply('452 4.2.2 mailbox full'), 'TARGET_FULL'],
    [reply('499 nobody knows'), 'UNAVAILABLE'],
    [reply('535 5.7.8 no', 'AUTH PLAIN'), 'ACCESS_DENIED'],
    [reply('504 5.5.4 no such mechanism', 'AUTH XYZ'), 'ACCESS_DENIED'],
    [reply('550 5.7.1 not yours', 'MAIL FROM'), 'ACCESS_DENIED'],
    [reply('554 5.7.1 go away', 'CONN'), 'ACCESS_DENIED'],
    [reply('552 5.3.4 too big', 'MAIL FROM'), 'TOO_LARGE'],
    [reply('554 5.3.4 too big', 'DATA'), 'TOO_LARGE'],
    [reply('554 5.7.1 spam', 'DATA'), 'REJECTED'],
    [reply('599 nobody knows', 'DATA'), 'REJECTED'],
    [coded('EMESSAGE', 'Message size larger than allowed 100'), 'TOO_LARGE'],
    [coded('ESOCKET'), 'UNAVAILABLE'],
    [reply('502 what?', 'STARTTLS', { code: 'ETLS' }), 'UNAVAILABLE'],
    [coded('ETIMEDOUT'), 'TIMEOUT'],
    [coded('constructor'), 'UNKNOWN'],
    ['a text', 'UNKNOWN'],
    [undefined, 'UNKNOWN'],
  ])('%p becomes %s, without its words', (error, code) => {
    const translated = toDestinationError(error, 'delivering the mail');
    expect(translated.code).toBe(code);
    expect(translated.message).toMatch(/^delivering the mail/);
    expect(translated.message).not.toMatch(/vendor|\d{3}/);
  });

  it('is a refusal for good only where every recipient was refused for good', () => {
    const all = (...responses: string[]): Error =>
      reply(responses.at(-1) ?? '', 'RCPT TO', { rejectedErrors: responses.map((text) => reply(text)) });
    expect(toDestinationError(all('550 5.1.1 no', '552 5.2.2 full'), 'x').code).toBe('REJECTED');
    expect(toDestinationError(all('452 4.2.2 full', '550 5.1.1 no'), 'x').code).toBe('TARGET_FULL');
    expect(toDestinationError(all('550 5.1.1 no', '450 later'), 'x').code).toBe('UNAVAILABLE');
  });

  it('leaves errors of ours alone', () => {
    const ours = new DestinationError('ADDRESS_REFUSED', 'connecting');
    expect(toDestinationError(ours, 'x')).toBe(ours);
  });

  it('says that the connection is gone only where no answer came', () => {
    expect(isConnectionLoss(coded('ECONNECTION'))).toBe(true);
    expect(isConnectionLoss(reply('421 bye'))).toBe(false);
    expect(isConnectionLoss(coded('ETIMEDOUT'))).toBe(false);
    expect(isConnectionLoss(new DestinationError('UNAVAILABLE', 'connecting'))).toBe(false);
  });
});
