import { resolve } from 'node:path';

import type { Config } from '../config.js';

import { AzureObjectStore } from './azure-object-store.js';
import { LocalObjectStore } from './local-object-store.js';
import type { ObjectStore } from './object-store.js';
import { S3ObjectStore } from './s3-object-store.js';

/** The storage that the configuration names; it has seen to what each of them needs. */
export async function objectStoreOf(config: Config): Promise<ObjectStore> {
  const { FILES_PREFIX: prefix } = config;
  switch (config.FILES_STORAGE) {
    case 'local':
      return new LocalObjectStore(resolve(config.FILES_DIR));
    case 's3': {
      const { FILES_S3_ACCESS_KEY: accessKeyId = '', FILES_S3_SECRET_KEY: secretAccessKey = '' } = config;
      return await S3ObjectStore.open({
        bucket: config.FILES_S3_BUCKET ?? '',
        region: config.FILES_S3_REGION,
        endpoint: config.FILES_S3_ENDPOINT,
        credentials: accessKeyId === '' ? undefined : { accessKeyId, secretAccessKey },
        prefix,
      });
    }
    case 'azure-blob':
      return await AzureObjectStore.open({
        connectionString: config.FILES_AZURE_CONNECTION_STRING ?? '',
        container: config.FILES_AZURE_CONTAINER ?? '',
        prefix,
      });
  }
}
