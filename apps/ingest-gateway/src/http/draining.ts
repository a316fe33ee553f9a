import type { Server } from 'node:http';

import type { FastifyInstance } from 'fastify';

/** A connection that answered its last request while we were closing is idle now, and nobody else closes it. */
const SWEEP_MS = 100;

/** Lets requests finish when the process is told to stop, and keeps no connection beyond them. */
export class Draining {
  private timers: NodeJS.Timeout[] = [];

  constructor(
    private readonly server: Server,
    /** Longest wait for requests that are under way. */
    private readonly withinMs: number,
  ) {}

  /** Answers from now on tell the client that the connection ends. */
  register(fastify: FastifyInstance): void {
    fastify.addHook('onSend', (_request, reply, _payload, done) => {
      if (this.timers.length > 0) void reply.header('connection', 'close');
      done();
    });
  }

  start(): void {
    this.timers = [
      setInterval(() => {
        this.server.closeIdleConnections();
      }, SWEEP_MS).unref(),
      setTimeout(() => {
        this.server.closeAllConnections();
      }, this.withinMs).unref(),
    ];
  }

  stop(): void {
    for (const timer of this.timers) clearTimeout(timer);
  }
}
