import { z } from 'zod';

/**
 * A name that every destination can store: ASCII letters, digits, dot, underscore and
 * hyphen, 1 to 180 bytes, no dot at either end. No separator, so a name cannot leave the
 * folder it is put in.
 */
export const FileName = z.string().regex(/^(?=.{1,180}$)[A-Za-z0-9_-](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?$/);
export type FileName = z.infer<typeof FileName>;
