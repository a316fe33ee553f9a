import type { OfferedFile } from '@heddle/contracts';
import { MAX_LINKED_CHARACTERS } from '@heddle/secrets';
import type { FileLinks, LinkedSource } from '@heddle/secrets';

/** The address under which the hub serves one file of a delivery to whoever has it. */
export type LinkFile = (
  file: OfferedFile,
  delivery: { readonly tenant: string; readonly deliveryId: string },
) => Promise<string>;

/** @param publicUrl of the hub, without a slash at its end. */
export function linkFile(links: FileLinks, publicUrl: string): LinkFile {
  return async ({ name, mimeType, source }, { tenant, deliveryId }) => {
    const isLong = source.kind === 'inline' && source.text.length > MAX_LINKED_CHARACTERS;
    const linked: LinkedSource = isLong ? { kind: 'delivery', deliveryId } : source;
    return publicUrl + (await links.pathTo({ tenant, name, mimeType, source: linked }));
  };
}
