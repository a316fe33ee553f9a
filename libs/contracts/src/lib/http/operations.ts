import { z } from 'zod';

import { DestinationKind } from '../destinations/destination-kind.js';
import { FileName } from '../file-name.js';
import { ForeignId, RecipeId } from '../identifiers.js';
import type { Permission } from '../permissions.js';
import { TicketPaper } from '../tickets.js';

import { Accepted, AssociationsRequest } from './associations.http.js';
import { AuditPage, AuditQuery } from './audit.http.js';
import { CancellationsRequest } from './cancellations.http.js';
import { DeliveriesQuery, DeliveryDetails, DeliveryPage } from './deliveries.http.js';
import {
  IntegrationCreate,
  IntegrationDecision,
  IntegrationPage,
  IntegrationPatch,
  IntegrationTest,
  IntegrationVersionPage,
  IntegrationView,
  IntegrationsQuery,
} from './integrations.http.js';
import { KeyCreate, KeyCreated, KeyPage, KeysQuery } from './keys.http.js';
import { OrderDetails, OrderPage, OrdersQuery } from './orders.http.js';
import { paging } from './paging.http.js';
import {
  MAX_RECIPES_BYTES,
  PREVIEW_MIME_TYPES,
  PREVIEW_TYPES,
  RecipeDocumentInput,
  RecipePage,
  RecipesAccepted,
  RecipesQuery,
  RecipesRequest,
  UploadName,
  UploadQuery,
  UploadedFile,
} from './recipes.http.js';
import { ConversionsQuery, ConversionsReport, MAX_REPORT_DAYS } from './reports.http.js';
import { HubStatus } from './status.http.js';
import {
  BulkTrigger,
  BulkTriggerAnswer,
  BulkTriggerPreview,
  BulkTriggerRequest,
  TriggerAnswer,
  TriggerPreview,
  TriggerRequest,
} from './triggers.http.js';

/** Largest body of a call that names none of its own. Source: wire/README.md, rule 2. */
export const MAX_BODY_BYTES = 1_048_576;

export interface OperationAnswer {
  readonly description: string;
  readonly schema?: z.ZodType;
  /** Where it is not JSON. */
  readonly contentType?: string;
}

/** One call of the public API: what the gateway enforces and what the documentation says of it. */
export interface Operation {
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** As in OpenAPI: parameters in braces. */
  readonly path: string;
  readonly tag:
    'Orders' | 'Recipes' | 'Deliveries' | 'Integrations' | 'Keys' | 'Operations' | 'Documentation';
  readonly summary: string;
  readonly description?: string;
  /** The service that answers; the gateway passes the others' calls on. */
  readonly owner: 'ingest-gateway' | 'association-store' | 'dispatcher';
  /** `any`: some key. `none`: no key. `open`: no key while the tenant's recipes are open, else `recipes:read`. */
  readonly permission: Permission | 'any' | 'none' | 'open';
  readonly params?: Readonly<Record<string, z.ZodType>>;
  readonly query?: z.ZodObject;
  readonly body?: { readonly schema: z.ZodType; readonly maxBytes: number; readonly example?: unknown };
  /** Takes bytes of any type in place of a JSON body, and passes them on as they come. */
  readonly upload?: true;
  readonly success: Readonly<Record<number, OperationAnswer>>;
  /** In place of those that every call with a key has. */
  readonly problems?: Readonly<Record<number, string>>;
  /** Honours `Idempotency-Key`. */
  readonly idempotent?: true;
  /** Answers with an `ETag` and honours `If-Match`. */
  readonly conditional?: true;
  /** 503 while Kafka does not acknowledge. */
  readonly durable?: true;
  /** How long the gateway waits for its owner, where that takes longer than other calls. */
  readonly patienceMs?: number;
}

const json = <T extends z.ZodType>(
  schema: T,
  example?: unknown,
): { readonly schema: T; readonly maxBytes: number; readonly example?: unknown } => ({
  schema,
  maxBytes: MAX_BODY_BYTES,
  ...(example === undefined ? {} : { example }),
});

