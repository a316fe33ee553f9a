export { secretsConfig } from './lib/config.js';
export { FileLinkError, FileLinks, MAX_LINKED_CHARACTERS, recipePathOf } from './lib/file-links.js';
export type { LinkedFile, LinkedSource } from './lib/file-links.js';
export { KeyringError, KeyringSetting, parseKeyring } from './lib/keyring.js';
export type { Keyring, NamedKey } from './lib/keyring.js';
export { SECRET_ERROR_CODES, SecretError, SecretSealer, isSealed } from './lib/secret-sealer.js';
export type { SecretErrorCode, SecretPlace } from './lib/secret-sealer.js';
