import { freePort, isPortFree } from '@heddle/testing';

import type { LocalState } from './state.js';

/** Free ports, kept for the next start: the one of the last start where it is still free. */
export class Ports {
  constructor(private readonly state: LocalState) {}

  async portFor(name: string): Promise<number> {
    const kept = this.state.ports[name];
    const port = kept !== undefined && (await isPortFree(kept)) ? kept : await freePort();
    this.state.ports[name] = port;
    return port;
  }
}
