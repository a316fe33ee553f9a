import { workerConfig } from '@heddle/destination-worker';
import { z } from 'zod';

export const Config = z.object(workerConfig);
export type Config = z.infer<typeof Config>;
