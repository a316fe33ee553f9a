export type { Fault } from './lib/batch-consumer.js';
export { createTopics } from './lib/create-topics.js';
export type { CreateTopicsOptions } from './lib/create-topics.js';
export { DeadLetterStore } from './lib/dead-letter-store.js';
export type {
  DeadLetter,
  DeadLetterPage,
  DeadLetterStoreOptions,
  ReplayResult,
} from './lib/dead-letter-store.js';
export type {
  BatchResult,
  EventBatch,
  IncomingMessage,
  OutgoingEvent,
  PartitionChunk,
  ReceivedEvent,
} from './lib/events.js';
export { readConsumerLag } from './lib/group-progress.js';
export { kafkaConfig, kafkaOptions } from './lib/kafka-config.js';
export type { KafkaConfig, KafkaOptions } from './lib/kafka-config.js';
export { KafkaPublisher } from './lib/kafka-publisher.js';
export type { KafkaPublisherOptions } from './lib/kafka-publisher.js';
export { KafkaServer } from './lib/kafka-server.js';
export type { HealthChecks, KafkaServerOptions } from './lib/kafka-server.js';
export type { OutgoingMessage } from './lib/publish-call.js';
export { PUBLISH_ERROR_CODES, PublishError } from './lib/publish-error.js';
export type { PublishErrorCode, PublishResult } from './lib/publish-error.js';
export { readTopic } from './lib/read-topic.js';
export { resetGroup } from './lib/reset-group.js';
export type { ResetGroupOptions } from './lib/reset-group.js';
export type { TopicContract } from './lib/topic-contract.js';
export { followTopics } from './lib/follow-topics.js';
export type { FollowTopicsOptions, FollowedMessage, TopicFollower } from './lib/follow-topics.js';
