import { Catch } from '@nestjs/common';
import type { INestApplication, RpcExceptionFilter } from '@nestjs/common';
import { NestMicroservice } from '@nestjs/microservices';
import type { CustomTransportStrategy, MicroserviceOptions } from '@nestjs/microservices';
import { throwError } from 'rxjs';
import type { Observable } from 'rxjs';

/**
 * Hands what a handler raised to its transport strategy, which decides what becomes of it. Nest's own filter logs the
 * error with its message and answers "Internal server error" in its place.
 */
@Catch()
class HandlerErrors implements RpcExceptionFilter {
  catch(error: unknown): Observable<never> {
    return throwError(() => error);
  }
}

/** Connects a transport strategy so that its handlers' errors reach it unchanged. Pipes and filters of HTTP do not apply. */
export function connectStrategy(app: INestApplication, strategy: CustomTransportStrategy): void {
  // Handlers are bound to the filters that exist when they are registered, so that has to come after the filter.
  const microservice = app.connectMicroservice<MicroserviceOptions>(
    { strategy },
    { deferInitialization: true },
  );
  microservice.useGlobalFilters(new HandlerErrors());
  // Else Nest calls every provider's onModuleInit once more.
  if (microservice instanceof NestMicroservice) microservice.setIsInitHookCalled(true);
}
