import { migration } from '@heddle/persistence';

export const CreateTriggers = migration(
  'CreateTriggers1763700005000',
  `-- What somebody asked for by hand, beside what events start.
   ALTER TABLE dispatcher.deliveries
     ADD COLUMN trigger_id   uuid,
     ADD COLUMN only_missing boolean NOT NULL DEFAULT false,   -- what earlier deliveries have a receipt for stays
     DROP CONSTRAINT deliveries_check3,
     DROP CONSTRAINT deliveries_stop_reason_check,
     ADD CONSTRAINT deliveries_reason_check CHECK (CASE state
       WHEN 'waiting' THEN reason IN ('lane', 'recipe')
       WHEN 'superseded' THEN reason IN ('newer-version', 'repeated')
       WHEN 'cancelled' THEN reason IN ('order-cancelled', 'integration-disabled', 'integration-deleted', 'by-request')
       ELSE reason IS NULL END),
     ADD CONSTRAINT deliveries_stop_reason_check CHECK (stop_reason IS NULL OR stop_reason IN
       ('newer-version', 'repeated', 'order-cancelled', 'integration-disabled', 'integration-deleted'));
   CREATE INDEX deliveries_trigger ON dispatcher.deliveries (trigger_id, lane_key) WHERE trigger_id IS NOT NULL;

   -- Orders are found by number, id or recipe, whether or not anything of them was delivered.
   CREATE INDEX heads_order_number ON dispatcher.heads (tenant, order_number) WHERE order_number IS NOT NULL;
   CREATE INDEX heads_order_id ON dispatcher.heads (tenant, order_id) WHERE order_id IS NOT NULL;
   CREATE INDEX heads_recipe_ids ON dispatcher.heads USING gin (recipe_ids) WHERE kind = 'order';`,
);
