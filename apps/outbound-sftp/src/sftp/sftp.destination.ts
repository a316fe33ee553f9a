import type { Receipt, SftpSettings } from '@heddle/contracts';
import { DestinationError, sideBySide } from '@heddle/destination-kit';
import type {
  Delivery,
  DeliveryContext,
  DeliveryFile,
  Destination,
  Leftovers,
} from '@heddle/destination-kit';

import { SftpFault } from './sftp.client.js';
import type { SftpConnection, SftpConnections } from './sftp.client.js';
import { isConnectionLoss, isMissing, isUnexplained, toDestinationError } from './sftp.error.js';

type SftpDelivery = Delivery<SftpSettings>;

/** Files of one attempt that are sent side by side. */
const FILES_AT_ONCE = 3;
const CLEANUP_MS = 1_000;
const RENAME_TRIES = 3;

/**
 * Uploads the files of a delivery into one folder of an SFTP server.
 *
 * Each is written to `.<name>.<offerId>.part`, measured and renamed: nobody sees half a file
 * under its final name, and two offers of one delivery never write to the same file. The name
 * follows from order and recipe, so a repeated attempt replaces its own file with equal bytes.
 */
export class SftpDestination implements Destination<SftpSettings> {
  readonly kind = 'sftp';

  constructor(private readonly connections: SftpConnections) {}

  async *deliver(delivery: SftpDelivery, context: DeliveryContext): AsyncGenerator<Receipt, void> {
    try {
      yield* sideBySide(delivery.files, FILES_AT_ONCE, (file) => this.put(file, delivery, context));
    } catch (error) {
      throw toDestinationError(error, 'delivering the file set');
    }
  }

  async tidy(leftovers: Leftovers<SftpSettings>, signal: AbortSignal): Promise<void> {
    const { integrationId, settings, channel, fileNames, earlierOfferIds } = leftovers;
    const directory = directoryOf(settings.directory, channel);
    const lease = await this.connections.acquire(integrationId, settings, signal);
    try {
      for (const name of fileNames) {
        for (const offerId of earlierOfferIds) {
          await lease.connection.remove(partOf(directory, name, offerId), signal).catch((error: unknown) => {
            if (isConnectionLoss(error) || signal.aborted) throw error;
          });
        }
      }
    } finally {
      lease.release();
    }
  }

  async close(): Promise<void> {
    await this.connections.close();
  }

  private async put(file: DeliveryFile, delivery: SftpDelivery, context: DeliveryContext): Promise<Receipt> {
    const { settings, channel, integrationId } = delivery;
    const directory = directoryOf(settings.directory, channel);
    const location = locationOf(settings, directory, file.name);
    const { signal } = context;
    for (let isRepetition = false; ; isRepetition = true) {
      let isReused = false;
      try {
        const lease = await this.connections.acquire(integrationId, settings, signal);
        isReused = lease.isReused;
        try {
          const details = await new Upload(lease.connection, directory, file, delivery, context).run();
          const { name, sizeBytes, sha256 } = file;
          return { name, location, sizeBytes, sha256, details };
        } finally {
          lease.release();
        }
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        // A kept connection may have died unnoticed. The whole file again leaves the same result.
        if (isConnectionLoss(error) && isReused && !isRepetition) continue;
        throw toDestinationError(error, `writing ${location}`);
      }
    }
  }
}

/** One file over one connection. */
class Upload {
  private readonly part: string;
  private readonly target: string;

  constructor(
    private readonly connection: SftpConnection,
    private readonly directory: string,
    private readonly file: DeliveryFile,
    private readonly delivery: SftpDelivery,
    private readonly context: DeliveryContext,
  ) {
    this.part = this.partOf(delivery.offerId);
    this.target = inside(directory, file.name);
  }

  async run(): Promise<Record<string, string>> {
    const { connection, context } = this;
    const { signal } = context;
    // Before anything is written, so that a full disk has its room back.
    await Promise.all(this.delivery.earlierOfferIds.map((offerId) => this.tidy(this.partOf(offerId))));
    let written = false;
    try {
      const size = await this.write();
      written = true;
      await this.checkSize(size);
      context.assertLeased();
      const placedBy = await this.place();
      return { hostKey: connection.hostKey, placedBy };
    } catch (error) {
      const explained = signal.aborted ? error : await this.explain(error, written);
      await this.tidy(this.part);
      throw explained;
    }
  }

