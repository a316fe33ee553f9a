import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import { IntegrationView } from '@heddle/contracts';
import type { Permission } from '@heddle/contracts';

const run = promisify(execFile);
const REQUEST_MS = 10_000;
const BUSY_MS = 30_000;
const AGAIN_MS = 250;

export interface HubAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** Calls the hub's API as any client would. */
export class HubClient {
  constructor(
    readonly baseUrl: string,
    private readonly key: string,
  ) {}

  /** @throws when there is no answer at all; a refusal is an answer. */
  async call(method: string, path: string, body?: unknown): Promise<HubAnswer> {
    const answer = await fetch(new URL(path, this.baseUrl), {
      method,
      headers: {
        authorization: `Bearer ${this.key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    const text = await answer.text();
    const isJson = answer.headers.get('content-type')?.includes('json') === true;
    return {
      status: answer.status,
      headers: answer.headers,
      body: isJson ? (JSON.parse(text) as unknown) : text,
    };
  }

  /** For bodies and answers that are not JSON. */
  async send(
    method: string,
    path: string,
    init: {
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: NonNullable<RequestInit['body']>;
    } = {},
  ): Promise<Response> {
    return await fetch(new URL(path, this.baseUrl), {
      method,
      headers: { authorization: `Bearer ${this.key}`, ...init.headers },
      ...(init.body !== undefined && { body: init.body, duplex: 'half' }),
      signal: AbortSignal.timeout(BUSY_MS),
    });
  }

  /**
   * Asks again while the hub answers 503, as clients do: a service that has just started may not have its database yet.
   *
   * @throws when the answer is not a success.
   */
  async expect(method: string, path: string, body?: unknown): Promise<unknown> {
    const deadline = performance.now() + BUSY_MS;
    for (;;) {
      const answer = await this.call(method, path, body);
      if (answer.status >= 200 && answer.status < 300) return answer.body;
      if (answer.status !== 503 || performance.now() > deadline) {
        throw new Error(
          `${method} ${path} was answered ${String(answer.status)}: ${JSON.stringify(answer.body)}`,
        );
      }
      await delay(AGAIN_MS);
    }
  }
}

export interface AdminCommand {
  /** The gateway's `admin.js`. */
  readonly entry: string;
  readonly databaseUrl: string;
}

/** Runs one command of the gateway's administration and returns what it printed. */
async function runAdmin(command: AdminCommand, args: readonly string[]): Promise<Record<string, unknown>> {
  const { stdout } = await run(process.execPath, [command.entry, ...args], {
    env: { ...process.env, DATABASE_URL: command.databaseUrl },
  });
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** Safe to repeat. */
export async function createTenant(command: AdminCommand, tenant: string): Promise<void> {
  await runAdmin(command, ['create-tenant', tenant]);
}

/** @returns the key, which is shown this once. */
export async function createKey(
  command: AdminCommand,
  options: { readonly tenant: string; readonly name: string; readonly permissions: readonly Permission[] },
): Promise<string> {
  const { tenant, name, permissions } = options;
  const args = ['--tenant', tenant, '--name', name, '--permissions', permissions.join(',')];
  const { key } = await runAdmin(command, ['create-key', ...args]);
  if (typeof key !== 'string') throw new Error('creating a key printed none');
  return key;
}

/** Creates an SFTP integration and approves it. */
export async function createIntegration(
  admin: HubClient,
  integration: {
    readonly description: string;
    readonly settings: Readonly<Record<string, unknown>>;
    readonly [member: string]: unknown;
  },
): Promise<IntegrationView> {
  const created = await admin.expect('POST', '/api/v2/integrations', { destination: 'sftp', ...integration });
  return approveIntegration(admin, IntegrationView.parse(created));
}

export async function approveIntegration(admin: HubClient, view: IntegrationView): Promise<IntegrationView> {
  const path = `/api/v2/integrations/${view.integrationId}/approve`;
  return IntegrationView.parse(await admin.expect('POST', path, { version: view.version }));
}
