import type { OfferedFile } from '@heddle/contracts';
import type { LinkAccess } from '@heddle/destination-kit';
import { MAX_LINKED_CHARACTERS, recipePathOf } from '@heddle/secrets';
import type { FileLinks, LinkedSource } from '@heddle/secrets';

/** The address under which the hub serves one file of a delivery to whoever has it; see `Delivery.linkTo`. */
export type LinkFile = (
  file: OfferedFile,
  delivery: { readonly tenant: string; readonly deliveryId: string },
  access?: LinkAccess,
) => string;

/** @param publicUrl of the hub, without a slash at its end. */
export function linkFile(links: FileLinks, publicUrl: string): LinkFile {
  return ({ name, mimeType, source }, { tenant, deliveryId }, access = 'signed') => {
    const own = access === 'public' ? recipePathOf(source) : undefined;
    if (own !== undefined) return publicUrl + own;
    const isLong = source.kind === 'inline' && source.text.length > MAX_LINKED_CHARACTERS;
    const linked: LinkedSource = isLong ? { kind: 'delivery', deliveryId } : source;
    return publicUrl + links.pathTo({ tenant, name, mimeType, source: linked });
  };
}
