import { z } from 'zod';

const Address = z.email();

/** Servers take at least so many recipients of one mail. Source: RFC 5321, 4.5.3.1.8. */
const MAX_ADDRESSES = 100;

/** The addresses of a comma-separated list. */
export function addressesOf(list: string): readonly string[] {
  return list.trim() === '' ? [] : list.split(',').map((address) => address.trim());
}

/** Comma-separated e-mail addresses, the vendor's form; a bad one is named by its place. */
export const AddressList = z
  .string()
  .max(4_096)
  .refine(
    (list) => addressesOf(list).length <= MAX_ADDRESSES,
    `must hold at most ${String(MAX_ADDRESSES)} addresses`,
  )
  .superRefine((list, context) => {
    for (const [index, address] of addressesOf(list).entries()) {
      if (Address.safeParse(address).success) continue;
      context.addIssue({
        code: 'custom',
        message: `address ${String(index + 1)} of the list is not an e-mail address`,
      });
    }
  });
