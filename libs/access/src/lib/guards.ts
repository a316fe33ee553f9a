import { createParamDecorator, Injectable, SetMetadata } from '@nestjs/common';
import type { CanActivate, CustomDecorator, ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';

import type { Permission } from '@heddle/contracts';
import { ProblemError } from '@heddle/platform';

import { ApiKeys, KeysUnavailableError } from './api-keys.js';
import { hasPermission } from './caller.js';
import type { Caller as CallerFacts } from './caller.js';
import { bearer, presentedKey } from './presented-key.js';
import type { KeyCarrier } from './presented-key.js';
import { ServiceTokenError, ServiceTokens } from './service-tokens.js';

const NEEDS = Symbol('needs');

type Needs =
  { readonly public: true } | { readonly public: false; readonly permissions: readonly Permission[] };

/** All of the permissions; none: any key will do. */
export function RequirePermission(...permissions: Permission[]): CustomDecorator<symbol> {
  return SetMetadata<symbol, Needs>(NEEDS, { public: false, permissions });
}

/** Answers anybody. */
export function Public(): CustomDecorator<symbol> {
  return SetMetadata<symbol, Needs>(NEEDS, { public: true });
}

type CheckedRequest = KeyCarrier & { caller?: CallerFacts };

/** Type of a parameter that is decorated with `@Caller()`. */
export type Caller = CallerFacts;

/** The caller that a guard has found. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): CallerFacts => {
  const { caller } = context.switchToHttp().getRequest<CheckedRequest>();
  if (!caller) throw new TypeError('@Caller() needs a guard');
  return caller;
});

/** Fails closed: a handler that says neither what it needs nor that it is public answers nobody. */
abstract class PermissionGuard implements CanActivate {
  protected abstract readonly reflector: Reflector;

  /** @returns undefined when the credential is missing or good for nothing. */
  protected abstract callerOf(request: KeyCarrier): Promise<CallerFacts | undefined>;

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const needs = this.reflector.getAllAndOverride<Needs | undefined>(NEEDS, [
      context.getHandler(),
      context.getClass(),
    ]);
    if (!needs) throw new ProblemError(403, 'this address is not open to anybody');
    if (needs.public) return true;

    const request = context.switchToHttp().getRequest<CheckedRequest>();
    const caller = await this.callerOf(request);
    if (!caller) throw unauthorized(needs.permissions);
    requirePermissions(caller, needs.permissions);
    request.caller = caller;
    return true;
  }
}

/** For services: the gateway's token. */
@Injectable()
export class ServiceTokenGuard extends PermissionGuard {
  constructor(
    protected readonly reflector: Reflector,
    private readonly tokens: ServiceTokens,
  ) {
    super();
  }

  protected override async callerOf({ headers }: KeyCarrier): Promise<CallerFacts | undefined> {
    const token = bearer(headers['authorization']);
    if (token === undefined) return undefined;
    try {
      return await this.tokens.verify(token);
    } catch (error) {
      if (error instanceof ServiceTokenError) return undefined;
      throw error;
    }
  }
}

/** For the gateway: an API key. */
@Injectable()
export class ApiKeyGuard extends PermissionGuard {
  constructor(
    protected readonly reflector: Reflector,
    private readonly keys: ApiKeys,
  ) {
    super();
  }

  protected override async callerOf(request: KeyCarrier): Promise<CallerFacts | undefined> {
    return await callerOfKey(this.keys, request);
  }
}

/**
 * For routes that do not go through Nest's guards.
 *
 * @returns undefined when there is no key, or it is unknown, revoked or expired.
 * @throws {ProblemError} 503 while nobody can tell.
 */
export async function callerOfKey(keys: ApiKeys, request: KeyCarrier): Promise<CallerFacts | undefined> {
  const key = presentedKey(request);
  if (key === undefined) return undefined;
  try {
    return await keys.authenticate(key);
  } catch (error) {
    if (!(error instanceof KeysUnavailableError)) throw error;
    throw new ProblemError(503, 'keys cannot be checked at the moment', { headers: { 'retry-after': '5' } });
  }
}

export function unauthorized(permissions: readonly Permission[]): ProblemError {
  const what =
    permissions.length === 0 ? 'a valid key' : `a valid key with the permission ${permissions.join(', ')}`;
  return new ProblemError(401, `${what} is required`, { headers: { 'www-authenticate': 'Bearer' } });
}

/** @throws {ProblemError} 403 naming what is missing. */
export function requirePermissions(caller: CallerFacts, permissions: readonly Permission[]): void {
  const missing = permissions.filter((permission) => !hasPermission(caller, permission));
  if (missing.length > 0) throw new ProblemError(403, `the key lacks the permission ${missing.join(', ')}`);
}
