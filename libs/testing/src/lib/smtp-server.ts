import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';

import { simpleParser } from 'mailparser';
import type { ParsedMail } from 'mailparser';
import { SMTPServer } from 'smtp-server';
import type { SMTPServerSession } from 'smtp-server';

import { freePort } from './free-port.js';

/** `connect` is before the greeting, `message` after the last byte of a mail. */
export const SMTP_STAGES = ['connect', 'login', 'sender', 'recipient', 'message'] as const;
export type SmtpStage = (typeof SMTP_STAGES)[number];

/** A reply of the server, such as `550 5.1.1 no such user`. */
export interface SmtpReply {
  readonly code: number;
  readonly text: string;
}

/** What the server does wrong from now on, to open connections as well. */
export interface SmtpFaults {
  /** Ends each connection as soon as it is accepted. */
  readonly refuseConnections?: boolean;
  /** Answers these with a refusal. */
  readonly refuse?: Readonly<Partial<Record<SmtpStage, SmtpReply>>>;
  /** Refuses single recipients, by address. */
  readonly refuseRecipients?: Readonly<Record<string, SmtpReply>>;
  /** Answers these so many milliseconds late. */
  readonly delayMs?: Readonly<Partial<Record<SmtpStage, number>>>;
  /** Never answers these. */
  readonly hangOn?: readonly SmtpStage[];
  /** Cuts the connection instead of the next answer to this, once. */
  readonly cutNext?: SmtpStage;
  /** Cuts a connection after so many bytes of a mail. */
  readonly cutAfterBytes?: number;
  /** Cuts the connection when the mail is stored, instead of the answer. */
  readonly cutAfterMessage?: boolean;
}

export interface SmtpServerOptions {
  /** Gets a folder for each mail. */
  readonly directory: string;
  readonly port?: number;
  /** With it, a login is asked for. */
  readonly user?: { readonly name: string; readonly password: string };
  /** Announced, and kept. */
  readonly maxMessageBytes?: number;
  /** STARTTLS, with a certificate that nobody has signed. */
  readonly offersTls?: boolean;
}

export interface StoredMail {
  /** Holds `mail.txt`, `mail.html`, `message.eml` and the attachments. */
  readonly directory: string;
  readonly sender: string;
  /** Who gets it; the header may name others. */
  readonly recipients: readonly string[];
  readonly from: string;
  readonly to: string;
  readonly messageId: string;
  readonly references: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  readonly attachments: readonly {
    readonly name: string;
    readonly mimeType: string;
    readonly path: string;
  }[];
}

/** A mail server that delivers into a folder, and does wrong on request. Runs in this process. */
export async function startSmtpServer(options: SmtpServerOptions): Promise<SmtpServer> {
  await mkdir(options.directory, { recursive: true });
  const taken = (await readdir(options.directory)).map((name) => Number.parseInt(name, 10) || 0);
  const server = new SmtpServer(options, options.port ?? (await freePort()), Math.max(0, ...taken));
  await server.listen();
  return server;
}

const MAX_REMEMBERED = 1_000;

export class SmtpServer {
  readonly host = '127.0.0.1';
  readonly url: string;
  readonly directory: string;
  faults: SmtpFaults = {};
  /** In the order of their arrival; the last thousand. */
  readonly mails: StoredMail[] = [];
  connections = 0;
  private readonly smtp: SMTPServer;
  private maxMessageBytes: number | undefined;
  private readonly sockets = new Set<Socket>();

