/** Secret settings are sealed at rest, write-only in the API and opened in the worker alone. */
export function isSecretSetting(name: string): boolean {
  return name.endsWith('-secret') || name.endsWith('-secure') || name === 'hook-url';
}

/** What a read shows in place of a secret; writing it back keeps the old value. */
export const SECRET_MASK = '********';
