import { execFile } from 'node:child_process';
import { join } from 'node:path';

import { workspaceRoot } from './workspace.js';

export interface KafkaLibraries {
  readonly version: string;
  /** Folder of the jars. */
  readonly libs: string;
  /** Java 17 or newer. */
  readonly java: string;
}

/** @throws one sentence with the way out: no Java, no Maven, no network, no disk */
export async function kafkaLibraries(): Promise<KafkaLibraries> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [join(workspaceRoot(), 'tools/kafka/fetch.mjs')], (error, stdout, stderr) => {
      if (error === null) resolve(JSON.parse(stdout) as KafkaLibraries);
      else reject(new Error(stderr.trim().split('\n').at(-1) ?? error.message));
    });
  });
}
