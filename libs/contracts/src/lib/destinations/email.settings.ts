import { z } from 'zod';

import { AddressList, addressesOf } from '../address-list.js';

/** Settings of one e-mail integration, as the tenant enters them. Source: wire/drive.md 3.4. */
export const EmailSettings = z.strictObject({
  to: AddressList.refine((list) => addressesOf(list).length > 0, 'must hold at least one address').meta({
    description: 'Recipients, comma-separated. All of them get every mail.',
  }),
  'subject-prefix': z
    .string()
    .max(200)
    .regex(/^[^\p{Cc}]*$/u, 'must not contain control characters')
    .default('')
    .meta({ description: 'Stands at the beginning of every subject.' }),
});
export type EmailSettings = z.infer<typeof EmailSettings>;

/** Settings that change where data goes: a new value waits for approval. Source: wire/drive.md 3.9. */
export const EMAIL_ROUTING_SETTINGS: readonly (keyof EmailSettings)[] = ['to'];
