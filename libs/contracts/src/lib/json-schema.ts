import { z } from 'zod';

export type JsonObject = Record<string, unknown>;

/** Names that a document gives to some contracts, beside what the contracts say of themselves. */
class NamedContracts extends z.core.$ZodRegistry<z.core.GlobalMeta> {
  constructor(names: Readonly<Record<string, z.ZodType>>) {
    super();
    for (const [id, schema] of Object.entries(names)) this.add(schema, { id });
  }

  override get(schema: z.core.$ZodType): z.core.GlobalMeta | undefined {
    const id = this._map.get(schema)?.id;
    const meta = z.globalRegistry.get(schema);
    return id === undefined ? meta : { ...meta, id };
  }
}

/**
 * JSON Schema 2020-12 of a contract. `input` is what may be sent; `output` what comes, to which optional members may
 * be added later, so it forbids none. Contracts among `names` are put under `$defs`.
 */
export function jsonSchemaOf(
  schema: z.ZodType,
  io: 'input' | 'output',
  names: Readonly<Record<string, z.ZodType>> = {},
): JsonObject {
  return z.toJSONSchema(schema, {
    io,
    metadata: new NamedContracts(names),
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      // What a reader takes an unknown value for, and no value of what is left out.
      if (zodSchema._zod.def.type === 'catch') delete jsonSchema.default;
      if (io === 'output' && jsonSchema.additionalProperties === false)
        delete jsonSchema.additionalProperties;
      // The format says it all; the pattern is long and of one library.
      if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
}
