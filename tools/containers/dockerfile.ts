/** A stage with what it inherits from the stages below it. */
export interface Stage {
  readonly from: string;
  readonly user: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly healthcheck: string | undefined;
  /** Copied from the build context. */
  readonly sources: readonly string[];
  /** Copied from other stages. */
  readonly takes: readonly { readonly stage: string; readonly path: string }[];
  /** Folders and files of the image, relative to /app, that were copied from other stages. */
  readonly holds: readonly string[];
}

/** `/app/dist/apps/dispatcher` -> `apps/dispatcher`, where its source is. */
export const pathOf = (path: string): string => path.replace(/^.*\/dist\//, '');

/** Reads the instructions that this repository uses; any other is an error, so that none goes unchecked. */
export function parseDockerfile(text: string): Map<string, Stage> {
  const stages = new Map<string, Stage>();
  let name = '';
  const lines = text
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '');
  for (const line of lines) {
    const [instruction = '', ...words] = line.trim().split(/\s+/);
    const rest = words.join(' ');
    if (instruction === 'FROM') {
      const [from = '', as, stage = ''] = words;
      if (as?.toUpperCase() !== 'AS') throw new Error(`${line}: a stage has a name`);
      const base = stages.get(from);
      name = stage;
      stages.set(
        name,
        base
          ? { ...base, sources: [], takes: [] }
          : {
              from,
              user: 'root',
              command: [],
              environment: {},
              healthcheck: undefined,
              sources: [],
              takes: [],
              holds: [],
            },
      );
      continue;
    }
    const stage = stages.get(name);
    if (!stage) throw new Error(`${line}: outside a stage`);
    stages.set(name, { ...stage, ...change(stage, instruction, words, rest) });
  }
  return stages;
}

function change(stage: Stage, instruction: string, words: readonly string[], rest: string): Partial<Stage> {
  switch (instruction) {
    case 'USER':
      return { user: rest };
    case 'CMD':
      return { command: JSON.parse(rest) as string[] };
    case 'ENV':
      return { environment: { ...stage.environment, ...Object.fromEntries(words.map(assignment)) } };
    case 'HEALTHCHECK':
      return { healthcheck: rest === 'NONE' ? undefined : rest };
    case 'COPY': {
      const from = words.find((word) => word.startsWith('--from='))?.slice('--from='.length);
      const paths = words.filter((word) => !word.startsWith('--'));
      const sources = paths.slice(0, -1);
      if (from === undefined) return { sources: [...stage.sources, ...sources] };
      return {
        takes: [...stage.takes, ...sources.map((path) => ({ stage: from, path }))],
        holds: [...stage.holds, ...paths.slice(-1)],
      };
    }
    case 'WORKDIR':
    case 'RUN':
    case 'EXPOSE':
      return {};
    default:
      throw new Error(`${instruction}: not known here`);
  }
}

function assignment(word: string): [string, string] {
  const at = word.indexOf('=');
  return [word.slice(0, at), word.slice(at + 1)];
}
