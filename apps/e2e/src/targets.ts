import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { DestinationKind } from '@heddle/contracts';
import {
  HookCatcher,
  HttpGate,
  startAzurite,
  startS3Proxy,
  startSftpServer,
  startSmtpServer,
  temporaryFolder,
} from '@heddle/testing';
import type { GateFault, HookReaction, SftpFaults, SmtpFaults } from '@heddle/testing';

export const TARGET_FAULTS = ['gone', 'hung', 'refusing', 'full'] as const;
export type TargetFault = (typeof TARGET_FAULTS)[number];

/** One mail or one call; of files, all that stand at the target. */
export interface Arrival {
  /** What tells a repeated mail or call from another one. Files have none: there, names do. */
  readonly id: string | undefined;
  /** By name; undefined for a link. */
  readonly files: ReadonlyMap<string, string | undefined>;
}

/** A system that Heddle delivers to, and that does wrong on request. */
export interface Target {
  readonly kind: DestinationKind;
  readonly port: number;
  /** Of an integration. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** What its worker needs alone. */
  readonly workerEnv?: Readonly<Record<string, string>>;
  /** From now on, for connections that are open as well. Undefined mends it. */
  fault(fault: TargetFault | undefined): void;
  /** Where it is a mailbox. */
  mails?(): readonly { readonly id: string; readonly subject: string }[];
  /** What came of an order, leftovers under temporary names included. */
  arrived(orderNumber: string): Promise<readonly Arrival[]>;
  close(): Promise<void>;
}

const USER = { username: 'factory', password: 'targets' } as const;
const BUCKET = 'factory';

/** One of each kind. */
export async function startTargets(): Promise<readonly Target[]> {
  return await Promise.all([sftpTarget(), emailTarget(), s3Target(), azureBlobTarget(), zapierTarget()]);
}

async function sftpTarget(): Promise<Target> {
  const directory = await temporaryFolder('sftp');
  const server = await startSftpServer({ directory, users: [USER] });
  const faults: Readonly<Record<TargetFault, SftpFaults>> = {
    gone: { refuseConnections: true },
    hung: { hangOn: ['write'] },
    refusing: { refuseLogin: true },
    full: { fail: { write: 'ENOSPC' } },
  };
  return {
    kind: 'sftp',
    port: server.port,
    settings: {
      host: '127.0.0.1',
      port: server.port,
      username: USER.username,
      'password-secret': USER.password,
      'host-key-sha256': server.hostKeySha256,
      directory: '.',
    },
    fault: (fault) => {
      server.faults = fault === undefined ? {} : faults[fault];
      // A login shows its faults on a new connection alone.
      server.cutConnections();
    },
    arrived: (orderNumber) => filesIn(directory, orderNumber),
    close: () => server.close(),
  };
}

async function emailTarget(): Promise<Target> {
  const server = await startSmtpServer({ directory: await temporaryFolder('mail') });
  const faults: Readonly<Record<TargetFault, SmtpFaults>> = {
    gone: { refuseConnections: true },
    // It has the mail, and does not say so.
    hung: { hangOn: ['message'] },
    refusing: { refuse: { sender: { code: 451, text: '4.7.1 come again later' } } },
    full: { refuse: { message: { code: 452, text: '4.3.1 no room left' } } },
  };
  return {
    kind: 'email',
    port: server.port,
    settings: { to: 'hall-2@factory.example', 'subject-prefix': '[Factory]' },
    workerEnv: {
      SMTP_URL: server.url,
      SMTP_REQUIRE_TLS: 'false',
      MAIL_FROM: 'Heddle <heddle@hub.example>',
      SMTP_ANSWER_TIMEOUT_MS: '1500',
    },
    mails: () => server.mails.map(({ messageId, subject }) => ({ id: messageId, subject })),
    fault: (fault) => {
      server.faults = fault === undefined ? {} : faults[fault];
    },
    arrived: (orderNumber) =>
      Promise.all(
        server.mails
          .filter(({ attachments }) => attachments.some(({ name }) => isOf(orderNumber, name)))
          .map(async ({ messageId, attachments }) => ({
            id: messageId,
            files: new Map(
              await Promise.all(
                attachments.map(async ({ name, path }) => [name, await readFile(path, 'utf8')] as const),
              ),
            ),
          })),
      ),
    close: () => server.close(),
  };
}

