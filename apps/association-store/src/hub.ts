/** Where the outside reaches this hub. */
export interface Hub {
  /** Base of the addresses that it gives. */
  readonly url: URL;
  /** Every host of its own, with its port unless that is the usual one. */
  readonly hosts: ReadonlySet<string>;
}

/** What the addresses that the hub gives begin with; their paths follow with a slash. */
export function baseOf({ url }: Hub): string {
  return url.href.replace(/\/+$/, '');
}
