# One image for every role and for workers: `docker build -t warren .`. Servers alone need no compilers:
# `docker build --target server -t warren .`
FROM node:20.20.2-bookworm-slim AS build
WORKDIR /opt/warren
COPY package.json package-lock.json .npmrc ./
RUN npm install --omit=dev --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json warren ./
COPY protos protos
COPY src src
# Installs nothing more, and builds. What runs is built: the compiler stays behind.
RUN ./warren --version && rm -rf node_modules/typescript node_modules/@typescript

FROM node:20.20.2-bookworm-slim AS base
# bubblewrap is the workers' sandbox. The user's number never changes, so that volumes outlive their image.
RUN apt-get update \
  && apt-get install -y --no-install-recommends bubblewrap procps \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --uid 10001 --home-dir /var/lib/warren --create-home --shell /usr/sbin/nologin warren \
  && ln -s /opt/warren/warren /usr/local/bin/warren
USER warren
EXPOSE 50051 8080
ENTRYPOINT []
CMD ["warren", "--help"]

FROM base AS server
COPY --from=build /opt/warren /opt/warren

FROM base AS worker
# What actions call by its path, such as the compiler that Bazel has found where the client is.
ARG WORKER_PACKAGES="g++ python3"
USER root
RUN apt-get update \
  && apt-get install -y --no-install-recommends ${WORKER_PACKAGES} \
  && rm -rf /var/lib/apt/lists/*
USER warren
COPY --from=build /opt/warren /opt/warren
