import type { Cluster, Coordinator, TopicOffsets, TopicPartitions } from './kafka-cluster.js';

/** Offsets by topic and partition. */
export type Offsets = ReadonlyMap<string, ReadonlyMap<number, bigint>>;

/** What {@link GroupProgress} asks the brokers. */
export interface OffsetSource {
  connect(topics: readonly string[]): Promise<void>;
  /** -1 where the group has never committed. */
  committed(): Promise<Offsets>;
  /** The first offsets that can still be read. */
  lows(): Promise<Offsets>;
  /** The offsets that the next messages get. */
  ends(): Promise<Offsets>;
  close(): Promise<void>;
}

/** All topics in one request. After any failure it has to be closed: what it knows of leaders is as of its start. */
export class OffsetReader implements OffsetSource {
  private topics: readonly TopicPartitions[] = [];
  private coordinator: Coordinator | undefined;

  constructor(
    private readonly cluster: Cluster,
    private readonly groupId: string,
  ) {}

  async connect(topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.cluster.targetTopics.add(topic);
    await this.cluster.connect();
    await this.cluster.refreshMetadata();
    this.topics = topics.map((topic) => ({
      topic,
      partitions: this.cluster
        .findTopicPartitionMetadata(topic)
        .map(({ partitionId }) => ({ partition: partitionId })),
    }));
    this.coordinator = await this.cluster.findGroupCoordinator({ groupId: this.groupId });
  }

  async committed(): Promise<Offsets> {
    if (this.coordinator === undefined) throw new TypeError('reading offsets before connecting');
    const { responses } = await this.coordinator.offsetFetch({ groupId: this.groupId, topics: this.topics });
    return offsetsOf(responses);
  }

  lows(): Promise<Offsets> {
    return this.ask(true);
  }

  ends(): Promise<Offsets> {
    return this.ask(false);
  }

  close(): Promise<void> {
    return this.cluster.disconnect();
  }

  private async ask(fromBeginning: boolean): Promise<Offsets> {
    return offsetsOf(
      await this.cluster.fetchTopicsOffset(this.topics.map((topic) => ({ ...topic, fromBeginning }))),
    );
  }
}

function offsetsOf(topics: readonly TopicOffsets[]): Offsets {
  return new Map(
    topics.map(({ topic, partitions }) => [
      topic,
      new Map(partitions.map(({ partition, offset }) => [partition, BigInt(offset)])),
    ]),
  );
}
