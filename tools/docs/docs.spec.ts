import { createRequire } from 'node:module';

import { describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';

import { AssociationReceivedV1, openApiDocument, operations, topicCatalogue } from '@heddle/contracts';

import { asyncApiDocument, eventSchemas } from './asyncapi.js';

const require = createRequire(import.meta.url);

describe('the generated documents', () => {
  it('are AsyncAPI 3 with every topic and type', () => {
    const schema = require('@asyncapi/specs/schemas/3.0.0-without-$id.json') as object;
    const document = asyncApiDocument('1');
    const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
    validate(document);
    expect(validate.errors).toBeNull();
    expect(Object.keys(document['channels'] as object)).toEqual(topicCatalogue.map(({ name }) => name));
  });

  it('hold schemas that take what the contracts take', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    for (const [type, schema] of eventSchemas())
      expect([type, ajv.validateSchema(schema)]).toEqual([type, true]);
    const event = {
      tenant: 'demo',
      channel: 'default',
      orderNumber: '1',
      associations: [{ recipeId: 'r', itemId: '1', itemQuantity: 1 }],
      acceptedAt: '2025-03-04T10:20:30Z',
      requestId: 'r',
      addedLater: true,
    };
    const validate = ajv.compile(eventSchemas().get('heddle.association.received.v1') ?? false);
    expect(AssociationReceivedV1.safeParse(event).success).toBe(true);
    expect(validate(event)).toBe(true);
    expect(validate({ ...event, associations: [] })).toBe(false);
  });

  it('are OpenAPI 3.1: every operation once, every reference there, every schema one', () => {
    const document = openApiDocument({ publicUrl: 'https://hub.example', version: '1' });
    const text = JSON.stringify(document);
    const ids = [...text.matchAll(/"operationId":"(\w+)"/g)].map(([, id]) => id);
    expect(ids.toSorted()).toEqual(operations.map(({ id }) => id).toSorted());
    const { components } = document as { components: Record<string, Record<string, object>> };
    for (const [, section = '', name = ''] of text.matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)) {
      expect([name, components[section]?.[name] !== undefined]).toEqual([name, true]);
    }
    expect(text).not.toContain('#/$defs');
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    for (const schema of Object.values(components['schemas'] ?? {}))
      expect(ajv.validateSchema(schema)).toBe(true);
  });
});
