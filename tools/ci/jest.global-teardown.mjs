/**
 * Ends what the set-up started; Jest calls it after failed tests, too. Where Jest itself dies, the servers end with it
 * (libs/testing/src/lib/guard.ts).
 */
export default async function tearDown() {
  const servers = await globalThis.heddleServers?.catch(() => []);
  globalThis.heddleServers = undefined;
  await Promise.all((servers ?? []).map((server) => server.close()));
}
