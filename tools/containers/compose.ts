import { z } from 'zod';

const Service = z.object({
  image: z.string().optional(),
  build: z.object({ context: z.literal('.'), target: z.string() }).optional(),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.coerce.string()).optional(),
  restart: z.string().optional(),
  healthcheck: z.object({ test: z.array(z.string()).optional() }).optional(),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).optional(),
});

/** What this repository uses of the Compose format. */
export const Compose = z.object({ services: z.record(z.string(), Service) });

const VARIABLE = /\$\{(?<name>\w+)(?:(?<kind>:[-?])(?<word>[^}]*))?\}/g;

function mapStrings(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((member) => mapStrings(member, change));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, mapStrings(member, change)]),
  );
}

/** Compose's own `${NAME}`, `${NAME:-default}` and `${NAME:?message}`. */
export function interpolate(document: unknown, env: Readonly<Record<string, string>>): unknown {
  return mapStrings(document, (text) =>
    text.replaceAll(VARIABLE, (_, name: string, kind: string | undefined, word: string | undefined) => {
      const value = env[name] ?? '';
      if (value !== '') return value;
      if (kind === ':?') throw new Error(`${name}: ${word ?? ''}`);
      return word ?? '';
    }),
  );
}

/** The names that stand as `${NAME:?message}`. */
export function required(document: unknown): string[] {
  const names = new Set<string>();
  mapStrings(document, (text) => {
    for (const { groups } of text.matchAll(VARIABLE)) {
      if (groups?.['kind'] === ':?') names.add(groups['name'] ?? '');
    }
    return text;
  });
  return [...names];
}
