# The program alone, statically linked, in an image from scratch:
#
#   docker build -t snyk-export .
#
# The stage that builds needs Rust, a C compiler and glibc's static half. Any image with these will do;
# .ci/image hands in one that it makes of its own machine.
ARG BUILD_IMAGE=rust:1.95-bookworm

# The dependencies have a layer of their own, which lasts until Cargo.toml or Cargo.lock changes.
FROM ${BUILD_IMAGE} AS dependencies
WORKDIR /build
# cargo-auditable puts the list of the dependencies into the program, where scanners of images find it.
ARG AUDITABLE_VERSION=0.7.7
RUN command -v cargo-auditable || cargo install --locked cargo-auditable --version "$AUDITABLE_VERSION"
# With --target, build scripts and procedural macros are spared these flags: rustc could not load static ones.
# Relative relocations are packed, which a linker that cannot leaves out.
ENV RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"
COPY Cargo.toml Cargo.lock ./
COPY .cargo/config.toml .cargo/
# Tests and benches stay outside, and Cargo insists on a file for each that the manifest names. The README is the
# crate's documentation, of which the program has nothing.
RUN set -eu; \
    sed -i '/^\[\[\(bench\|test\|example\)\]\]/,/^$/d' Cargo.toml; \
    mkdir src; \
    echo '//! Nothing yet.' | tee README.md src/lib.rs > src/main.rs; \
    echo 'fn main() {}' >> src/main.rs; \
    target=$(rustc --print host-tuple); \
    cargo auditable build --locked --profile dist --target "$target" --bin snyk-export; \
    cargo clean --locked --profile dist --target "$target" --package snyk-export; \
    rm -r src

FROM dependencies AS build
COPY config config
COPY src src
RUN set -eu; \
    target=$(rustc --print host-tuple); \
    cargo auditable build --locked --profile dist --target "$target" --bin snyk-export; \
    install -D -m 0755 "target/$target/dist/snyk-export" /image/snyk-export; \
    install -d -m 0755 -o 65532 -g 65532 /image/var/lib/snyk-export

# No CA store either: those that Mozilla trusts are compiled in, and count where there is no other.
FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="snyk-export" \
      org.opencontainers.image.description="Follows exports of the Snyk Analytics Export API to their end, and says truthfully how they ended" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image /
# By number: there is no /etc/passwd, and Kubernetes' runAsNonRoot has to see that it is not root.
USER 65532:65532
# Where the daemon keeps its store, and `run` what it has begun. But for its --dir the rest may be read-only.
ENV XDG_STATE_HOME=/var/lib
VOLUME ["/var/lib/snyk-export"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/snyk-export"]
