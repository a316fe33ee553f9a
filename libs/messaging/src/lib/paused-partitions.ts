/**
 * - `parked`: waits for something that comes back, such as a database; a timer resumes it.
 * - `full`: a worker has no room; `resume(topic)` does.
 * - `refused`: too many dead letters in a row; stays until the process restarts or the partition moves.
 */
export type PauseReason = 'parked' | 'full' | 'refused';

interface Paused {
  readonly topic: string;
  readonly partition: number;
  readonly reason: PauseReason;
}

/** Which partitions of this process are not fetched, and why. */
export class PausedPartitions {
  private readonly paused = new Map<string, Paused>();
  private readonly resumes = new Map<string, number>();

  constructor(private readonly resumeAtClient: (topic: string, partition: number) => void) {}

  /** How often a topic was resumed; to be read before the decision to pause. */
  resumesOf(topic: string): number {
    return this.resumes.get(topic) ?? 0;
  }

  /** Pauses, unless the topic was resumed since `resumes` was read: then room came while the handler still ran. */
  pause(topic: string, partition: number, reason: PauseReason, resumes: number, atClient: () => void): void {
    if (reason === 'full' && this.resumesOf(topic) !== resumes) return;
    atClient();
    this.paused.set(keyOf(topic, partition), { topic, partition, reason });
  }

  resume(topic: string): void {
    this.resumes.set(topic, this.resumesOf(topic) + 1);
    for (const [key, paused] of this.paused) {
      if (paused.topic === topic && paused.reason === 'full') this.release(key, paused);
    }
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
