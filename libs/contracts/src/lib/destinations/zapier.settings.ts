import { z } from 'zod';

import { SECRET_MASK } from './secret-settings.js';
import { endpointOfUrl } from './settings-endpoint.js';
import type { SettingsEndpoint } from './settings-endpoint.js';

/** Settings of one Zapier integration, as the tenant enters them. Source: wire/drive.md 3.4, wire/zapier.md. */
export const ZapierSettings = z.strictObject({
  'hook-url': z
    .string()
    .max(2_048)
    .superRefine((text, context) => {
      const reason = text === SECRET_MASK ? undefined : refusalOf(text);
      if (reason !== undefined) context.addIssue({ code: 'custom', message: reason });
    })
    .meta({
      description: 'Address of the catch hook, as Zapier shows it: https://hooks.zapier.com/hooks/catch/...',
      secret: true,
    }),
  'recipe-links': z.enum(['signed', 'public']).default('signed').meta({
    description:
      "Links to recipe documents and pick tickets. Signed: they open for a week, without a key. Public: the recipe's own addresses, which do not expire and say nothing of the order.",
  }),
});
export type ZapierSettings = z.infer<typeof ZapierSettings>;

/** Settings that change where data goes: a new value waits for approval. Source: wire/drive.md 3.9. */
export const ZAPIER_ROUTING_SETTINGS: readonly (keyof ZapierSettings)[] = ['hook-url'];

/** Undefined for a hook that is masked: it was checked when it came. */
export function zapierEndpoint({ 'hook-url': hookUrl }: ZapierSettings): SettingsEndpoint | undefined {
  const url = hookUrl === SECRET_MASK ? null : URL.parse(hookUrl);
  return url === null ? undefined : endpointOfUrl('hook-url', url);
}

/** Whether http or the host are allowed is for the guard to say: it knows what this installation opens. */
function refusalOf(text: string): string | undefined {
  if (/[\p{Cc}\s]/u.test(text)) return 'must not contain spaces or control characters';
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    return 'must be an https address';
  if (url.username !== '' || url.password !== '') return 'must not contain a user name or password';
  return undefined;
}
