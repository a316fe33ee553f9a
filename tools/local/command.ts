/** What was asked for cannot be understood: said with the usage, exit code 2. */
export class UsageError extends Error {}

/** Runs a command of a person: a failure is one sentence on stderr and exit code 1. */
export async function runCommand(
  usage: string,
  main: (words: readonly string[]) => Promise<void>,
): Promise<void> {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    const isUsage = error instanceof UsageError;
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    if (isUsage) process.stderr.write(usage);
    process.exitCode = isUsage ? 2 : 1;
  }
}
