import { Catch, Inject } from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import { LOGGER, ProblemError, describeError, sendProblem } from '@heddle/platform';
import type { Logger } from '@heddle/platform';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { DatabaseError } from './database-error.js';

/** A database that is away is no fault of the request: 503 with `Retry-After`, and a line that is no alarm. */
@Catch(DatabaseError)
export class DatabaseProblemFilter implements ExceptionFilter<DatabaseError> {
  constructor(@Inject(LOGGER) private readonly logger: Logger) {}

  catch(error: DatabaseError, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const isAway = error.fault === 'transient';
    if (isAway) this.logger.warn({ err: describeError(error) }, 'database.unreachable');
    const problem = isAway
      ? new ProblemError(503, 'the database does not answer, try again', {
          headers: { 'retry-after': '5' },
          cause: error,
        })
      : error;
    sendProblem(problem, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>(), this.logger);
  }
}