const orders = [
  {
    id: 'submitAssociations',
    method: 'POST',
    path: '/api/v2/recipe/order',
    tag: 'Orders',
    summary: 'Link order items to recipes',
    description:
      'Takes 1 to 1,000 associations, also of several orders; one bad item refuses the request. 202 means that every ' +
      "order's part is durable. Members that are not named here are dropped before anything is written. An order holds up " +
      'to 1,000 open items: what goes beyond is not stored, but counted and logged.',
    owner: 'ingest-gateway',
    permission: 'order-tracking',
    body: json(AssociationsRequest, [
      {
        recipeId: 'DRIVE-001',
        orderNumber: '1001',
        orderId: '1111111111111',
        itemId: '2222222222222',
        itemQuantity: 2,
      },
      {
        recipeId: 'DRIVE-002',
        orderNumber: '1001',
        orderId: '1111111111111',
        itemId: '3333333333333',
        itemQuantity: 1,
      },
    ]),
    success: {
      202: { description: 'Durable; `accepted` counts the members of the array.', schema: Accepted },
    },
    durable: true,
  },
  {
    id: 'cancelOrders',
    method: 'POST',
    path: '/api/v2/order/cancel',
    tag: 'Orders',
    summary: 'Cancel orders',
    description:
      'A cancel that comes before its order is kept for it. What comes after a cancel delivers nothing. Other text as a ' +
      'reason becomes `other`.',
    owner: 'ingest-gateway',
    permission: 'order-tracking',
    body: json(CancellationsRequest, [{ orderNumber: '1001', orderId: '1111111111111', reason: 'customer' }]),
    success: { 202: { description: 'Durable.', schema: Accepted } },
    durable: true,
  },
  {
    id: 'listOrders',
    method: 'GET',
    path: '/api/v2/orders',
    tag: 'Orders',
    summary: 'Find orders',
    description: 'With `deliveryState` a page may be shorter than its limit and have a next one.',
    owner: 'association-store',
    permission: 'orders:read',
    query: OrdersQuery,
    success: { 200: { description: 'Newest first.', schema: OrderPage } },
  },
  {
    id: 'getOrder',
    method: 'GET',
    path: '/api/v2/orders/{orderUid}',
    tag: 'Orders',
    summary: 'Read one order with its versions and deliveries',
    description: '`deliveries` is null while the dispatcher does not answer.',
    owner: 'association-store',
    permission: 'orders:read',
    params: { orderUid: ForeignId.describe('The `orderUid` of a list or an event.') },
    success: {
      200: { description: 'The order.', schema: OrderDetails },
      304: { description: '`If-None-Match` holds the current ETag.' },
    },
    conditional: true,
  },
  {
    id: 'getConversions',
    method: 'GET',
    path: '/api/v2/reports/conversions',
    tag: 'Orders',
    summary: 'Count which saved recipes became orders, by day, style or channel',
    description:
      `Of recipes whose first version came between \`from\` and \`to\`, at most ${String(MAX_REPORT_DAYS)} days: how many an ` +
      'order uses that is not cancelled, whenever it came, and the quantities of those items. A recipe counts on the day, ' +
      'in the style and in the channel in which it was saved first. Temporary recipes count as others do; `temporary=false` ' +
      'leaves them out. Recipes that were ordered and never saved count nowhere.',
    owner: 'association-store',
    permission: 'orders:read',
    query: ConversionsQuery,
    success: { 200: { description: 'The counts.', schema: ConversionsReport } },
    patienceMs: 20_000,
  },
] as const satisfies readonly Operation[];

const recipeFile = {
  recipeId: RecipeId,
  name: UploadName.describe('Of the file, percent-encoded.'),
};

