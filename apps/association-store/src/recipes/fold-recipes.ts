import type { ManifestFile, RecipeReceivedV1, RecipeSavedV1 } from '@heddle/contracts';

/** What is kept of a recipe, without its document. */
export interface RecipeHead {
  readonly tenant: string;
  readonly recipeId: string;
  /** 0: a placeholder, ordered before it was saved. */
  readonly version: number;
  /** Of the canonical form. */
  readonly sha256: string | null;
  /** Of its newest version. */
  readonly temporary: boolean;
  readonly lastOffset: bigint | null;
}

/** What is read out of a document. */
export interface DocumentFacts {
  /** Of the canonical form: decides whether it is the same. */
  readonly sha256: string;
  readonly textSha256: string;
  readonly name: string | null;
  readonly styleCode: string | null;
  readonly files: readonly ManifestFile[];
}

export interface RecipeMessage {
  readonly offset: bigint;
  readonly replayed: boolean;
  readonly traceparent: string | undefined;
  readonly data: RecipeReceivedV1;
  readonly facts: DocumentFacts;
}

export interface RecipeChange {
  readonly topic: 'recipe.created' | 'recipe.updated';
  readonly version: number;
  /** The version before was temporary and this one is not. */
  readonly becamePermanent: boolean;
  readonly message: RecipeMessage;
}

export interface RecipeFoldResult {
  readonly changes: readonly RecipeChange[];
  /** Every recipe that a message spoke of and that did not lose; `newest` where it got other content. */
  readonly heads: readonly (RecipeHead & { readonly newest: RecipeChange | undefined })[];
  readonly outdated: number;
}

/** The same content again is nothing; other content is the next version. Pure. */
export function foldRecipes(
  known: readonly RecipeHead[],
  messages: readonly RecipeMessage[],
): RecipeFoldResult {
  const heads = new Map(known.map((head) => [`${head.recipeId} ${head.tenant}`, head]));
  const touched = new Map<string, RecipeChange | undefined>();
  const changes: RecipeChange[] = [];
  let outdated = 0;
  for (const message of messages) {
    const { tenant, recipeId } = message.data;
    const key = `${recipeId} ${tenant}`;
    const head = heads.get(key) ?? {
      tenant,
      recipeId,
      version: 0,
      sha256: null,
      temporary: false,
      lastOffset: null,
    };
    if (message.replayed && head.lastOffset !== null && head.lastOffset > message.offset) {
      outdated += 1;
      continue;
    }
    const same = head.sha256 === message.facts.sha256;
    const version = same ? head.version : head.version + 1;
    const temporary = same ? head.temporary : message.data.temporary;
    heads.set(key, {
      ...head,
      version,
      temporary,
      sha256: message.facts.sha256,
      lastOffset: message.offset,
    });
    if (same) {
      touched.set(key, touched.get(key));
      continue;
    }
    const change: RecipeChange = {
      topic: version === 1 ? 'recipe.created' : 'recipe.updated',
      version,
      becamePermanent: head.temporary && !temporary,
      message,
    };
    changes.push(change);
    touched.set(key, change);
  }
  return {
    changes,
    heads: [...touched].flatMap(([key, newest]) => {
      const head = heads.get(key);
      return head === undefined ? [] : [{ ...head, newest }];
    }),
    outdated,
  };
}

/** The value of `recipe.created` and `recipe.updated`. */
export function recipeDocument(
  { message, version, becamePermanent }: RecipeChange,
  updatedAt: string,
): RecipeSavedV1 {
  const { data, facts } = message;
  return {
    tenant: data.tenant,
    channel: data.channel,
    recipeId: data.recipeId,
    version,
    temporary: data.temporary,
    ...(becamePermanent && { becamePermanent }),
    name: facts.name,
    styleCode: facts.styleCode,
    files: [...facts.files],
    acceptedAt: data.acceptedAt,
    updatedAt,
  };
}
