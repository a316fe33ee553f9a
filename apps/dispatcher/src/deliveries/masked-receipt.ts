import type { Receipt } from '@heddle/contracts';

const MAILTO = 'mailto:';
const ADDRESS = /[^\s,@]+@[^\s,@]+/g;

/**
 * A receipt for everybody: of e-mail addresses it shows the domain, and where there are others the first letter. Mails
 * alone name recipients, in their location and in the names of details. What else a detail says stays: a `Message-ID`
 * looks like an address, and is none.
 */
export function maskedReceipt<T extends Pick<Receipt, 'location' | 'details'>>(receipt: T): T {
  if (!receipt.location.startsWith(MAILTO)) return receipt;
  const details = new Map<string, string>();
  for (const [name, value] of Object.entries(receipt.details)) {
    const masked = masking(name);
    const sameBefore = [...details.keys()].filter((other) => other.replace(/ #\d+$/, '') === masked).length;
    details.set(sameBefore === 0 ? masked : `${masked} #${String(sameBefore + 1)}`, value);
  }
  const location = MAILTO + masking(receipt.location.slice(MAILTO.length));
  return { ...receipt, location, details: Object.fromEntries(details) };
}

function masking(text: string): string {
  return text.replaceAll(ADDRESS, (address) => {
    const at = address.lastIndexOf('@');
    return `${at > 1 ? address.slice(0, 1) : ''}***${address.slice(at)}`;
  });
}
