/** Writes the project graph that the boundary rules read. Run by a process of its own: Nx keeps state per process. */
process.env.NX_DAEMON = 'false';
process.env.NX_NO_CLOUD = 'true';
process.env.NX_TUI = 'false';
process.env.NX_CACHE_PROJECT_GRAPH = 'true';

const { createProjectGraphAsync } = await import('@nx/devkit');
const graph = await createProjectGraphAsync({ exitOnError: false, resetDaemonClient: true });
if (Object.keys(graph.nodes).length === 0) throw new Error('reading the project graph: it names no project');
if (!graph.externalNodes || Object.keys(graph.externalNodes).length === 0) {
  throw new Error('reading the project graph: it names no package, is package-lock.json there?');
}
console.log(`${Object.keys(graph.nodes).length} projects`);
process.exit(0);
