/** Fetches s3proxy. As a command it prints `{"version", "libs", "java"}`, or one sentence on stderr and exit code 1. */
import { fileURLToPath } from 'node:url';

import { fetchLibraries, runAsCommand } from '../maven/libraries.mjs';

const S3PROXY = {
  name: 's3proxy',
  folder: 's3proxy',
  pom: fileURLToPath(new URL('pom.xml', import.meta.url)),
  property: 's3proxy.version',
  jar: (version) => `s3proxy-${version}.jar`,
  sizeMb: 57,
};

export const fetchS3Proxy = (options) => fetchLibraries(S3PROXY, options);

await runAsCommand(import.meta.url, fetchS3Proxy);
