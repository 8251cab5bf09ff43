# syntax=docker/dockerfile:1
# Two stages: the first builds one binary, the second holds it and the certificate store only.
FROM rust:1.95-slim-bookworm AS build
# cmake builds libopus, which is compiled in.
RUN apt-get update \
  && apt-get install -y --no-install-recommends build-essential=12.* cmake=3.* \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p voxpool

FROM debian:bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates=2023* \
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
