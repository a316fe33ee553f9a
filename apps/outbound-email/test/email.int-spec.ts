import { randomBytes, randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import type { EmailSettings, NotifiedDelivery } from '@heddle/contracts';
import { AddressGuard, parseAllowedAddresses } from '@heddle/destination-kit';
import type { CollectedFile, Delivery } from '@heddle/destination-kit';
import { aDelivery, aDeliveryFile, attempt, describeDestination } from '@heddle/destination-testing';
import type { AttemptResult } from '@heddle/destination-testing';
import { attachmentsOf, eventually, freePort, startSmtpServer, temporaryFolder } from '@heddle/testing';
import type { SmtpServer } from '@heddle/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Config } from '../src/config.js';
import { EmailDestination } from '../src/email/email.destination.js';
import { NodemailerSmtpClient } from '../src/email/nodemailer-smtp.client.js';
import type { NodemailerOptions } from '../src/email/nodemailer-smtp.client.js';

const USER = { name: 'heddle@factory.example', password: 'word-of/the@mail server' };
const HUB = { from: { name: 'Heddle', address: 'heddle@factory.example' }, publicUrl: 'https://hub.example' };
/** Long enough for a machine that is busy with other suites. */
const SILENCE_MS = 1_500;
/** Some 1.08 million before they are encoded. */
const MAX_BYTES = 1_500_000;
const SETTINGS: EmailSettings = { to: 'a@factory.example, b@factory.example', 'subject-prefix': '' };

function aClient(url: string, options: Partial<NodemailerOptions> = {}): NodemailerSmtpClient {
  return new NodemailerSmtpClient({
    server: Config.shape.SMTP_URL.parse(url),
    requireTls: false,
    connections: 3,
    mailsPerConnection: 100,
    perSecond: 0,
    guard: new AddressGuard({ allowed: parseAllowedAddresses('127.0.0.1') }),
    connectTimeoutMs: SILENCE_MS,
    silenceTimeoutMs: SILENCE_MS,
    answerTimeoutMs: 2 * SILENCE_MS,
    ...options,
  });
}

/** What whoever has the mailbox sees: mails with one id are one mail, and of equal names the newest counts. */
async function contentsOf(server: SmtpServer): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const mail of server.mails)
    for (const [name, bytes] of await attachmentsOf(mail)) files.set(name, bytes);
  return files;
}

let conformant: SmtpServer;
const refusal = (code: number, text: string): { code: number; text: string } => ({ code, text });

describeDestination<EmailSettings>('e-mail', {
  start: async () => {
    conformant = await startSmtpServer({ directory: await temporaryFolder('mail'), user: USER });
    const destination = new EmailDestination(aClient(conformant.url), { ...HUB, maxBytes: 25_000_000 });
    return {
      destination,
      settings: SETTINGS,
      secrets: [USER.password, encodeURIComponent(USER.password)],
      contents: () => contentsOf(conformant),
      isTemporary: () => false,
      reset: () => conformant.reset(),
      close: async () => {
        await destination.close();
        await conformant.close();
      },
    };
  },
  faults: () => {
    const fresh = (faults: SmtpServer['faults']) => (): void => {
      conformant.cut();
      conformant.faults = faults;
    };
    return [
      { what: 'refuses connections', code: 'UNAVAILABLE', arrange: fresh({ refuseConnections: true }) },
      { what: 'never greets', code: 'TIMEOUT', arrange: fresh({ hangOn: ['connect'] }) },
      { what: 'never answers a login', code: 'TIMEOUT', arrange: fresh({ hangOn: ['login'] }) },
      { what: 'never answers for a recipient', code: 'TIMEOUT', arrange: fresh({ hangOn: ['recipient'] }) },
      {
        what: 'refuses the login',
        code: 'ACCESS_DENIED',
        arrange: fresh({ refuse: { login: refusal(535, '5.7.8 word of the server') } }),
      },
      {
        what: 'refuses our sender',
        code: 'ACCESS_DENIED',
        arrange: fresh({ refuse: { sender: refusal(550, '5.7.1 word of the server') } }),
      },
      {
        what: 'refuses every recipient for good',
        code: 'REJECTED',
        arrange: fresh({ refuse: { recipient: refusal(550, '5.1.1 word of the server') } }),
      },
      {
        what: 'refuses every recipient for now',
        code: 'UNAVAILABLE',
        arrange: fresh({ refuse: { recipient: refusal(450, '4.2.0 greylisted by word of the server') } }),
      },
      {
        what: 'has no room left',
        code: 'TARGET_FULL',
        arrange: fresh({ refuse: { recipient: refusal(452, '4.3.1 word of the server') } }),
      },
      {
        what: 'refuses the content',
        code: 'REJECTED',
        arrange: fresh({ refuse: { message: refusal(554, '5.7.1 spam, says word of the server') } }),
      },
      {
        what: 'cuts connections in mid-mail',
        code: 'UNAVAILABLE',
        arrange: fresh({ cutAfterBytes: 50_000 }),
      },
    ];
  },
});

