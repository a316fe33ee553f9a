import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { ConversionsQuery, ConversionsReport, MAX_REPORT_GROUPS } from '@heddle/contracts';
import { execute } from '@heddle/persistence';

import { countConversions } from '../src/reports/conversions.js';
import { SCHEMA } from '../src/schema/migrations.js';

import { StoreUnderTest } from './support.js';

let store: StoreUnderTest;
beforeAll(async () => {
  store = await StoreUnderTest.start();
}, 60_000);
afterAll(async () => store.close());
beforeEach(async () => store.clear());

const NOW = new Date('2026-03-01T12:00:00Z');
const JANUARY = { from: '2026-01-01', to: '2026-01-31' };

async function report(asked: Readonly<Record<string, string>>, channel?: string): Promise<ConversionsReport> {
  const reader = { tenant: 'demo', channel };
  const found = await countConversions(store.dataSource, reader, ConversionsQuery.parse(asked), NOW);
  return ConversionsReport.parse(found);
}

/** `group saved/ordered/items`. */
async function groups(asked: Readonly<Record<string, string>>, channel?: string): Promise<string[]> {
  const { items } = await report({ ...JANUARY, ...asked }, channel);
  return items.map(
    ({ group, recipesSaved, recipesOrdered, itemsOrdered }) =>
      `${group ?? '-'} ${[recipesSaved, recipesOrdered, itemsOrdered].join('/')}`,
  );
}

/** As if its first version had come so. */
async function saved(recipeId: string, at: string, channel = 'default', temporary = false): Promise<void> {
  await execute(
    store.dataSource,
    `UPDATE ${SCHEMA}.recipe_versions SET accepted_at = $2, channel = $3, temporary = $4
     WHERE recipe_id = $1 AND version = 1`,
    [recipeId, at, channel, temporary],
  );
}

