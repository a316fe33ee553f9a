import { AUDIT_DDL, IDEMPOTENCY_DDL, migration } from '@heddle/persistence';

export const ACCESS_SCHEMA = 'access';

/** Tables of the schema `access`, which the gateway owns. */
const ACCESS_DDL = `
  CREATE TABLE access.tenants (
    tenant     text PRIMARY KEY CHECK (tenant ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
  );

  CREATE TABLE access.api_keys (
    id            uuid PRIMARY KEY,
    key_id        text NOT NULL UNIQUE,
    secret_sha256 bytea NOT NULL CHECK (octet_length(secret_sha256) = 32),
    tenant        text NOT NULL REFERENCES access.tenants,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    permissions   text[] NOT NULL CHECK (cardinality(permissions) > 0),
    channel       text,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by    text NOT NULL,
    expires_at    timestamptz,
    revoked_at    timestamptz,
    revoked_by    text,
    last_used_at  timestamptz,
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
  );
  CREATE INDEX api_keys_tenant_created_at ON access.api_keys (tenant, created_at DESC, id DESC);
`;

export const accessMigrations = [
  migration(
    'CreateAccess1763700000000',
    [ACCESS_DDL, AUDIT_DDL(ACCESS_SCHEMA), IDEMPOTENCY_DDL(ACCESS_SCHEMA)].join('\n'),
  ),
  migration(
    'AddRecipeAccess1763700000001',
    `ALTER TABLE access.tenants
       ADD COLUMN recipe_access text NOT NULL DEFAULT 'open' CHECK (recipe_access IN ('open', 'key'))`,
  ),
] as const;
