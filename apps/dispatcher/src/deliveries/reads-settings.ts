import { hasPermission } from '@heddle/access';
import type { Caller } from '@heddle/access';

/** Whether the caller may read the settings of integrations. */
export function readsSettings(caller: Pick<Caller, 'permissions'>): boolean {
  return hasPermission(caller, 'integrations:manage');
}
