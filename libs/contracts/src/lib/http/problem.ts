import { z } from 'zod';

export const FAULT_CODES = [
  'required',
  'type',
  'length',
  'pattern',
  'range',
  'array',
  'too_many',
  'unknown',
  'conflict',
] as const;

/** One fault of a request. Messages never repeat submitted values. */
export const Fault = z.object({
  /** JSON pointer (RFC 6901) into the body, or the name of a query parameter after `?`. */
  pointer: z.string(),
  code: z.enum(FAULT_CODES),
  message: z.string(),
});
export type Fault = z.infer<typeof Fault>;

/** RFC 9457. */
export const Problem = z.object({
  type: z.string().default('about:blank'),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  requestId: z.string(),
  errors: z.array(Fault).optional(),
});
export type Problem = z.infer<typeof Problem>;
