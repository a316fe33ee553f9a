import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';

import { PREVIEW_TYPES } from '@heddle/contracts';
import { imageTypeOf } from '@heddle/pick-ticket';

import { findContents } from '../files/file.repository.js';
import type { StoredContent } from '../files/file.repository.js';
import { FileService } from '../files/file.service.js';
import type { RecipeName } from '../orders/order.repository.js';
import { uploadedPreview } from '../recipes/manifest.js';
import { findManifest } from '../recipes/recipe.repository.js';

import { MAX_PREVIEWS_BYTES, MAX_PREVIEW_BYTES } from './preview-source.js';

/** Images that were uploaded for the views of a recipe, for tickets. */
@Injectable()
export class UploadedPreviews {
  constructor(
    private readonly dataSource: DataSource,
    private readonly files: FileService,
  ) {}

  /** @returns for each view what was uploaded as its preview, as of that version. */
  async find(
    recipe: RecipeName & { readonly version: number },
    views: readonly string[],
  ): Promise<readonly (StoredContent | undefined)[]> {
    if (views.length === 0) return [];
    const { tenant, recipeId } = recipe;
    const files = await findManifest(this.dataSource, recipe);
    const uploads = files.filter(({ kind, sha256 }) => kind === 'preview' && sha256 !== null);
    const found = views.map((view) =>
      PREVIEW_TYPES.flatMap((type) => uploadedPreview(uploads, { recipeId, view, type }) ?? []).at(0),
    );
    const hashes = found.flatMap((upload) => upload?.sha256 ?? []);
    const contents = await findContents(this.dataSource, tenant, hashes);
    return found.map((upload) => contents.get(upload?.sha256 ?? ''));
  }

  /** @returns for each content its image, null where it cannot be shown: no reason of that stops a ticket. */
  async read(contents: readonly (StoredContent | undefined)[]): Promise<readonly (Buffer | null)[]> {
    const images: (Buffer | null)[] = [];
    let room = MAX_PREVIEWS_BYTES;
    for (const content of contents) {
      const isShown = content !== undefined && content.sizeBytes <= Math.min(MAX_PREVIEW_BYTES, room);
      const image = isShown ? await this.imageOf(content) : null;
      room -= image?.length ?? 0;
      images.push(image);
    }
    return images;
  }

  private async imageOf(content: StoredContent): Promise<Buffer | null> {
    try {
      const bytes = Buffer.concat((await (await this.files.read(content)).toArray()) as Buffer[]);
      return imageTypeOf(bytes) === undefined ? null : bytes;
    } catch {
      // Said in the log by whoever reads files.
      return null;
    }
  }
}
