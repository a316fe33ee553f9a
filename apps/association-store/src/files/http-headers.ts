import { isUnchanged } from '@heddle/platform';
import parseRange from 'range-parser';

import type { ByteRange } from './object-store.js';

/** RFC 9530: a dictionary of digests by algorithm. */
const SHA256_DIGEST = /(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?:;[^,]*)?(?:,|$)/;

/** The SHA-256 of a `Content-Digest`, in hex; undefined where it has none. */
export function digestIn(header: string): string | undefined {
  const base64 = SHA256_DIGEST.exec(header)?.[1];
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString('hex');
}

const MIME_TYPE =
  /^[A-Za-z0-9!#$&^_.+-]{1,127}\/[A-Za-z0-9!#$&^_.+-]{1,127}(?:[ \t]*;[ \t]*[A-Za-z0-9!#$&^_.+-]+=(?:[A-Za-z0-9!#$&^_.+-]+|"[A-Za-z0-9!#$&^_.+ -]*"))*$/;

/** As it came, where it is one. */
export function mimeTypeIn(header: string): string | undefined {
  const text = header.trim();
  return text.length <= 255 && MIME_TYPE.test(text) ? text : undefined;
}

/**
 * The part that a request asks for (RFC 9110, 14.2). Undefined: all of it, as for a range that cannot be read,
 * several ranges, and a part of other content than there is now.
 */
export function rangeIn(
  { range, ifRange }: { readonly range: string | undefined; readonly ifRange: string | undefined },
  { etag, sizeBytes }: { readonly etag: string; readonly sizeBytes: number },
): ByteRange | 'unsatisfiable' | undefined {
  if (range === undefined || !/^bytes=/i.test(range)) return undefined;
  if (ifRange !== undefined && !isUnchanged(ifRange, etag)) return undefined;
  const ranges = parseRange(sizeBytes, range);
  if (ranges === -1) return 'unsatisfiable';
  if (ranges === -2 || ranges.length !== 1) return undefined;
  return ranges[0];
}

/** RFC 6266 and 8187: a name in any script, for whoever saves the file. */
export function attachmentNamed(name: string): string {
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename*=UTF-8''${encoded}`;
}
