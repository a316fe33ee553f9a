import type { TicketInput } from '@heddle/pick-ticket';

/** Does what the name of the recipe says. */
export async function draw(input: TicketInput): Promise<Uint8Array> {
  const { name } = JSON.parse(input.document) as { name?: string };
  const hasPreviews = input.previews.some((image) => image !== null);
  switch (name ?? '') {
    case 'ends the thread':
      process.exit(7);
      break;
    case 'never ends':
      for (;;) Math.sqrt(2);
    case 'throws later':
      setImmediate(() => {
        throw new Error('after it was asked');
      });
      await new Promise(() => undefined);
      break;
    case 'eats memory': {
      const eaten: unknown[] = [];
      for (;;) eaten.push(Array.from({ length: 1_000 }, (_, n) => ({ n })));
    }
    case 'dislikes previews':
      if (hasPreviews) process.exit(7);
      break;
    default:
  }
  return new TextEncoder().encode(`%PDF-${name ?? ''}${hasPreviews ? ' with previews' : ''}`);
}
