import type { Receipt } from '@heddle/contracts';

const MAX_LOCATION = 500;

/** What proves a file, without what tells more of it: as many receipts as files may be offered fit into one report. */
export function shortReceipt({ name, location, sizeBytes, sha256 }: Receipt): Receipt {
  return { name, location: shortened(location), sizeBytes, sha256, details: {} };
}

/** Ends after a comma where there is one: half an address is not told for one by who masks them. */
function shortened(location: string): string {
  if (location.length <= MAX_LOCATION) return location;
  const start = location.slice(0, MAX_LOCATION).toWellFormed();
  return `${start.slice(0, start.lastIndexOf(',') + 1) || start}…`;
}
