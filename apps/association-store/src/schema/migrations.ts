import { OUTBOX_DDL, POSITIONS_CLUSTER_DDL, migration } from '@heddle/persistence';
import type { MigrationClass } from '@heddle/persistence';

export const SCHEMA = 'association_store';

/**
 * Foreign names are compared byte by byte (COLLATE "C"): they are ids, and every lock order relies on it.
 * Lock order everywhere: consumed position, orders by `order_uid`, recipes by (tenant, recipe_id), contents of files.
 */
const CreateOrders = migration(
  'CreateOrders1763700000000',
  `
  CREATE TABLE ${SCHEMA}.orders (
    order_uid     uuid PRIMARY KEY,
    tenant        text COLLATE "C" NOT NULL,
    channel       text COLLATE "C" NOT NULL,
    order_number  text COLLATE "C" NOT NULL,
    order_id      text COLLATE "C",
    ordinal       integer NOT NULL CHECK (ordinal > 0),
    status        text NOT NULL CHECK (status IN ('open', 'cancelled')),
    version       integer NOT NULL CHECK (version >= 0),
    reason        text CHECK (reason IN ('submitted', 'items-changed', 'quantity-changed', 'order-id-added',
                                         'recipe-linked', 'recipe-updated', 'cancelled', 'restored')),
    cancel_reason text CHECK (cancel_reason IN ('customer', 'inventory', 'fraud', 'declined', 'staff', 'other')),
    accepted_at   timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    -- Version 0: heard of, but nothing of it has come yet.
    CHECK ((version = 0) = (reason IS NULL)),
    CHECK (cancel_reason IS NULL OR status = 'cancelled')
  ) WITH (fillfactor = 85);
  CREATE UNIQUE INDEX orders_identity ON ${SCHEMA}.orders
    (tenant, order_number, channel, order_id) NULLS NOT DISTINCT;
  CREATE INDEX orders_by_order_id ON ${SCHEMA}.orders (tenant, order_id) WHERE order_id IS NOT NULL;
  CREATE INDEX orders_newest ON ${SCHEMA}.orders (tenant, order_uid) WHERE version > 0;
  CREATE INDEX orders_updated ON ${SCHEMA}.orders (tenant, updated_at) WHERE version > 0;
  CREATE INDEX orders_unseen ON ${SCHEMA}.orders (updated_at) WHERE version = 0;

  CREATE TABLE ${SCHEMA}.order_items (
    order_uid      uuid NOT NULL REFERENCES ${SCHEMA}.orders ON DELETE CASCADE,
    item_id        text COLLATE "C" NOT NULL,
    recipe_id      text COLLATE "C" NOT NULL,
    tenant         text COLLATE "C" NOT NULL,
    item_quantity  integer NOT NULL CHECK (item_quantity >= 0),
    position       integer NOT NULL CHECK (position >= 0),
    -- False: only ever reported with quantity 0; kept for its offset.
    listed         boolean NOT NULL CHECK (listed OR item_quantity = 0),
    last_offset    bigint NOT NULL,
    -- Of the recipe, as the order's newest event names it; null: not there yet.
    recipe_version integer CHECK (recipe_version > 0),
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (order_uid, item_id, recipe_id)
  ) WITH (fillfactor = 90);
  CREATE INDEX order_items_by_recipe ON ${SCHEMA}.order_items (tenant, recipe_id, order_uid);
  CREATE INDEX order_items_waiting ON ${SCHEMA}.order_items (tenant, recipe_id, order_uid)
    WHERE recipe_version IS NULL AND item_quantity > 0;

  CREATE TABLE ${SCHEMA}.order_versions (
    order_uid   uuid NOT NULL REFERENCES ${SCHEMA}.orders ON DELETE CASCADE,
    version     integer NOT NULL CHECK (version > 0),
    reason      text NOT NULL,
    event_id    uuid NOT NULL,
    accepted_at timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (order_uid, version)
  );
  `,
);

const CreateRecipes = migration(
  'CreateRecipes1763700000001',
  `
  CREATE TABLE ${SCHEMA}.recipes (
    tenant      text COLLATE "C" NOT NULL,
    recipe_id   text COLLATE "C" NOT NULL,
    -- 0: a placeholder, ordered before it was saved.
    version     integer NOT NULL CHECK (version >= 0),
    -- SHA-256 of the canonical form (RFC 8785): decides whether a document is the same.
    sha256      text,
    -- Manifest of the newest version, here as well, so that whoever locks the row has it.
    files       json NOT NULL,
    last_offset bigint,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant, recipe_id),
    CHECK ((version = 0) = (sha256 IS NULL))
  );
  CREATE INDEX recipes_updated ON ${SCHEMA}.recipes (updated_at);

  CREATE TABLE ${SCHEMA}.recipe_versions (
    tenant        text COLLATE "C" NOT NULL,
    recipe_id     text COLLATE "C" NOT NULL,
    version       integer NOT NULL CHECK (version > 0),
    channel       text NOT NULL,
    -- The text as it was sent.
    document      text NOT NULL,
    -- SHA-256 of that text.
    text_sha256   text NOT NULL CHECK (text_sha256 ~ '^[0-9a-f]{64}$'),
    files         json NOT NULL,
    temporary     boolean NOT NULL,
    accepted_at   timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant, recipe_id, version),
    FOREIGN KEY (tenant, recipe_id) REFERENCES ${SCHEMA}.recipes ON DELETE CASCADE
  );

  -- A recipe whose orders have to be told. Rows are only ever added by writers of recipes, never touched by
  -- them, so that they do not wait for the linker.
  CREATE TABLE ${SCHEMA}.links_due (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant         text COLLATE "C" NOT NULL,
    recipe_id      text COLLATE "C" NOT NULL,
    accepted_at    timestamptz NOT NULL,
    traceparent    text,
    -- Every order up to this one is done.
    last_order_uid uuid,
    turns          integer NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL
  );
  CREATE INDEX links_due_by_recipe ON ${SCHEMA}.links_due (tenant, recipe_id);
  `,
);

