/** Base address under which the outside reaches the hub: `URL`. */
export const PUBLIC_URL = Symbol('PublicUrl');
/** Days without a change after which history is deleted: `number`. */
export const HISTORY_DAYS = Symbol('HistoryDays');
