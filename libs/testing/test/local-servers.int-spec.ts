import { describe, expect, it } from '@jest/globals';
import { Client } from 'pg';

import { createDatabase, uniqueTopicPrefix } from '@heddle/testing';

describe('the servers of a test run', () => {
  it('gives each suite a database of its own', async () => {
    const server = process.env['TEST_DATABASE_URL']!;
    const [first, second] = await Promise.all([createDatabase(server), createDatabase(server)]);
    const client = new Client({ connectionString: first.url });
    await client.connect();
    await client.query('CREATE TABLE only_here (id int)');
    await client.end();

    const other = new Client({ connectionString: second.url });
    await other.connect();
    await expect(other.query('SELECT * FROM only_here')).rejects.toThrow('does not exist');
    await other.end();

    await Promise.all([first.drop(), second.drop()]);
    await expect(new Client({ connectionString: first.url }).connect()).rejects.toThrow('does not exist');
  });

  it('gives each suite a topic prefix of its own', () => {
    expect(uniqueTopicPrefix()).not.toBe(uniqueTopicPrefix());
    expect(uniqueTopicPrefix()).toMatch(/^[a-z0-9]+\.$/);
  });
});
