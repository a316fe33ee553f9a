/** Of the public API, as its document states it: grows with what clients can see. */
export const VERSION = '2.0.0';
