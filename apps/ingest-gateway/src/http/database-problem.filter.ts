import { Catch, Inject } from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { DatabaseError } from '@heddle/persistence';
import { LOGGER, ProblemError, describeError, sendProblem } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

/** Keys and their audit need PostgreSQL: while it is away they are 503, everything else goes on. */
@Catch(DatabaseError)
export class DatabaseProblemFilter implements ExceptionFilter<DatabaseError> {
  constructor(@Inject(LOGGER) private readonly logger: Logger) {}

  catch(error: DatabaseError, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const isAway = error.fault === 'transient';
    if (isAway) this.logger.warn({ err: describeError(error) }, 'database.unreachable');
    const problem = isAway
      ? new ProblemError(503, 'the database does not answer, try again', { headers: { 'retry-after': '5' } })
      : error;
    sendProblem(problem, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>(), this.logger);
  }
}
