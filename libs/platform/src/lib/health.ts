/** Undefined: fine. Text: what is wrong, for a person. */
export type HealthCheck = () => string | undefined;

export interface HealthReport {
  readonly status: 'ok' | 'failing';
  /** Name of the check -> what is wrong. Empty when all is well. */
  readonly failing: Readonly<Record<string, string>>;
}

/**
 * Liveness: restart me when it fails. Readiness: send me no work while it fails.
 * Checks are synchronous looks at state that is kept anyway: a probe must never wait.
 */
export class Health {
  private readonly liveness = new Map<string, HealthCheck>();
  private readonly readiness = new Map<string, HealthCheck>([['start', () => 'starting']]);

  addLiveness(name: string, check: HealthCheck): void {
    this.liveness.set(name, check);
  }

  addReadiness(name: string, check: HealthCheck): void {
    this.readiness.set(name, check);
  }

  started(): void {
    this.readiness.delete('start');
  }

  shuttingDown(): void {
    this.readiness.set('shutdown', () => 'shutting down');
  }

  live(): HealthReport {
    return report(this.liveness);
  }

  ready(): HealthReport {
    return report(new Map([...this.liveness, ...this.readiness]));
  }
}

function report(checks: ReadonlyMap<string, HealthCheck>): HealthReport {
  const failing: Record<string, string> = {};
  for (const [name, check] of checks) {
    const fault = check();
    if (fault !== undefined) failing[name] = fault;
  }
  return { status: Object.keys(failing).length === 0 ? 'ok' : 'failing', failing };
}
