/** Where the outside reaches the hub: `Hub`. */
export const HUB = Symbol('Hub');
/** Days without a change after which history is deleted: `number`. */
export const HISTORY_DAYS = Symbol('HistoryDays');
/** Milliseconds after which an item that waits for its recipe is overdue: `number`. */
export const WAITING_ALERT_MS = Symbol('WaitingAlertMs');
/** Paper of tickets where nobody asks for another one: `TicketPaper`. */
export const TICKET_PAPER = Symbol('TicketPaper');
/** Largest file that may be uploaded, in bytes: `number`. */
export const UPLOAD_MAX_BYTES = Symbol('UploadMaxBytes');
/** Days for which the content of a file is kept that no recipe has any more: `number`. */
export const UNUSED_FILES_DAYS = Symbol('UnusedFilesDays');
