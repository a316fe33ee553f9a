export interface KafkaAddress {
  readonly id: number;
  readonly port: number;
  readonly controllerPort: number;
}

/**
 * Without them a broker that nobody uses takes 2 to 3 % of a core. Records that say nothing are for followers of the
 * metadata, which a single broker has not; and it shares its machine with everything else.
 */
const ALONE = {
  'metadata.max.idle.interval.ms': '0',
  'num.network.threads': '1',
  'num.io.threads': '2',
} as const;

/** `server.properties` of one broker, which is a controller as well. */
export function kafkaProperties(
  self: KafkaAddress,
  all: readonly KafkaAddress[],
  dataFolder: string,
  extra: Readonly<Record<string, string>>,
): string {
  const copies = String(all.length);
  const minInSync = all.length === 1 ? '1' : '2';
  const properties: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': String(self.id),
    'controller.quorum.voters': all.map((each) => `${each.id}@127.0.0.1:${each.controllerPort}`).join(','),
    'controller.listener.names': 'CONTROLLER',
    listeners: `PLAINTEXT://127.0.0.1:${self.port},CONTROLLER://127.0.0.1:${self.controllerPort}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': dataFolder,
    'auto.create.topics.enable': 'false',
    'default.replication.factor': copies,
    'min.insync.replicas': minInSync,
    'unclean.leader.election.enable': 'false',
    'offsets.topic.num.partitions': '4',
    'offsets.topic.replication.factor': copies,
    'transaction.state.log.num.partitions': '4',
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': minInSync,
    'share.coordinator.state.topic.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': copies,
    'share.coordinator.state.topic.min.isr': minInSync,
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    'log.cleaner.dedupe.buffer.size': '4194304',
    // A killed broker is replaced, and may come back itself, after this time. Alone it has nobody to be told apart from.
    'broker.session.timeout.ms': all.length === 1 ? '2000' : '3000',
    'broker.heartbeat.interval.ms': '500',
    ...(all.length === 1 && ALONE),
    ...extra,
  };
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');
}
