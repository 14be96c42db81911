# Two commands do everything on a fresh Debian machine: `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
ENV := . scripts/env.sh

.PHONY: help prerequisites lint-prerequisites lab-prerequisites build test test-fast test-lab lint doc traces demo bench bench-calls chaos chaos-ci chaos-prerequisites sim exam fuzz package package-prerequisites test-package test-containers upgrade-test deny book clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

prerequisites:
	@scripts/prerequisites build

chaos-prerequisites:
	@scripts/prerequisites chaos

lint-prerequisites:
	@scripts/prerequisites lint

# Without root or Debian the lab cannot run: the tests say so themselves, loudly, and fail where CI=true.
lab-prerequisites: prerequisites
	@scripts/prerequisites lab || echo "the lab of real Asterisks will be skipped" >&2

build: prerequisites ## build fed-node and everything beside it
	$(ENV); cargo build --workspace --all-targets --locked

# Always the whole workspace, so that every command sees the dependencies with the same features and nothing is built twice. The programs
# that the tests start are built with them. FEATURES= adds some, such as fed-node/otel with its tests.
test: lab-prerequisites ## every test: unit, property, whole-process, and the lab of real Asterisks (FEATURES=)
	$(ENV); cargo test --workspace --locked --no-fail-fast $(if $(FEATURES),--features $(FEATURES))

test-fast: prerequisites ## everything that needs no root and no Asterisk
	$(ENV); cargo build --workspace --bins --locked
	$(ENV); cargo test --workspace --locked --no-fail-fast --exclude fed-tests

test-lab: lab-prerequisites ## real Asterisk 16 and 22 in network namespaces
	$(ENV); cargo build --workspace --bins --locked
	$(ENV); cargo test --workspace --locked --no-fail-fast --test 'lab_*'

# With the features that only add code, so that nothing is compiled twice.
lint: lint-prerequisites ## rustfmt, clippy and rustdoc, each without a warning
	$(ENV); cargo fmt --all --check
	$(ENV); cargo clippy --workspace --all-targets --test lab_storm --features fed-node/otel --locked -- -D warnings
	$(ENV); RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

doc: prerequisites ## the crates' documentation
	$(ENV); cargo doc --workspace --no-deps --locked

# Builds fed-node and this test anew with the feature; whatever else there is has the same features with it and without.
traces: prerequisites ## OpenTelemetry (feature otel): one trace from Asterisk's event to every node that applies it
	$(ENV); cargo test --workspace --features fed-node/otel --locked --test node -- traces::

demo: lab-prerequisites ## three real Asterisks, phones, calls, a move, a dead host (WAIT=0 ends it at once)
	$(ENV); cargo build --workspace --bins --locked
	$(ENV); WAIT=$${WAIT:-1} "$$CARGO_TARGET_DIR/debug/demo"

# ROWS=writes,reads SECONDS=3 ROUNDS=1 shorten it; TLS=1 measures with certificates; OUT=file.json also writes the figures; DIR= is a folder on the disk to measure.
bench: prerequisites ## three fed-nodes against three etcds under the same load, as a table (TLS=, ROWS=, SECONDS=, ROUNDS=, OUT=, DIR=)
	@scripts/prerequisites bench
	$(ENV); cargo build --release --workspace --bins --features fed-chaos/embedded --locked
	$(ENV); "$$CARGO_TARGET_DIR/release/chaos" bench --etcd "$$(scripts/etcd)" $(if $(TLS),--tls) $(if $(ROWS),--rows $(ROWS)) \
	  $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(OUT),--out $(OUT)) $(if $(DIR),--dir $(DIR))

bench-calls: lab-prerequisites ## call set-up time and REGISTER rate beside plain Asterisk, as a table
	$(ENV); cargo build --release --workspace --bins --locked
	$(ENV); "$$CARGO_TARGET_DIR/release/bench_calls"

