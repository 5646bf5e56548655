# The two commands that matter: `make demo` and `make test`. Each gets or builds what it needs (see
# CONTRIBUTING.md) and keeps it in ~/.cache/imagejob; the second run is quick.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/imagejob
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/tools/bin/cargo-deny

# Long builds show progress on a terminal and stay readable in a log.
export CARGO_TERM_PROGRESS_WHEN ?= auto
# Always the workspace, less what nobody asks for: of any other selection Cargo works out other features, and builds
# all dependencies once more.
WITHOUT_SIM := --workspace --exclude sim

.PHONY: help
help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: demo
demo: programs ## run the whole system on this machine and watch it work (COMFYUI_URL=… for a real engine)
	@target/debug/demo

.PHONY: demo-spot
demo-spot: programs ## hours of a recorded spot market in about a minute, as a live chart and target/demo-spot.svg
	@target/debug/demo spot

.PHONY: up down
up: programs ## start the demo's cluster and leave it running for kubectl
	@target/debug/demo up

down: ## stop what `make up` started
	@target/debug/demo down

.PHONY: test
test: programs ## run every test
	cargo test --quiet --workspace --exclude e2e
	cargo test --quiet --workspace --test e2e -- --test-threads=1
	e2e/localcluster/build.sh test ./...

.PHONY: test-units
test-units: redis ## the tests that need no cluster, so no Go: queue, store, policy, worker, operator, simulators
	cargo test --quiet --workspace --exclude e2e --exclude crds --exclude api-server

.PHONY: faults
faults: programs ## do what may go wrong; prints a table and writes target/faults/summary.json
	@target/debug/faults

.PHONY: bench
bench: ## measure; prints tables and writes target/bench/summary.json
	@$(MAKE) --no-print-directory --jobs=3 redis control-plane fast
	cargo bench --quiet --profile fast $(WITHOUT_SIM) --bench queue
	cargo bench --quiet --profile fast $(WITHOUT_SIM) --bench overhead
	@target/fast/bench

.PHONY: sim
sim: ## scaling on recorded spot markets: tables, plots and target/sim/summary.json
	@cargo run --quiet --profile fast --package sim

.PHONY: lint
lint: $(CARGO_DENY) ## format, lints (Lua's too), generated files, licences
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- --deny warnings
	cargo build $(WITHOUT_SIM) --bin crdgen --bin queue-scripts
	target/debug/crdgen --check
	target/debug/queue-scripts target/lua
	luacheck=$$(e2e/tools/luacheck.sh) && "$$luacheck" --quiet --no-color target/lua
	$(CARGO_DENY) --log-level error check --hide-inclusion-graph licenses bans sources
	test -z "$$(gofmt -l e2e/localcluster)"
	e2e/localcluster/build.sh vet ./...

.PHONY: generate
generate: ## write crds/yaml and docs/api.md from the Rust types
	cargo build $(WITHOUT_SIM) --bin crdgen
	target/debug/crdgen

# All that the demo and the tests run. The control plane (Go) and our programs (Rust) are built side by side: each has
# stretches in which it keeps one core busy at most.
.PHONY: programs
programs:
	@$(MAKE) --no-print-directory --jobs=3 redis control-plane rust

.PHONY: rust
rust: # without make's jobs, which cargo would share
	@env -u MAKEFLAGS cargo build $(WITHOUT_SIM) --bins

.PHONY: fast
fast: # what is measured
	@env -u MAKEFLAGS cargo build --profile fast $(WITHOUT_SIM) $(addprefix --bin=,operator gpu-worker api-server comfyui-sim bench)
	@env -u MAKEFLAGS cargo bench --no-run --quiet --profile fast $(WITHOUT_SIM) --bench queue --bench overhead

.PHONY: redis
redis: # redis-server, found or got once
	@e2e/tools/redis.sh >/dev/null

.PHONY: control-plane
control-plane: # built once
	@e2e/localcluster/build.sh >/dev/null

$(CARGO_DENY):
	cargo install --quiet --locked --root $(CACHE)/tools cargo-deny@$(CARGO_DENY_VERSION)
