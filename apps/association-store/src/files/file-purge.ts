import type { DataSource } from '@heddle/persistence';

import { deleteLoose, releaseContents } from './file.repository.js';
import type { ObjectStore } from './object-store.js';

/**
 * Deletes contents that no recipe has named since `untouchedSince`, and what uploads left that came to nothing.
 *
 * @returns how many objects are gone from the storage.
 */
export async function purgeFiles(
  dataSource: DataSource,
  objects: ObjectStore,
  { untouchedSince, now, signal }: { untouchedSince: Date; now: Date; signal?: AbortSignal },
): Promise<number> {
  while ((await releaseContents(dataSource, untouchedSince, now)) > 0) signal?.throwIfAborted();
  for (let total = 0; ;) {
    signal?.throwIfAborted();
    const gone = await deleteLoose(dataSource, now, (key) => objects.delete(key));
    total += gone;
    if (gone === 0) return total;
  }
}
