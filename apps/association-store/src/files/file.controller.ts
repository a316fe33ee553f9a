import { Readable } from 'node:stream';

import {
  Controller,
  Delete,
  Get,
  HttpCode,
  Param,
  Put,
  Query,
  Req,
  Res,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { Caller, RequirePermission, ServiceTokenGuard } from '@heddle/access';
import { RecipeId, Sha256, UploadName, UploadQuery } from '@heddle/contracts';
import { DatabaseProblemFilter } from '@heddle/persistence';
import { ProblemError, isUnchanged, parseInput, parseQuery } from '@heddle/platform';

import type { RecipeName } from '../orders/order.repository.js';

import type { StoredContent } from './file.repository.js';
import { FileService } from './file.service.js';
import { attachmentNamed, digestIn, mimeTypeIn, rangeIn } from './http-headers.js';

const NOT_FOUND = 'there is no such file';

/** Uploaded files of recipes; and their contents by hash, for workers and links. */
@Controller()
@UseGuards(ServiceTokenGuard)
@UseFilters(DatabaseProblemFilter)
@RequirePermission('recipes:read')
export class FileController {
  constructor(private readonly files: FileService) {}

  @Put('api/v2/recipe/:recipeId/files/:name')
  @RequirePermission('recipes:write')
  async put(
    @Caller() { tenant }: Caller,
    @Param('recipeId') recipeId: string,
    @Param('name') name: string,
    @Query() query: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { headers, body } = request;
    const upload = {
      tenant,
      recipeId: parseInput(RecipeId, recipeId),
      name: parseInput(UploadName, name),
      kind: parseQuery(UploadQuery, query).kind,
      mimeType: mimeTypeOf(headers['content-type']),
      digest: digestOf(headers['content-digest']),
      length: headers['content-length'] === undefined ? undefined : Number(headers['content-length']),
      traceparent: typeof headers['traceparent'] === 'string' ? headers['traceparent'] : undefined,
      requestId: request.id,
    };
    const { file, isNew } = await this.files.keep(
      upload,
      body instanceof Readable ? body : Readable.from([]),
    );
    await reply.status(isNew ? 201 : 200).send(file);
  }

  @Get('api/v2/recipe/:recipeId/files/:name')
  async read(
    @Caller() { tenant }: Caller,
    @Param('recipeId') recipeId: string,
    @Param('name') name: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const found = await this.files.find(recipeOf(tenant, recipeId), parseInput(UploadName, name));
    if (found === undefined) throw new ProblemError(404, NOT_FOUND);
    void reply.headers({
      'content-type': found.mimeType,
      'content-disposition': attachmentNamed(found.name),
      // The type is whatever somebody says: no browser shall guess another or show it as a page of ours.
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
    });
    await this.send(found, request, reply);
  }

  @Delete('api/v2/recipe/:recipeId/files/:name')
  @RequirePermission('recipes:write')
  @HttpCode(204)
  async remove(
    @Caller() { tenant }: Caller,
    @Param('recipeId') recipeId: string,
    @Param('name') name: string,
    @Req() { id, headers: { traceparent } }: FastifyRequest,
  ): Promise<void> {
    const isGone = await this.files.remove(recipeOf(tenant, recipeId), parseInput(UploadName, name), {
      requestId: id,
      traceparent: typeof traceparent === 'string' ? traceparent : undefined,
    });
    if (!isGone) throw new ProblemError(404, NOT_FOUND);
  }

  /** What a delivery's event names, also after the file was replaced. */
  @Get('internal/contents/:tenant/:sha256')
  async readContent(
    @Caller() caller: Caller,
    @Param('tenant') tenant: string,
    @Param('sha256') sha256: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const found =
      caller.tenant === tenant && Sha256.safeParse(sha256).success
        ? await this.files.findContent(tenant, sha256)
        : undefined;
    if (found === undefined) throw new ProblemError(404, NOT_FOUND);
    void reply.header('content-type', 'application/octet-stream');
    await this.send(found, request, reply);
  }

  private async send(found: StoredContent, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { headers, method } = request;
    const { sizeBytes } = found;
    const etag = `"${found.sha256}"`;
    void reply.headers({ etag, 'accept-ranges': 'bytes' });
    if (isUnchanged(headers['if-none-match'], etag)) {
      await reply.status(304).send();
      return;
    }
    const range =
      method === 'GET'
        ? rangeIn(
            { range: headers.range, ifRange: headers['if-range'] as string | undefined },
            { etag, sizeBytes },
          )
        : undefined;
    if (range === 'unsatisfiable') {
      throw new ProblemError(416, 'the file ends before the range begins', {
        headers: { 'content-range': `bytes */${String(sizeBytes)}` },
      });
    }
    const length = range === undefined ? sizeBytes : range.end - range.start + 1;
    void reply.status(range === undefined ? 200 : 206).header('content-length', String(length));
    if (range !== undefined) {
      const part = `${String(range.start)}-${String(range.end)}`;
      void reply.header('content-range', `bytes ${part}/${String(sizeBytes)}`);
    }
    // Without a body at all the length would become 0.
    const bytes = method === 'HEAD' || length === 0 ? Readable.from([]) : await this.files.read(found, range);
    await reply.send(bytes);
  }
}

/** What nobody can have saved is not there. */
function recipeOf(tenant: string, recipeId: string): RecipeName {
  if (!RecipeId.safeParse(recipeId).success) throw new ProblemError(404, NOT_FOUND);
  return { tenant, recipeId };
}

function mimeTypeOf(header: string | undefined): string {
  const mimeType = header === undefined ? 'application/octet-stream' : mimeTypeIn(header);
  if (mimeType === undefined) throw badHeader('the content type cannot be read');
  return mimeType;
}

function digestOf(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  const digest = digestIn(String(header));
  if (digest === undefined) throw badHeader('Content-Digest has to have a digest sha-256=:...: of 32 bytes');
  return digest;
}

function badHeader(message: string): ProblemError {
  return new ProblemError(400, message, { errors: [{ pointer: '', code: 'pattern', message }] });
}
