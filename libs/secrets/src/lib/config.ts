import { KeyringSetting } from './keyring.js';

/** Spread into the configuration of every app that seals or opens secrets. */
export const secretsConfig = {
  SECRETS_KEY: KeyringSetting.describe(
    'Master keys of sealed secrets, kid:base64 of 32 bytes, comma-separated; the first seals, all open.',
  ),
} as const;