const recipes = [
  {
    id: 'saveRecipes',
    method: 'POST',
    path: '/api/v2/recipe',
    tag: 'Recipes',
    summary: 'Save a recipe document, or an array of up to 100',
    description:
      'A document may have 1 MiB, an array 8 MiB. Documents are kept as sent, unknown members too. `temporary: true` ' +
      'marks a temporary recipe.',
    owner: 'ingest-gateway',
    permission: 'recipes:write',
    body: {
      schema: z.union([RecipeDocumentInput, RecipesRequest]),
      maxBytes: MAX_RECIPES_BYTES,
      example: { id: '2-aB3dE6gH9jK2mN5p', created: '2025-03-04T10:20:30Z', name: 'Team Cap' },
    },
    success: { 202: { description: 'Durable, and readable a moment later.', schema: RecipesAccepted } },
    durable: true,
  },
  {
    id: 'listRecipes',
    method: 'GET',
    path: '/api/v2/recipes',
    tag: 'Recipes',
    summary: 'Find recipes',
    description: 'Those that were saved; a key that serves one channel finds those of that channel.',
    owner: 'association-store',
    permission: 'recipes:read',
    query: RecipesQuery,
    success: { 200: { description: 'Newest first.', schema: RecipePage } },
  },
  {
    id: 'getRecipe',
    method: 'GET',
    path: '/recipe/{recipeId}.json',
    tag: 'Recipes',
    summary: 'Read a recipe document as it was sent',
    description:
      'Without a key while the recipes of the tenant are open and the host name, or there being one tenant only, says ' +
      'whose they are; and with `link`, which a delivery carried, while that is good.',
    owner: 'association-store',
    permission: 'open',
    params: { recipeId: RecipeId },
    query: z.strictObject({ link: z.string().optional() }),
    success: {
      200: { description: 'The document.', schema: RecipeDocumentInput },
      304: { description: '`If-None-Match` holds the current ETag.' },
    },
    conditional: true,
  },
  {
    id: 'getTicket',
    method: 'GET',
    path: '/recipe/{recipeId}.pdf',
    tag: 'Recipes',
    summary: 'Read the pick ticket of a recipe',
    description:
      'Drawn by the hub from the newest version; a recipe may link a PDF of its own beside it (`humanReadable`). Read as ' +
      'the document is. What is about an order stands on the tickets of its deliveries, and behind their links.',
    owner: 'association-store',
    permission: 'open',
    params: { recipeId: RecipeId },
    query: z.strictObject({
      paper: TicketPaper.optional().describe('Where it is missing, as the hub is set up: `TICKET_PAPER`.'),
      link: z.string().optional(),
    }),
    success: {
      200: { description: 'The pages.', contentType: 'application/pdf' },
      304: { description: '`If-None-Match` holds the current ETag.' },
    },
    problems: {
      400: 'There is no such paper.',
      401: 'No key, or an unknown, expired or revoked one.',
      403: 'The key lacks the permission, or the link has expired.',
      404: 'There is no such recipe.',
      422: 'The ticket of this recipe cannot be drawn.',
      429: "Over the key's rate.",
      503: 'Too many tickets at the moment, or the recipe cannot be read. Try again.',
    },
    conditional: true,
  },
  ...PREVIEW_TYPES.map(
    (type) =>
      ({
        id: type === 'png' ? 'getPngPreview' : 'getJpgPreview',
        method: 'GET',
        path: `/recipe/{recipeId}-{view}.${type}`,
        tag: 'Recipes',
        summary: `Read the preview of one view of a recipe as ${type.toUpperCase()}`,
        description:
          'The uploaded one, else what the document links in that type, else its render address. A dash may stand in the ' +
          'id and in the code of the view: the longest id counts that has such a view. Read as the document is.',
        owner: 'association-store',
        permission: 'open',
        params: { recipeId: RecipeId, view: z.string() },
        success: { 200: { description: 'The image.', contentType: PREVIEW_MIME_TYPES[type] } },
        problems: {
          401: 'No key, or an unknown, expired or revoked one.',
          403: 'The key lacks the permission.',
          404: 'There is no such recipe, view or preview.',
          429: "Over the key's rate.",
          502: 'The source of the preview cannot be read.',
          503: 'The recipe or the file cannot be read at the moment. Try again.',
        },
      }) as const satisfies Operation,
  ),
  {
    id: 'putRecipeFile',
    method: 'PUT',
    path: '/api/v2/recipe/{recipeId}/files/{name}',
    tag: 'Recipes',
    summary: 'Upload a file of a recipe, or replace one',
    description:
      'The body is the file as it is, of any type; `Content-Type` is kept. With `Content-Digest: sha-256=:...:` (RFC 9530) it ' +
      'is kept only if it has arrived whole. It becomes part of the recipe: other content is a new version of it and ' +
      'goes out with its orders. A file may come before the document of its recipe, and joins it then.',
    owner: 'association-store',
    permission: 'recipes:write',
    params: recipeFile,
    query: UploadQuery,
    upload: true,
    success: {
      200: { description: 'There was one of this name; it has this content now.', schema: UploadedFile },
      201: { description: 'Kept.', schema: UploadedFile },
    },
    problems: {
      400: 'The name, the kind or the content type cannot be, or the digest is not the one of the body.',
      401: 'No key, or an unknown, expired or revoked one.',
      403: 'The key lacks the permission.',
      408: 'The body did not arrive in time.',
      409: 'The recipe has as many files as it may have.',
      413: 'The file is too large.',
      415: 'The body must not be compressed.',
      429: "Over the key's rate.",
      503: 'Not now: nothing was kept. Try again.',
    },
    // Between two pieces of the body, and from its end to the answer: a large file takes its time to reach the disk.
    patienceMs: 60_000,
  },
  {
    id: 'getRecipeFile',
    method: 'GET',
    path: '/api/v2/recipe/{recipeId}/files/{name}',
    tag: 'Recipes',
    summary: 'Read an uploaded file of a recipe',
    description:
      '`Range` asks for a part, `If-Range` for one of the same content. The ETag is of the content.',
    owner: 'association-store',
    permission: 'recipes:read',
    params: recipeFile,
    success: {
      200: { description: 'The bytes.', contentType: 'application/octet-stream' },
      206: { description: 'The part that was asked for.', contentType: 'application/octet-stream' },
      304: { description: '`If-None-Match` holds the current ETag.' },
    },
    problems: {
      400: 'There can be no file of this name.',
      401: 'No key, or an unknown, expired or revoked one.',
      403: 'The key lacks the permission.',
      404: 'There is no such file.',
      416: 'The file ends before the range begins.',
      429: "Over the key's rate.",
      503: 'Not now. Try again.',
    },
    conditional: true,
    patienceMs: 30_000,
  },
  {
    id: 'deleteRecipeFile',
    method: 'DELETE',
    path: '/api/v2/recipe/{recipeId}/files/{name}',
    tag: 'Recipes',
    summary: 'Take an uploaded file away from a recipe',
    description: 'Deliveries that are under way still send it.',
    owner: 'association-store',
    permission: 'recipes:write',
    params: recipeFile,
    success: { 204: { description: 'Gone.' } },
  },
  {
    id: 'getLinkedFile',
    method: 'GET',
    path: '/files/{token}/{name}',
    tag: 'Recipes',
    summary: 'Fetch one file of a delivery',
    description: 'The address comes from a delivery and is good for a week. Streamed, never in parts.',
    owner: 'ingest-gateway',
    permission: 'none',
    params: { token: z.string(), name: FileName },
    success: { 200: { description: 'The bytes.', contentType: 'application/octet-stream' } },
    problems: {
      403: 'The link has expired, or was not made by this hub for this file.',
      404: 'The file is gone.',
      502: 'The source of the file cannot be read.',
      503: 'Not now. Try again.',
    },
  },
] as const satisfies readonly Operation[];

