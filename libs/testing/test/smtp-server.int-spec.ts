import { readFile, readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';

import { attachmentsOf, eventually, startSmtpServer, temporaryFolder } from '@heddle/testing';
import type { SmtpServer } from '@heddle/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

const MAIL = [
  'From: Heddle <heddle@hub.example>',
  'To: hall-2@factory.example',
  'Subject: Order 10/22 =?utf-8?q?gr=C3=BC=C3=9Ft?=',
  'Message-ID: <one@hub.example>',
  'Content-Type: multipart/mixed; boundary=x',
  '',
  '--x',
  'Content-Type: text/plain; charset=utf-8',
  '',
  'two lines',
  '..one with a dot',
  '--x',
  'Content-Type: application/pdf; name="../a.pdf"',
  'Content-Disposition: attachment; filename="../a.pdf"',
  'Content-Transfer-Encoding: base64',
  '',
  'YQ0KYg==',
  '--x--',
].join('\r\n');

/** Speaks SMTP line by line, as no client library would when it should do wrong. */
class Client {
  private heard = '';
  isClosed = false;

  private constructor(private readonly socket: Socket) {
    socket.on('data', (chunk) => (this.heard += chunk.toString()));
    socket.on('error', () => undefined);
    socket.on('close', () => (this.isClosed = true));
  }

  static async to({ host, port }: SmtpServer): Promise<Client> {
    const socket = connect(port, host);
    await new Promise((resolve) => socket.once('connect', resolve));
    return new Client(socket);
  }

  async expect(code: number): Promise<string> {
    return await eventually(
      () => {
        const [whole, answer = ''] = /^((?:\d{3}-.*\r\n)*\d{3} .*)\r\n/.exec(this.heard) ?? [];
        if (whole === undefined) throw new Error(`no answer yet, waiting for ${String(code)}`);
        this.heard = this.heard.slice(whole.length);
        expect(answer).toContain(String(code));
        return Promise.resolve(answer);
      },
      { withinMs: 5_000, everyMs: 5 },
    );
  }
  async say(line: string, code: number): Promise<string> {
    this.socket.write(`${line}\r\n`);
    return await this.expect(code);
  }
  /** Up to the point at which the mail itself is sent. */
  async begin(recipients = ['hall-2@factory.example']): Promise<void> {
    await this.expect(220);
    await this.say('EHLO client.example', 250);
    await this.say('MAIL FROM:<heddle@hub.example>', 250);
    for (const recipient of recipients) await this.say(`RCPT TO:<${recipient}>`, 250);
    await this.say('DATA', 354);
  }
  write(text: string): void {
    this.socket.write(text);
  }
  end(): void {
    this.socket.destroy();
  }
}

describe('the mail server of tests and sandbox', () => {
  let server: SmtpServer;
  let client: Client;
  beforeAll(async () => {
    server = await startSmtpServer({ directory: join(await temporaryFolder('mail'), 'box') });
  });
  afterEach(async () => {
    client.end();
    await server.reset();
  });
  afterAll(() => server.close());

  it('keeps each mail in a folder that people can read, with its attachments', async () => {
    client = await Client.to(server);
    await client.begin(['hall-2@factory.example', 'office@factory.example']);
    await client.say(`${MAIL}\r\n.`, 250);

    const [mail] = server.mails;
    expect(mail).toMatchObject({
      recipients: ['hall-2@factory.example', 'office@factory.example'],
      subject: 'Order 10/22 grüßt',
      messageId: '<one@hub.example>',
      text: 'two lines\n.one with a dot',
    });
    expect([...(await attachmentsOf(mail!)).values()].map(String)).toEqual(['a\r\nb']);
    const [folder = ''] = await readdir(server.directory);
    expect(folder).toMatch(/^\d{4} Order 10_22 grüßt$/);
    expect(await readFile(join(server.directory, folder, 'mail.txt'), 'utf8')).toContain(
      'Subject: Order 10/22 grüßt',
    );
    expect((await readdir(join(server.directory, folder))).sort()).toEqual(
      ['mail.html', 'mail.txt', 'message.eml', '.._a.pdf'].sort(),
    );
  });

  it('takes no mail whose end has not come', async () => {
    client = await Client.to(server);
    await client.begin();
    client.write(`${MAIL}\r\n`);
    client.end();
    const next = await Client.to(server);
    await next.begin();
    await next.say(`${MAIL}\r\n.`, 250);
    next.end();
    expect(server.mails).toHaveLength(1);
  });

  it('cuts in the middle of a mail, and where the answer should stand', async () => {
    for (const [faults, kept] of [
      [{ cutAfterBytes: 100 }, 0],
      [{ cutAfterMessage: true }, 1],
    ] as const) {
      server.faults = faults;
      client = await Client.to(server);
      await client.begin();
      client.write(`${MAIL}\r\n.\r\n`);
      await eventually(async () => expect(client.isClosed).toBe(true), { withinMs: 5_000, everyMs: 5 });
      expect(server.mails).toHaveLength(kept);
    }
  });

  it('refuses single recipients, and says nothing where it is to hang', async () => {
    server.faults = { refuseRecipients: { 'gone@factory.example': { code: 550, text: '5.1.1 gone' } } };
    client = await Client.to(server);
    await client.expect(220);
    await client.say('EHLO client.example', 250);
    await client.say('MAIL FROM:<heddle@hub.example>', 250);
    await client.say('RCPT TO:<gone@factory.example>', 550);
    server.faults = { hangOn: ['recipient'] };
    client.write('RCPT TO:<hall-2@factory.example>\r\n');
    server.faults = {};
    // The next one is answered, that one never was.
    await client.say('NOOP', 250);
  });
});
