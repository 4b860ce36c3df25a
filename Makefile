# What a developer can do here. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

CARGO ?= cargo
# Where labs find the programs that they run inside their namespaces.
TARGET ?= $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
export CARGO_TARGET_DIR := $(TARGET)
# Labs need root for namespaces. Who is not root builds as himself, and runs tests and programs by
# sudo, which would otherwise replace PATH and forget the rest. The programs that only root needs are
# not in the PATH of others.
ifneq ($(shell id -u),0)
AS_ROOT := sudo --preserve-env=CARGO_MANIFEST_DIR,CARGO_TARGET_DIR,UPDATE_EXPECT,PROPTEST_CASES,RUST_BACKTRACE,PATRONUS_LAB_KEEP_LOGS,PATRONUS_SKIP_ROOT_TESTS,PATRONUS_FRR_ROOT env PATH=$(PATH):/usr/sbin:/sbin
HOST := $(shell rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
export CARGO_TARGET_$(HOST)_RUNNER := $(AS_ROOT)
endif

.PHONY: help
help: ## List what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install the Debian packages that labs, tests and the demo need
	@packaging/setup.sh lab package system database

.PHONY: setup-lab
setup-lab: ## Install only what the demo needs
	@packaging/setup.sh lab

.PHONY: build
build: ## Build the programs for production
	$(CARGO) build --release --locked --bins

.PHONY: demo
demo: setup-lab build ## Three sites, two uplinks each: cut one, degrade the other, watch calls go on
	@$(AS_ROOT) $(TARGET)/release/patronus-demo

.PHONY: test
test: setup ## Run every test: units, properties, and real packets in namespaces
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace --no-fail-fast
	@$(MAKE) --no-print-directory test-frr

# FRR 8 and 10 differ, and each Debian release has one of them.
.PHONY: test-frr
test-frr: setup ## Test with FRR of another Debian release, unless PATRONUS_SKIP_OTHER_FRR=1
	@case "$${PATRONUS_SKIP_OTHER_FRR:-$${PATRONUS_SKIP_ROOT_TESTS:-}}" in \
	1) echo "FRR of another Debian release: skipped, as the environment asks" ;; \
	'') PATRONUS_FRR_ROOT=$$($(AS_ROOT) packaging/test/other-frr.sh $(TARGET)); \
	   export PATRONUS_FRR_ROOT; echo "with FRR of $$PATRONUS_FRR_ROOT"; \
	   $(CARGO) build --locked --workspace --bins; \
	   $(CARGO) test --locked --workspace --test real --no-fail-fast ;; \
	*) echo "PATRONUS_SKIP_OTHER_FRR must be 1, or not be set" >&2; exit 2 ;; \
	esac

.PHONY: lint
lint: ## Formatting, clippy with warnings denied, and dependencies if cargo-deny is installed
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; \
	 else echo "cargo-deny is not installed: licences and sources are not checked here (cargo install --locked cargo-deny)"; fi

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt --all

.PHONY: update-golden
update-golden: ## Rewrite golden files, schemas and references from the code
	UPDATE_EXPECT=1 $(CARGO) test --locked --workspace --no-fail-fast

.PHONY: setup-bench
setup-bench: ## Install only what the demo and the benchmarks need
	@packaging/setup.sh lab database

.PHONY: bench
bench: setup-bench build ## Measure everything, side by side with what it should beat
	$(AS_ROOT) $(TARGET)/release/patronus-bench all

.PHONY: bench-series
bench-series: setup-bench build ## Measure what series of paths cost, in SQLite and in PostgreSQL
	$(AS_ROOT) $(TARGET)/release/patronus-bench series

.PHONY: deb
deb: build ## Build the Debian package into target/deb
	@packaging/setup.sh package
	packaging/build-deb.sh $(TARGET)

.PHONY: clean
clean: ## Remove what was built
	$(CARGO) clean
