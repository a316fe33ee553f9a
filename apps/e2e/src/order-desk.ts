import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Heddle } from '@heddle/testing';

export interface OrderLine {
  readonly orderNumber: string;
  readonly recipeId: string;
  /** 1 where absent. */
  readonly itemId?: string;
  /** 1 where absent. */
  readonly itemQuantity?: number;
}

/** Recipes and orders for a suite, and the names of the files that they owe. */
export class OrderDesk {
  constructor(private readonly heddle: Heddle) {}

  /** With one production file. */
  async saveRecipe(recipeId: string): Promise<void> {
    const { client, filesDirectory } = this.heddle;
    await mkdir(filesDirectory, { recursive: true });
    await writeFile(join(filesDirectory, `${recipeId}.dst`), `stitches of ${recipeId}`);
    const production = this.heddle.fileUrl(`${recipeId}.dst`);
    const views = [{ name: 'Front', code: 'Front', productionReady: true, production }];
    await client.expect('POST', '/api/v2/recipe', { id: recipeId, name: 'Team Cap', views });
  }

  /** @throws when it is not acknowledged at the first try. */
  async post(line: OrderLine): Promise<void> {
    await this.heddle.client.expect('POST', '/api/v2/recipe/order', [
      { itemId: '1', itemQuantity: 1, ...line },
    ]);
  }
}

/** Names of the files that a delivered line has. */
export function filesOf({ orderNumber, recipeId }: OrderLine): readonly string[] {
  return ['Production-Front.dst', 'Recipe.json'].map(
    (name) => `${orderNumber}_ID_${orderNumber}_R_${recipeId}_${name}`,
  );
}

/** All that a folder should hold once these lines are delivered, sorted. */
export function filesOfAll(lines: readonly OrderLine[]): readonly string[] {
  return lines.flatMap(filesOf).sort();
}

export async function sortedFolder(path: string): Promise<readonly string[]> {
  return (await readdir(path)).sort();
}
