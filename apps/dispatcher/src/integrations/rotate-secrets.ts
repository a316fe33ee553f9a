import { isSecretSetting } from '@heddle/contracts';
import { inTransaction } from '@heddle/persistence';
import type { DataSource } from '@heddle/persistence';
import type { SecretSealer } from '@heddle/secrets';

const BATCH = 200;

/**
 * Wraps the data key of every stored secret anew with the first key of the keyring; no secret is opened. Safe to
 * repeat and to run beside the service.
 *
 * @returns how many versions of integrations were written.
 */
export async function rotateSecrets(dataSource: DataSource, sealer: SecretSealer): Promise<number> {
  let written = 0;
  for (let after: readonly [string, number] = ['00000000-0000-0000-0000-000000000000', 0]; ;) {
    const last = await inTransaction(dataSource, async (tx) => {
      const rows = await tx.query<{ id: string; version: number; settings: Record<string, unknown> }>(
        `SELECT integration_id AS id, version, settings FROM dispatcher.integration_versions
         WHERE (integration_id, version) > ($1, $2) ORDER BY integration_id, version LIMIT ${String(BATCH)} FOR UPDATE`,
        after,
      );
      const changed = rows.flatMap(({ id, version, settings }) => {
        const rewrapped = Object.fromEntries(
          Object.entries(settings).map(([name, value]) => [
            name,
            isSecretSetting(name) && typeof value === 'string' ? sealer.rewrap(value) : value,
          ]),
        );
        const isSame = Object.entries(settings).every(([name, value]) => rewrapped[name] === value);
        return isSame ? [] : [{ id, version, settings: rewrapped }];
      });
      if (changed.length > 0) {
        await tx.query(
          `UPDATE dispatcher.integration_versions v SET settings = c.settings
           FROM json_to_recordset($1) AS c (id uuid, version integer, settings jsonb)
           WHERE v.integration_id = c.id AND v.version = c.version`,
          [JSON.stringify(changed)],
        );
      }
      written += changed.length;
      return rows.at(-1);
    });
    if (last === undefined) return written;
    after = [last.id, last.version];
  }
}
