import { TicketRenderer } from '@heddle/pick-ticket';
import type { TicketInput } from '@heddle/pick-ticket';

const renderer = new TicketRenderer();

/** What a thread of `TicketThreads` does. A thread of its own, so that a ticket that never ends, or ends badly, ends alone. */
export async function draw(input: TicketInput): Promise<Uint8Array> {
  return await renderer.render(input);
}
