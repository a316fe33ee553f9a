import type { z } from 'zod';

import { jsonSchemaOf } from '../json-schema.js';
import type { JsonObject } from '../json-schema.js';

import { AuditEntry } from './audit.http.js';
import { DeliveryDetails, DeliverySummary } from './deliveries.http.js';
import { IntegrationVersionView, IntegrationView } from './integrations.http.js';
import { KeyCreated, KeyView } from './keys.http.js';
import { operations } from './operations.js';
import type { Operation, OperationAnswer } from './operations.js';
import { OrderDetails, OrderView } from './orders.http.js';
import { Fault, Problem } from './problem.js';
import { RecipeView } from './recipes.http.js';
import { ConversionsReport } from './reports.http.js';
import { HubStatus } from './status.http.js';
import { BulkTrigger } from './triggers.http.js';

/** What gets a name of its own in the document. */
const named = {
  AuditEntry,
  BulkTrigger,
  ConversionsReport,
  DeliveryDetails,
  DeliverySummary,
  Fault,
  HubStatus,
  IntegrationVersionView,
  IntegrationView,
  KeyCreated,
  KeyView,
  OrderDetails,
  OrderView,
  Problem,
  RecipeView,
};

/** OpenAPI 3.1 of the whole public API, from the same table that the gateway enforces. */
export function openApiDocument(options: {
  readonly publicUrl: string;
  readonly version: string;
}): JsonObject {
  const schemas: JsonObject = {};
  const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): JsonObject => jsonSchema(schema, io, schemas);
  const paths: Record<string, JsonObject> = {};
  for (const operation of operations) {
    (paths[operation.path] ??= {})[operation.method.toLowerCase()] = describe(operation, schemaOf);
  }
  schemaOf(Problem, 'output');
  return {
    openapi: '3.1.0',
    info: {
      title: 'Heddle',
      version: options.version,
      summary: 'Links order lines to recipes and delivers production files.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: options.publicUrl }],
    tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: '`Authorization: Bearer <key>`' },
        authentication: {
          type: 'apiKey',
          in: 'header',
          name: 'Authentication',
          description: '`Bearer <key>`',
        },
        apikey: { type: 'apiKey', in: 'query', name: 'apikey' },
      },
      headers: {
        RequestId: {
          description: "Of the request, when it is 1 to 64 of A-Z a-z 0-9 - _, else the hub's own.",
          schema: { type: 'string' },
        },
        RetryAfter: { description: 'Seconds to wait.', schema: { type: 'integer' } },
        ETag: { schema: { type: 'string' } },
      },
    },
  };
}

/** JSON Schema 2020-12 of a contract; definitions with a name go to `schemas`. */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output', schemas: JsonObject): JsonObject {
  const { $schema: _dialect, $defs: definitions, ...own } = jsonSchemaOf(schema, io, named);
  for (const [name, definition] of Object.entries(definitions ?? {})) {
    schemas[name] = withLocalRefs(definition as JsonObject);
  }
  const id = own['id'];
  if (typeof id !== 'string') return withLocalRefs(own);
  schemas[id] = withLocalRefs(own);
  return { $ref: `#/components/schemas/${id}` };
}

function withLocalRefs(schema: JsonObject): JsonObject {
  return JSON.parse(
    JSON.stringify(schema, (name, value: unknown) => {
      if (name === '$ref' && typeof value === 'string')
        return value.replace('#/$defs/', '#/components/schemas/');
      return name === 'id' && typeof value === 'string' ? undefined : value;
    }),
  ) as JsonObject;
}

const PROBLEMS: Readonly<Record<number, string>> = {
  400: 'Bad content: every fault with its JSON pointer.',
  401: 'No key, or an unknown, expired or revoked one.',
  403: 'The key lacks the permission.',
  404: 'There is nothing at this address.',
  409: 'It is not in a state for that.',
  412: '`If-Match` does not hold the current ETag.',
  413: 'The body is too large.',
  415: 'The content type is not JSON.',
  422: 'The `Idempotency-Key` came before with another request.',
  429: "Over the key's rate.",
  503: 'Not now: try again. What was stored of a request that is sent again changes nothing twice.',
};

