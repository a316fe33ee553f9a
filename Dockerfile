# One file for all: `docker build --target <app> .`, or `docker compose build`.
FROM node:24.21.0-trixie-slim AS base
WORKDIR /app

# What the apps need at run time. Optional packages are speed-ups and a Node for machines without one.
FROM base AS packages
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts

FROM base AS build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.base.json ./
COPY tools tools
COPY libs libs
COPY apps apps
RUN node tools/build/build.mjs

FROM base AS runtime
ENV NODE_ENV=production NODE_OPTIONS=--max-semi-space-size=8 HOST=0.0.0.0 PORT=8080 INTERNAL_PORT=9090 \
  SPOOL_DIR=/var/spool/heddle FILES_DIR=/var/lib/heddle/files
COPY --from=packages /app/node_modules node_modules
COPY package.json ./
RUN mkdir -p /var/spool/heddle /var/lib/heddle/files && chown node:node /var/spool/heddle /var/lib/heddle/files
USER node
EXPOSE 8080 9090
# Ready, not only alive: what comes after a service in compose waits for this.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.INTERNAL_PORT}/health/ready`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]

FROM runtime AS topics
COPY --from=build /app/dist/tools/topics dist/tools/topics
# A command that ends: nothing asks for its health.
HEALTHCHECK NONE
CMD ["node", "dist/tools/topics/main.js"]

FROM runtime AS ingest-gateway
COPY --from=build /app/dist/apps/ingest-gateway dist/apps/ingest-gateway
CMD ["node", "dist/apps/ingest-gateway/main.js"]

FROM runtime AS association-store
COPY --from=build /app/dist/apps/association-store dist/apps/association-store
CMD ["node", "dist/apps/association-store/main.js"]

FROM runtime AS dispatcher
COPY --from=build /app/dist/apps/dispatcher dist/apps/dispatcher
CMD ["node", "dist/apps/dispatcher/main.js"]

# What every worker shares. Files pass through as many short-lived buffers: a small heap drops them early.
FROM runtime AS worker
ENV NODE_OPTIONS="--max-semi-space-size=4 --max-old-space-size=128"

FROM worker AS outbound-email
COPY --from=build /app/dist/apps/outbound-email dist/apps/outbound-email
CMD ["node", "dist/apps/outbound-email/main.js"]

FROM worker AS outbound-sftp
COPY --from=build /app/dist/apps/outbound-sftp dist/apps/outbound-sftp
CMD ["node", "dist/apps/outbound-sftp/main.js"]

FROM worker AS outbound-azure-blob
COPY --from=build /app/dist/apps/outbound-azure-blob dist/apps/outbound-azure-blob
CMD ["node", "dist/apps/outbound-azure-blob/main.js"]

FROM worker AS outbound-zapier
COPY --from=build /app/dist/apps/outbound-zapier dist/apps/outbound-zapier
CMD ["node", "dist/apps/outbound-zapier/main.js"]

FROM worker AS outbound-s3
COPY --from=build /app/dist/apps/outbound-s3 dist/apps/outbound-s3
CMD ["node", "dist/apps/outbound-s3/main.js"]
