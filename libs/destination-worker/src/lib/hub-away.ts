import { DestinationError } from '@heddle/destination-kit';

/**
 * What the fetch of a file ends with whose attempt was aborted while the hub's own store was away. It names no target's
 * and no source's fault, so it spends no attempt.
 */
export class HubAway extends DestinationError {
  constructor(fileName: string) {
    super('SOURCE_UNAVAILABLE', `fetching ${fileName}: the hub's own store does not answer`);
  }
}