function problemsOf(operation: Operation): readonly number[] {
  const { body, params, query, permission, method, problems } = operation;
  if (problems !== undefined) return Object.keys(problems).map(Number);
  if (permission === 'none') return [];
  return [
    ...(body !== undefined || query !== undefined || params !== undefined ? [400] : []),
    401,
    403,
    ...(params === undefined ? [] : [404]),
    ...(params !== undefined && method === 'POST' ? [409] : []),
    ...(operation.conditional && method !== 'GET' ? [412] : []),
    ...(body === undefined ? [] : [413, 415]),
    ...(operation.idempotent ? [422] : []),
    429,
    503,
  ];
}

function describe(
  operation: Operation,
  schemaOf: (schema: z.ZodType, io: 'input' | 'output') => JsonObject,
): JsonObject {
  const { permission, body, params = {}, query } = operation;
  const parameters = [
    ...Object.entries(params).map(([name, schema]) => ({
      name,
      in: 'path',
      required: true,
      schema: schemaOf(schema, 'input'),
    })),
    ...Object.entries(query?.shape ?? {}).map(([name, schema]) => ({
      name,
      in: 'query',
      schema: schemaOf(schema as z.ZodType, 'input'),
    })),
    ...(operation.idempotent
      ? [
          {
            name: 'Idempotency-Key',
            in: 'header',
            description: 'The same key and body within 24 h gives the first answer again.',
            schema: { type: 'string', minLength: 1, maxLength: 128 },
          },
        ]
      : []),
    ...(operation.conditional
      ? [
          {
            name: operation.method === 'GET' ? 'If-None-Match' : 'If-Match',
            in: 'header',
            schema: { type: 'string' },
          },
        ]
      : []),
  ];
  const answer = (status: number, { description, schema, contentType }: OperationAnswer): JsonObject => ({
    description,
    headers: {
      'X-Request-Id': { $ref: '#/components/headers/RequestId' },
      ...(operation.conditional && status === 200 ? { ETag: { $ref: '#/components/headers/ETag' } } : {}),
    },
    ...(schema === undefined && contentType === undefined
      ? {}
      : {
          content: {
            [contentType ?? 'application/json']:
              schema === undefined ? {} : { schema: schemaOf(schema, 'output') },
          },
        }),
  });
  const problem = (status: number): JsonObject => ({
    description: operation.problems?.[status] ?? PROBLEMS[status],
    headers: {
      'X-Request-Id': { $ref: '#/components/headers/RequestId' },
      ...(status === 429 || status === 503
        ? { 'Retry-After': { $ref: '#/components/headers/RetryAfter' } }
        : {}),
    },
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  });
  return {
    operationId: operation.id,
    tags: [operation.tag],
    summary: operation.summary,
    description: [operation.description, permissionText(permission)].filter(Boolean).join('\n\n'),
    security: securityOf(permission),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(operation.upload ? { requestBody: { required: true, content: { '*/*': {} } } } : {}),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: {
              'application/json': {
                schema: schemaOf(body.schema, 'input'),
                ...(body.example === undefined ? {} : { example: body.example }),
              },
            },
          },
        }),
    responses: {
      ...Object.fromEntries(
        Object.entries(operation.success).map(([status, value]) => [status, answer(Number(status), value)]),
      ),
      ...Object.fromEntries(problemsOf(operation).map((status) => [String(status), problem(status)])),
    },
  };
}

function permissionText(permission: Operation['permission']): string {
  if (permission === 'none') return '';
  if (permission === 'any') return 'Needs a key.';
  return `Needs a key with the permission \`${permission === 'open' ? 'recipes:read' : permission}\`${permission === 'open' ? ', unless open' : ''}.`;
}

function securityOf(permission: Operation['permission']): readonly JsonObject[] {
  const schemes = [{ bearer: [] }, { authentication: [] }, { apikey: [] }];
  if (permission === 'none') return [];
  return permission === 'open' ? [{}, ...schemes] : schemes;
}
