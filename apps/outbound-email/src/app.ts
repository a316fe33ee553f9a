import { EmailSettings } from '@heddle/contracts';
import { runOutboundWorker } from '@heddle/destination-worker';
import type { RunningService } from '@heddle/platform';
import { Gauge } from 'prom-client';

import type { Config } from './config.js';
import { EmailDestination } from './email/email.destination.js';
import { NodemailerSmtpClient } from './email/nodemailer-smtp.client.js';

/** Composition root. */
export function startOutboundEmail(config: Config, handleSignals = true): Promise<RunningService> {
  return runOutboundWorker({
    service: 'outbound-email',
    config,
    kind: 'email',
    settings: EmailSettings,
    destination: ({ guard, connectTimeoutMs, silenceTimeoutMs, metrics }) => {
      const client = new NodemailerSmtpClient({
        server: config.SMTP_URL,
        requireTls: config.SMTP_REQUIRE_TLS ?? config.SMTP_URL.login !== undefined,
        connections: config.SMTP_CONNECTIONS,
        mailsPerConnection: config.SMTP_MAILS_PER_CONNECTION,
        perSecond: config.SMTP_RATE_PER_SECOND,
        guard,
        connectTimeoutMs,
        silenceTimeoutMs,
        answerTimeoutMs: config.SMTP_ANSWER_TIMEOUT_MS,
      });
      new Gauge({
        name: 'heddle_smtp_connections',
        help: 'Open connections to the mail server.',
        registers: [metrics],
        collect() {
          this.set(client.size);
        },
      });
      return new EmailDestination(client, {
        from: config.MAIL_FROM,
        maxBytes: config.MAIL_MAX_BYTES,
        publicUrl: config.PUBLIC_URL,
      });
    },
    handleSignals,
  });
}
