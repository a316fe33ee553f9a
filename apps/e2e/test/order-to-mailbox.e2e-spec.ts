import { join } from 'node:path';
import { readFile, writeFile } from 'node:fs/promises';

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { DeliveryDetails, DeliveryPage, TOPIC } from '@heddle/contracts';
import {
  Heddle,
  attachmentsOf,
  createIntegration,
  eventually,
  startSmtpServer,
  temporaryFolder,
} from '@heddle/testing';
import type { SmtpServer, StoredMail } from '@heddle/testing';

import { HubData } from '../src/hub-data.js';
import { testServers } from '../src/test-servers.js';

const WITHIN = { withinMs: 20_000, everyMs: 50 } as const;
/** Of files in one mail, so that a small test has files that do not fit. */
const MAX_BYTES = 100_000;
const ORDER_TOPICS = [TOPIC.orderSubmitted, TOPIC.orderCancelled, TOPIC.recipeCreated];

jest.setTimeout(60_000);

describe('an order on its way from POST to mailbox', () => {
  let heddle: Heddle;
  let mailbox: SmtpServer;
  let integrationId: string;

  beforeAll(async () => {
    mailbox = await startSmtpServer({
      directory: await temporaryFolder('mail'),
      user: { name: 'heddle', password: 'word-of-the-mail-server' },
    });
    heddle = await Heddle.start({
      ...testServers(),
      workers: ['email'],
      workerEnv: {
        email: {
          SMTP_URL: mailbox.url,
          SMTP_REQUIRE_TLS: 'false',
          MAIL_FROM: 'Heddle <heddle@hub.example>',
          MAIL_MAX_BYTES: String(MAX_BYTES),
        },
      },
      allowedAddresses: [`127.0.0.1/32:${String(mailbox.port)}`],
    });
    ({ integrationId } = await createIntegration(heddle.admin, {
      destination: 'email',
      description: 'Hall 2',
      triggers: ['order.submitted', 'order.updated', 'order.cancelled'],
      settings: { to: 'hall-2@factory.example, office@factory.example', 'subject-prefix': '[Factory]' },
    }));
  }, 90_000);
  afterAll(async () => {
    await heddle.stop();
    await mailbox.close();
  }, 30_000);

  async function saveRecipe(recipeId: string, bytes: Buffer): Promise<void> {
    await writeFile(join(heddle.filesDirectory, `${recipeId}.dst`), bytes);
    const production = heddle.fileUrl(`${recipeId}.dst`);
    const views = [{ name: 'Front', code: 'Front', productionReady: true, production }];
    await heddle.client.expect('POST', '/api/v2/recipe', { id: recipeId, name: 'Team Cap', views });
  }
  const associate = (line: object): Promise<unknown> =>
    heddle.client.expect('POST', '/api/v2/recipe/order', [{ itemId: '1', itemQuantity: 2, ...line }]);
  const mailsOf = (orderNumber: string): readonly StoredMail[] =>
    mailbox.mails.filter(({ subject }) => subject.includes(` ${orderNumber} `));
  const deliveryOf = async (orderNumber: string): Promise<DeliveryDetails> => {
    const page = await heddle.client.expect('GET', `/api/v2/deliveries?orderNumber=${orderNumber}`);
    const [delivery] = DeliveryPage.parse(page).items;
    return DeliveryDetails.parse(
      await heddle.client.expect('GET', `/api/v2/deliveries/${String(delivery?.deliveryId)}`),
    );
  };

  it('arrives as one mail with its files, in the words of the order, and proves each of them', async () => {
    const bytes = Buffer.from('stitches\r\n.\r\nof DRIVE-001');
    await saveRecipe('DRIVE-001', bytes);
    await associate({ recipeId: 'DRIVE-001', orderNumber: '1022', orderId: '6182665224482' });

    await eventually(async () => expect(mailsOf('1022')).toHaveLength(1), WITHIN);
    const [mail] = mailsOf('1022');
    expect(mail).toMatchObject({
      subject: '[Factory] Order 1022 submitted',
      sender: 'heddle@hub.example',
      recipients: ['hall-2@factory.example', 'office@factory.example'],
    });
    expect(mail?.text).toContain('2 x item 1, recipe DRIVE-001');
    const prefix = '1022_ID_6182665224482_R_DRIVE-001_';
    const files = await attachmentsOf(mail!);
    expect(files.get(`${prefix}Production-Front.dst`)?.equals(bytes)).toBe(true);
    expect(JSON.parse(String(files.get(`${prefix}Recipe.json`)))).toMatchObject({ id: 'DRIVE-001' });

    await eventually(async () => expect((await deliveryOf('1022')).state).toBe('succeeded'), WITHIN);
    const delivery = await deliveryOf('1022');
    expect(mail?.messageId).toBe(`<${delivery.deliveryId}@hub.example>`);
    expect(delivery.files.map(({ state }) => state)).toEqual(delivery.files.map(() => 'delivered'));
    const [first] = delivery.files;
    expect(first?.receipt?.location).toBe('mailto:hall-2@factory.example,office@factory.example');
    expect(delivery.files.find(({ kind }) => kind === 'production')?.receipt).toMatchObject({
      sizeBytes: bytes.length,
      details: { messageId: mail?.messageId, sentAs: 'attachment' },
    });
  });

  it('carries links for what does not fit, and they serve the very bytes without a key', async () => {
    const bytes = Buffer.alloc(MAX_BYTES + 1, 'stitches ');
    await saveRecipe('DRIVE-BIG', bytes);
    await associate({ recipeId: 'DRIVE-BIG', orderNumber: '1023' });

    await eventually(async () => expect(mailsOf('1023')).toHaveLength(1), WITHIN);
    const [mail] = mailsOf('1023');
    expect(mail?.text).toContain('too large for this mail');
    const [link = ''] = /http:\S+\/files\/\S+/.exec(mail?.text ?? '') ?? [];
    const answer = await fetch(link);
    expect(answer.status).toBe(200);
    expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true);
    expect((await fetch(link.replace('_Production', '-Production'))).status).toBe(403);
    await eventually(async () => {
      const { files } = await deliveryOf('1023');
      expect(files.find(({ kind }) => kind === 'production')?.receipt).toMatchObject({
        sizeBytes: null,
        sha256: null,
        details: { sentAs: 'link' },
      });
    }, WITHIN);
  });

  it('says that an order was cancelled, with the order document', async () => {
    await saveRecipe('DRIVE-003', Buffer.from('x'));
    await associate({ recipeId: 'DRIVE-003', orderNumber: '1024' });
    await eventually(async () => expect(mailsOf('1024')).toHaveLength(1), WITHIN);
    await heddle.client.expect('POST', '/api/v2/order/cancel', [{ orderNumber: '1024' }]);
    await eventually(async () => expect(mailsOf('1024')).toHaveLength(2), WITHIN);
    const [submitted, cancelled] = mailsOf('1024');
    expect(cancelled?.subject).toBe('[Factory] Order 1024 cancelled');
    expect(cancelled?.references).toBe(submitted?.references);
    expect(cancelled?.attachments.map(({ name }) => name)).toEqual(['1024_ID_1024_Cancelled.json']);
  });

  it('is one mail to the mailbox when the answer of the server was lost, and fails in plain words when it is refused', async () => {
    await saveRecipe('DRIVE-004', Buffer.from('x'));
    mailbox.faults = { cutAfterMessage: true };
    await associate({ recipeId: 'DRIVE-004', orderNumber: '1025' });
    await eventually(async () => expect(mailsOf('1025')).toHaveLength(1), WITHIN);
    mailbox.faults = {};
    await eventually(async () => expect((await deliveryOf('1025')).state).toBe('succeeded'), WITHIN);
    expect(new Set(mailsOf('1025').map(({ messageId }) => messageId)).size).toBe(1);

    mailbox.faults = { refuse: { recipient: { code: 550, text: '5.1.1 no such user' } } };
    await associate({ recipeId: 'DRIVE-004', orderNumber: '1026' });
    await eventually(async () => expect((await deliveryOf('1026')).state).toBe('failed'), WITHIN);
    mailbox.faults = {};
    const { attempts } = await deliveryOf('1026');
    expect(attempts).toMatchObject([
      { code: 'REJECTED', message: 'delivering the mail: the mail server refuses the mail for good' },
    ]);
  });

  it('goes, when what is missing is triggered, to those alone that were put off on every attempt', async () => {
    await saveRecipe('DRIVE-005', Buffer.from('x'));
    const office = 'office@factory.example';
    mailbox.faults = { refuseRecipients: { [office]: { code: 451, text: '4.7.1 greylisted' } } };
    await associate({ recipeId: 'DRIVE-005', orderNumber: '1027' });
    await eventually(async () => expect((await deliveryOf('1027')).state).toBe('failed'), WITHIN);
    expect((await deliveryOf('1027')).code).toBe('DEFERRED');
    mailbox.faults = {};
    await heddle.client.expect('POST', '/api/v2/trigger', { orderNumber: '1027', onlyMissing: true });
    await eventually(async () => expect((await deliveryOf('1027')).state).toBe('succeeded'), WITHIN);
    expect(mailsOf('1027').map(({ recipients }) => recipients)).toEqual([
      ['hall-2@factory.example'],
      [office],
    ]);
  });

  it('is refused at creation where the addresses are bad, with the field and the place of each', async () => {
    const answer = await heddle.admin.call('POST', '/api/v2/integrations', {
      destination: 'email',
      settings: { to: 'hall-2@factory.example, secret-word', cc: 'x@y.example' },
    });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({
      errors: expect.arrayContaining([
        expect.objectContaining({ pointer: '/settings/to', message: expect.stringContaining('address 2') }),
      ]),
    });
    expect(JSON.stringify(answer.body)).not.toContain('secret-word');
    expect(integrationId).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('names no address of the factory in a public topic', async () => {
    const data = new HubData(heddle);
    const topics = [TOPIC.deliverySucceeded, TOPIC.deliveryFailed, ...ORDER_TOPICS];
    for (const topic of topics) {
      const messages = await data.read(topic);
      const texts = messages.map(({ key, headers, value }) =>
        [key, JSON.stringify(headers), Buffer.from(value).toString()].join(),
      );
      expect([topic, texts.length > 0]).toEqual([topic, true]);
      expect(texts.filter((text) => /hall-2@|office@/.test(text))).toEqual([]);
    }
    const [succeeded] = await data.read(TOPIC.deliverySucceeded);
    expect(Buffer.from(succeeded!.value).toString()).toContain(
      'mailto:h***@factory.example,o***@factory.example',
    );
  });

  it('leaves neither the password of the mail server nor an address in the logs', async () => {
    const log = await readFile(join(heddle.directory, 'logs', 'outbound-email.log'), 'utf8');
    expect(log).toContain('delivery.attempted');
    expect(log).not.toMatch(/word-of-the-mail-server|factory\.example/);
  });
});
