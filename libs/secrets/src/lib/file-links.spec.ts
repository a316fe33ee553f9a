import { randomBytes } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';

import { FileLinkError, FileLinks } from './file-links.js';
import type { LinkedFile } from './file-links.js';
import { parseKeyring } from './keyring.js';

const keyText = (kid: string): string => `${kid}:${randomBytes(32).toString('base64')}`;
const [old, current, foreign] = [keyText('k0'), keyText('k1'), keyText('k1')];
const links = new FileLinks(parseKeyring(`${current},${old}`));

const PRODUCTION: LinkedFile = {
  tenant: 'demo',
  name: '1022_ID_6_R_DRIVE-001_Production-Front.dst',
  mimeType: 'application/octet-stream',
  source: { kind: 'url', url: 'https://files.example/p/Front.dst?signature=somebodys-secret' },
};
const DOCUMENT: LinkedFile = {
  ...PRODUCTION,
  name: '1022_ID_6_R_DRIVE-001_Recipe.json',
  mimeType: 'application/json',
  source: { kind: 'hub', path: '/internal/recipes/demo/DRIVE-001/3', sha256: 'a'.repeat(64) },
};
const TICKET: LinkedFile = {
  ...PRODUCTION,
  name: '1022_ID_6_R_DRIVE-001_Ticket.pdf',
  mimeType: 'application/pdf',
  source: { kind: 'hub', path: '/internal/tickets/demo/DRIVE-001/3.pdf?orderNumber=1022' },
};

function tokenOf(path: string): string {
  return /(?:^\/files\/|\?link=)([^/]+)/.exec(path)?.[1] ?? '';
}
const open = (path: string): Promise<LinkedFile> => links.open(path, tokenOf(path));

describe('links to files', () => {
  it('lead back to what they were made for, and show nothing of it', async () => {
    for (const file of [PRODUCTION, DOCUMENT, TICKET]) {
      const path = links.pathTo(file);
      expect(await open(path)).toEqual(file);
      const shown = path + Buffer.from(tokenOf(path).split('.').join(''), 'base64url').toString('latin1');
      expect(shown).not.toMatch(/somebodys-secret|internal|demo/);
    }
  });

  it("are the recipe's own addresses for its document and its ticket", async () => {
    expect(links.pathTo(DOCUMENT)).toMatch(/^\/recipe\/DRIVE-001\.json\?link=[\w.-]+$/);
    expect(links.pathTo(TICKET)).toMatch(/^\/recipe\/DRIVE-001\.pdf\?link=[\w.-]+$/);
    expect(links.pathTo(PRODUCTION)).toMatch(
      /^\/files\/[\w.-]+\/1022_ID_6_R_DRIVE-001_Production-Front\.dst$/,
    );
  });

  it('are good for a week', async () => {
    const daysAgo = (days: number): Date => new Date(Date.now() - days * 24 * 3_600_000);
    await expect(open(links.pathTo(PRODUCTION, daysAgo(6.99)))).resolves.toEqual(PRODUCTION);
    await expect(open(links.pathTo(PRODUCTION, daysAgo(7.01)))).rejects.toThrow(FileLinkError);
  });

  it('stay good after a change of keys, until the old key is gone', async () => {
    const made = new FileLinks(parseKeyring(old)).pathTo(PRODUCTION);
    await expect(open(made)).resolves.toEqual(PRODUCTION);
    await expect(new FileLinks(parseKeyring(current)).open(made, tokenOf(made))).rejects.toThrow(
      FileLinkError,
    );
  });

  it('open for no other file, name, key or spelling', async () => {
    const path = links.pathTo(PRODUCTION);
    const token = tokenOf(path);
    const other = new FileLinks(parseKeyring(foreign)).pathTo(PRODUCTION);
    const refused: [string, string][] = [
      [path.replace('Front.dst', 'Back.dst'), token],
      [`/recipe/DRIVE-001.json?link=${token}`, token],
      [other, tokenOf(other)],
      ['/files//x', ''],
      ['/files/a.b.c.d.e/x', 'a.b.c.d.e'],
    ];
    for (let index = 0; index < token.length; index += 1) {
      const changed = token.slice(0, index) + (token[index] === 'A' ? 'B' : 'A') + token.slice(index + 1);
      refused.push([path.replace(token, changed), changed]);
    }
    for (const [address, given] of refused) {
      await expect(links.open(address, given)).rejects.toThrow(FileLinkError);
    }
  });
});
