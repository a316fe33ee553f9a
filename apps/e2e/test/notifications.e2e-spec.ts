import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { DeliveryPage, IntegrationPage } from '@heddle/contracts';
import type { DeliverySummary } from '@heddle/contracts';
import {
  Heddle,
  HookCatcher,
  createIntegration,
  eventually,
  startSmtpServer,
  temporaryFolder,
} from '@heddle/testing';
import type { SmtpServer, StoredMail } from '@heddle/testing';

import { testServers } from '../src/test-servers.js';

const WITHIN = { withinMs: 20_000, everyMs: 50 } as const;
const WINDOW_MS = 5_000;
const FAILURES = 'ops@factory.example';
const SUCCESSES = 'office@factory.example';
const RECIPE = 'DRIVE-001';

jest.setTimeout(60_000);

describe('what notification lists are told', () => {
  let heddle: Heddle;
  let mailbox: SmtpServer;
  let catcher: HookCatcher;

  beforeAll(async () => {
    mailbox = await startSmtpServer({ directory: await temporaryFolder('mail') });
    catcher = await HookCatcher.start();
    heddle = await Heddle.start({
      ...testServers(),
      workers: ['email', 'zapier'],
      env: {
        RETRY_DELAYS_MS: '100,200',
        NOTIFICATION_WINDOW_MS: String(WINDOW_MS),
      },
      workerEnv: { email: { SMTP_URL: mailbox.url, MAIL_FROM: 'Heddle <heddle@hub.example>' } },
      allowedAddresses: [mailbox.port, catcher.port].map((port) => `127.0.0.1/32:${String(port)}`),
    });
    await writeFile(join(heddle.filesDirectory, `${RECIPE}.dst`), 'stitches');
    const production = heddle.fileUrl(`${RECIPE}.dst`);
    const views = [{ code: 'Front', productionReady: true, production }];
    await heddle.client.expect('POST', '/api/v2/recipe', { id: RECIPE, views });
  }, 90_000);
  beforeEach(() => {
    catcher.rule = () => undefined;
  });
  afterAll(async () => {
    await heddle.stop();
    await Promise.all([mailbox.close(), catcher.close()]);
  }, 30_000);

  const integrate = async (name: string, lists: Readonly<Record<string, string>>): Promise<string> => {
    const { integrationId } = await createIntegration(heddle.admin, {
      destination: 'zapier',
      description: name,
      ...lists,
      settings: { 'hook-url': catcher.hookUrl(name) },
    });
    return integrationId;
  };
  const order = (...orderNumbers: readonly string[]): Promise<unknown> =>
    heddle.client.expect(
      'POST',
      '/api/v2/recipe/order',
      orderNumbers.map((orderNumber) => ({ orderNumber, itemId: '1', recipeId: RECIPE, itemQuantity: 1 })),
    );
  const mailsAbout = (name: string): readonly StoredMail[] =>
    mailbox.mails.filter(({ subject }) => subject.endsWith(`: ${name}`));
  const deliveries = async (filter: string): Promise<readonly DeliverySummary[]> =>
    DeliveryPage.parse(await heddle.client.expect('GET', `/api/v2/deliveries?${filter}`)).items;
  const mailsCount = (name: string, count: number): Promise<void> =>
    eventually(() => expect(mailsAbout(name).map(({ subject }) => subject)).toHaveLength(count), WITHIN);

  it('is one mail after three failed attempts, and one more when a trigger has delivered after all', async () => {
    const integrationId = await integrate('hall-2', { 'failure-notification-list': FAILURES });
    catcher.rule = ({ url }) => (url.includes('hall-2') ? { status: 503 } : undefined);
    await order('1022');

    await mailsCount('hall-2', 1);
    const [failed] = await deliveries(`integrationId=${integrationId}`);
    expect(failed).toMatchObject({ state: 'failed', attempts: 3, code: 'UNAVAILABLE', notification: null });
    const [mail] = mailsAbout('hall-2');
    expect(mail).toMatchObject({
      subject: 'Order 1022 could not be delivered: hall-2',
      recipients: [FAILURES],
    });
    for (const words of [
      'Order number: 1022',
      'Destination: zapier',
      `- ${RECIPE}`,
      'Attempt 1, ',
      'Attempt 2, ',
      'Attempt 3, ',
      'the destination could not be reached',
      `${heddle.baseUrl}/api/v2/deliveries/${failed?.deliveryId ?? ''}`,
    ])
      expect(mail?.text).toContain(words);
    expect(mail?.text).not.toContain('/hooks/catch/');
    const link = /http:\S+\/deliveries\/\S+/.exec(mail?.text ?? '')?.[0].slice(heddle.baseUrl.length) ?? '';
    expect(await heddle.client.expect('GET', link)).toMatchObject({ orderNumber: '1022', state: 'failed' });

    catcher.rule = () => undefined;
    await heddle.client.expect('POST', '/api/v2/trigger', { orderNumber: '1022' });
    await mailsCount('hall-2', 2);
    expect(mailsAbout('hall-2')[1]).toMatchObject({
      subject: 'Order 1022 has been delivered after all: hall-2',
      recipients: [FAILURES],
    });
    await eventually(
      async () =>
        expect(await deliveries(`notifies=${integrationId}`)).toMatchObject([
          { state: 'succeeded', destination: 'email', notification: { integrationId, kind: 'recovered' } },
          { state: 'succeeded', destination: 'email', notification: { integrationId, kind: 'failed' } },
        ]),
      WITHIN,
    );
    const { items } = IntegrationPage.parse(await heddle.admin.expect('GET', '/api/v2/integrations'));
    expect(items.map((each) => each.integrationId)).toEqual([integrationId]);
  });

  it('is one mail and one digest for a burst, each failure in one of them', async () => {
    await integrate('burst', { 'failure-notification-list': FAILURES });
    // Not an outage: a breaker would spread the failures over its probes.
    catcher.rule = ({ url }) => (url.includes('burst') ? { status: 403 } : undefined);
    const numbers = Array.from({ length: 8 }, (_, index) => String(2_001 + index));
    await order(...numbers);

    await mailsCount('burst', 2);
    const [first, digest] = mailsAbout('burst');
    expect(first?.subject).toMatch(/^Order 20\d\d could not be delivered/);
    expect(digest?.subject).toBe('7 failed: burst');
    const text = `${first?.text ?? ''}${digest?.text ?? ''}`;
    for (const number of numbers) expect(text.match(new RegExp(`Order ${number}`, 'g'))).toHaveLength(1);
  });

  it('is that the integration is off, where the destination is gone', async () => {
    const integrationId = await integrate('gone', { 'failure-notification-list': FAILURES });
    catcher.rule = ({ url }) => (url.includes('gone') ? { status: 410 } : undefined);
    await order('2501');

    await mailsCount('gone', 1);
    expect(mailsAbout('gone')[0]?.text).toContain('so the integration was disabled');
    expect(await heddle.admin.expect('GET', `/api/v2/integrations/${integrationId}`)).toMatchObject({
      status: 'disabled',
    });
  });

  it('is each success where a list asks for it, after a kill of the dispatcher too', async () => {
    await integrate('office', { 'success-notification-list': SUCCESSES });
    await order('3001');
    await mailsCount('office', 1);
    expect(mailsAbout('office')[0]).toMatchObject({
      subject: 'Order 3001 has been delivered: office',
      recipients: [SUCCESSES],
    });
    await order('3002', '3003');
    await eventually(async () => {
      const [one] = await deliveries('orderNumber=3002');
      const [two] = await deliveries('orderNumber=3003');
      expect([one?.state, two?.state]).toEqual(['succeeded', 'succeeded']);
    }, WITHIN);
    heddle.service('dispatcher').signal('SIGKILL');

    await mailsCount('office', 2);
    expect(mailsAbout('office')[1]?.subject).toBe('2 delivered: office');
    expect(new Set(mailbox.mails.map(({ messageId }) => messageId)).size).toBe(mailbox.mails.length);
  });
});
