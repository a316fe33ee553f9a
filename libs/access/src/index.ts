export { generateApiKey, isSameSecret, readApiKey } from './lib/api-key.js';
export type { PresentedKey } from './lib/api-key.js';
export { createApiKey, createTenant, findKeys, listApiKeys, revokeApiKey } from './lib/api-key.repository.js';
export type { ApiKeyView, CreateApiKey, KeyRecord } from './lib/api-key.repository.js';
export { ApiKeys, KeysUnavailableError } from './lib/api-keys.js';
export { channelOf, hasPermission } from './lib/caller.js';
export {
  ApiKeyGuard,
  Caller,
  Public,
  RequirePermission,
  ServiceTokenGuard,
  callerOfKey,
  requirePermissions,
  unauthorized,
} from './lib/guards.js';
export { bearer, presentedKey } from './lib/presented-key.js';
export type { KeyCarrier } from './lib/presented-key.js';
export { ACCESS_SCHEMA, accessMigrations } from './lib/schema.js';
export { ServiceTokenError, ServiceTokens } from './lib/service-tokens.js';
export type { SigningKey } from './lib/service-tokens.js';
export { listTenants, setRecipeAccess } from './lib/tenant.repository.js';
export type { RecipeAccess, TenantSettings } from './lib/tenant.repository.js';
