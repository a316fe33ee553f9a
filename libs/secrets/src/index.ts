export { secretsConfig } from './lib/config.js';
export { KeyringError, KeyringSetting, parseKeyring } from './lib/keyring.js';
export type { Keyring, NamedKey } from './lib/keyring.js';
export { SECRET_ERROR_CODES, SecretError, SecretSealer, isSealed } from './lib/secret-sealer.js';
export type { SecretErrorCode, SecretPlace } from './lib/secret-sealer.js';