const deliveries = [
  {
    id: 'listDeliveries',
    method: 'GET',
    path: '/api/v2/deliveries',
    tag: 'Deliveries',
    summary: 'Find deliveries',
    owner: 'dispatcher',
    permission: 'deliveries:read',
    query: DeliveriesQuery,
    success: { 200: { description: 'Newest first.', schema: DeliveryPage } },
  },
  {
    id: 'getDelivery',
    method: 'GET',
    path: '/api/v2/deliveries/{deliveryId}',
    tag: 'Deliveries',
    summary: 'Read one delivery with its attempts and the receipt of each file',
    owner: 'dispatcher',
    permission: 'deliveries:read',
    params: { deliveryId: z.uuid() },
    success: {
      200: { description: 'The delivery.', schema: DeliveryDetails },
      304: { description: '`If-None-Match` holds the current ETag.' },
    },
    conditional: true,
  },
  {
    id: 'cancelDelivery',
    method: 'POST',
    path: '/api/v2/deliveries/{deliveryId}/cancel',
    tag: 'Deliveries',
    summary: 'Cancel a delivery that is not in flight',
    description: '409 while it is in flight, and once it has succeeded, failed or been superseded.',
    owner: 'dispatcher',
    permission: 'deliveries:trigger',
    params: { deliveryId: z.uuid() },
    success: { 200: { description: 'The delivery, `cancelled`.', schema: DeliveryDetails } },
  },
  {
    id: 'trigger',
    method: 'POST',
    path: '/api/v2/trigger',
    tag: 'Deliveries',
    summary: 'Send an order or a recipe again, now',
    description:
      'Makes new deliveries of the newest version with three fresh attempts, whatever became of the earlier ones, also ' +
      'of orders from before an integration was active. All files go out again unless `onlyMissing` is set. What has ' +
      'not gone out yet makes room for them. A cancelled order goes only to integrations that take `order.cancelled`.',
    owner: 'dispatcher',
    permission: 'deliveries:trigger',
    body: json(TriggerRequest, { orderNumber: '1022' }),
    success: {
      200: { description: 'With `dryRun`: what would be sent.', schema: TriggerPreview },
      202: { description: 'The deliveries that it made.', schema: TriggerAnswer },
    },
    idempotent: true,
  },
  {
    id: 'triggerBulk',
    method: 'POST',
    path: '/api/v2/trigger/bulk',
    tag: 'Deliveries',
    summary: 'Send again whatever the deliveries of a filter were about, any number of them',
    description:
      'Takes the filters of `GET /api/v2/deliveries`. Each order or recipe goes once, at its newest version, to each ' +
      'integration of which some delivery matches, however many do; deliveries that are made after the call are left ' +
      'alone. New deliveries are made at `perSecond`, oldest first, and have the `bulkId` as their `triggerId`. What can ' +
      'go nowhere at its turn, as its integration is disabled or its order cancelled, is skipped; mails to notification ' +
      'lists are left alone. `dryRun` only counts.',
    owner: 'dispatcher',
    permission: 'deliveries:trigger',
    body: json(BulkTriggerRequest, {
      integrationId: '0195f0c2-7a10-7c3e-9d1b-3f6a1c2b4d5e',
      state: 'failed',
      since: '2025-03-04T00:00:00Z',
      until: '2025-03-05T00:00:00Z',
      dryRun: true,
    }),
    success: {
      200: { description: 'With `dryRun`: how much would be sent.', schema: BulkTriggerPreview },
      202: { description: 'It goes on by itself.', schema: BulkTriggerAnswer },
    },
    idempotent: true,
    patienceMs: 20_000,
  },
  {
    id: 'getBulkTrigger',
    method: 'GET',
    path: '/api/v2/trigger/bulk/{bulkId}',
    tag: 'Deliveries',
    summary: 'Read how far a bulk trigger has come',
    owner: 'dispatcher',
    permission: 'deliveries:trigger',
    params: { bulkId: z.uuid() },
    success: { 200: { description: 'Its progress.', schema: BulkTrigger } },
  },
  {
    id: 'cancelBulkTrigger',
    method: 'POST',
    path: '/api/v2/trigger/bulk/{bulkId}/cancel',
    tag: 'Deliveries',
    summary: 'Stop a bulk trigger',
    description: 'The deliveries that it has made stay. 409 once it is done.',
    owner: 'dispatcher',
    permission: 'deliveries:trigger',
    params: { bulkId: z.uuid() },
    success: { 200: { description: 'The bulk trigger, `cancelled`.', schema: BulkTrigger } },
  },
] as const satisfies readonly Operation[];

