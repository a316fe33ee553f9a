/**
 * - `parked`: waits for something that comes back, such as a database; a timer resumes it.
 * - `refused`: too many dead letters in a row; stays until the process restarts or the partition moves.
 */
export type PauseReason = 'parked' | 'refused';

interface Paused {
  readonly topic: string;
  readonly partition: number;
  readonly reason: PauseReason;
}

/** Which partitions of this process are not fetched, and why. */
export class PausedPartitions {
  private readonly paused = new Map<string, Paused>();

  constructor(private readonly resumeAtClient: (topic: string, partition: number) => void) {}

  pause(topic: string, partition: number, reason: PauseReason, atClient: () => void): void {
    atClient();
    this.paused.set(keyOf(topic, partition), { topic, partition, reason });
  }

  unpark(topic: string, partition: number): void {
    const key = keyOf(topic, partition);
    const paused = this.paused.get(key);
    if (paused?.reason === 'parked') this.release(key, paused);
  }

  refused(): readonly string[] {
    return [...this.paused].filter(([, { reason }]) => reason === 'refused').map(([key]) => key);
  }

  /** A refused partition that went to another member is not ours to complain about. */
  keepRefusedOf(isAssigned: (topic: string, partition: number) => boolean): void {
    for (const [key, paused] of this.paused) {
      const { topic, partition, reason } = paused;
      if (reason === 'refused' && !isAssigned(topic, partition)) this.release(key, paused);
    }
  }

  clear(): void {
    this.paused.clear();
  }

  private release(key: string, { topic, partition }: Paused): void {
    this.paused.delete(key);
    this.resumeAtClient(topic, partition);
  }
}

function keyOf(topic: string, partition: number): string {
  return `${topic}/${String(partition)}`;
}