describe('the e-mail destination', () => {
  let server: SmtpServer;
  let destination: EmailDestination;
  const closing: { close(): Promise<void> }[] = [];

  beforeAll(async () => {
    server = await startSmtpServer({ directory: await temporaryFolder('mail') });
    destination = new EmailDestination(aClient(server.url), { ...HUB, maxBytes: MAX_BYTES });
  });
  afterEach(async () => {
    await Promise.all(closing.splice(0).map((each) => each.close()));
    await server.reset();
  });
  afterAll(async () => {
    await destination.close();
    await server.close();
  });

  const run = (
    files: Parameters<typeof aDelivery>[1],
    fields: Partial<Delivery<EmailSettings>> = {},
    by = destination,
  ): Promise<AttemptResult> => attempt(by, aDelivery(SETTINGS, files, fields));

  it('puts the whole file set into one mail to all recipients, from the address of the environment', async () => {
    const deliveryId = randomUUID();
    const { receipts, error } = await run(
      [
        aDeliveryFile('1022_ID_6182665224482_R_DRIVE-001_Ticket.pdf', randomBytes(5_000)),
        aDeliveryFile(
          '1022_ID_6182665224482_R_DRIVE-001_Recipe.json',
          Buffer.from('{"id":"DRIVE-001"}\r\n\n.\n'),
        ),
      ],
      { deliveryId, settings: { ...SETTINGS, 'subject-prefix': '[Hall 2] ' } },
    );

    expect(error).toBeUndefined();
    expect(server.mails).toHaveLength(1);
    const [mail] = server.mails;
    expect(mail).toMatchObject({
      sender: 'heddle@factory.example',
      recipients: ['a@factory.example', 'b@factory.example'],
      subject: '[Hall 2] Order 1022 submitted',
      messageId: `<${deliveryId}@factory.example>`,
    });
    expect(mail?.from).toContain('Heddle');
    expect(mail?.text).toContain('2 x item 1, recipe DRIVE-001');
    expect(mail?.html).toContain('<li>2 x item 1, recipe DRIVE-001</li>');
    const files = await contentsOf(server);
    expect(files.get('1022_ID_6182665224482_R_DRIVE-001_Recipe.json')?.toString()).toBe(
      '{"id":"DRIVE-001"}\r\n\n.\n',
    );
    expect(receipts).toMatchObject([
      {
        name: '1022_ID_6182665224482_R_DRIVE-001_Ticket.pdf',
        location: 'mailto:a@factory.example,b@factory.example',
        sizeBytes: 5_000,
        details: { messageId: `<${deliveryId}@factory.example>`, sentAs: 'attachment' },
      },
      { name: '1022_ID_6182665224482_R_DRIVE-001_Recipe.json' },
    ]);
  });

  it('puts a notification into words, with a link to the delivery and nothing attached', async () => {
    const deliveryId = randomUUID();
    const delivery: NotifiedDelivery = {
      deliveryId: randomUUID(),
      order: { orderNumber: '1022', orderId: null },
      recipeIds: ['DRIVE-001'],
      recipeCount: 1,
      failures: [{ attempt: 1, at: '2026-01-01T00:00:00.000Z', code: 'TIMEOUT', message: 'writing a.dst' }],
      hasStopped: false,
    };
    const integration = { description: 'Hall 2', destination: 'sftp' } as const;
    const text = JSON.stringify({ kind: 'failed', integration, delivery });
    const notify = (bytes: string): Promise<AttemptResult> =>
      run([aDeliveryFile('notification.json', Buffer.from(bytes))], {
        deliveryId,
        offered: [{ name: 'notification.json', kind: 'notification', mimeType: 'application/json' }],
      });

    const { receipts } = await notify(text);
    await notify(text);
    await notify(text.replace('TIMEOUT', 'OF_A_LATER_RELEASE'));
    const { error } = await notify(text.replace('writing a.dst', 'x'.repeat(2_001)));

    expect(receipts).toMatchObject([{ name: 'notification.json', details: { sentAs: 'body' } }]);
    const [mail, again, later] = server.mails;
    expect(server.mails).toHaveLength(3);
    expect([again?.messageId, later?.messageId]).toEqual([mail?.messageId, mail?.messageId]);
    expect(mail).toMatchObject({
      subject: 'Order 1022 could not be delivered: Hall 2',
      messageId: `<${deliveryId}@factory.example>`,
      attachments: [],
    });
    expect(mail?.text).toContain(`https://hub.example/api/v2/deliveries/${delivery.deliveryId}`);
    expect(mail?.text).toContain('the destination did not answer in time (writing a.dst)');
    expect(later?.text).toContain('something failed that we do not know yet (writing a.dst)');
    expect(error).toMatchObject({ code: 'UNKNOWN', message: 'reading the notification' });
  });

  it('keeps the Message-ID on every attempt, and gives the mails of one order a common thread', async () => {
    const file = aDeliveryFile('a.txt', Buffer.from('a'));
    const deliveryId = randomUUID();
    await run([file], { deliveryId, attempt: 1 });
    await run([file], { deliveryId, attempt: 2, offerId: randomUUID() });
    await run([file]);
    const [first, second, third] = server.mails;
    expect(second?.messageId).toBe(first?.messageId);
    expect(third?.messageId).not.toBe(first?.messageId);
    expect(first?.references).toMatch(/@factory\.example>$/);
    expect(third?.references).toBe(first?.references);
  });

  it('links what does not fit, says so, and attaches the rest', async () => {
    const { receipts, error } = await run([
      aDeliveryFile('first.bin', randomBytes(700_000)),
      aDeliveryFile('second.bin', randomBytes(400_000)),
      aDeliveryFile('big.tiff', randomBytes(1_100_000)),
      aDeliveryFile('third.bin', randomBytes(300_000)),
    ]);

    expect(error).toBeUndefined();
    const [mail] = server.mails;
    expect(mail?.attachments.map(({ name }) => name)).toEqual(['first.bin', 'third.bin']);
    expect(mail?.text).toMatch(/too large for this mail[^]*good for 7 days[^]*second\.bin[^]*big\.tiff/);
    expect(mail?.text).toMatch(/ https:\/\/hub\.example\/files\/token-of-a-link[^/]*\/big\.tiff\n/);
    expect(mail?.html).toMatch(
      /<a href="https:\/\/hub\.example\/files\/token-of-a-link[^/]*\/second\.bin">second\.bin/,
    );
    expect(
      receipts.map(({ name, sizeBytes, sha256, details }) => [
        name,
        sizeBytes,
        sha256 === null,
        details['sentAs'],
      ]),
    ).toEqual([
      ['first.bin', 700_000, false, 'attachment'],
      ['second.bin', null, true, 'link'],
      ['big.tiff', null, true, 'link'],
      ['third.bin', 300_000, false, 'attachment'],
    ]);
    expect(JSON.stringify(receipts)).not.toContain('token-of-a-link');
    const { size } = await stat(join(mail?.directory ?? '', 'message.eml'));
    expect(size).toBeGreaterThan(1_000_000 * (4 / 3));
    expect(size).toBeLessThan(MAX_BYTES);
  });

  it('counts a file as it is sent, and says nothing of a size that nobody knows', async () => {
    // Alone it would fit as it is, and not in base64.
    const files = [
      aDeliveryFile('big.tiff', randomBytes(1_200_000)),
      aDeliveryFile('odd', Buffer.from('odd')),
    ];
    const { receipts } = await run(files, {
      collect: async () => [
        { name: 'big.tiff', sizeBytes: 1_200_000, file: files[0] },
        { name: 'odd', sizeBytes: undefined, file: undefined },
      ],
    });
    expect(receipts.map(({ details }) => details['sentAs'])).toEqual(['link', 'link']);
    expect(server.mails[0]?.text).toMatch(/\n- big\.tiff \(1\.2 MB\)\n[^]*\n- odd\n/);
  });

  it('attaches the same files in the same order however they arrive', async () => {
    const files = ['a', 'b', 'c'].map((name) => aDeliveryFile(name, randomBytes(400_000)));
    const offered = files.map(({ name, mimeType }) => ({ name, kind: 'attachment' as const, mimeType }));
    await run(files, { offered });
    await run(files.toReversed(), { offered });
    expect(server.mails.map(({ attachments }) => attachments.map(({ name }) => name))).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ]);
  });

  it('sends nothing where a file of the set has not come', async () => {
    const [a, b] = ['a', 'b'].map((name) => aDeliveryFile(name, randomBytes(10)));
    const offered = [a, b].map((file) => ({
      name: file!.name,
      kind: 'attachment' as const,
      mimeType: 'x/y',
    }));
    expect(await run([a!], { offered })).toEqual({ receipts: [] });
    expect(server.mails).toEqual([]);
  });

  it('names each recipient that is refused for good in the receipt, and the others have the mail', async () => {
    server.faults = { refuseRecipients: { 'gone@factory.example': refusal(550, '5.1.1 no such user') } };
    const { receipts, error } = await run([aDeliveryFile('a.txt', Buffer.from('a'))], {
      settings: { ...SETTINGS, to: 'a@factory.example,gone@factory.example' },
    });
    expect(error).toBeUndefined();
    expect(server.mails.map(({ recipients }) => recipients)).toEqual([['a@factory.example']]);
    expect(receipts).toMatchObject([
      {
        location: 'mailto:a@factory.example',
        details: { 'refused gone@factory.example': 'for good, the mail server answered 550' },
      },
    ]);
  });

  it('names the recipients in the first receipt of a mail alone, and counts them in the others', async () => {
    const files = ['a.txt', 'b.txt', 'c.txt'].map((name) => aDeliveryFile(name, Buffer.from(name)));
    const refused = { 'gone@factory.example': refusal(550, '5.1.1 no such user') };
    server.faults = { refuseRecipients: refused };
    const to = 'a@factory.example,b@factory.example,gone@factory.example';
    const { receipts } = await run(files, { settings: { ...SETTINGS, to } });
    const recipients = '2 accepted, 1 refused: the receipt of a.txt names them';
    const other = { location: 'mailto:a@factory.example', details: { sentAs: 'attachment', recipients } };
    expect(receipts).toMatchObject([
      {
        name: 'a.txt',
        location: 'mailto:a@factory.example,b@factory.example',
        details: { 'refused gone@factory.example': 'for good, the mail server answered 550' },
      },
      { name: 'b.txt', ...other },
      { name: 'c.txt', ...other },
    ]);
    expect(receipts[0]?.details).not.toHaveProperty('recipients');
    expect(receipts[1]?.details).not.toHaveProperty('refused gone@factory.example');

    const alone = await run(files, { settings: { ...SETTINGS, to: 'a@factory.example' } });
    for (const { location, details } of alone.receipts) {
      expect(location).toBe('mailto:a@factory.example');
      expect(details).not.toHaveProperty('recipients');
    }
  });

  it('proves the largest set for the longest list in less than Kafka takes', async () => {
    const addressOf = (each: number): string =>
      `${String(each).padStart(64, 'p')}@${'department.'.repeat(15)}factory.example`;
    const to = Array.from({ length: 100 }, (_, each) => addressOf(each));
    const settings = { ...SETTINGS, to: to.join(',') };
    const offered = Array.from({ length: 2_000 }, (_, each) => ({
      name: `1022_ID_6182665224482_R_DRIVE-001_${String(each)}.dst`,
      kind: 'production' as const,
      mimeType: 'application/octet-stream',
    }));
    const collect = async (): Promise<readonly CollectedFile[]> =>
      offered.map(({ name }) => ({ name, sizeBytes: 1_000_000, file: undefined }));
    server.faults = { refuseRecipients: { [addressOf(99)]: refusal(550, '5.1.1 no such user') } };

    const first = await run([], { settings, offered, collect });
    const earlierNotes = Object.fromEntries(to.map((address) => [address, '250']));
    const again = await run([], { settings, offered, collect, earlierNotes });

    for (const { receipts, error } of [first, again]) {
      expect(error).toBeUndefined();
      expect(receipts).toHaveLength(offered.length);
      expect(JSON.stringify(receipts).length).toBeLessThan(2 * 1024 * 1024);
    }
    expect(first.receipts[0]?.location.split(',')).toHaveLength(99);
    expect(again.receipts[0]?.location.split(',')).toHaveLength(100);
    expect(server.mails).toHaveLength(1);
  });

  /** As the worker does: what an attempt notes, the next one knows. */
  async function retry(
    fields: Partial<Delivery<EmailSettings>>,
    refuseRecipients: Record<string, { code: number; text: string }>,
    to = 'a@factory.example, gone@factory.example, late@factory.example',
  ): Promise<AttemptResult> {
    server.faults = { refuseRecipients };
    const settings = { ...SETTINGS, to };
    const delivery = aDelivery(settings, [aDeliveryFile('a.txt', Buffer.from('a'))], { ...fields, notes });
    const noteAtEnd = (more: Readonly<Record<string, string>>): void => void (notes = { ...notes, ...more });
    return await attempt(destination, delivery, { note: async (more) => noteAtEnd(more), noteAtEnd });
  }
  let notes: Readonly<Record<string, string>> = {};
  const GONE = refusal(550, '5.1.1 no such user');
  const LATE = refusal(451, '4.7.1 greylisted');

  it('tries again for those alone that were put off, with the same mail', async () => {
    notes = {};
    const deliveryId = randomUUID();
    const first = await retry({ deliveryId }, { 'gone@factory.example': GONE, 'late@factory.example': LATE });
    expect(first).toMatchObject({ receipts: [], error: { code: 'DEFERRED', retryable: true } });
    expect((first.error as Error).message).toMatch(/puts off recipient 3 of 3/);
    expect((first.error as Error).message).not.toContain('@');
    expect(notes).toEqual({ 'a@factory.example': '250', 'gone@factory.example': '550' });
    const again = await retry({ deliveryId, attempt: 2 }, { 'late@factory.example': LATE });
    expect(again).toMatchObject({ receipts: [], error: { code: 'DEFERRED' } });
    const last = await retry({ deliveryId, attempt: 3 }, {});
    expect(last.error).toBeUndefined();
    expect(last.receipts).toMatchObject([
      {
        location: 'mailto:a@factory.example,late@factory.example',
        details: { 'refused gone@factory.example': 'for good, the mail server answered 550' },
      },
    ]);
    expect(server.mails.map(({ recipients }) => recipients)).toEqual([
      ['a@factory.example'],
      ['late@factory.example'],
    ]);
    expect(new Set(server.mails.map(({ messageId }) => messageId)).size).toBe(1);
  });

  it('knows who is settled however the list spells them by the next attempt', async () => {
    notes = {};
    await retry({}, { 'gone@factory.example': GONE, 'late@factory.example': LATE });
    const to = 'A@factory.example, gone@Factory.Example, Late@factory.example';
    const { receipts, error } = await retry({ attempt: 2 }, {}, to);
    expect(error).toBeUndefined();
    expect(receipts).toMatchObject([
      {
        location: 'mailto:A@factory.example,Late@factory.example',
        details: { 'refused gone@Factory.Example': 'for good, the mail server answered 550' },
      },
    ]);
    expect(server.mails.map(({ recipients }) => recipients)).toEqual([
      ['a@factory.example'],
      ['Late@factory.example'],
    ]);
    // Where the spellings have been told otherwise, who has the mail has it.
    notes = {};
    const earlierNotes = { 'a@factory.example': '250', 'A@factory.example': '550' };
    await retry({ earlierNotes }, {}, to);
    expect(server.mails[2]?.recipients).not.toContain('A@factory.example');
  });

  it('has succeeded where all that is left is refused for good', async () => {
    notes = {};
    await retry({}, { 'gone@factory.example': GONE, 'late@factory.example': LATE });
    const last = await retry({ attempt: 2 }, { 'late@factory.example': GONE });
    expect(last.error).toBeUndefined();
    expect(last.receipts).toMatchObject([
      {
        location: 'mailto:a@factory.example',
        details: {
          'refused gone@factory.example': 'for good, the mail server answered 550',
          'refused late@factory.example': 'for good, the mail server answered 550',
        },
      },
    ]);
  });

  it('sends to those alone that no earlier delivery has reached, where only what is missing is asked for', async () => {
    notes = {};
    const refused = { 'gone@factory.example': GONE, 'late@factory.example': LATE };
    await retry({}, refused);
    expect(notes).toMatchObject({ 'a@factory.example': '250' });
    // As its list spelled them then.
    const earlierNotes = {
      'A@Factory.example': '250',
      'gone@factory.example': '550',
      'former@factory.example': '250',
    };
    notes = {};
    const deliveryId = randomUUID();
    expect(await retry({ deliveryId, earlierNotes }, refused)).toMatchObject({ error: { code: 'DEFERRED' } });
    const { receipts, error } = await retry({ deliveryId, earlierNotes, attempt: 2 }, {});
    expect(error).toBeUndefined();
    expect(receipts).toMatchObject([
      {
        location: 'mailto:a@factory.example,late@factory.example',
        details: {
          'had a@factory.example': 'from an earlier delivery',
          'refused gone@factory.example': 'for good, the mail server answered 550',
          sentAs: 'attachment',
        },
      },
    ]);
    expect(server.mails.map(({ recipients }) => recipients)).toEqual([
      ['a@factory.example'],
      ['late@factory.example'],
    ]);

    const collect = (): Promise<never> => Promise.reject(new Error('nothing is to be fetched'));
    notes = {};
    const mended = await retry({ earlierNotes: { ...earlierNotes, 'late@factory.example': '250' } }, {});
    expect(mended.error).toBeUndefined();
    expect(notes).toEqual({
      'a@factory.example': '250',
      'gone@factory.example': '250',
      'late@factory.example': '250',
    });
    expect(await retry({ earlierNotes: notes, collect }, {})).toMatchObject({
      receipts: [{ sizeBytes: null, sha256: null, details: { sentAs: 'earlier delivery' } }],
    });
    expect(server.mails.slice(2).map(({ recipients }) => recipients)).toEqual([['gone@factory.example']]);
  });

  it('notes who is refused for good where nobody has the mail, and sends it to the others alone', async () => {
    notes = {};
    const A = 'a@factory.example';
    const first = await retry({}, { [A]: GONE, 'gone@factory.example': GONE, 'late@factory.example': LATE });
    expect(first.error).toMatchObject({ code: 'UNAVAILABLE', retryable: true });
    expect(notes).toEqual({ [A]: '550', 'gone@factory.example': '550' });
    const again = await retry({ attempt: 2 }, { 'late@factory.example': LATE });
    expect(again.error).toMatchObject({ code: 'UNAVAILABLE' });
    expect(server.mails).toEqual([]);
    const last = await retry({ attempt: 3 }, {});
    expect(last.receipts).toMatchObject([
      {
        location: 'mailto:late@factory.example',
        details: { [`refused ${A}`]: 'for good, the mail server answered 550' },
      },
    ]);
  });

  it('is rejected where everybody is refused for good, whenever it is asked', async () => {
    notes = {};
    const everybody = {
      'a@factory.example': GONE,
      'gone@factory.example': GONE,
      'late@factory.example': GONE,
    };
    const first = await retry({}, everybody);
    expect(first.error).toMatchObject({ code: 'REJECTED', retryable: false });
    expect(notes).toEqual(Object.fromEntries(Object.keys(everybody).map((address) => [address, '550'])));
    // Its worker died before it said so.
    const again = await retry({ attempt: 2 }, {});
    expect(again).toMatchObject({ receipts: [], error: { code: 'REJECTED' } });
    for (const { error } of [first, again]) expect((error as Error).message).not.toContain('@');
    expect(server.mails).toEqual([]);
  });

  it('tries again later where one of the refused recipients may be reached then', async () => {
    server.faults = {
      refuse: { recipient: refusal(550, '5.1.1 no such user') },
      refuseRecipients: { 'b@factory.example': refusal(451, '4.7.1 later') },
    };
    const { error } = await run([aDeliveryFile('a.txt', Buffer.from('a'))]);
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: true });
  });

  it('links what the mail server would not take, by the limit that it announces', async () => {
    const directory = await temporaryFolder('mail');
    const wide = await startSmtpServer({ directory, maxMessageBytes: 900_000 });
    const by = new EmailDestination(aClient(wide.url), { ...HUB, maxBytes: 25_000_000 });
    closing.push(by);
    const files = [
      aDeliveryFile('a.bin', randomBytes(400_000)),
      aDeliveryFile('b.bin', randomBytes(300_000)),
      aDeliveryFile('c.bin', randomBytes(50_000)),
    ];
    const sentAs = ({ receipts, error }: AttemptResult): unknown =>
      error ?? receipts.map(({ details }) => details['sentAs']);
    expect(sentAs(await run(files, {}, by))).toEqual(['attachment', 'link', 'attachment']);

    // It takes less from one mail to the next.
    await wide.close();
    const narrow = await startSmtpServer({ directory, port: wide.port, maxMessageBytes: 100_000 });
    closing.push(narrow);
    expect(sentAs(await run(files, {}, by))).toEqual(['link', 'link', 'attachment']);
    expect(narrow.mails.map(({ attachments }) => attachments.map(({ name }) => name))).toEqual([['c.bin']]);
  });

  it('links more where the mail server has come to take less than its kept connections were told', async () => {
    const narrowing = await startSmtpServer({
      directory: await temporaryFolder('mail'),
      maxMessageBytes: 900_000,
    });
    closing.push(narrowing);
    const client = aClient(narrowing.url);
    const by = new EmailDestination(client, { ...HUB, maxBytes: 25_000_000 });
    closing.unshift(by);
    const files = [aDeliveryFile('a.bin', randomBytes(400_000)), aDeliveryFile('b.bin', randomBytes(50_000))];
    const sentAs = ({ receipts, error }: AttemptResult): unknown =>
      error ?? receipts.map(({ details }) => details['sentAs']);
    const both = await Promise.all([run(files, {}, by), run(files, {}, by)]);
    expect(both.map(sentAs)).toEqual([
      ['attachment', 'attachment'],
      ['attachment', 'attachment'],
    ]);
    expect(client.size).toBe(2);

    narrowing.takeAtMost(100_000);
    expect(sentAs(await run(files, {}, by))).toEqual(['link', 'attachment']);
    expect(client.size).toBe(1);
    // What it has said is known for the next one.
    const before = narrowing.connections;
    expect(sentAs(await run(files, {}, by))).toEqual(['link', 'attachment']);
    expect(narrowing.connections).toBe(before);
  });

  it('calls a mail that even without its files is larger than the server takes TOO_LARGE', async () => {
    const small = await startSmtpServer({ directory: await temporaryFolder('mail'), maxMessageBytes: 500 });
    closing.push(small);
    const by = new EmailDestination(aClient(small.url), { ...HUB, maxBytes: 25_000_000 });
    closing.unshift(by);
    const { error } = await run([aDeliveryFile('a.bin', randomBytes(200_000))], {}, by);
    expect(error).toMatchObject({ code: 'TOO_LARGE', retryable: false });
    expect(small.mails).toEqual([]);
  });

  it('sends mails one after the other over a kept connection, and over a fresh one where it has died', async () => {
    const file = aDeliveryFile('a.txt', Buffer.from('a'));
    const client = aClient(server.url, { mailsPerConnection: 3 });
    const by = new EmailDestination(client, { ...HUB, maxBytes: 1_000_000 });
    closing.push(by);
    const before = server.connections;
    for (let mail = 0; mail < 4; mail += 1) expect((await run([file], {}, by)).error).toBeUndefined();
    expect(server.connections - before).toBe(2);

    // The server closes it at the moment when it is used again.
    server.faults = { cutNext: 'sender' };
    expect((await run([file], {}, by)).error).toBeUndefined();
    expect(server.faults).toEqual({});
    await eventually(async () => expect(client.size).toBe(1), { withinMs: 10_000 });
    expect(server.mails).toHaveLength(5);
  });

  it('keeps to its number of connections, and to its rate', async () => {
    let most = 0;
    const file = aDeliveryFile('a.txt', Buffer.from('a'));
    const client = aClient(server.url, { connections: 2, perSecond: 20 });
    const by = new EmailDestination(client, { ...HUB, maxBytes: 1_000_000 });
    closing.push(by);
    const startedAt = performance.now();
    const results = await Promise.all(
      Array.from({ length: 11 }, async () => {
        const result = await run([file], {}, by);
        most = Math.max(most, client.size);
        return result;
      }),
    );
    expect(results.every(({ error }) => error === undefined)).toBe(true);
    expect(most).toBeLessThanOrEqual(2);
    // Ten gaps of a twentieth of a second.
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(490);
  });

  it('waits longer for the answer to a whole mail than for any other, and not for ever', async () => {
    const file = aDeliveryFile('a.txt', randomBytes(100_000));
    const client = aClient(server.url, { answerTimeoutMs: SILENCE_MS + 1_000 });
    const by = new EmailDestination(client, { ...HUB, maxBytes: MAX_BYTES });
    closing.push(by);

    server.faults = { delayMs: { message: SILENCE_MS + 300 } };
    expect((await run([file], {}, by)).error).toBeUndefined();
    // The connection has its old patience again, and is still good.
    server.faults = {};
    const before = server.connections;
    expect((await run([file], {}, by)).error).toBeUndefined();
    expect(server.connections).toBe(before);
    expect(server.mails).toHaveLength(2);

    server.faults = { delayMs: { recipient: SILENCE_MS + 300 } };
    expect((await run([file], {}, by)).error).toMatchObject({ code: 'TIMEOUT', retryable: true });
    server.faults = { hangOn: ['message'] };
    expect((await run([file], {}, by)).error).toMatchObject({ code: 'TIMEOUT', retryable: true });
  });

  it('does not know a mail whose answer was lost, and the next attempt is the same mail', async () => {
    const deliveryId = randomUUID();
    const file = aDeliveryFile('a.txt', Buffer.from('a'));
    server.faults = { cutAfterMessage: true };
    const lost = await run([file], { deliveryId });
    expect(lost.error).toMatchObject({ code: 'UNAVAILABLE', retryable: true });
    server.faults = {};
    await run([file], { deliveryId });
    expect(new Set(server.mails.map(({ messageId }) => messageId)).size).toBe(1);
    expect(server.mails).toHaveLength(2);
  });

  it('connects to no private mail server that is not allowed', async () => {
    const by = new EmailDestination(aClient(server.url, { guard: new AddressGuard({ allowed: [] }) }), {
      ...HUB,
      maxBytes: 1,
    });
    closing.push(by);
    const before = server.connections;
    const { error } = await run([aDeliveryFile('a.txt', Buffer.from('a'))], {}, by);
    expect(error).toMatchObject({ code: 'ADDRESS_REFUSED' });
    expect(server.connections).toBe(before);
  });

  it('trusts no certificate that nobody has signed, and sends no password without TLS where it has one', async () => {
    const tls = await startSmtpServer({
      directory: await temporaryFolder('mail'),
      offersTls: true,
      user: USER,
    });
    closing.push(tls);
    for (const [target, code] of [
      [tls, 'UNAVAILABLE'],
      [server, 'UNAVAILABLE'],
    ] as const) {
      const by = new EmailDestination(aClient(target.url, { requireTls: true }), { ...HUB, maxBytes: 1 });
      closing.unshift(by);
      expect((await run([aDeliveryFile('a', Buffer.alloc(1))], {}, by)).error).toMatchObject({ code });
    }
    expect(tls.mails).toEqual([]);
  });

  it('gives up a server that speaks something else, and one that is not there', async () => {
    const odd = createServer((socket) => socket.write('SSH-2.0-odd\r\n').valueOf());
    await new Promise<void>((resolve) => odd.listen(0, '127.0.0.1', resolve));
    const urls = [
      `smtp://127.0.0.1:${String((odd.address() as AddressInfo).port)}`,
      `smtp://127.0.0.1:${String(await freePort())}`,
    ];
    for (const url of urls) {
      const by = new EmailDestination(aClient(url), { ...HUB, maxBytes: 1 });
      closing.push(by);
      expect((await run([aDeliveryFile('a', Buffer.alloc(1))], {}, by)).error).toMatchObject({
        code: 'UNAVAILABLE',
      });
    }
    await new Promise((resolve) => odd.close(resolve));
  });
});
