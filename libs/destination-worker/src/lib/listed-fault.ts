import type { ManifestFault } from '@heddle/contracts';
import { DestinationError } from '@heddle/destination-kit';
import type { DestinationErrorCode } from '@heddle/destination-kit';

const FAULTS: Readonly<
  Record<ManifestFault, { readonly code: DestinationErrorCode; readonly words: string }>
> = {
  'address-unreadable': {
    code: 'ADDRESS_REFUSED',
    words: 'the recipe gives no http(s) address for it',
  },
  'hub-address': {
    code: 'ADDRESS_REFUSED',
    words: "its address is one of the hub's own, which has no such file of this recipe",
  },
  'too-many-files': {
    code: 'TOO_LARGE',
    words: 'the recipe lists too many files, this one and those behind it are left out',
  },
};

/** @throws {DestinationError} where the recipe's manifest says that the file cannot be delivered. */
export function assertListed({ fault }: { readonly fault?: ManifestFault | undefined }, place: string): void {
  if (fault === undefined) return;
  const { code, words } = FAULTS[fault];
  throw new DestinationError(code, `${place}: ${words}`);
}
