import { execFile } from 'node:child_process';
import { join } from 'node:path';

import { workspaceRoot } from './workspace.js';

export interface JavaLibraries {
  readonly version: string;
  /** Folder of the jars. */
  readonly libs: string;
  /** Java 17 or newer. */
  readonly java: string;
}

/**
 * @param tool folder below `tools` whose `fetch.mjs` brings the server's jars
 * @throws one sentence with the way out: no Java, no Maven, no network, no disk
 */
export async function javaLibraries(tool: 'kafka' | 's3proxy'): Promise<JavaLibraries> {
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [join(workspaceRoot(), 'tools', tool, 'fetch.mjs')],
      (error, stdout, stderr) => {
        if (error === null) resolve(JSON.parse(stdout) as JavaLibraries);
        else reject(new Error(stderr.trim().split('\n').at(-1) ?? error.message));
      },
    );
  });
}
