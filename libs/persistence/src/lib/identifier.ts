/**
 * Names of schemas and tables cannot be bind parameters, so they are checked before they enter a statement.
 *
 * @throws {TypeError} when the name would need quotes.
 */
export function identifier(name: string): string {
  if (!/^[a-z_][a-z0-9_]{0,62}(?:\.[a-z_][a-z0-9_]{0,62})?$/.test(name)) {
    throw new TypeError('names in SQL are lower case letters, digits and underscores');
  }
  return name;
}
