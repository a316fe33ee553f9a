import type { Attempt } from './attempt.js';

/** The attempts of this process, and how many of them each integration has: a pool may hold a thousand. */
export class RunningAttempts {
  private readonly byOffer = new Map<string, Attempt>();
  private readonly byDelivery = new Map<string, Set<Attempt>>();
  private readonly counts = new Map<string, number>();

  get size(): number {
    return this.byOffer.size;
  }

  has(offerId: string): boolean {
    return this.byOffer.has(offerId);
  }

  all(): Iterable<Attempt> {
    return this.byOffer.values();
  }

  ofIntegration(integrationId: string): number {
    return this.counts.get(integrationId) ?? 0;
  }

  ofDelivery(deliveryId: string): Iterable<Attempt> {
    return this.byDelivery.get(deliveryId) ?? [];
  }

  add(attempt: Attempt): void {
    const { offerId, deliveryId, integrationId } = attempt.offer;
    this.byOffer.set(offerId, attempt);
    const siblings = this.byDelivery.get(deliveryId) ?? new Set();
    this.byDelivery.set(deliveryId, siblings.add(attempt));
    this.counts.set(integrationId, this.ofIntegration(integrationId) + 1);
  }

  delete(attempt: Attempt): void {
    const { offerId, deliveryId, integrationId } = attempt.offer;
    if (!this.byOffer.delete(offerId)) return;
    const siblings = this.byDelivery.get(deliveryId);
    siblings?.delete(attempt);
    if (siblings?.size === 0) this.byDelivery.delete(deliveryId);
    const left = this.ofIntegration(integrationId) - 1;
    if (left === 0) this.counts.delete(integrationId);
    else this.counts.set(integrationId, left);
  }
}