  constructor(
    options: SmtpServerOptions,
    readonly port: number,
    private last: number,
  ) {
    const { user, directory, maxMessageBytes, offersTls } = options;
    this.directory = directory;
    this.maxMessageBytes = maxMessageBytes;
    const login = user ? `${encodeURIComponent(user.name)}:${encodeURIComponent(user.password)}@` : '';
    this.url = `smtp://${login}${this.host}:${String(port)}`;
    this.smtp = new SMTPServer({
      name: 'mail.test',
      logger: false,
      disableReverseLookup: true,
      authOptional: user === undefined,
      allowInsecureAuth: true,
      disabledCommands: [...(offersTls ? [] : ['STARTTLS']), ...(user ? [] : ['AUTH'])],
      ...(maxMessageBytes !== undefined && { size: maxMessageBytes, rejectOversized: true }),
      onConnect: (_session, done) => this.answer('connect', done),
      onAuth: (auth, _session, done) => {
        const isRight = auth.username === user?.name && auth.password === user?.password;
        if (!isRight) done(replyOf({ code: 535, text: '5.7.8 wrong credentials' }));
        else this.answer('login', (error) => (error ? done(error) : done(null, { user: user?.name })));
      },
      onMailFrom: (_address, _session, done) => this.answer('sender', done),
      onRcptTo: ({ address }, _session, done) => {
        const refusal = this.faults.refuseRecipients?.[address];
        if (refusal) done(replyOf(refusal));
        else this.answer('recipient', done);
      },
      onData: (stream, session, done) => {
        this.take(stream, session).then(
          (isTaken) => {
            if (isTaken) this.answer('message', done);
          },
          (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
        );
      },
    });
    // Connections that break are what this server is for.
    this.smtp.on('error', () => undefined);
    this.smtp.server.prependListener('connection', (socket: Socket) => {
      this.connections += 1;
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
      if (this.faults.refuseConnections === true) socket.destroy();
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>((done, fail) => {
      this.smtp.server.once('error', fail);
      this.smtp.listen(this.port, this.host, done);
    });
  }

  /** From now on, also over connections that were told something else. */
  takeAtMost(maxMessageBytes: number): void {
    this.maxMessageBytes = maxMessageBytes;
    Object.assign(this.smtp.options, { size: maxMessageBytes, rejectOversized: true });
  }

  /** Ends the connections that are open now. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** Forgets faults and mails, and removes the mails from the folder. */
  async reset(): Promise<void> {
    this.faults = {};
    this.cut();
    this.mails.length = 0;
    for (const name of await readdir(this.directory))
      await rm(join(this.directory, name), { recursive: true, force: true });
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((done) => {
      this.smtp.close(done);
      this.cut();
    });
  }

  private answer(stage: SmtpStage, done: (error?: Error | null) => void): void {
    if (this.faults.cutNext === stage) {
      const { cutNext: _, ...others } = this.faults;
      this.faults = others;
      this.cut();
      return;
    }
    if (this.faults.hangOn?.includes(stage) === true) return;
    const refusal = this.faults.refuse?.[stage];
    setTimeout(() => done(refusal ? replyOf(refusal) : null), this.faults.delayMs?.[stage] ?? 0);
  }

  /** False where there is nobody left to answer. */
  private async take(stream: AsyncIterable<Buffer>, { envelope, id }: SMTPServerSession): Promise<boolean> {
    const socket = this.socketOf(id);
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of stream) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > (this.faults.cutAfterBytes ?? Infinity)) {
        socket?.destroy();
        return false;
      }
    }
    // The stream of a connection that broke ends like any other.
    if (socket?.destroyed !== false || socket.readableEnded) return false;
    if (this.faults.refuse?.message !== undefined) return true;
    if (bytes > (this.maxMessageBytes ?? Infinity)) return true;
    const sender = envelope.mailFrom === false ? '' : envelope.mailFrom.address;
    await this.store(
      Buffer.concat(chunks),
      sender,
      envelope.rcptTo.map(({ address }) => address),
    );
    if (this.faults.cutAfterMessage !== true) return true;
    socket.destroy();
    return false;
  }

  private socketOf(sessionId: string): Socket | undefined {
    for (const connection of this.smtp.connections) {
      if (connection.id === sessionId) return (connection as unknown as { readonly _socket: Socket })._socket;
    }
    return undefined;
  }

  private async store(bytes: Buffer, sender: string, recipients: readonly string[]): Promise<void> {
    const mail = await simpleParser(bytes, { skipTextToHtml: true, skipHtmlToText: true });
    this.last += 1;
    const { subject = '', text = '' } = mail;
    const html = mail.html === false ? '' : mail.html;
    const label = `${String(this.last).padStart(4, '0')} ${subject}`
      .replace(/[^\p{L}\p{N} ._-]/gu, '_')
      .slice(0, 100);
    const directory = join(this.directory, label.trim());
    const partial = `${directory}.partial`;
    await mkdir(partial, { recursive: true });
    const header = [
      `From: ${mail.from?.text ?? ''}`,
      `To: ${recipients.join(', ')}`,
      `Date: ${mail.date?.toISOString() ?? ''}`,
      `Subject: ${subject}`,
      ...mail.attachments.map(
        ({ filename, size }) => `Attachment: ${String(filename)} (${String(size)} bytes)`,
      ),
    ].join('\n');
    await writeFile(join(partial, 'mail.txt'), `${header}\n\n${text}`);
    await writeFile(join(partial, 'mail.html'), html);
    await writeFile(join(partial, 'message.eml'), bytes);
    const attachments = [];
    for (const [index, { filename = '', contentType, content }] of mail.attachments.entries()) {
      // Names as they came are of interest to tests, not to the file system.
      const file = filename.replace(/[^A-Za-z0-9._-]/g, '_').replace(/^\.*$/, `attachment-${String(index)}`);
      await writeFile(join(partial, file), content);
      attachments.push({ name: filename, mimeType: contentType, path: join(directory, file) });
    }
    await rename(partial, directory);
    this.mails.push({
      directory,
      sender,
      recipients,
      from: mail.from?.text ?? '',
      to: addressText(mail.to),
      messageId: mail.messageId ?? '',
      references: [mail.references ?? []].flat().join(' '),
      subject,
      text,
      html,
      attachments,
    });
    if (this.mails.length > MAX_REMEMBERED) this.mails.shift();
  }
}

/** Bytes of the files of a mail, by name. */
export async function attachmentsOf({ attachments }: StoredMail): Promise<ReadonlyMap<string, Buffer>> {
  return new Map(
    await Promise.all(attachments.map(async ({ name, path }) => [name, await readFile(path)] as const)),
  );
}

function replyOf({ code, text }: SmtpReply): Error {
  return Object.assign(new Error(text), { responseCode: code });
}

function addressText(to: ParsedMail['to']): string {
  return [to ?? []]
    .flat()
    .map(({ text }) => text)
    .join(', ');
}
