/** One line of the table that `npm run bench` prints. */
export interface BenchRow {
  readonly figure: string;
  readonly value: string;
  /** What is to be held; empty where nothing is promised. */
  readonly aim: string;
  readonly holds: boolean;
}

export function printTable(rows: readonly BenchRow[]): void {
  const width = (pick: (row: BenchRow) => string, title: string): number =>
    Math.max(title.length, ...rows.map((row) => pick(row).length));
  const [figure, value, aim] = [
    width((row) => row.figure, 'figure'),
    width((row) => row.value, 'measured'),
    width((row) => row.aim, 'aim'),
  ];
  console.log(`| ${'figure'.padEnd(figure)} | ${'measured'.padEnd(value)} | ${'aim'.padEnd(aim)} | holds |`);
  console.log(`|${'-'.repeat(figure + 2)}|${'-'.repeat(value + 2)}|${'-'.repeat(aim + 2)}|-------|`);
  for (const row of rows) {
    const holds = row.aim === '' ? '' : row.holds ? 'yes' : 'NO';
    console.log(
      `| ${row.figure.padEnd(figure)} | ${row.value.padEnd(value)} | ${row.aim.padEnd(aim)} | ${holds.padEnd(5)} |`,
    );
  }
}
