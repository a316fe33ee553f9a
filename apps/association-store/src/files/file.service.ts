import { Inject, Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Readable } from 'node:stream';

import { MAX_UPLOADS } from '@heddle/contracts';
import type { FileKind, UploadedFile } from '@heddle/contracts';
import { OutboxRelay, inTransaction } from '@heddle/persistence';
import type { Tx } from '@heddle/persistence';
import { LOGGER, ProblemError, describeError, newId } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

import type { Hub } from '../hub.js';
import { Linker } from '../links/linker.js';
import { StoreMetrics } from '../operations/store-metrics.js';
import { insertPlaceholders } from '../orders/order.repository.js';
import type { RecipeName } from '../orders/order.repository.js';
import type { RecipeChange } from '../recipes/fold-recipes.js';
import { lockRecipes } from '../recipes/recipe.repository.js';
import type { LockedRecipe } from '../recipes/recipe.repository.js';
import { readAgain, renew } from '../recipes/renewal.js';
import { HUB, UPLOAD_MAX_BYTES } from '../tokens.js';

import {
  announceObject,
  deleteFile,
  findContent,
  findFile,
  findLocked,
  forgetObject,
  keepContent,
  touchContent,
  writeFile,
} from './file.repository.js';
import type { ReceivedContent, RecipeFile, StoredContent } from './file.repository.js';
import { OBJECT_STORE, ObjectGoneError } from './object-store.js';
import type { ByteRange, ObjectStore } from './object-store.js';
import { ReceivedBytes, tooLarge } from './received-bytes.js';

/** Longest upload. The HTTP server ends what takes longer. */
export const LONGEST_UPLOAD_MS = 3_600_000;
/** What an upload left that has not ended by then is nobody's any more. */
const LOOSE_AFTER_MS = 2 * LONGEST_UPLOAD_MS;

export interface Upload extends RecipeName {
  readonly name: string;
  readonly kind: FileKind;
  readonly mimeType: string;
  /** As announced; undefined where it is not. */
  readonly length: number | undefined;
  /** In hex; undefined where there is none to check. */
  readonly digest: string | undefined;
  readonly traceparent: string | undefined;
  readonly requestId: string;
}

/** What brought a recipe another list of files. */
type Cause = Pick<Upload, 'traceparent' | 'requestId'>;

