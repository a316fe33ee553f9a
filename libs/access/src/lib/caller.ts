import { DEFAULT_CHANNEL } from '@heddle/contracts';
import type { Permission } from '@heddle/contracts';

/** Who is asking, as far as anybody behind the gateway has to know. */
export interface Caller {
  readonly tenant: string;
  readonly permissions: readonly Permission[];
  /** As the audit names it: `key:<id>`. */
  readonly actor: string;
  /** The shop that the key serves; undefined when it names none. */
  readonly channel: string | undefined;
}

export function hasPermission({ permissions }: Pick<Caller, 'permissions'>, wanted: Permission): boolean {
  return permissions.includes(wanted) || permissions.includes('admin');
}

/** Where the caller's orders belong. */
export function channelOf({ channel }: Pick<Caller, 'channel'>): string {
  return channel ?? DEFAULT_CHANNEL;
}
