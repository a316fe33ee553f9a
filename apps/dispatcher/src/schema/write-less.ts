import { migration } from '@heddle/persistence';

export const WriteLess = migration(
  'WriteLess1763700014000',
  `-- Orders are found by number and id in their heads, which are written once. Deliveries are written twice or more, and
   -- each time into every index, as their states are in some.
   DROP INDEX dispatcher.deliveries_order_number;
   DROP INDEX dispatcher.deliveries_order_id;

   -- Receipts, signs of life and ends are written into rows that are a moment old: they fit onto the page beside it.
   ALTER TABLE dispatcher.delivery_files SET (fillfactor = 55);
   ALTER TABLE dispatcher.offers SET (fillfactor = 55);`,
);
