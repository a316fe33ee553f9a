import type { Trigger } from '@heddle/contracts';

import type { Fact } from './fact.js';

/** The approved version of an integration, as far as starting it goes. */
export interface ActiveIntegration {
  readonly integrationId: string;
  readonly tenant: string;
  readonly destination: string;
  readonly version: number;
  readonly activeFrom: Date;
  readonly triggers: readonly Trigger[];
  /** Empty: every channel. */
  readonly channels: readonly string[];
  readonly temporaryRecipes: boolean;
}

export type StartingFact = Fact & { readonly trigger: Trigger };

/** Whether the event starts the integration. What was accepted before `activeFrom` starts nothing. */
export function isStarted(integration: ActiveIntegration, fact: Fact): fact is StartingFact {
  return (
    fact.trigger !== null &&
    integration.tenant === fact.tenant &&
    integration.triggers.includes(fact.trigger) &&
    (integration.channels.length === 0 || integration.channels.includes(fact.channel)) &&
    (!fact.isTemporary || integration.temporaryRecipes) &&
    (!fact.becamePermanent || !integration.temporaryRecipes) &&
    Date.parse(fact.acceptedAt) >= integration.activeFrom.getTime()
  );
}

/** Of several facts about one subject: the newest that starts the integration. The others would be superseded at once. */
export function newestStarting(
  integration: ActiveIntegration,
  facts: readonly Fact[],
): StartingFact | undefined {
  let newest: StartingFact | undefined;
  for (const fact of facts) {
    if (isStarted(integration, fact) && fact.version > (newest?.version ?? 0)) newest = fact;
  }
  return newest;
}