/** Uploaded files of recipes: bytes in the object store, everything else in the tables. */
@Injectable()
export class FileService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: OutboxRelay,
    private readonly linker: Linker,
    private readonly metrics: StoreMetrics,
    @Inject(OBJECT_STORE) private readonly objects: ObjectStore,
    @Inject(HUB) private readonly hub: Hub,
    @Inject(UPLOAD_MAX_BYTES) private readonly maxBytes: number,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Keeps the file when all of it has come. Until then, and where it does not, nothing of it is seen.
   *
   * @throws {ProblemError}
   */
  async keep(upload: Upload, body: Readable): Promise<{ file: UploadedFile; isNew: boolean }> {
    if ((upload.length ?? 0) > this.maxBytes) throw tooLarge(this.maxBytes);
    const objectKey = `${upload.tenant}/${newId()}`;
    await announceObject(this.dataSource, objectKey, new Date(Date.now() + LOOSE_AFTER_MS));
    let content: ReceivedContent;
    try {
      content = await this.receive(objectKey, body);
      if (upload.digest !== undefined && upload.digest !== content.sha256) throw otherDigest();
    } catch (error) {
      await this.discard(objectKey);
      throw error;
    }
    // Where this fails nobody can tell whether it was committed: the purge finds out.
    const kept = await inTransaction(this.dataSource, (tx) => this.save(tx, upload, content));
    if (!kept.isObjectUsed) await this.discard(objectKey);
    this.published(kept);
    const { name, mimeType } = upload;
    const { sizeBytes, sha256 } = content;
    return { file: { name, mimeType, sizeBytes, sha256 }, isNew: kept.isNew };
  }

  /** @returns false where there is none. */
  async remove({ tenant, recipeId }: RecipeName, name: string, cause: Cause): Promise<boolean> {
    const recipe = { tenant, recipeId };
    if ((await findFile(this.dataSource, recipe, name)) === undefined) return false;
    const removed = await inTransaction(this.dataSource, async (tx) => {
      const now = new Date();
      const head = await lock(tx, recipe, now);
      const file = await findLocked(tx, recipe, name);
      if (file === undefined) return undefined;
      deleteFile(tx, recipe, name, now);
      touchContent(tx, tenant, file.sha256, now);
      return await this.renew(tx, head, cause, now);
    });
    if (removed === undefined) return false;
    this.published(removed);
    return true;
  }

  async find(recipe: RecipeName, name: string): Promise<(RecipeFile & StoredContent) | undefined> {
    return await findFile(this.dataSource, recipe, name);
  }

  async findContent(tenant: string, sha256: string): Promise<StoredContent | undefined> {
    return await findContent(this.dataSource, tenant, sha256);
  }

  /** @throws {ProblemError} 404 or 503. */
  async read({ objectKey }: StoredContent, range?: ByteRange): Promise<Readable> {
    try {
      return await this.objects.read(objectKey, range);
    } catch (error) {
      this.logger.error({ object_key: objectKey, err: describeError(error) }, 'files.not-read');
      if (error instanceof ObjectGoneError) throw new ProblemError(404, 'the content of this file is gone');
      throw storageAway(error);
    }
  }

  private async receive(objectKey: string, body: Readable): Promise<ReceivedContent> {
    const bytes = new ReceivedBytes(body, this.maxBytes);
    try {
      await this.objects.write(objectKey, bytes);
    } catch (error) {
      // Of the body, where it was the body; else the storage failed.
      if (bytes.errored instanceof ProblemError) throw bytes.errored;
      this.logger.error({ err: describeError(error) }, 'files.not-written');
      throw storageAway(error);
    }
    return { objectKey, sizeBytes: bytes.sizeBytes, sha256: bytes.sha256() };
  }

  private async save(
    tx: Tx,
    { tenant, recipeId, name, kind, mimeType, ...cause }: Upload,
    content: ReceivedContent,
  ): Promise<{ isNew: boolean; isObjectUsed: boolean } & Renewed> {
    const now = new Date();
    const recipe = { tenant, recipeId };
    const head = await lock(tx, recipe, now);
    const before = await findLocked(tx, recipe, name);
    const isNew = before === undefined;
    if (isNew && head.uploads >= MAX_UPLOADS) throw tooMany();
    const isObjectUsed = await keepContent(tx, tenant, content, now);
    if (isObjectUsed === undefined) throw storageAway(undefined);
    const { sha256, sizeBytes } = content;
    if (before?.sha256 === sha256 && before.kind === kind && before.mimeType === mimeType)
      return { isNew, isObjectUsed, change: undefined, linksQueued: 0 };
    writeFile(tx, recipe, { name, kind, mimeType, sizeBytes, sha256 }, now);
    if (before !== undefined) touchContent(tx, tenant, before.sha256, now);
    return { isNew, isObjectUsed, ...(await this.renew(tx, head, cause, now)) };
  }

  /** Before its document comes there is no version. */
  private async renew(tx: Tx, head: LockedRecipe, cause: Cause, now: Date): Promise<Renewed> {
    const again = await readAgain(tx, [head], this.hub);
    if (again.length === 0) return { change: undefined, linksQueued: 0 };
    const { changes, linksQueued } = await renew(tx, again, cause, now);
    return { change: changes[0], linksQueued };
  }

  private published({ change, linksQueued }: Renewed): void {
    if (change === undefined) return;
    this.relay.nudge();
    if (linksQueued > 0) this.linker.nudge();
    this.metrics.recipeSaved(change.topic);
  }

  /** Where it does not work now, the purge does it later. */
  private async discard(objectKey: string): Promise<void> {
    try {
      await this.objects.delete(objectKey);
      await forgetObject(this.dataSource, objectKey);
    } catch (error) {
      this.logger.warn({ object_key: objectKey, err: describeError(error) }, 'files.not-discarded');
    }
  }
}

interface Renewed {
  readonly change: RecipeChange | undefined;
  readonly linksQueued: number;
}

/** A recipe whose document has yet to come gets its place here. */
async function lock(tx: Tx, recipe: RecipeName, now: Date): Promise<LockedRecipe> {
  insertPlaceholders(tx, [recipe], now);
  const [head] = await lockRecipes(tx, [recipe]);
  if (head === undefined) throw new TypeError('a recipe that was locked and is not there');
  return head;
}

function otherDigest(): ProblemError {
  const message = 'the digest is not the one of the body: nothing was kept';
  return new ProblemError(400, message, { errors: [{ pointer: '', code: 'conflict', message }] });
}

function tooMany(): ProblemError {
  return new ProblemError(409, `a recipe may have at most ${String(MAX_UPLOADS)} uploaded files`);
}

function storageAway(cause: unknown): ProblemError {
  return new ProblemError(503, 'the file storage does not answer, try again', {
    headers: { 'retry-after': '5' },
    cause,
  });
}
