# Every target installs what it needs. What each does is in README.md and CONTRIBUTING.md.

CARGO ?= cargo
VERSION ?= 3.0.0
SUITE ?= machines
BENCH ?= machines
# The harness reads these; given on make's command line they have to be handed on.
export K0S_BINARY UPSTREAM_OPERATOR

DIST = target/dist/v$(VERSION)
E2E = target/debug/e2e

.PHONY: help build manifests components quickstart quickstart-down test test-fast e2e bench deny docs clean

help:
	@echo 'make quickstart        a k0s cluster on two machines through Cluster API, left running'
	@echo 'make quickstart-down   all of it away'
	@echo 'make test              format, clippy, unit, snapshot, API tests and one scenario on machines'
	@echo 'make e2e SUITE=machines [K0S_BINARY=]                       a full suite'
	@echo 'make bench BENCH=machines [K0S_BINARY=] [UPSTREAM_OPERATOR=]  ratios of one run'
	@echo 'make build | manifests | components | deny | docs'

build:
	@e2e/prerequisites build
	$(CARGO) build --release --locked -p k0smotron-manager

# Generated files of config/.
manifests:
	@e2e/prerequisites build
	$(CARGO) run --quiet --locked -p k0smotron-api --example crdgen

# A clusterctl repository of the three providers.
components:
	@e2e/prerequisites build
	$(CARGO) run --quiet --locked -p k0smotron-api --example render -- --out $(DIST) --version v$(VERSION)

# What every scenario on machines needs. The harness itself builds the upstream components.
.PHONY: harness
harness: build components
	@e2e/prerequisites machines
	$(CARGO) build --locked -p k0smotron-e2e -p k0smotron-e2e-stand-in

quickstart: harness
	@$(E2E) quickstart up

quickstart-down:
	@e2e/prerequisites machines
	@$(CARGO) build --quiet --locked -p k0smotron-e2e
	@$(E2E) quickstart down

test: test-fast harness
	$(CARGO) test --locked -p k0smotron-e2e-plane -p k0smotron-e2e-api-tests -p k0smotron-e2e-machines
	$(E2E) suite smoke

# Without a machine or an API server: seconds once built.
test-fast:
	@e2e/prerequisites machines
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --locked --workspace --exclude k0smotron-e2e-plane --exclude k0smotron-e2e-api-tests \
		--exclude k0smotron-e2e-machines

e2e: harness
	$(E2E) suite $(SUITE)

bench: harness
	$(E2E) bench $(BENCH)

# Bans, licences and sources of dependencies; installs cargo-deny where it is missing.
deny:
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check bans licenses sources

docs:
	$(CARGO) doc --locked --no-deps --workspace

clean:
	$(CARGO) clean
