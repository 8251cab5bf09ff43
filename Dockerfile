# syntax=docker/dockerfile:1
# Stages: `build` makes one binary, `worker` holds it and the certificate store only.
# Tags are for development. A release names both images by digest: scripts/release resolves them and builds
# the target `release`, which refuses anything else.
ARG BUILD_IMAGE=rust:1.95-slim-bookworm
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BUILD_IMAGE} AS build
# cmake builds libopus, which is compiled in.
RUN apt-get update \
  && apt-get install -y --no-install-recommends build-essential=12.* cmake=3.* \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p voxpool

FROM ${BASE_IMAGE} AS worker
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --user-group --uid 10001 --home-dir /data --no-create-home voxpool \
  && install --directory --owner=voxpool --group=voxpool /data
COPY --from=build /src/target/release/voxpool /usr/local/bin/voxpool
USER 10001
# What callers said (voxpool.db) is written here; voxpool.toml and .env are looked for here.
WORKDIR /data
VOLUME /data
EXPOSE 8081
# `docker stop` sends SIGTERM: the worker drains. Give it time with --stop-timeout.
ENTRYPOINT ["voxpool"]
CMD ["start"]

FROM worker AS release
ARG BUILD_IMAGE
ARG BASE_IMAGE
USER root
RUN for image in "$BUILD_IMAGE" "$BASE_IMAGE"; do \
    case "$image" in *@sha256:*) ;; *) echo "name $image by digest (scripts/release does)" >&2; exit 1 ;; esac; \
  done
USER 10001

# `docker build .` builds this one.
FROM worker
