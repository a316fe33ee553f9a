import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { RecipePage, RecipesQuery } from '@heddle/contracts';
import type { RecipeView } from '@heddle/contracts';
import { execute, inTransaction } from '@heddle/persistence';

import { listRecipes, recipesPage } from '../src/recipes/recipe.queries.js';
import { SCHEMA } from '../src/schema/migrations.js';

import { ACCEPTED_AT, PUBLIC, StoreUnderTest } from './support.js';

let store: StoreUnderTest;
beforeAll(async () => {
  store = await StoreUnderTest.start();
}, 60_000);
afterAll(async () => store.close());
beforeEach(async () => store.clear());

type Asked = Readonly<Record<string, string>>;

async function page(
  asked: Asked = {},
  { tenant = 'demo', channel }: { tenant?: string; channel?: string } = {},
): Promise<{ items: RecipeView[]; nextCursor: string | null }> {
  const query = RecipesQuery.parse(asked);
  return RecipePage.parse(await listRecipes(store.dataSource, { tenant, channel }, query, PUBLIC));
}

const ids = async (asked?: Asked, reader?: { tenant?: string; channel?: string }): Promise<string[]> =>
  (await page(asked, reader)).items.map(({ recipeId }) => recipeId);

async function change(recipeId: string, set: string): Promise<void> {
  await execute(store.dataSource, `UPDATE ${SCHEMA}.recipes SET ${set} WHERE recipe_id = $1`, [recipeId]);
}

describe('the list of recipes', () => {
  beforeEach(async () => {
    await store.save(
      { id: 'A', name: 'Team Cap', styleCode: 'CAP-01' },
      { id: 'B', name: 'team shirt', styleCode: 'CAP-01' },
      { id: 'C', name: 'KÄPPI', styleCode: 'TEAM' },
      { id: 'D' },
    );
    await change('B', `saved_at = saved_at + interval '1 microsecond'`);
    await change('C', `saved_at = saved_at + interval '1 day', temporary = true`);
    await change('D', `saved_at = saved_at + interval '2 days', channel = 'eu'`);
    // Ordered, and never saved.
    await store.say({ order: '1', items: [{ item: 'x', recipe: 'NEVER' }] });
  });

  it('has those that were saved, newest first, with what they are', async () => {
    const { items, nextCursor } = await page();
    expect(items.map(({ recipeId }) => recipeId)).toEqual(['D', 'C', 'B', 'A']);
    expect(nextCursor).toBeNull();
    expect(items.at(-1)).toEqual({
      recipeId: 'A',
      channel: 'default',
      name: 'Team Cap',
      styleCode: 'CAP-01',
      version: 1,
      temporary: false,
      ordered: false,
      uploadedFiles: 0,
      createdAt: ACCEPTED_AT,
      updatedAt: expect.any(String),
      location: 'https://hub.example/recipe/A.json',
    });
    expect(items[0]).toMatchObject({ name: null, styleCode: null });
  });

  it('keeps its order when recipes change, and shows how they are now', async () => {
    await store.save({ id: 'A', name: 'Other Cap' });
    const { items } = await page();
    expect(items.map(({ recipeId }) => recipeId)).toEqual(['D', 'C', 'B', 'A']);
    expect(items.at(-1)).toMatchObject({ version: 2, name: 'Other Cap', styleCode: null });
  });

  it('is found by id, by style code, and by how the name begins', async () => {
    expect(await ids({ search: 'A' })).toEqual(['A']);
    expect(await ids({ search: 'CAP-01' })).toEqual(['B', 'A']);
    expect(await ids({ search: 'TEAM' })).toEqual(['C', 'B', 'A']);
    expect(await ids({ search: 'käp' })).toEqual(['C']);
    for (const search of ['cap', 'a', '%', 'Team_Cap']) expect(await ids({ search })).toEqual([]);
  });

  it('tells ordered recipes from others; a cancelled order and a quantity of 0 do not count', async () => {
    await store.say(
      { order: '2', items: [{ item: 'a', recipe: 'A' }] },
      { order: '3', items: [{ item: 'b', recipe: 'B', quantity: 0 }] },
      { order: '4', items: [{ item: 'c', recipe: 'C' }] },
      { order: '4', cancel: true },
    );
    expect(await ids({ ordered: 'true' })).toEqual(['A']);
    expect(await ids({ ordered: 'false' })).toEqual(['D', 'C', 'B']);
    expect((await page()).items.map(({ ordered }) => ordered)).toEqual([false, false, false, true]);
  });

  it('takes the other filters together, and shows a shop and a tenant their own alone', async () => {
    expect(await ids({ temporary: 'true' })).toEqual(['C']);
    const later = new Date(Date.parse(ACCEPTED_AT) + 86_400_000).toISOString();
    expect(await ids({ createdSince: later })).toEqual(['D', 'C']);
    expect(await ids({ createdSince: later, temporary: 'false' })).toEqual(['D']);
    expect(await ids({}, { channel: 'eu' })).toEqual(['D']);
    expect(await ids({ search: 'A' }, { channel: 'eu' })).toEqual([]);
    expect(await ids({}, { tenant: 'other' })).toEqual([]);
  });

  it('is walked page by page, each recipe once, although others come meanwhile', async () => {
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const found = await page({ limit: '1', ...(cursor !== null && { cursor }) });
      seen.push(...found.items.map(({ recipeId }) => recipeId));
      cursor = found.nextCursor;
      await store.save({ id: `new-${String(seen.length)}` });
      await change(`new-${String(seen.length)}`, `saved_at = saved_at + interval '9 days'`);
    } while (cursor !== null);
    expect(seen).toEqual(['D', 'C', 'B', 'A']);
    const other = (await page({ limit: '1' })).nextCursor!;
    await expect(page({ limit: '1', cursor: other, temporary: 'true' })).rejects.toThrow('cursor');
  });

  it('reads an index for every filter, and no table whole', async () => {
    await execute(
      store.dataSource,
      `INSERT INTO ${SCHEMA}.recipes (tenant, recipe_id, version, sha256, files, created_at, updated_at, channel, name,
                                      style_code, temporary, saved_at)
       SELECT 'demo', 'many-' || n, 1, 'x', '[]', now(), now(), 'default', 'Name ' || n, 'style-' || n, n % 2 = 0,
              now() + n * interval '1 second'
       FROM generate_series(1, 20000) n`,
    );
    await execute(store.dataSource, `ANALYZE ${SCHEMA}.recipes`);
    const every: RecipesQuery[] = [
      {},
      { search: 'name 77' },
      { ordered: 'true' },
      { ordered: 'false' },
      { temporary: 'true' },
      { createdSince: '2026-01-01T00:00:00Z' },
    ].map((asked) => RecipesQuery.parse(asked));
    for (const { limit, ...filters } of every) {
      const { sql, params } = recipesPage({ tenant: 'demo', channel: undefined }, filters, limit, [
        '2026-12-31T00:00:00Z',
        'x',
      ]);
      const plan = await inTransaction(store.dataSource, (tx) =>
        tx.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${sql}`, params),
      );
      const text = plan.map((row) => row['QUERY PLAN']).join('\n');
      expect([filters, /Seq Scan on recipes.*/.exec(text)?.[0]]).toEqual([filters, undefined]);
    }
  });

  it('takes a name of any length', async () => {
    const name = Array.from({ length: 50_000 }, (_, index) =>
      String.fromCodePoint(0x4e00 + (index % 20_000)),
    ).join('');
    await store.save({ id: 'LONG', name, styleCode: name });
    expect(await ids({ search: name.slice(0, 100) })).toEqual(['LONG']);
  });
});
