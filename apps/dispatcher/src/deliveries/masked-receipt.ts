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
  const counts = new Map<string, number>();
  const details = Object.entries(receipt.details).map(([name, value]) => {
    const masked = masking(name);
    const count = (counts.get(masked) ?? 0) + 1;
    counts.set(masked, count);
    return [count === 1 ? masked : `${masked} #${String(count)}`, value] as const;
  });
  const location = MAILTO + masking(receipt.location.slice(MAILTO.length));
  return { ...receipt, location, details: Object.fromEntries(details) };
}

function masking(text: string): string {
  return text.replaceAll(ADDRESS, (address) => {
    const at = address.lastIndexOf('@');
    return `${at > 1 ? address.slice(0, 1) : ''}***${address.slice(at)}`;
  });
}
