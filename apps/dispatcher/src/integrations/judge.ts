import { IntegrationCreate, SECRET_MASK, destinationSettings, isSecretSetting } from '@heddle/contracts';
import type { Fault } from '@heddle/contracts';
import { ProblemError, faultsOf } from '@heddle/platform';

/** What a version of an integration says, with every secret sealed. */
export type VersionContent = Omit<IntegrationCreate, 'settings'> & {
  readonly settings: Readonly<Record<string, unknown>>;
};

/** Where data goes, as secret settings name it, by the name of the setting. */
export type Places = Readonly<Record<string, string>>;

export interface Judged {
  readonly content: IntegrationCreate;
  /** Secrets that keep their stored value. */
  readonly kept: readonly string[];
}

/**
 * Judges a whole integration, its settings by the schema of its destination. A masked secret stands for the one
 * that is stored.
 *
 * @param stored names of the secrets that are stored.
 * @throws {ProblemError} 400 with every fault.
 */
export function judge(input: unknown, stored: ReadonlySet<string> = new Set()): Judged {
  const whole = IntegrationCreate.safeParse(input, { reportInput: true });
  const faults: Fault[] = whole.success ? [] : [...faultsOf(whole.error)];
  // The settings are judged as well when something else is wrong, so that one answer names every fault.
  const { destination, settings } = memberOf(input);
  const kind = IntegrationCreate.shape.destination.safeParse(destination);
  if (!kind.success || !isObject(settings)) throw refusal(faults);

  const kept: string[] = [];
  for (const [name, value] of Object.entries(settings)) {
    if (!isSecretSetting(name) || value !== SECRET_MASK) continue;
    if (stored.has(name)) kept.push(name);
    else
      faults.push({
        pointer: `/settings/${name}`,
        code: 'conflict',
        message: 'the mask keeps a stored secret, and none is stored: give its value',
      });
  }
  const parsed = destinationSettings[kind.data].schema.safeParse(settings, { reportInput: true });
  if (!parsed.success) faults.push(...faultsOf(parsed.error, '/settings'));
  if (!whole.success || !parsed.success || faults.length > 0) throw refusal(faults);

  const content = {
    ...whole.data,
    triggers: [...new Set(whole.data.triggers)],
    channels: [...new Set(whole.data.channels)],
    settings: parsed.data,
  };
  return { content, kept };
}

export function refusal(faults: readonly Fault[]): ProblemError {
  const detail = faults.length === 1 ? '1 fault' : `${String(faults.length)} faults`;
  return new ProblemError(400, detail, { errors: faults });
}

/** RFC 7396. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}

/** Members that a reader may see, secrets as the mask. */
export function masked(settings: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [name, isSecretSetting(name) ? SECRET_MASK : value]),
  );
}

/**
 * What differs, as names for the audit: `settings.host`, `triggers`. A sealed secret differs when it was sealed
 * anew.
 */
export function changesBetween(before: VersionContent, after: VersionContent): readonly string[] {
  const members = Object.keys(after).filter((name) => name !== 'settings') as (keyof VersionContent)[];
  const settings = new Set([...Object.keys(before.settings), ...Object.keys(after.settings)]);
  return [
    ...members.filter((name) => !isSame(before[name], after[name])),
    ...[...settings]
      .filter((name) => !isSame(before.settings[name], after.settings[name]))
      .map((name) => `settings.${name}`),
  ];
}

/** What starts an integration, or decides where its data goes. Source: wire/drive.md 3.9. */
const REVIEWED_MEMBERS: ReadonlySet<string> = new Set(['triggers', 'channels']);

/** Whether the change sends data, or other data, to another place, and so waits for approval. */
export function needsReview(destination: VersionContent['destination'], changes: readonly string[]): boolean {
  return (
    routingChanges(destination, changes).length > 0 || changes.some((name) => REVIEWED_MEMBERS.has(name))
  );
}

/**
 * Whether the change leads to another place, so that what was delivered before is not there. A secret that names a
 * place leads elsewhere only where it names another one.
 */
export function isElsewhere(
  destination: VersionContent['destination'],
  changes: readonly string[],
  before: Places,
  after: Places,
): boolean {
  return routingChanges(destination, changes).some(
    (name) => after[name] === undefined || after[name] !== before[name],
  );
}

/** What the secrets of an integration name; of a secret that is kept, what it has named. */
export function placesOf({ content, kept }: Judged, stored: Places): Places {
  const named = destinationSettings[content.destination].placesOf(content.settings);
  return { ...pick(stored, kept), ...named };
}

function routingChanges(
  destination: VersionContent['destination'],
  changes: readonly string[],
): readonly string[] {
  return destinationSettings[destination].routing.filter((name) => changes.includes(`settings.${name}`));
}

function pick(places: Places, names: readonly string[]): Places {
  return Object.fromEntries(Object.entries(places).filter(([name]) => names.includes(name)));
}

function isSame(left: unknown, right: unknown): boolean {
  return canonical(left) === canonical(right);
}

function canonical(value: unknown): string | undefined {
  return JSON.stringify(value, (_, member: unknown) =>
    isObject(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}

function memberOf(input: unknown): { readonly destination?: unknown; readonly settings?: unknown } {
  return isObject(input) ? input : {};
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