const integrationId = { integrationId: z.uuid() };
const integration = { 200: { description: 'The integration.', schema: IntegrationView } };

const integrations = [
  {
    id: 'listIntegrations',
    method: 'GET',
    path: '/api/v2/integrations',
    tag: 'Integrations',
    summary: 'List integrations',
    owner: 'dispatcher',
    permission: 'integrations:manage',
    query: IntegrationsQuery,
    success: { 200: { description: 'Newest first. Secrets are masked.', schema: IntegrationPage } },
  },
  {
    id: 'createIntegration',
    method: 'POST',
    path: '/api/v2/integrations',
    tag: 'Integrations',
    summary: 'Create an integration',
    description: 'It delivers nothing before somebody with `integrations:approve` approves it.',
    owner: 'dispatcher',
    permission: 'integrations:manage',
    body: json(IntegrationCreate, {
      destination: 'sftp',
      description: 'Embroidery hall 2',
      settings: {
        host: 'sftp.example',
        username: 'heddle',
        'password-secret': '...',
        'host-key-sha256': 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU',
        directory: '/in/{channel}',
      },
    }),
    success: { 201: { description: 'Created, `pending-review`.', schema: IntegrationView } },
    idempotent: true,
  },
  {
    id: 'getIntegration',
    method: 'GET',
    path: '/api/v2/integrations/{integrationId}',
    tag: 'Integrations',
    summary: 'Read one integration',
    owner: 'dispatcher',
    permission: 'integrations:manage',
    params: integrationId,
    success: integration,
    conditional: true,
  },
  {
    id: 'listIntegrationVersions',
    method: 'GET',
    path: '/api/v2/integrations/{integrationId}/versions',
    tag: 'Integrations',
    summary: 'List the versions of an integration',
    owner: 'dispatcher',
    permission: 'integrations:manage',
    params: integrationId,
    query: z.strictObject({ ...paging }),
    success: { 200: { description: 'Newest first.', schema: IntegrationVersionPage } },
  },
  {
    id: 'changeIntegration',
    method: 'PATCH',
    path: '/api/v2/integrations/{integrationId}',
    tag: 'Integrations',
    summary: 'Change an integration (merge patch, RFC 7396)',
    description:
      'A change of where data goes waits for approval, while the approved version goes on delivering. Writing back a ' +
      'masked secret keeps it.',
    owner: 'dispatcher',
    permission: 'integrations:manage',
    params: integrationId,
    body: json(IntegrationPatch, { description: 'Embroidery hall 3' }),
    success: integration,
    conditional: true,
  },
  {
    id: 'deleteIntegration',
    method: 'DELETE',
    path: '/api/v2/integrations/{integrationId}',
    tag: 'Integrations',
    summary: 'Delete an integration; its history stays readable',
    owner: 'dispatcher',
    permission: 'integrations:manage',
    params: integrationId,
    success: { 204: { description: 'Deleted.' } },
    conditional: true,
  },
  ...(['approve', 'reject'] as const).map((decision) => ({
    id: `${decision}Integration`,
    method: 'POST' as const,
    path: `/api/v2/integrations/{integrationId}/${decision}`,
    tag: 'Integrations' as const,
    conditional: true as const,
    summary: decision === 'approve' ? 'Approve a version and enable it' : 'Reject a version',
    owner: 'dispatcher' as const,
    permission: 'integrations:approve' as const,
    params: integrationId,
    body: json(IntegrationDecision, { version: 2 }),
    success: integration,
  })),
  ...(['pause', 'resume', 'disable'] as const).map((change) => ({
    id: `${change}Integration`,
    method: 'POST' as const,
    path: `/api/v2/integrations/{integrationId}/${change}`,
    tag: 'Integrations' as const,
    conditional: true as const,
    summary: {
      pause: 'Pause an integration: its deliveries wait',
      resume: 'Resume a paused integration; approving enables a disabled one',
      disable: 'Disable an integration: its open deliveries end as cancelled',
    }[change],
    owner: 'dispatcher' as const,
    permission: 'integrations:manage' as const,
    params: integrationId,
    success: integration,
  })),
  {
    id: 'testIntegration',
    method: 'POST',
    path: '/api/v2/integrations/{integrationId}/test',
    tag: 'Integrations',
    summary: 'Send a small labelled sample, and say what became of it',
    description:
      'The newest version is tested, approved or not, by the worker that makes its deliveries. The answer takes up to ' +
      'half a minute. The sample shows in no list of deliveries and counts in no report. 409 while another test of the ' +
      'integration is under way, and for one that is disabled or rejected.',
    owner: 'dispatcher',
    permission: 'integrations:manage',
    params: integrationId,
    success: { 200: { description: 'Receipts, or the reason of the failure.', schema: IntegrationTest } },
    patienceMs: 35_000,
  },
  {
    id: 'listDestinations',
    method: 'GET',
    path: '/api/v2/destinations',
    tag: 'Integrations',
    summary: 'List the kinds of destination with the JSON Schema of their settings',
    owner: 'dispatcher',
    permission: 'any',
    success: {
      200: {
        description: 'Every kind.',
        schema: z.object({
          items: z.array(
            z.object({ destination: DestinationKind, settings: z.record(z.string(), z.unknown()) }),
          ),
        }),
      },
    },
  },
] as const satisfies readonly Operation[];

