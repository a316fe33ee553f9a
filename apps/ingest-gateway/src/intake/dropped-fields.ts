/**
 * Members that an allow-list drops: those of the items beyond `allowed`, with all that is inside them. An allowed
 * member holds no others, or the contract would have refused it.
 */
export function countDroppedFields(items: unknown, allowed: ReadonlySet<string>): number {
  if (!Array.isArray(items)) return 0;
  let dropped = 0;
  for (const item of items as readonly object[]) {
    for (const [name, value] of Object.entries(item)) if (!allowed.has(name)) dropped += 1 + membersIn(value);
  }
  return dropped;
}

function membersIn(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let members = 0;
  if (Array.isArray(value)) for (const part of value) members += membersIn(part);
  else for (const part of Object.values(value)) members += 1 + membersIn(part);
  return members;
}