const CreateOutbox = migration('CreateOutbox1763700000002', OUTBOX_DDL(SCHEMA));

const PositionsPerCluster = migration('PositionsPerCluster1763700000003', POSITIONS_CLUSTER_DDL(SCHEMA));

const CountConversions = migration(
  'CountConversions1763700000004',
  `
  ALTER TABLE ${SCHEMA}.recipe_versions ADD COLUMN style_code text;
  UPDATE ${SCHEMA}.recipe_versions SET style_code = document::json ->> 'styleCode'
    WHERE json_typeof(document::json -> 'styleCode') = 'string';
  -- When a recipe was saved is when its first version came.
  CREATE INDEX recipe_versions_saved ON ${SCHEMA}.recipe_versions (tenant, accepted_at) WHERE version = 1;
  `,
);

const TakeTurns = migration(
  'TakeTurns1763700000005',
  `
  -- When a job that one process does for all of them was last done.
  CREATE TABLE ${SCHEMA}.job_turns (
    job      text PRIMARY KEY,
    taken_at timestamptz NOT NULL
  );
  `,
);

const CreateFiles = migration(
  'CreateFiles1763700000006',
  `
  -- Number of uploaded files: most recipes have none, and are not asked for them.
  ALTER TABLE ${SCHEMA}.recipes ADD COLUMN uploads integer NOT NULL DEFAULT 0 CHECK (uploads >= 0);

  -- Contents of uploaded files, each once. Versions of recipes name them by their hash and do not refer to them:
  -- what no recipe has any more is kept for a while only.
  CREATE TABLE ${SCHEMA}.file_contents (
    tenant     text COLLATE "C" NOT NULL,
    sha256     text COLLATE "C" NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    object_key text NOT NULL UNIQUE,
    -- When a file last got or lost this content.
    touched_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, sha256)
  );
  CREATE INDEX file_contents_touched ON ${SCHEMA}.file_contents (touched_at);

  CREATE TABLE ${SCHEMA}.recipe_files (
    tenant     text COLLATE "C" NOT NULL,
    recipe_id  text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 180),
    kind       text NOT NULL CHECK (kind IN ('production', 'preview', 'attachment')),
    mime_type  text NOT NULL,
    sha256     text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, recipe_id, name),
    FOREIGN KEY (tenant, recipe_id) REFERENCES ${SCHEMA}.recipes ON DELETE CASCADE,
    FOREIGN KEY (tenant, sha256) REFERENCES ${SCHEMA}.file_contents
  );
  CREATE INDEX recipe_files_by_content ON ${SCHEMA}.recipe_files (tenant, sha256);

  -- Objects in the file storage that no content names: of uploads under way, which are announced before their
  -- first byte, and what they or the purge leave. So nobody has to list the storage.
  CREATE TABLE ${SCHEMA}.loose_objects (
    object_key   text PRIMARY KEY,
    delete_after timestamptz NOT NULL
  );
  CREATE INDEX loose_objects_due ON ${SCHEMA}.loose_objects (delete_after);
  `,
);

const ListRecipes = migration(
  'ListRecipes1763700000007',
  `
  -- Of the newest version, but saved_at, which is when the first one came: what recipes are listed by.
  ALTER TABLE ${SCHEMA}.recipes
    ADD COLUMN channel    text COLLATE "C",
    ADD COLUMN name       text,
    ADD COLUMN style_code text COLLATE "C",
    ADD COLUMN temporary  boolean,
    ADD COLUMN saved_at   timestamptz;
  UPDATE ${SCHEMA}.recipes r
  SET channel = newest.channel, temporary = newest.temporary, style_code = newest.style_code,
      saved_at = first.accepted_at,
      name = CASE WHEN json_typeof(newest.document::json -> 'name') = 'string'
                  THEN btrim(newest.document::json ->> 'name') END
  FROM ${SCHEMA}.recipe_versions newest
  JOIN ${SCHEMA}.recipe_versions first
    ON first.tenant = newest.tenant AND first.recipe_id = newest.recipe_id AND first.version = 1
  WHERE newest.tenant = r.tenant AND newest.recipe_id = r.recipe_id AND newest.version = r.version;
  ALTER TABLE ${SCHEMA}.recipes ADD CHECK ((version = 0) = (saved_at IS NULL));
  CREATE INDEX recipes_newest ON ${SCHEMA}.recipes (tenant, saved_at, recipe_id) WHERE version > 0;
  -- Foreign text of any length: an index entry has a limit.
  CREATE INDEX recipes_by_style ON ${SCHEMA}.recipes (tenant, left(style_code, 128)) WHERE version > 0;
  CREATE INDEX recipes_by_name ON ${SCHEMA}.recipes (tenant, (left(lower(name), 128) COLLATE "C"))
    WHERE version > 0;
  `,
);

const UploadAnyKind = migration(
  'UploadAnyKind1763700000008',
  `
  ALTER TABLE ${SCHEMA}.recipe_files
    DROP CONSTRAINT recipe_files_kind_check,
    ADD CONSTRAINT recipe_files_kind_check
      CHECK (kind IN ('recipe', 'ticket', 'production', 'preview', 'attachment'));
  `,
);

/** Oldest first. */
export const migrations: readonly MigrationClass[] = [
  CreateOrders,
  CreateRecipes,
  CreateOutbox,
  PositionsPerCluster,
  CountConversions,
  TakeTurns,
  CreateFiles,
  ListRecipes,
  UploadAnyKind,
];