const keys = [
  {
    id: 'createKey',
    method: 'POST',
    path: '/api/v2/keys',
    tag: 'Keys',
    summary: 'Create an API key',
    description: 'The answer is the only one that shows the key. A key grants only what it may do itself.',
    owner: 'ingest-gateway',
    permission: 'keys:manage',
    body: json(KeyCreate, { name: 'Web shop', permissions: ['order-tracking'] }),
    success: { 201: { description: 'Created.', schema: KeyCreated } },
    idempotent: true,
  },
  {
    id: 'listKeys',
    method: 'GET',
    path: '/api/v2/keys',
    tag: 'Keys',
    summary: 'List API keys',
    owner: 'ingest-gateway',
    permission: 'keys:manage',
    query: KeysQuery,
    success: { 200: { description: 'Newest first, without the keys themselves.', schema: KeyPage } },
  },
  {
    id: 'revokeKey',
    method: 'DELETE',
    path: '/api/v2/keys/{keyId}',
    tag: 'Keys',
    summary: 'Revoke an API key, effective everywhere within 30 s',
    owner: 'ingest-gateway',
    permission: 'keys:manage',
    params: { keyId: z.uuid() },
    success: { 204: { description: 'Revoked.' } },
  },
] as const satisfies readonly Operation[];

const operational = [
  {
    id: 'listAudit',
    method: 'GET',
    path: '/api/v2/audit',
    tag: 'Operations',
    summary: 'Who did what, and when',
    owner: 'ingest-gateway',
    permission: 'admin',
    query: AuditQuery,
    success: { 200: { description: 'Newest first.', schema: AuditPage } },
  },
  {
    id: 'getStatus',
    method: 'GET',
    path: '/api/v2/status',
    tag: 'Operations',
    summary:
      'How the hub does: what is open, what waits, which breakers are open, how far services are behind',
    description:
      'Parts of a service that does not answer are null. Cheap enough to be asked every few seconds.',
    owner: 'ingest-gateway',
    permission: 'orders:read',
    success: { 200: { description: 'The status.', schema: HubStatus } },
  },
  {
    id: 'getOpenApi',
    method: 'GET',
    path: '/api/openapi.json',
    tag: 'Documentation',
    summary: 'This document',
    owner: 'ingest-gateway',
    permission: 'none',
    success: { 200: { description: 'OpenAPI 3.1.', schema: z.record(z.string(), z.unknown()) } },
  },
  {
    id: 'getDocs',
    method: 'GET',
    path: '/api/docs',
    tag: 'Documentation',
    summary: 'This document as a readable page',
    owner: 'ingest-gateway',
    permission: 'none',
    success: { 200: { description: 'A page.', contentType: 'text/html' } },
  },
] as const satisfies readonly Operation[];

/** The whole public API. Enforced by the gateway, rendered as OpenAPI. */
export const operations: readonly Operation[] = [
  ...orders,
  ...recipes,
  ...deliveries,
  ...integrations,
  ...keys,
  ...operational,
];