describe('the report of conversions', () => {
  beforeEach(async () => {
    await store.save(
      { id: 'A', styleCode: 'CAP' },
      { id: 'B', styleCode: 'CAP' },
      { id: 'C', styleCode: 'SHIRT' },
      { id: 'D' },
    );
    await saved('A', '2026-01-05T23:59:59.999Z');
    await saved('B', '2026-01-06T00:00:00Z');
    await saved('C', '2026-01-31T23:30:00Z', 'teams');
    await saved('D', '2026-02-01T00:00:00Z', 'default', true);
    await store.say(
      {
        order: '1',
        items: [
          { item: 'a', recipe: 'A', quantity: 2 },
          { item: 'b', recipe: 'A', quantity: 3 },
          { item: 'c', recipe: 'B', quantity: 0 },
        ],
      },
      { order: '2', items: [{ item: 'a', recipe: 'C', quantity: 4 }], channel: 'teams' },
      { order: '3', items: [{ item: 'a', recipe: 'C', quantity: 7 }] },
      { order: '4', items: [{ item: 'a', recipe: 'NEVER-SAVED', quantity: 9 }] },
    );
  });

  it('counts a recipe on the day in UTC on which it was saved, and a day as the end whole', async () => {
    expect(await groups({})).toEqual(['2026-01-05 1/1/5', '2026-01-06 1/0/0', '2026-01-31 1/1/11']);
    const { total, ...rest } = await report(JANUARY);
    expect(total).toEqual({ recipesSaved: 3, recipesOrdered: 2, itemsOrdered: 16, rate: 2 / 3 });
    expect(rest).toMatchObject({
      groupBy: 'day',
      from: '2026-01-01T00:00:00.000Z',
      to: '2026-02-01T00:00:00.000Z',
      groups: 3,
      truncated: false,
    });
    expect(await report({ from: '2025-01-01', to: '2025-01-31' })).toMatchObject({
      items: [],
      groups: 0,
      truncated: false,
    });
  });

  it('says how many groups there are where they are too many to be listed, and counts them all', async () => {
    const many = MAX_REPORT_GROUPS + 2;
    for (let start = 0; start < many; start += 100)
      await store.save(
        ...Array.from({ length: Math.min(100, many - start) }, (_, index) => ({
          id: `M-${String(start + index)}`,
          styleCode: `STYLE-${String(start + index)}`,
        })),
      );
    await execute(
      store.dataSource,
      `UPDATE ${SCHEMA}.recipe_versions SET accepted_at = '2025-06-01' WHERE recipe_id LIKE 'M-%'`,
    );
    const found = await report({ from: '2025-06-01', to: '2025-06-01', groupBy: 'styleCode' });
    expect([found.items.length, found.groups, found.truncated]).toEqual([MAX_REPORT_GROUPS, many, true]);
    expect(found.total.recipesSaved).toBe(many);
  });

  it('takes an instant to the millisecond', async () => {
    expect(await groups({ from: '2026-01-06T00:00:00Z', to: '2026-01-31T23:30:00Z' })).toEqual([
      '2026-01-06 1/0/0',
    ]);
  });

  it('groups by style and by channel, the largest first', async () => {
    const until = { to: '2026-02-01' };
    expect(await groups({ ...until, groupBy: 'styleCode' })).toEqual([
      'CAP 2/1/5',
      'SHIRT 1/1/11',
      '- 1/0/0',
    ]);
    expect(await groups({ ...until, groupBy: 'channel' })).toEqual(['default 3/1/5', 'teams 1/1/11']);
  });

  it('keeps the style of the first version', async () => {
    await store.save({ id: 'A', styleCode: 'HAT' });
    expect(await groups({ groupBy: 'styleCode' })).toEqual(['CAP 2/1/5', 'SHIRT 1/1/11']);
  });

  it('counts temporary recipes as others, unless it is asked not to', async () => {
    const february = { from: '2026-02-01', to: '2026-02-28' };
    expect(await groups(february)).toEqual(['2026-02-01 1/0/0']);
    expect(await groups({ ...february, temporary: 'false' })).toEqual([]);
    expect(await groups({ ...february, temporary: 'true' })).toEqual(['2026-02-01 1/0/0']);
  });

  it('leaves out orders that are cancelled', async () => {
    await store.say({ order: '1', cancel: true });
    expect(await groups({ groupBy: 'styleCode' })).toEqual(['CAP 2/0/0', 'SHIRT 1/1/11']);
  });

  it('shows a key of one channel the recipes and the orders of that channel alone', async () => {
    expect(await groups({}, 'teams')).toEqual(['2026-01-31 1/1/4']);
    expect(await groups({ channel: 'default' }, 'teams')).toEqual([]);
    expect((await report(JANUARY, 'none')).total).toEqual({
      recipesSaved: 0,
      recipesOrdered: 0,
      itemsOrdered: 0,
      rate: null,
    });
  });

  it('covers the last thirty days where nobody says when', async () => {
    expect(await report({})).toMatchObject({
      from: '2026-01-30T12:00:00.000Z',
      to: NOW.toISOString(),
      total: { recipesSaved: 2, recipesOrdered: 1 },
    });
  });

  it('refuses a time that is too long, runs backwards or is none', async () => {
    await expect(report({ from: '2020-01-01' })).rejects.toMatchObject({
      status: 400,
      detail: 'a report covers at most 400 days',
    });
    await expect(report({ from: '2026-02-01', to: '2026-01-01' })).rejects.toMatchObject({ status: 400 });
    for (const bad of [
      { from: 'yesterday' },
      { to: '2026-02-30' },
      { from: '0000-01-01' },
      { groupBy: 'hour' },
      { colour: 'red' },
    ])
      expect(ConversionsQuery.safeParse(bad).success).toBe(false);
  });

  it('takes a style code that is no text for none', async () => {
    await store.save({ id: 'E', styleCode: 7 });
    await saved('E', '2026-01-01T00:00:00Z');
    expect(await groups({ groupBy: 'styleCode' })).toContain('- 1/0/0');
  });
});