# What fails does not keep the rest from running, and a lab that cannot run is a failure (CI=true). PLANS=file.. runs others; OUT= keeps what was recorded of all runs, otherwise of those that do not pass.
chaos: chaos-prerequisites lab-prerequisites ## real nodes and real Asterisks under every fault, each with its bar; 40 minutes (PLANS=, OUT=)
	$(ENV); cargo build --workspace --bins --locked
	$(ENV); failed=; "$$CARGO_TARGET_DIR/debug/chaos" run --quiet $(if $(OUT),--out $(OUT)) $(or $(PLANS),chaos/plans/*.toml) || failed="$$failed plans"; \
	  $(if $(PLANS),,for lab in lab_partitions lab_storm; do CI=true cargo test --workspace --locked --test $$lab || failed="$$failed $$lab"; done; \
	  $(MAKE) upgrade-test || failed="$$failed upgrade-test";) \
	  [ -z "$$failed" ] || { echo "chaos: failed:$$failed" >&2; exit 1; }

chaos-ci: chaos-prerequisites ## the core of it in four minutes: partitions, kill -9, power cuts with their control
	$(ENV); cargo build --workspace --bins --locked
	$(ENV); "$$CARGO_TARGET_DIR/debug/chaos" run --quiet $(if $(OUT),--out $(OUT)) chaos/plans/ci/*.toml

# The simulation is a build of its own: nothing real under the nodes, and tokio's order of things decided by the seed.
SIM_ENV := $(ENV); export CARGO_TARGET_DIR="$$CARGO_TARGET_DIR/simulation" RUSTFLAGS="--cfg tokio_unstable" \
  CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0
SEEDS ?= 100

sim: prerequisites ## SEEDS=100 clusters simulated under faults, each from its seed; the simulated store passes the suite
	$(SIM_ENV); cargo build -p fed-chaos --features simulation --bins --locked
	$(SIM_ENV); cargo test -p fed-chaos --features simulation --lib --locked -- simulation::
	$(SIM_ENV); cargo test -p fed-chaos --features simulation --test simulation --locked
	$(SIM_ENV) CARGO_PROFILE_DEV_OPT_LEVEL=0; cargo test -p fed-raft --no-default-features --features simulation,testing --lib --locked -- suite simulated
	$(SIM_ENV); "$$CARGO_TARGET_DIR/debug/chaos" sim --seeds 1..$$(( $(SEEDS) + 1 ))

# The bugs that a disk must show are planted in a real fed-node too.
exam: chaos-prerequisites ## the simulation and real disks find the bugs planted for them: a table
	$(ENV); cargo build --workspace --bin fed-node-planted --features fed-node/planted-bugs --locked
	$(SIM_ENV); cargo build -p fed-chaos --features planted-bugs --bins --locked
	$(SIM_ENV); cargo test -p fed-chaos --features planted-bugs --test exam --locked
	$(SIM_ENV); "$$CARGO_TARGET_DIR/debug/chaos" exam --fed-node "$$CARGO_TARGET_DIR/../debug/fed-node-planted"

# A failure prints the input; the same SEED gives the same inputs.
fuzz: prerequisites ## every decoder under damaged input: RUNS=100000 for each, from another SEED each day
	$(ENV); FED_FUZZ_RUNS=$(or $(RUNS),100000) FED_FUZZ_SEED=$${SEED:-$$(date +%Y%m%d)} \
	  cargo test --workspace --locked --no-fail-fast --test fuzz -- --nocapture
	$(ENV); FED_FUZZ_RUNS=$(or $(RUNS),100000) FED_FUZZ_SEED=$${SEED:-$$(date +%Y%m%d)} \
	  cargo test --workspace --locked --lib --no-fail-fast -- fuzz:: --nocapture

package-prerequisites: prerequisites
	@scripts/prerequisites package

# Planted bugs do not compile in this profile, and scripts/package refuses a program that has them. The whole workspace, as the
# benchmarks build it: the same features, so nothing is built twice.
package: package-prerequisites ## the Debian package of the release build, into the target folder (OUT=folder)
	$(ENV); cargo build --release --workspace --bins --locked
	$(ENV); scripts/package "$$CARGO_TARGET_DIR/release/fed-node" $(OUT)

# PACKAGE= tests that very package; otherwise one is made of the debug build.
test-package: lab-prerequisites package-prerequisites ## install, run, upgrade and purge the package on a fresh Debian beside an Asterisk (PACKAGE=)
	$(ENV); cargo build --workspace --bins --locked
	$(ENV); $(if $(PACKAGE),FED_PACKAGE=$(abspath $(PACKAGE))) cargo test --workspace --locked --test package -- --nocapture

test-containers: package ## the image and compose.yml of packaging/docker run with podman: installed, elected, killed, back (root)
	scripts/test-containers "$$($(ENV); ls -t $(if $(OUT),$(OUT),"$$CARGO_TARGET_DIR/release")/fed-node_*.deb | head -1)"

# OLD=path/to/fed-node is another program, REV=commit another commit than the one before the newest.
upgrade-test: prerequisites ## three nodes of an older program replaced one by one under writes (OLD=, REV=, FEATURES=)
	$(ENV); old=$(if $(OLD),$(abspath $(OLD)),$$(scripts/older $(REV))); \
	  test -x "$$old" || { echo "upgrade-test: OLD=$$old is no program" >&2; exit 2; }; \
	  cargo build --workspace --bins --locked $(if $(FEATURES),--features $(FEATURES)); \
	  FED_OLD_BINARY="$$old" cargo test --workspace --locked $(if $(FEATURES),--features $(FEATURES)) --test node -- upgrade:: --ignored --nocapture

# The first time it compiles cargo-deny into the cache, if none is installed.
deny: prerequisites ## what may come into the program (deny.toml): bans, licences, sources, known holes; part of .ci/run
	$(ENV); scripts/deny

book: ## the book of docs/, as HTML (mdbook)
	$(ENV); scripts/book

clean: ## remove build products (RocksDB takes half an hour to come back)
	$(ENV); cargo clean
