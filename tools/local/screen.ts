/** What the person at the keyboard sees: progress with the time since the start, then one screen. */
export class Screen {
  constructor(private readonly startedAt: number) {}

  say(line: string): void {
    const seconds = ((Date.now() - this.startedAt) / 1_000).toFixed(1).padStart(5);
    process.stderr.write(`[${seconds} s] ${line}\n`);
  }

  show(lines: readonly string[]): void {
    process.stdout.write(`\n${lines.join('\n')}\n\n`);
  }
}

/** Something the person at the keyboard can mend: the message is a sentence with the way out. */
export class StartError extends Error {
  override readonly name = 'StartError';
}
