import { Catch, Inject } from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { DatabaseError } from '@heddle/persistence';
import { LOGGER, ProblemError, sendProblem } from '@heddle/platform';
import type { Logger } from '@heddle/platform';

/** A database that is away is no fault of the request: it may come again. */
@Catch(DatabaseError)
export class UnavailableFilter implements ExceptionFilter {
  constructor(@Inject(LOGGER) private readonly logger: Logger) {}

  catch(error: DatabaseError, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const answer =
      error.fault === 'transient'
        ? new ProblemError(503, 'orders and recipes cannot be read at the moment, try again', {
            headers: { 'retry-after': '5' },
            cause: error,
          })
        : error;
    sendProblem(answer, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>(), this.logger);
  }
}
