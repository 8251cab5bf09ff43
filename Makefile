# The two commands: `make demo` and `make test`. Both install what they need into .tools/ (see scripts/setup).

TOOLS := $(CURDIR)/.tools
export VOXPOOL_TOOLS ?= $(TOOLS)
export PATH := $(VOXPOOL_TOOLS)/bin:$(PATH)

.PHONY: help demo test setup playground lint unit e2e bench-pool bench-peer bench-vad deny sbom release clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## talk to the agent: server, stand-in, worker and a scripted caller (ONCE=1: exit after it; REALTIME=1: speech to speech)
	@scripts/setup demo
	@ONCE=$(ONCE) REALTIME=$(REALTIME) scripts/demo

test: ## everything: lint, licences and advisories, unit, engine, integration with real servers, LiveKit's own end-to-end tests
	@scripts/setup test
	@$(MAKE) --no-print-directory lint deny unit e2e

setup: ## install what the two commands need
	@scripts/setup test

playground: ## install what the page of `voxpool dev` needs (http://127.0.0.1:8081/playground)
	@scripts/setup playground

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

unit:
	cargo test --workspace -- --skip hostile::one_hostile
	# Measures answers to callers, so no other test runs beside it.
	cargo test -p voxpool --test it -- hostile::one_hostile

e2e:
	scripts/livekit-e2e

bench-pool: ## what pooling is worth: the same calls pooled and unpooled, over TLS
	@scripts/setup test
	cargo run --release --quiet -p voxpool-bench --bin pool

bench-peer: ## voxpool beside livekit-agents 1.8.9: the same calls, as callers hear them (about 22 minutes)
	@scripts/bench-peer

bench-vad: ## our detector of voices and livekit-agents' on the same sound: clean, noise, breath, keyboard, music
	@scripts/setup test
	@scripts/bench-vad

deny: ## licences, advisories, duplicate versions and sources of all dependencies, without a network
	@scripts/setup deny
	@scripts/advisories check

sbom: ## the parts of the worker's binary with versions and licences: target/sbom/voxpool.cdx.json
	@scripts/setup sbom
	@scripts/release sbom

release: ## the image with base images by digest, the checks before it and the list of parts (needs docker)
	@scripts/setup sbom
	@scripts/release image

clean:
	cargo clean
	rm -rf $(TOOLS)
