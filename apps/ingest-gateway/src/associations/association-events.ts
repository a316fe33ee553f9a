import { ASSOCIATION_RECEIVED, TOPIC, orderKey } from '@heddle/contracts';
import type { AssociationInput } from '@heddle/contracts';
import type { OutgoingEvent } from '@heddle/messaging';

import { receivedEvent } from '../intake/received-event.js';
import type { Acceptance } from '../intake/received-event.js';

/** One event per order number, its items in the order in which they were sent. */
export function associationEvents(
  associations: readonly AssociationInput[],
  acceptance: Acceptance,
): readonly OutgoingEvent[] {
  const orders = Map.groupBy(associations, ({ orderNumber }) => orderNumber);
  return Array.from(orders, ([orderNumber, items]) => associationEvent(orderNumber, items, acceptance));
}

function associationEvent(
  orderNumber: string,
  items: readonly AssociationInput[],
  acceptance: Acceptance,
): OutgoingEvent {
  const address = {
    topic: TOPIC.orderReceived,
    key: orderKey(acceptance.tenant, orderNumber),
    type: ASSOCIATION_RECEIVED,
    subject: orderNumber,
  };
  return receivedEvent(address, acceptance, { orderNumber, associations: items.map(itemOf) });
}

/** What stays when the order number stands outside. */
function itemOf({ recipeId, orderId, itemId, itemQuantity }: AssociationInput): object {
  return { recipeId, orderId, itemId, itemQuantity };
}