const GATE_FAULTS: Readonly<Record<TargetFault, GateFault>> = {
  gone: 'cut',
  hung: 'hang',
  refusing: { answer: { status: 403 } },
  full: { answer: { status: 507 } },
};

function gateFault(gate: HttpGate, fault: TargetFault | undefined): void {
  gate.rule = () => (fault === undefined ? undefined : GATE_FAULTS[fault]);
  gate.cutConnections();
}

async function s3Target(): Promise<Target> {
  const server = await startS3Proxy({ buckets: [BUCKET] });
  const gate = await HttpGate.start(server.port);
  return {
    kind: 's3',
    port: gate.port,
    settings: {
      'access-key-secret': server.accessKey,
      'secret-key-secret': server.secretKey,
      bucket: BUCKET,
      region: server.region,
      endpoint: gate.origin,
    },
    fault: (fault) => gateFault(gate, fault),
    arrived: (orderNumber) => filesIn(join(server.directory, BUCKET), orderNumber),
    close: async () => {
      await gate.close();
      await server.close();
    },
  };
}

async function azureBlobTarget(): Promise<Target> {
  const server = await startAzurite();
  await server.createContainer(BUCKET);
  const gate = await HttpGate.start(server.port);
  const connection = server.connectionString(BUCKET);
  return {
    kind: 'azure-blob',
    port: gate.port,
    settings: {
      'connection-string-secure': connection.replace(`:${String(server.port)}/`, `:${String(gate.port)}/`),
      container: BUCKET,
    },
    fault: (fault) => gateFault(gate, fault),
    arrived: async (orderNumber) => {
      const blobs = [...(await server.contents(BUCKET))].filter(([name]) => isOf(orderNumber, name));
      return [{ id: undefined, files: new Map(blobs.map(([name, bytes]) => [name, bytes.toString()])) }];
    },
    close: async () => {
      await gate.close();
      await server.close();
    },
  };
}

async function zapierTarget(): Promise<Target> {
  const catcher = await HookCatcher.start();
  const faults: Readonly<Record<TargetFault, HookReaction>> = {
    gone: 'reset',
    hung: 'hang',
    refusing: { status: 403 },
    full: { status: 507 },
  };
  return {
    kind: 'zapier',
    port: catcher.port,
    settings: { 'hook-url': catcher.hookUrl() },
    workerEnv: { HOOK_TIMEOUT_MS: '1500' },
    fault: (fault) => {
      catcher.rule = () => (fault === undefined ? undefined : faults[fault]);
      catcher.cutConnections();
    },
    arrived: (orderNumber) =>
      Promise.resolve(
        catcher.calls
          .map(({ headers, text }) => ({
            id: String(headers['x-delivery-id']),
            body: JSON.parse(text) as { orderNumber?: string; files: readonly { name: string }[] },
          }))
          .filter(({ body }) => body.orderNumber === orderNumber)
          .map(({ id, body }) => ({
            id,
            files: new Map(body.files.map(({ name }) => [name, undefined])),
          })),
      ),
    close: () => catcher.close(),
  };
}

function isOf(orderNumber: string, name: string): boolean {
  return name.includes(`${orderNumber}_ID_`);
}

async function filesIn(directory: string, orderNumber: string): Promise<readonly Arrival[]> {
  const names = (await readdir(directory)).filter((name) => isOf(orderNumber, name));
  const files = await Promise.all(
    names.map(async (name) => [name, await readFile(join(directory, name), 'utf8')] as const),
  );
  return [{ id: undefined, files: new Map(files) }];
}
