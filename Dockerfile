# One image for every role and for workers: `docker build -t warren .`
FROM node:20.20.2-bookworm-slim AS build
WORKDIR /opt/warren
COPY package.json package-lock.json .npmrc ./
RUN npm install --omit=dev --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json warren ./
COPY protos protos
COPY src src
# Installs nothing more, and builds.
RUN ./warren --version

FROM node:20.20.2-bookworm-slim
# bubblewrap is the workers' sandbox; actions find here what their platform promises, such as a compiler.
RUN apt-get update \
  && apt-get install -y --no-install-recommends bubblewrap procps \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --home-dir /var/lib/warren --create-home warren \
  && ln -s /opt/warren/warren /usr/local/bin/warren
COPY --from=build /opt/warren /opt/warren
USER warren
VOLUME /var/lib/warren
EXPOSE 50051 8080
ENTRYPOINT []
CMD ["warren", "--help"]
