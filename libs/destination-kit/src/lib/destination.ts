import type {
  DeliveryNotes,
  DeliveryRequestedV1,
  DestinationKind,
  OfferedFileKind,
  Receipt,
  Trigger,
} from '@heddle/contracts';

/** One file of a file set, spooled and measured by the worker. */
export interface DeliveryFile {
  /** Satisfies `FileName` of the contract: safe as the last segment of a path or key. */
  readonly name: string;
  readonly mimeType: string;
  readonly sizeBytes: number;
  /** SHA-256 of the bytes, lower-case hex. */
  readonly sha256: string;
  /** An earlier offer of this delivery had begun to write these bytes under this name: they may stand there. */
  readonly isBegun?: boolean;
  /** All of them, where the worker holds them in memory: for a destination that is spared a stream by it. */
  readonly bytes?: Uint8Array;
  /** Opens the bytes from the start. May be called more than once until the file's receipt is yielded. */
  open(): AsyncIterable<Uint8Array>;
}

/** One file of a set that is held together. */
export interface CollectedFile {
  readonly name: string;
  /** Undefined: nobody has seen its end. */
  readonly sizeBytes: number | undefined;
  /** Undefined: it can be fetched, and does not fit beside the files before it. */
  readonly file: DeliveryFile | undefined;
}

/** A file of the set before anybody has fetched it. */
export interface OfferedName {
  readonly name: string;
  readonly kind: OfferedFileKind;
  readonly mimeType: string;
}

/** `signed`: for whoever has the link. `public`: the recipe's own address, which is as open as the tenant's recipes are. */
export type LinkAccess = 'signed' | 'public';

/** The order that a delivery is about. */
export type DeliveryOrder = NonNullable<DeliveryRequestedV1['order']>;

/** What is known of a delivery whether it sends something or not. */
interface DeliveryBase<TSettings> {
  readonly deliveryId: string;
  /** Earlier offers of this delivery and its lane: what they left under temporary names is to be removed. */
  readonly earlierOfferIds: readonly string[];
  readonly tenant: string;
  readonly channel: string;
  readonly integrationId: string;
  /** Parsed, secrets opened. Shared by attempts of one integration that run at one time, gone with the last of them, never logged. */
  readonly settings: TSettings;
}

export interface Delivery<TSettings> extends DeliveryBase<TSettings> {
  /** This attempt's offer: part of temporary names, so that two offers never share one. */
  readonly offerId: string;
  readonly trigger: Trigger;
  /** 1 for the first try. */
  readonly attempt: number;
  /** Missing for the recipe feed. */
  readonly order?: DeliveryOrder;
  readonly recipeIds: readonly string[];
  /** Those that did not come within their wait. The delivery goes out all the same, without them, and then fails. */
  readonly missingRecipeIds?: readonly string[];
  /** What earlier offers of this delivery have noted. They stand where the settings have changed since. */
  readonly notes: DeliveryNotes;
  /**
   * Missing unless only what is missing is asked for: what earlier deliveries of the same files have noted. Receipts of
   * deliveries that have noted something count for nothing: the destination tells by the notes what is missing.
   */
  readonly earlierNotes?: DeliveryNotes;
  /** Every file that has no receipt yet, in the order of the set, whether it can be fetched or not. */
  readonly offered: readonly OfferedName[];
  /**
   * The files as they become ready: fetched whole, so that a slow source never holds a
   * connection to the target. May be pulled by several readers at once, each file goes to one
   * of them. A file that cannot be fetched does not appear; the worker reports it.
   * Empty for a destination that fetches nothing, or collects.
   */
  readonly files: AsyncIterable<DeliveryFile>;
  /**
   * For a destination that collects: fetches the whole set, to be held together. In the order of the set each file that
   * still fits into `maxBytes` is kept, which is the same on every attempt; of the others no more than a part is read.
   * Room for it all is taken at once, so deliveries wait for each other and never in a circle; where the worker has less
   * room than `maxBytes`, that is the limit. Once per attempt.
   *
   * @returns every file of the set in its order, or fewer where some cannot be fetched: the worker reports them.
   */
  readonly collect: (maxBytes: number) => Promise<readonly CollectedFile[]>;
  /**
   * An address of the hub for one offered file, for whoever is to fetch it. Signed, it expires after a week. Only a
   * recipe's document and its ticket have a public one, without what the order adds; all else is signed even so.
   */
  readonly linkTo: (name: string, access?: LinkAccess) => Promise<string>;
}

/** What earlier offers may have left behind of a delivery that sends nothing any more. */
export interface Leftovers<TSettings> extends DeliveryBase<TSettings> {
  readonly fileNames: readonly string[];
}

export interface DeliveryContext {
  /**
   * Aborts at the attempt's deadline, on shutdown, and when the worker can no longer report
   * (another may be offered the delivery then); the attempt must stop writing promptly.
   */
  readonly signal: AbortSignal;
  /**
   * Throws when the worker's lease on the offer is stale, which a process that was stopped for
   * a while learns before any timer tells it. Call it right before each effect that others
   * can see, such as the rename to a final name.
   */
  assertLeased(): void;
  /**
   * Resolves when it is on record that this offer begins to write the file. For names that must not be taken, before
   * the first byte: should the answer be lost, a later offer knows by `isBegun` whose bytes it finds there.
   */
  begin(file: DeliveryFile): Promise<void>;
  /** Resolves when later offers of this delivery will know it, by `Delivery.notes`. */
  note(notes: DeliveryNotes): Promise<void>;
  /** The same for what nobody has to know before this attempt has ended: it is on record together with the end. */
  noteAtEnd(notes: DeliveryNotes): void;
}

/** What every outbound worker implements. `destination-testing` holds its conformance suite. */
export interface Destination<TSettings> {
  readonly kind: DestinationKind;

  /**
   * False: links are all it sends, so the worker fetches nothing and `files` is empty. It only looks whether there is
   * something behind each link, and makes no attempt where there is not.
   */
  readonly fetches?: boolean;

  /** True: it holds a whole set at one time, and fetches it with `collect` alone. */
  readonly collects?: boolean;

  /**
   * Makes one attempt. Repeating it with the same delivery must leave the target as one
   * success would: same names, same bytes, no second copy. Nothing half-written may
   * become visible under its final name.
   *
   * Yields the receipt of a file as soon as it is in place. Receipts yielded before a
   * failure are kept, and the next attempt carries only the files without one.
   *
   * What goes out whole or not at all, a mail or a hook call, ends without a receipt and without
   * an error where `files` or `collect` has fewer than `offered`: the worker reports what could not be fetched.
   *
   * @throws {DestinationError} and nothing else.
   */
  deliver(delivery: Delivery<TSettings>, context: DeliveryContext): AsyncIterable<Receipt>;

  /**
   * Removes what earlier offers left under temporary names. Once, as well as it can: what is not
   * there is as good as removed. Missing where a destination leaves nothing behind.
   */
  tidy?(leftovers: Leftovers<TSettings>, signal: AbortSignal): Promise<void>;

  /** Closes what is kept between attempts. */
  close(): Promise<void>;
}
