import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { HubClient } from '@heddle/testing';

import { previewPng, productionPdf } from '../demo/artwork.js';

import type { LocalFile } from './local-file.js';
import type { Screen } from './screen.js';

type Local = Omit<LocalFile, 'services'>;

const SAMPLE = { recipeId: 'DRIVE-001', product: 'Team Cap', text: 'LIONS', colour: [178, 34, 52] } as const;
const FILE = `${SAMPLE.recipeId}-Front`;

/** The recipe that the shown request uses. Saved at each start: the same again changes nothing. */
export async function saveSampleRecipe(local: Local): Promise<void> {
  const { baseUrl, directory } = local.sandbox.files;
  await Promise.all([
    writeFile(join(directory, `${FILE}.pdf`), await productionPdf(SAMPLE)),
    writeFile(join(directory, `${FILE}.png`), previewPng(SAMPLE)),
  ]);
  const recipe = {
    id: SAMPLE.recipeId,
    created: '2025-01-01T00:00:00Z',
    name: SAMPLE.product,
    styleCode: 'CAP-01',
    components: [{ code: 'P01', component: { code: 'P01-RED', placementIndependentCode: 'RED' } }],
    views: [
      {
        name: 'Front',
        code: 'Front',
        previewPng: `${baseUrl}${FILE}.png`,
        productionReady: true,
        production: `${baseUrl}${FILE}.pdf`,
      },
    ],
  };
  await new HubClient(local.baseUrl, local.apiKey).expect('POST', '/api/v2/recipe', recipe);
}

/** The one screen after a start: where it is, a request to try, and where its files appear. */
export function showWelcome(
  screen: Screen,
  local: Local,
  { starts, file }: { readonly starts: number; readonly file: string },
): void {
  const orderNumber = String(1_000 + starts);
  const orderId = `${orderNumber}${orderNumber}`;
  const association = [{ recipeId: SAMPLE.recipeId, orderNumber, orderId, itemId: '1', itemQuantity: 2 }];
  const arriving = (name: string): string =>
    `  ${join(local.sandbox.sftp.directory, `${orderNumber}_ID_${orderId}_R_${SAMPLE.recipeId}_${name}`)}`;
  const { s3, azureBlob } = local.sandbox;
  screen.show([
    `Heddle is up.`,
    ``,
    `  Base URL   ${local.baseUrl}`,
    `  API docs   ${local.baseUrl}/api/docs`,
    `  Tenant     ${local.tenant}`,
    `  Key        ${local.apiKey}`,
    ``,
    `Link an order line to the sample recipe:`,
    ``,
    `  curl -sS '${local.baseUrl}/api/v2/recipe/order' -H 'Authorization: Bearer ${local.apiKey}' \\`,
    `    -H 'Content-Type: application/json' -d '${JSON.stringify(association)}'`,
    ``,
    `Within a second its files appear on the sandbox SFTP server (the same order again changes nothing):`,
    ``,
    arriving('Recipe.json'),
    arriving('Ticket.pdf'),
    arriving('Production-Front.pdf'),
    arriving('Preview-Front.png'),
    ``,
    `and at the other sandboxes:`,
    ``,
    `  mail       ${local.sandbox.smtp.directory} (a folder for each)`,
    `  hook       ${local.sandbox.zapier.directory} (a file for each call)`,
    `  bucket     ${s3?.directory ?? 'not running'}`,
    `  container  ${azureBlob === undefined ? 'not running' : `${azureBlob.container} of Azurite`} (npm run demo reads it)`,
    ``,
    `More: npm run demo, npm run tail -- order.submitted. These facts and an administrator's key: ${file}`,
    `Ctrl-C stops everything.`,
  ]);
}
