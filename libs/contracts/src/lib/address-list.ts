import { z } from 'zod';

const Address = z.email();

/** The addresses of a comma-separated list. */
export function addressesOf(list: string): readonly string[] {
  return list.trim() === '' ? [] : list.split(',').map((address) => address.trim());
}

/** Comma-separated e-mail addresses, the vendor's form; a bad one is named by its place. */
export const AddressList = z
  .string()
  .max(4_096)
  .superRefine((list, context) => {
    for (const [index, address] of addressesOf(list).entries()) {
      if (Address.safeParse(address).success) continue;
      context.addIssue({
        code: 'custom',
        message: `address ${String(index + 1)} of the list is not an e-mail address`,
      });
    }
  });
