import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import type { Trigger } from '@heddle/contracts';

import { END_STATE, decideLane, decideRepeat } from './lane.js';
import type { LaneDecision, LaneDelivery, LaneHead } from './lane.js';

const LATER = new Date('2100-01-01T00:00:00Z');

interface Model extends Omit<LaneDelivery, 'state' | 'reason'> {
  readonly state: LaneDelivery['state'] | 'succeeded' | 'superseded' | 'cancelled' | 'failed';
  readonly reason: LaneDelivery['reason'];
}

const OPEN: ReadonlySet<string> = new Set(['waiting', 'ready', 'in-flight', 'retrying']);
const HEADS: ReadonlySet<string> = new Set(['ready', 'in-flight', 'retrying']);

/** One lane in memory: what the repository does with a decision, and what pump and workers do in between. */
class Lane {
  head: LaneHead = { version: 0, status: 'open', waitUntil: null };
  deliveries: Model[] = [];
  /** Versions that went out, in order. */
  readonly sent: { readonly version: number; readonly trigger: Trigger }[] = [];

  constructor(private readonly triggers: ReadonlySet<Trigger>) {}

  event(trigger: Trigger, head: LaneHead): LaneDecision {
    if (head.version > this.head.version) this.head = head;
    const decision = decideLane({
      head: this.head,
      deliveries: this.deliveries.filter((d): d is LaneDelivery => OPEN.has(d.state)),
      highestVersion: Math.max(0, ...this.deliveries.map(({ version }) => version)),
      event: this.triggers.has(trigger) ? { trigger, version: head.version } : undefined,
    });
    this.apply(decision, trigger, false);
    return decision;
  }

  repeat(): void {
    if (this.head.version === 0) return;
    const trigger = this.head.status === 'cancelled' ? 'order.cancelled' : 'order.updated';
    const deliveries = this.deliveries.filter((d): d is LaneDelivery => OPEN.has(d.state));
    this.apply(decideRepeat({ head: this.head, deliveries, trigger }), trigger, true);
  }

  private apply(decision: LaneDecision, trigger: Trigger, isManual: boolean): void {
    for (const change of decision.changes) {
      const index = this.deliveries.findIndex(({ deliveryId }) => deliveryId === change.deliveryId);
      const before = this.deliveries[index]!;
      if (change.kind === 'end') {
        expect(before.state).not.toBe('in-flight');
        this.deliveries[index] = { ...before, state: END_STATE[change.reason], reason: change.reason };
      } else if (change.kind === 'stop') {
        expect(before.state).toBe('in-flight');
        this.deliveries[index] = { ...before, stopReason: change.reason };
      } else {
        expect(before.frozen).toBe(false);
        const { kind: _, ...standing } = change;
        this.deliveries[index] = { ...before, ...standing };
      }
    }
    if (decision.created) {
      this.deliveries.push({
        deliveryId: String(this.deliveries.length),
        trigger,
        isManual,
        frozen: false,
        stopReason: null,
        ...decision.created,
      });
    }
  }

  offer(): void {
    const index = this.deliveries.findIndex(({ state }) => state === 'ready');
    if (index < 0) return;
    const delivery = this.deliveries[index]!;
    // The file set is the head's at this moment.
    const version = delivery.frozen ? delivery.version : this.head.version;
    this.deliveries[index] = { ...delivery, state: 'in-flight', version, frozen: true };
    this.sent.push({ version, trigger: delivery.trigger });
  }

  end(outcome: 'succeeded' | 'failed' | 'retrying' | 'ready'): void {
    const index = this.deliveries.findIndex(({ state }) => state === 'in-flight');
    if (index < 0) return;
    const { stopReason } = this.deliveries[index]!;
    const stops = stopReason !== null && (outcome === 'retrying' || outcome === 'ready');
    this.deliveries[index] = { ...this.deliveries[index]!, state: stops ? END_STATE[stopReason] : outcome };
    if (OPEN.has(this.deliveries[index].state)) return;
    const next = this.deliveries.findIndex(({ state, reason }) => state === 'waiting' && reason === 'lane');
    if (next < 0) return;
    const { waitUntil } = this.deliveries[next]!;
    this.deliveries[next] = {
      ...this.deliveries[next]!,
      state: waitUntil === null ? 'ready' : 'waiting',
      reason: waitUntil === null ? null : 'recipe',
    };
  }

  retry(): void {
    const index = this.deliveries.findIndex(({ state }) => state === 'retrying');
    if (index >= 0) this.deliveries[index] = { ...this.deliveries[index]!, state: 'ready' };
  }

  check(): void {
    expect(this.deliveries.filter(({ state }) => HEADS.has(state)).length).toBeLessThanOrEqual(1);
    const isCancelled = this.head.status === 'cancelled';
    for (const { trigger, state, stopReason } of this.deliveries) {
      const outlived = isCancelled !== (trigger === 'order.cancelled');
      if (!outlived || !OPEN.has(state)) continue;
      expect({ state, stopped: stopReason !== null }).toEqual({ state: 'in-flight', stopped: true });
    }
  }

  finish(): void {
    for (let step = 0; step < 20; step += 1) {
      this.offer();
      this.end('succeeded');
      this.retry();
    }
  }
}

type Step =
  | { readonly kind: 'event'; readonly index: number }
  | { readonly kind: 'offer' | 'retry' | 'repeat' }
  | { readonly kind: 'end'; readonly outcome: 'succeeded' | 'failed' | 'retrying' | 'ready' };

interface OrderVersion {
  readonly trigger: Trigger;
  readonly head: LaneHead;
}

