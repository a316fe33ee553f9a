export { DELIVERY_CODES, DeliveryCode, RETRYABLE, TRANSIENT_CODES } from './lib/delivery-codes.js';
export { addressesOf } from './lib/address-list.js';
export { AzureBlobSettings, readAzureConnectionString } from './lib/destinations/azure-blob.settings.js';
export type { AzureBlobAccess } from './lib/destinations/azure-blob.settings.js';
export {
  DESTINATION_KINDS,
  DestinationKind,
  TRIGGERS,
  Trigger,
} from './lib/destinations/destination-kind.js';
export { EMAIL_ROUTING_SETTINGS, EmailSettings } from './lib/destinations/email.settings.js';
export { destinationSettings } from './lib/destinations/destination-settings.js';
export type { DestinationSettings } from './lib/destinations/destination-settings.js';
export { SECRET_MASK, isSecretSetting } from './lib/destinations/secret-settings.js';
export type { SettingsEndpoint } from './lib/destinations/settings-endpoint.js';
export { S3Settings, S3_ROUTING_SETTINGS, s3Endpoint } from './lib/destinations/s3.settings.js';
export { SFTP_ROUTING_SETTINGS, SftpSettings } from './lib/destinations/sftp.settings.js';
export { ZAPIER_ROUTING_SETTINGS, ZapierSettings } from './lib/destinations/zapier.settings.js';
export { ASSOCIATION_RECEIVED, AssociationReceivedV1 } from './lib/events/association-received.v1.js';
export {
  CANCELLATION_RECEIVED,
  CANCEL_REASONS,
  CancelReason,
  CancellationReceivedV1,
} from './lib/events/cancellation-received.v1.js';
export {
  ATTEMPT_OUTCOMES,
  AttemptOutcome,
  BegunWrite,
  DELIVERY_ATTEMPTED,
  DeliveryAttemptedV1,
  FileFault,
  Receipt,
} from './lib/events/delivery-attempted.v1.js';
export {
  DELIVERY_FAILED,
  DELIVERY_SUCCEEDED,
  DeliveryFinishedV1,
} from './lib/events/delivery-finished.v1.js';
export {
  DELIVERY_REQUESTED,
  DeliveryNotes,
  DeliveryRequestedV1,
  FileSource,
  MAX_INLINE_CHARACTERS,
  MAX_OFFERED_ITEMS,
  OfferedFile,
} from './lib/events/delivery-requested.v1.js';
export {
  ORDER_CANCELLED,
  ORDER_REASONS,
  ORDER_STATUSES,
  ORDER_SUBMITTED,
  ORDER_UPDATED,
  OrderChangedV1,
  OrderItem,
  OrderReason,
  OrderStatus,
} from './lib/events/order-changed.v1.js';
export { RECIPE_RECEIVED, RecipeReceivedV1 } from './lib/events/recipe-received.v1.js';
export { RECIPE_CREATED, RECIPE_UPDATED, RecipeSavedV1 } from './lib/events/recipe-saved.v1.js';
export {
  FILE_KINDS,
  FileKind,
  MANIFEST_FAULTS,
  ManifestFault,
  ManifestFile,
  OfferedFileKind,
} from './lib/file-manifest.js';
export { FileName } from './lib/file-name.js';
export {
  Accepted,
  AssociationInput,
  AssociationsRequest,
  MAX_ASSOCIATIONS,
  OrderIdInput,
  OrderNumberInput,
  recipeIdOf,
} from './lib/http/associations.http.js';
export { AuditEntry, AuditPage, AuditQuery } from './lib/http/audit.http.js';
export { CancellationInput, CancellationsRequest } from './lib/http/cancellations.http.js';
export {
  DELIVERY_REASONS,
  DELIVERY_STATES,
  DeliveriesQuery,
  DeliveryDetails,
  DeliveryFilter,
  DeliveryPage,
  DeliveryReason,
  DeliveryState,
  DeliverySummary,
} from './lib/http/deliveries.http.js';
export {
  INTEGRATION_STATUSES,
  IntegrationCreate,
  IntegrationDecision,
  IntegrationPage,
  IntegrationPatch,
  IntegrationStatus,
  IntegrationTest,
  IntegrationVersionPage,
  IntegrationVersionView,
  IntegrationView,
  IntegrationsQuery,
} from './lib/http/integrations.http.js';
export { KeyCreate, KeyCreated, KeyPage, KeyView, KeysQuery } from './lib/http/keys.http.js';
export { openApiDocument } from './lib/http/openapi.js';
export { MAX_BODY_BYTES, operations } from './lib/http/operations.js';
export type { Operation, OperationAnswer } from './lib/http/operations.js';
export {
  OrderDetails,
  ChosenOrdersQuery,
  DeliveredOrders,
  DeliveredOrdersQuery,
  MAX_CHOSEN_ORDERS,
  OrderPage,
  StoredOrdersQuery,
  OrderVersion,
  OrderView,
  OrderWithVersions,
  OrdersQuery,
} from './lib/http/orders.http.js';
export { QueryFlag, pageOf, paging } from './lib/http/paging.http.js';
export { FAULT_CODES, Fault, Problem } from './lib/http/problem.js';
export {
  MAX_RECIPES,
  MAX_RECIPES_BYTES,
  MAX_RECIPE_BYTES,
  MAX_UPLOADS,
  PREVIEW_MIME_TYPES,
  PREVIEW_TYPES,
  PreviewPlace,
  PreviewType,
  RecipeDocumentInput,
  RecipePage,
  RecipeView,
  RecipesAccepted,
  RecipesQuery,
  RecipesRequest,
  UploadName,
  UploadQuery,
  UploadedFile,
} from './lib/http/recipes.http.js';
export {
  ConversionsQuery,
  ConversionsReport,
  DEFAULT_REPORT_DAYS,
  MAX_REPORT_DAYS,
  MAX_REPORT_GROUPS,
} from './lib/http/reports.http.js';
export { DispatcherStatus, HubStatus, MAX_BREAKERS, StoreStatus } from './lib/http/status.http.js';
export {
  BulkTrigger,
  BulkTriggerAnswer,
  BulkTriggerPreview,
  BulkTriggerRequest,
  MAX_BULK_PER_SECOND,
  MAX_TRIGGERED,
  TriggerAnswer,
  TriggerPreview,
  TriggerRequest,
} from './lib/http/triggers.http.js';
export {
  Channel,
  DEFAULT_CHANNEL,
  ForeignId,
  Instant,
  RecipeId,
  Sha256,
  Tenant,
  orderKey,
  recipeKey,
} from './lib/identifiers.js';
export { jsonSchemaOf } from './lib/json-schema.js';
export type { JsonObject } from './lib/json-schema.js';
export {
  MAX_NOTIFIED,
  NOTIFICATION_KINDS,
  Notification,
  NotificationKind,
  NotifiedDelivery,
} from './lib/notification.js';
export { PERMISSIONS, Permission } from './lib/permissions.js';
export {
  DEAD_LETTER_RETENTION_MS,
  TOPIC,
  deadLetterTopic,
  deliveryRequestedTopic,
  topicCatalogue,
} from './lib/topics.js';
export type { TopicSpec } from './lib/topics.js';
export {
  MAX_TICKET_PATH_CHARACTERS,
  TICKET_PAPERS,
  TicketPaper,
  TicketQuery,
  ticketPath,
} from './lib/tickets.js';
export type { TicketOrderData } from './lib/tickets.js';
