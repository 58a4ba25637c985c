# Every target installs what it needs. What each does is in README.md and CONTRIBUTING.md.

CARGO ?= cargo
VERSION ?= 3.0.0
SUITE ?= machines
BENCH ?= machines
MODE ?= machines
FUZZ_SECONDS ?= 120
# The harness reads these; given on make's command line they have to be handed on.
export K0S_BINARY UPSTREAM_OPERATOR

DIST = target/dist/v$(VERSION)
E2E = target/debug/e2e

.PHONY: help build manifests components image quickstart quickstart-down test test-fast e2e bench fuzz deny docs clean

help:
	@echo 'make quickstart        a k0s cluster on two machines through Cluster API, left running'
	@echo 'make quickstart MODE=hosted   the same with its control plane in pods'
	@echo 'make quickstart-down   all of it away'
	@echo 'make test              format, clippy, unit, snapshot, API tests, one scenario on machines and one in pods'
	@echo 'make e2e SUITE=machines [K0S_BINARY=]                       a full suite'
	@echo 'make bench BENCH=machines [K0S_BINARY=] [UPSTREAM_OPERATOR=]  ratios of one run'
	@echo 'make fuzz [FUZZ_SECONDS=]   conversion and admission under arbitrary input'
	@echo 'make image             the manager image as an OCI archive, without a container engine'
	@echo 'make build | manifests | components | deny | docs'

# The manager and k0smotronctl, in target/release. Each by itself: together they would be built with the features of both.
build: manager
	$(CARGO) build --release --locked -p k0smotron-cli

.PHONY: manager
manager:
	@e2e/prerequisites build
	$(CARGO) build --release --locked -p k0smotron-manager

# Generated files of config/ and docs/.
manifests:
	@e2e/prerequisites build
	$(CARGO) run --quiet --locked -p k0smotron-api --example crdgen
	$(CARGO) run --quiet --locked -p k0smotron-api --example rules

# A clusterctl repository of the three providers.
components:
	@e2e/prerequisites build
	$(CARGO) run --quiet --locked -p k0smotron-api --example render -- --out $(DIST) --version v$(VERSION)

# The manager's image as an OCI archive: `podman load`, `ctr images import` or `skopeo copy oci-archive:` take it from there.
image:
	@e2e/prerequisites build
	$(CARGO) build --profile dist --locked -p k0smotron-manager
	$(CARGO) run --quiet --release --locked -p k0smotron-e2e-images -- \
		--binary target/dist/k0smotron-manager --version v$(VERSION) --out $(DIST)

# What every scenario on machines needs. The harness itself builds the upstream components.
.PHONY: harness
harness: manager components
	@e2e/prerequisites machines
	$(CARGO) build --locked -p k0smotron-e2e -p k0smotron-e2e-stand-in

quickstart: harness
	@$(E2E) quickstart up --mode $(MODE)

quickstart-down:
	@e2e/prerequisites machines
	@$(CARGO) build --quiet --locked -p k0smotron-e2e
	@$(E2E) quickstart down

test: test-fast harness
	$(CARGO) test --locked -p k0smotron-e2e-plane -p k0smotron-e2e-api-tests -p k0smotron-e2e-endpoint -p k0smotron-e2e-machines
	$(E2E) suite smoke
	$(E2E) suite hosted-smoke

# Without a machine or an API server: seconds once built.
test-fast:
	@e2e/prerequisites machines
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --locked --workspace --exclude k0smotron-e2e-plane --exclude k0smotron-e2e-api-tests \
		--exclude k0smotron-e2e-endpoint --exclude k0smotron-e2e-machines

e2e: harness
	$(E2E) suite $(SUITE)

bench: harness
	$(E2E) bench $(BENCH)

# Arbitrary input for FUZZ_SECONDS per target, ten seconds for one input at most: an answer takes milliseconds. No sanitizer, since nothing
# of ours is unsafe. Without cargo-fuzz or nightly Rust: the same properties under proptest, for longer than in the tests; that finds less,
# because nothing leads it to new branches.
fuzz:
	@e2e/prerequisites build
	@if cargo fuzz --version >/dev/null 2>&1 && cargo +nightly --version >/dev/null 2>&1; then \
		set -e; for target in convert review admission; do \
			mkdir -p target/fuzz/corpus/$$target; \
			cargo +nightly fuzz run --sanitizer none --target-dir target/fuzz $$target target/fuzz/corpus/$$target fuzz/seeds -- \
				-max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 \
				-artifact_prefix=target/fuzz/$$target-; \
		done; \
	else \
		echo 'cargo-fuzz or nightly Rust is missing (cargo install cargo-fuzz; rustup toolchain install nightly): proptest instead' >&2; \
		PROPTEST_CASES=20000 $(CARGO) test --locked --release -p k0smotron-api --test conversion_arbitrary; \
		PROPTEST_CASES=500 $(CARGO) test --locked --release -p k0smotron-api --test conversion_round_trips; \
	fi

# Bans, licences and sources of dependencies; installs cargo-deny where it is missing.
deny:
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check bans licenses sources

docs:
	$(CARGO) doc --locked --no-deps --workspace

clean:
	$(CARGO) clean