/** The versions of an order as the store publishes them: submitted, then updates; perhaps a cancel, then no more. */
const history = fc
  .record({
    waiting: fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }),
    isCancelled: fc.boolean(),
  })
  .map(({ waiting, isCancelled }): OrderVersion[] => {
    const versions = waiting.map((isWaiting, index): OrderVersion => ({
      trigger: index === 0 ? 'order.submitted' : 'order.updated',
      head: { version: index + 1, status: 'open', waitUntil: isWaiting ? LATER : null },
    }));
    const last = versions.length + 1;
    const ending: OrderVersion = isCancelled
      ? { trigger: 'order.cancelled', head: { version: last, status: 'cancelled', waitUntil: null } }
      : { trigger: 'order.updated', head: { version: last, status: 'open', waitUntil: null } };
    return [...versions, ending];
  });

const otherSteps = fc.array(
  fc.oneof(
    fc.constantFrom<Step>({ kind: 'offer' }, { kind: 'retry' }),
    fc.constantFrom<Step>(
      { kind: 'end', outcome: 'succeeded' },
      { kind: 'end', outcome: 'retrying' },
      { kind: 'end', outcome: 'ready' },
    ),
  ),
  { maxLength: 12 },
);

const withRepeats = fc
  .tuple(otherSteps, fc.array(fc.constant<Step>({ kind: 'repeat' }), { minLength: 1, maxLength: 3 }))
  .map(([others, repeats]) => [...others, ...repeats]);

const scenarioOf = (other: fc.Arbitrary<Step[]>) =>
  history.chain((versions) =>
    fc.record({
      versions: fc.constant(versions),
      steps: other.chain((others) =>
        fc.shuffledSubarray([...versions.map((_, index): Step => ({ kind: 'event', index })), ...others], {
          minLength: versions.length + others.length,
        }),
      ),
      triggers: fc.subarray<Trigger>(['order.submitted', 'order.updated', 'order.cancelled'], {
        minLength: 1,
      }),
    }),
  );
const scenario = scenarioOf(otherSteps);
const manualScenario = scenarioOf(withRepeats);

function play(
  {
    versions,
    steps,
    triggers,
  }: { versions: readonly OrderVersion[]; steps: readonly Step[]; triggers: readonly Trigger[] },
  after: (lane: Lane, step: Step) => void = () => undefined,
): Lane {
  const lane = new Lane(new Set(triggers));
  for (const step of steps) {
    if (step.kind === 'event') lane.event(versions[step.index]!.trigger, versions[step.index]!.head);
    else if (step.kind === 'end') lane.end(step.outcome);
    else lane[step.kind]();
    after(lane, step);
  }
  return lane;
}

describe('lanes never reorder', () => {
  it('keep one head, interrupt nothing in flight, and leave nothing of a cancelled order to go out', () => {
    fc.assert(
      fc.property(scenario, (given) => {
        play(given, (lane) => {
          lane.check();
        });
      }),
      { numRuns: 2_000 },
    );
  });

  it('send no older version after a newer one', () => {
    fc.assert(
      fc.property(scenario, (given) => {
        const lane = play(given);
        lane.finish();
        // A retry repeats its own version.
        const versions = lane.sent.map(({ version }) => version);
        expect(versions).toEqual(versions.toSorted((a, b) => a - b));
      }),
      { numRuns: 2_000 },
    );
  });

  it('end with the newest content, in whatever order the topics are read', () => {
    fc.assert(
      fc.property(scenario, ({ versions, steps }) => {
        const lane = play({
          versions,
          steps,
          triggers: ['order.submitted', 'order.updated', 'order.cancelled'],
        });
        lane.finish();
        expect(lane.deliveries.filter(({ state }) => OPEN.has(state))).toEqual([]);
        const last = lane.sent.at(-1);
        expect(last?.version).toBe(versions.length);
        expect(last?.trigger === 'order.cancelled').toBe(versions.at(-1)?.head.status === 'cancelled');
      }),
      { numRuns: 2_000 },
    );
  });

  it('send a submitted order to an integration that no update triggers, in whatever order the topics are read', () => {
    fc.assert(
      fc.property(scenario, ({ versions, steps }) => {
        const lane = play({ versions, steps, triggers: ['order.submitted'] });
        lane.finish();
        const isCancelled = versions.at(-1)?.head.status === 'cancelled';
        const states = lane.deliveries.map(({ state }) => state);
        if (!isCancelled) expect(states).toEqual(['succeeded']);
        expect(states.length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 2_000 },
    );
  });

  it('stay in order and end with the newest content whenever somebody triggers by hand', () => {
    fc.assert(
      fc.property(manualScenario, ({ versions, steps }) => {
        const lane = play(
          { versions, steps, triggers: ['order.submitted', 'order.updated', 'order.cancelled'] },
          (given) => {
            given.check();
          },
        );
        lane.finish();
        const sent = lane.sent.map(({ version }) => version);
        expect(sent).toEqual(sent.toSorted((a, b) => a - b));
        expect(sent.at(-1)).toBe(versions.length);
      }),
      { numRuns: 1_000 },
    );
  });

  it('end what was asked for by hand for nothing but a cancel, a restore or another such request', () => {
    fc.assert(
      fc.property(manualScenario, (given) => {
        const lane = play(given);
        for (const { isManual, state, reason, stopReason, trigger } of lane.deliveries) {
          if (isManual && state === 'superseded' && trigger !== 'order.cancelled')
            expect(reason ?? stopReason).toBe('repeated');
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('change nothing when an event comes again', () => {
    fc.assert(
      fc.property(manualScenario, ({ versions, steps, triggers }) => {
        const lane = play({ versions, steps, triggers });
        for (const { trigger, head } of versions) {
          expect(lane.event(trigger, head)).toEqual({ changes: [], created: undefined });
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
