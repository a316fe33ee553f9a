export { AddressGuard, portOf } from './lib/address-guard.js';
export type { AddressGuardOptions, ConnectOptions, Endpoint, GuardedScheme } from './lib/address-guard.js';
export {
  AllowedAddressesSetting,
  HubAddressesSetting,
  isAllowed,
  isPublic,
  parseAllowedAddresses,
  sameAddress,
} from './lib/address-policy.js';
export type { AllowedAddress } from './lib/address-policy.js';
export type {
  CollectedFile,
  Delivery,
  DeliveryContext,
  DeliveryFile,
  DeliveryOrder,
  Destination,
  Leftovers,
  LinkAccess,
  OfferedName,
} from './lib/destination.js';
export { DestinationError } from './lib/destination-error.js';
export type { DestinationErrorCode } from './lib/destination-error.js';
export { cancelledFileName, deliveryFileName, fileSetNames, fileTypeOf } from './lib/file-naming.js';
export type { FileSetOwner, FileToName } from './lib/file-naming.js';
export { guardedAgents } from './lib/guarded-agents.js';
export type { GuardedAgents } from './lib/guarded-agents.js';
export { UrlSources, expectFile, requestSource, sourceError, sourceUnavailable } from './lib/http-source.js';
export type { SourceRequest } from './lib/http-source.js';
export { PublicHostsSetting, hubHosts, ownOrigins } from './lib/hub-hosts.js';
export type { PublicNames } from './lib/hub-hosts.js';
export { readRetryAfter } from './lib/retry-after.js';
export { sideBySide } from './lib/side-by-side.js';
