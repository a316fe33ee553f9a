import type { DestinationKind, IntegrationStatus, Trigger } from '@heddle/contracts';

import type { Include } from '../offers/file-set.js';

/** An order or a recipe, as far as choosing its integrations goes. */
export interface Subjected {
  readonly kind: 'order' | 'recipe';
  readonly status: 'open' | 'cancelled';
  readonly version: number;
  readonly channel: string;
  readonly isTemporary: boolean;
}

/** An integration with its approved version; null: nobody has approved one. */
export interface Candidate {
  readonly integrationId: string;
  readonly destination: DestinationKind;
  readonly status: IntegrationStatus;
  readonly approved: {
    readonly version: number;
    readonly triggers: readonly Trigger[];
    /** Empty: every channel. */
    readonly channels: readonly string[];
    readonly include: Include;
    readonly temporaryRecipes: boolean;
  } | null;
}

export type Active = Candidate & { readonly approved: NonNullable<Candidate['approved']> };

/** Why nothing can go to an integration now, whatever is sent; undefined when it can. Paused, deliveries wait. */
export function standstillOf({ status, approved }: Candidate): string | undefined {
  switch (status) {
    case 'enabled':
    case 'paused':
      return approved === null ? 'no version of the integration is approved' : undefined;
    case 'disabled':
      return 'the integration is disabled; approving it enables it again';
    case 'pending-review':
      return 'the integration waits for approval';
    case 'rejected':
      return 'the integration was rejected';
  }
}

export function isActive(candidate: Candidate): candidate is Active {
  return standstillOf(candidate) === undefined;
}

/** What a manual delivery goes out as. */
export function triggerOf({ kind, status, version }: Subjected): Trigger {
  if (kind === 'recipe') return 'recipe.created';
  if (status === 'cancelled') return 'order.cancelled';
  return version === 1 ? 'order.submitted' : 'order.updated';
}

/**
 * Whether a manual trigger reaches the integration. Without a choice, whatever events of this kind would start; one
 * that was named gets also what it takes no events of, but never another shop's orders, and never the news of a cancel
 * that it has not asked for.
 */
export function isReached(
  { approved: { triggers, channels, temporaryRecipes } }: Active,
  subject: Subjected,
  isNamed: boolean,
): boolean {
  if (channels.length > 0 && !channels.includes(subject.channel)) return false;
  if (subject.kind === 'order' && subject.status === 'cancelled') return triggers.includes('order.cancelled');
  if (isNamed) return true;
  if (subject.kind === 'recipe')
    return triggers.includes('recipe.created') && (temporaryRecipes || !subject.isTemporary);
  return triggers.includes('order.submitted') || triggers.includes('order.updated');
}