  /** Asks for the folder only where there is none: usually it is there. */
  private async write(): Promise<number | undefined> {
    const { connection, file, part } = this;
    const { signal } = this.context;
    try {
      return await connection.write(part, file.open(), signal);
    } catch (error) {
      if (!isMissing(error)) throw error;
      const refusal = await this.makeDirectories();
      try {
        return await connection.write(part, file.open(), signal);
      } catch (again) {
        throw isMissing(again) ? (refusal ?? again) : again;
      }
    }
  }

  /** Makes each level and resolves with why the last one was refused, which matters only if it is not there then. */
  private async makeDirectories(): Promise<unknown> {
    let refusal: unknown;
    const levels = this.directory.split('/');
    for (let count = 1; count <= levels.length; count += 1) {
      const path = levels.slice(0, count).join('/');
      if (path === '' || path === '.') continue;
      try {
        await this.connection.makeDirectory(path, this.context.signal);
        refusal = undefined;
      } catch (error) {
        if (this.context.signal.aborted || isConnectionLoss(error)) throw error;
        refusal = error;
      }
    }
    return isUnexplained(refusal) ? undefined : refusal;
  }

  private async checkSize(known: number | undefined): Promise<void> {
    const { sizeBytes } = this.file;
    if (known === sizeBytes) return;
    const size = await this.connection.sizeOf(this.part, this.context.signal);
    if (size !== sizeBytes) throw new SftpFault('SFTP_SIZE');
  }

  private async place(): Promise<string> {
    const { connection, part, target } = this;
    const { signal } = this.context;
    if (connection.canReplace) {
      await connection.replace(part, target, signal);
      return 'posix-rename';
    }
    for (let tries = 1; ; tries += 1) {
      try {
        await connection.remove(target, signal);
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
      try {
        await connection.rename(part, target, signal);
        break;
      } catch (error) {
        // An earlier offer that still runs may have taken the name in between.
        if (!isUnexplained(error) || tries === RENAME_TRIES) throw error;
      }
    }
    return 'remove and rename';
  }

  /** Version 3 has no word for a full disk, so an unexplained failure asks for the room that is left. */
  private async explain(error: unknown, written: boolean): Promise<unknown> {
    if (written ? !(error instanceof SftpFault && error.code === 'SFTP_SIZE') : !isUnexplained(error))
      return error;
    const free = await this.connection
      // The server resolves no empty path.
      .freeBytes(this.directory === '' ? '.' : this.directory, AbortSignal.timeout(CLEANUP_MS))
      .catch(() => undefined);
    if (free === undefined || free >= this.file.sizeBytes) return error;
    return new DestinationError('TARGET_FULL', `writing ${this.file.name}: the target has no room left`, {
      cause: error,
    });
  }

  /** Best effort: the next offer tries again. */
  private async tidy(path: string): Promise<void> {
    await this.connection.remove(path, AbortSignal.timeout(CLEANUP_MS)).catch(() => undefined);
  }

  private partOf(offerId: string): string {
    return partOf(this.directory, this.file.name, offerId);
  }
}

function partOf(directory: string, name: string, offerId: string): string {
  return inside(directory, `.${name}.${offerId}.part`);
}

/** Without `.` and doubled or trailing slashes; empty for the folder after login. */
export function directoryOf(setting: string, channel: string): string {
  const path = setting.replaceAll('{channel}', channel);
  const levels = path.split('/').filter((level) => level !== '' && level !== '.');
  return `${path.startsWith('/') ? '/' : ''}${levels.join('/')}`;
}

function inside(directory: string, name: string): string {
  if (directory === '') return name;
  return directory.endsWith('/') ? `${directory}${name}` : `${directory}/${name}`;
}

/** `~` stands for the folder after login. */
function locationOf({ host, port }: SftpSettings, directory: string, name: string): string {
  const authority = `${host.includes(':') ? `[${host}]` : host}${port === 22 ? '' : `:${port}`}`;
  const path = directory.startsWith('/') ? inside(directory, name) : `/~/${inside(directory, name)}`;
  return `sftp://${authority}${path}`;
}
