import { Controller, HttpCode, Inject, Post, Req } from '@nestjs/common';
import type { z } from 'zod';

import {
  MAX_RECIPE_BYTES,
  RECIPE_RECEIVED,
  RecipeDocumentInput,
  RecipesRequest,
  TOPIC,
  recipeKey,
} from '@heddle/contracts';
import type { RecipesAccepted } from '@heddle/contracts';
import type { OutgoingEvent } from '@heddle/messaging';
import { ProblemError } from '@heddle/platform';

import { CONFIG } from '../config.js';
import type { Config } from '../config.js';
import type { GatewayRequest } from '../http/gateway-request.js';
import type { JsonBody } from '../http/json-body.js';
import { bodyIn, invalid, validate } from '../http/validate.js';
import { IntakeMetrics } from '../intake/intake-metrics.js';
import { Intake } from '../intake/intake.js';
import { acceptanceOf, receivedEvent } from '../intake/received-event.js';
import type { Acceptance } from '../intake/received-event.js';

import { memberTexts } from './document-texts.js';

interface SentRecipe {
  readonly recipeId: string;
  readonly temporary: boolean;
  /** The text exactly as sent. */
  readonly document: string;
}

@Controller('api/v2/recipe')
export class RecipeController {
  constructor(
    private readonly intake: Intake,
    private readonly metrics: IntakeMetrics,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Post()
  @HttpCode(202)
  async save(@Req() request: GatewayRequest): Promise<z.output<typeof RecipesAccepted>> {
    const recipes = sentRecipes(request.body);
    await this.intake.append(recipeEvents(recipes, acceptanceOf(request)));
    this.metrics.accepted.recipe.inc(recipes.length);
    return {
      accepted: recipes.length,
      recipes: recipes.map(({ recipeId }) => ({
        id: recipeId,
        location: `${this.config.PUBLIC_URL}/recipe/${recipeId}.json`,
      })),
    };
  }
}

/** @throws {ProblemError} 400 with every fault, 413 for a document above 1 MiB. */
export function sentRecipes(sent: JsonBody | undefined): readonly SentRecipe[] {
  const body = bodyIn(sent);
  if (!Array.isArray(body.value)) {
    const { id, temporary = false } = validate(RecipeDocumentInput, body);
    if (body.bytes.length > MAX_RECIPE_BYTES) throw new ProblemError(413, 'a recipe may have at most 1 MiB');
    return [{ recipeId: id, temporary, document: body.text }];
  }
  const documents = validate(RecipesRequest, body);
  const texts = memberTexts(body.text);
  const tooLarge = texts.flatMap((text, index) =>
    Buffer.byteLength(text) > MAX_RECIPE_BYTES
      ? [
          {
            pointer: `/${String(index)}`,
            code: 'length' as const,
            message: 'a recipe may have at most 1 MiB',
          },
        ]
      : [],
  );
  if (tooLarge.length > 0) {
    const { options } = invalid(tooLarge);
    throw new ProblemError(413, 'a recipe may have at most 1 MiB', options);
  }
  return documents.map(({ id, temporary = false }, index) => ({
    recipeId: id,
    temporary,
    document: texts[index] ?? '',
  }));
}

/** In the order sent: the same id twice is saved twice, the last one stays. */
export function recipeEvents(
  recipes: readonly SentRecipe[],
  acceptance: Acceptance,
): readonly OutgoingEvent[] {
  return recipes.map(({ recipeId, document, temporary }) =>
    receivedEvent(
      {
        topic: TOPIC.recipeReceived,
        key: recipeKey(acceptance.tenant, recipeId),
        type: RECIPE_RECEIVED,
        subject: recipeId,
      },
      acceptance,
      { recipeId, document, temporary },
    ),
  );
}
