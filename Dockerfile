# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches keep the dependencies' build from one docker build to the next; the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && install target/release/citywire /usr/local/bin/citywire

FROM debian:bookworm-slim
# For mqtts:// and https:// with certificates of public authorities.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/citywire /usr/local/bin/citywire
COPY deploy/healthcheck /usr/local/bin/healthcheck
# Journal and state. A new volume takes over the owner that the directory has here.
RUN install --directory --owner=10001 --group=10001 /var/lib/citywire
USER 10001:10001
WORKDIR /var/lib/citywire
VOLUME /var/lib/citywire
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --retries=3 --start-period=30s CMD ["healthcheck"]
ENTRYPOINT ["citywire"]
CMD ["run"]
