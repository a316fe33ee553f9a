import { query } from '@heddle/persistence';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { rebuildManifests } from '../src/recipes/rebuild-manifests.js';
import type { Rebuilt } from '../src/recipes/rebuild-manifests.js';
import { SCHEMA } from '../src/schema/migrations.js';

import { PUBLIC, StoreUnderTest, summary } from './support.js';

let store: StoreUnderTest;

beforeAll(async () => {
  store = await StoreUnderTest.start();
});
afterAll(() => store.close());
beforeEach(() => store.clear());

const UNREADABLE = { views: [{ code: 'Front', productionReady: true, production: 'ftp://files.example/a' }] };

/** As they were stored before a file that cannot be delivered was kept with its fault. */
async function forgetFaults(): Promise<void> {
  for (const table of ['recipes', 'recipe_versions'])
    await query(
      store.dataSource,
      `UPDATE ${SCHEMA}.${table} SET files = (
         SELECT coalesce(json_agg(f), '[]') FROM json_array_elements(files) f WHERE f ->> 'fault' IS NULL)`,
    );
  await query(store.dataSource, `TRUNCATE ${SCHEMA}.outbox`);
}

describe('rebuilding manifests', () => {
  it('renews those alone that are not what their documents say, for orders too, and finds nothing a second time', async () => {
    const ids = Array.from({ length: 60 }, (_, n) => `r${String(n).padStart(2, '0')}`);
    await store.save(...ids.map((id, n) => ({ id, ...(n % 20 === 0 && UNREADABLE) })));
    await store.say({
      order: '1',
      items: [
        { item: 'a', recipe: 'r20' },
        { item: 'b', recipe: 'r21' },
      ],
    });
    await store.say({ order: '2', items: [{ item: 'a', recipe: 'not-saved' }] });
    await forgetFaults();

    expect(await rebuildManifests(store.dataSource, PUBLIC, { isDry: true })).toEqual({
      recipes: 60,
      renewed: 3,
    });
    expect(await store.publishedRecipes()).toEqual([]);

    expect(await rebuildManifests(store.dataSource, PUBLIC)).toEqual({ recipes: 60, renewed: 3 });
    expect(
      (await store.publishedRecipes()).map(({ topic, recipe: { recipeId, version, files } }) => [
        topic,
        recipeId,
        version,
        files.map(({ fault }) => fault),
      ]),
    ).toEqual(
      ['r00', 'r20', 'r40'].map((id) => [
        'recipe.updated',
        id,
        2,
        [undefined, undefined, 'address-unreadable'],
      ]),
    );
    await store.linkAll();
    expect((await store.published()).map(summary)).toEqual(['order.updated 1 v2 recipe-updated open']);
    expect(await rebuildManifests(store.dataSource, PUBLIC)).toEqual({ recipes: 60, renewed: 0 });
    // The same document is still the same.
    await store.save({ id: 'r00', ...UNREADABLE });
    expect(await store.publishedRecipes()).toHaveLength(3);
  });

  it('goes on where it was stopped', async () => {
    await store.save(...Array.from({ length: 30 }, (_, n) => ({ id: `r${String(n + 10)}`, ...UNREADABLE })));
    await forgetFaults();
    const steps: [string, Rebuilt][] = [];
    const stopped = rebuildManifests(store.dataSource, PUBLIC, {
      onStep: ({ recipeId }, rebuilt) => {
        steps.push([recipeId, rebuilt]);
        throw new Error('stopped');
      },
    });
    await expect(stopped).rejects.toThrow('stopped');
    expect(steps).toEqual([['r34', { recipes: 25, renewed: 25 }]]);
    const after = { tenant: 'demo', recipeId: 'r34' };
    expect(await rebuildManifests(store.dataSource, PUBLIC, { after })).toEqual({ recipes: 5, renewed: 5 });
    expect(await store.publishedRecipes()).toHaveLength(30);
  });
});
