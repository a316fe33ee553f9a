import { deadLetterTopic, jsonSchemaOf, topicCatalogue } from '@heddle/contracts';
import type { JsonObject, TopicSpec } from '@heddle/contracts';

const KEYS: Readonly<Record<TopicSpec['key'], string>> = {
  order: '`<tenant>:<orderNumber>`',
  recipe: '`<tenant>:<recipeId>`',
  lane: 'the lane: `<tenant>:<integrationId>:<order uid>`, the recipe id for the feed',
  'order or recipe': '`<tenant>:<orderNumber>`, or `<tenant>:<recipeId>` for the recipe feed',
};

/** CloudEvents 1.0, Kafka binary mode. */
const HEADERS = {
  type: 'object',
  required: ['ce_specversion', 'ce_id', 'ce_type', 'ce_source', 'ce_time', 'tenant'],
  properties: {
    ce_specversion: { type: 'string', const: '1.0' },
    ce_id: {
      type: 'string',
      format: 'uuid',
      description: 'UUIDv7; the same event may come twice with the same id.',
    },
    ce_type: { type: 'string' },
    ce_source: { type: 'string', description: 'The service that published it.' },
    ce_time: { type: 'string', format: 'date-time' },
    ce_subject: { type: 'string' },
    'content-type': { type: 'string', const: 'application/json' },
    traceparent: { type: 'string', description: 'W3C Trace Context.' },
    tenant: { type: 'string' },
  },
};

/** One schema per event type. Types of one contract (`order.*`) have equal ones. */
export function eventSchemas(): ReadonlyMap<string, JsonObject> {
  const types = topicCatalogue.flatMap((topic) => [...topic.types]);
  return new Map(types.map(([type, contract]) => [type, jsonSchemaOf(contract, 'output')]));
}

/** AsyncAPI 3 of every topic. */
export function asyncApiDocument(version: string): JsonObject {
  const channels: JsonObject = {};
  const operations: JsonObject = {};
  const messages: JsonObject = {};
  const schemas: JsonObject = {};
  for (const [type, { $schema: _, ...schema }] of eventSchemas()) {
    schemas[type] = schema;
    messages[type] = {
      name: type,
      contentType: 'application/json',
      headers: { $ref: '#/components/schemas/headers' },
      payload: { $ref: `#/components/schemas/${type}` },
    };
  }
  for (const topic of topicCatalogue) {
    channels[topic.name] = {
      address: topic.name,
      title: topic.name,
      description: `${topic.summary} Key: ${KEYS[topic.key]}. Messages that can never be taken go to \`${deadLetterTopic(topic.name)}\`.`,
      messages: Object.fromEntries(
        [...topic.types.keys()].map((type) => [type, { $ref: `#/components/messages/${type}` }]),
      ),
      bindings: {
        kafka: {
          topic: topic.name,
          partitions: topic.partitions,
          topicConfiguration: { 'retention.ms': topic.retentionMs },
          bindingVersion: '0.5.0',
        },
      },
    };
    operations[`publish ${topic.name}`] = {
      action: 'send',
      channel: { $ref: `#/channels/${topic.name}` },
      summary: topic.summary,
    };
  }
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Heddle events',
      version,
      description:
        'Every topic of Heddle. Events may come twice and topics have no common order: state and versions decide. ' +
        'A compatible change adds an optional member; any other is a new version of the type.',
      license: { name: 'Apache-2.0' },
    },
    defaultContentType: 'application/json',
    channels,
    operations,
    components: { messages, schemas: { headers: HEADERS, ...schemas } },
  };
}
