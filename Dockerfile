# syntax=docker/dockerfile:1
# One image for every program: `millpond-operator`, `millpond-broker` and `millpond`, chosen by the command.
#   docker build -t millpond .
# Distroless, not root, no shell. e2e/k8s/image.sh packs the same layout from binaries that are already compiled.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release -p operator -p broker -p cli && \
    mkdir /out && cp target/release/millpond-operator target/release/millpond-broker target/release/millpond /out/

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/ /usr/local/bin/
ENV PATH=/usr/local/bin:/usr/bin:/bin
USER 65532:65532
# gRPC for clients, administration, health and metrics
EXPOSE 8081 8082 8083
CMD ["millpond-broker", "--help"]
