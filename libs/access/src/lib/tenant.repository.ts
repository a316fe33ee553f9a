import { appendAudit, inTransaction, query } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';

import { ACCESS_SCHEMA } from './schema.js';

/** Whether recipes are read with their exact id alone, or with a key. Source: wire/drive.md 2.1. */
export type RecipeAccess = 'open' | 'key';

export interface TenantSettings {
  readonly tenant: string;
  readonly recipeAccess: RecipeAccess;
}

export async function listTenants(dataSource: DataSource): Promise<TenantSettings[]> {
  return await query<TenantSettings>(
    dataSource,
    `SELECT tenant, recipe_access AS "recipeAccess" FROM access.tenants ORDER BY tenant`,
  );
}

/** @returns false where there is no such tenant. */
export async function setRecipeAccess(
  dataSource: DataSource,
  {
    tenant,
    access,
    actor,
  }: { readonly tenant: string; readonly access: RecipeAccess; readonly actor: string },
): Promise<boolean> {
  return await inTransaction(dataSource, async (tx) => {
    const changed = await tx.execute(`UPDATE access.tenants SET recipe_access = $2 WHERE tenant = $1`, [
      tenant,
      access,
    ]);
    if (changed === 0) return false;
    const subject = `tenant:${tenant}`;
    await appendAudit(tx, ACCESS_SCHEMA, {
      tenant,
      actor,
      action: 'tenant.recipe-access-set',
      subject,
      details: { access },
    });
    return true;
  });
}
