/** The smallest UUIDv7 of an instant: delivery ids grow with time, so the primary key finds what is old. */
export function firstIdAt(epochMs: number): string {
  const hex = Math.max(0, Math.trunc(epochMs)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}
