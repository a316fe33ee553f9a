export { Azurite, listBlobs, startAzurite } from './lib/azurite.js';
export type { AzuriteOptions, SasOptions } from './lib/azurite.js';
export { Child } from './lib/child.js';
export type { ChildExit, ChildOptions } from './lib/child.js';
export { createDatabase } from './lib/create-database.js';
export type { TestDatabase } from './lib/create-database.js';
export { eventually } from './lib/eventually.js';
export { FileServer, startFileServer } from './lib/file-server.js';
export type { FileFault, FileRequest, FileServerOptions } from './lib/file-server.js';
export { freePort, isPortFree } from './lib/free-port.js';
export { HookCatcher } from './lib/hook-catcher.js';
export type { CaughtCall, HookCatcherOptions, HookReaction, HookRequest } from './lib/hook-catcher.js';
export { HttpGate } from './lib/http-gate.js';
export type { GateAnswer, GateFault, GatedRequest } from './lib/http-gate.js';
export { startKafka } from './lib/kafka-cluster.js';
export type { KafkaCluster, KafkaOptions } from './lib/kafka-cluster.js';
export { KafkaNode } from './lib/kafka-node.js';
export { OpenSsh, startOpenSsh } from './lib/open-ssh.js';
export type { OpenSshOptions } from './lib/open-ssh.js';
export { LocalPostgres, startPostgres } from './lib/postgres.js';
export type { PostgresOptions } from './lib/postgres.js';
export { descendantsOf, identityOf, isRunning } from './lib/process-identity.js';
export type { ProcessIdentity } from './lib/process-identity.js';
export { S3Proxy, startS3Proxy } from './lib/s3-proxy.js';
export type { S3ProxyOptions } from './lib/s3-proxy.js';
export { SFTP_FAILURES, SFTP_OPERATIONS } from './lib/sftp-faults.js';
export type { SftpFailure, SftpFaults, SftpOperation } from './lib/sftp-faults.js';
export { SftpServer, fingerprint, generateKey, startSftpServer } from './lib/sftp-server.js';
export type { SftpServerOptions, SftpUser } from './lib/sftp-server.js';
export type { SftpRename } from './lib/sftp-session.js';
export { SpawnedService, spawnService } from './lib/spawn-service.js';
export type { LogLine, ServiceOptions } from './lib/spawn-service.js';
export { temporaryFolder } from './lib/temp-folder.js';
export { uniqueTopicPrefix } from './lib/topic-prefix.js';
export { CORE_SERVICES, EMBEDDED_SESSION_MS, serviceNames, topology, workerOf } from './lib/topology.js';
export type {
  Environment,
  ServiceBlueprint,
  ServiceName,
  ServicePorts,
  TopologyOptions,
  WorkerName,
} from './lib/topology.js';
export { workspaceRoot } from './lib/workspace.js';
export {
  HubClient,
  approveIntegration,
  createIntegration,
  createKey,
  createTenant,
} from './lib/hub-client.js';
export type { AdminCommand, HubAnswer } from './lib/hub-client.js';
export { SMTP_STAGES, SmtpServer, attachmentsOf, startSmtpServer } from './lib/smtp-server.js';
export type { SmtpFaults, SmtpReply, SmtpServerOptions, SmtpStage, StoredMail } from './lib/smtp-server.js';
export { SupervisedService } from './lib/supervised-service.js';
export { Heddle } from './lib/heddle.js';
export type { HeddleOptions } from './lib/heddle.js';
