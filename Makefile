# The tasks of working on citywire. `make` lists them.

.DEFAULT_GOAL := help
SHELL := /bin/sh
# Debian keeps daemons in /usr/sbin, which is not on everybody's path; the tests start them.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin

CARGO ?= cargo

.PHONY: help setup test check format alarms codecs bench bench-decode crash simulation overload fuzz fuzz-all fuzz-seeds deny api-check demo secrets screenshots start devices

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the tests need (Debian packages; only what is missing)
	@scripts/setup

# One make process after another: each of these fills the machine's cores by itself.
test: ## Do all the set-up and run every check and test; what CI runs
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory check
	$(CARGO) test --locked

check: ## Formatting, lints and documentation, warnings as errors
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

format: ## Format the source
	$(CARGO) fmt

codecs: ## Make profiles of a whole collection of codecs: make codecs COLLECTION=lorawan-devices/vendor
	CITYWIRE_TEST_COLLECTION=$(abspath $(COLLECTION)) $(CARGO) test --locked --test profile_codec -- --ignored --nocapture

ALARM_BACKLOG ?= 300000
alarms: ## An alarm behind a backlog that nobody has taken: make alarms ALARM_BACKLOG=300000
	CITYWIRE_TEST_BACKLOG=$(ALARM_BACKLOG) $(CARGO) test --locked --test alarms -- --nocapture

SEEDS ?= 1000000
simulation: ## Journal and acknowledgement in orders of events drawn from seeds: make simulation SEEDS=1000000 SEED=7
	CITYWIRE_SIMULATION_SEEDS=$(SEEDS) $(if $(SEED),CITYWIRE_SIMULATION_SEED=$(SEED)) \
		$(CARGO) test --locked --lib every_order_of_events -- --nocapture

# The figure needs some 2 GB in the temporary directory for a while.
START_ENTRIES ?= 10000000
start: ## Seconds until the service is ready over a journal of START_ENTRIES entries (10 million)
	CITYWIRE_START_ENTRIES=$(START_ENTRIES) $(CARGO) test --locked --release --test journal_tools -- --ignored --nocapture

REGISTRY_DEVICES ?= 1000000
devices: ## Seconds and memory of a registry of REGISTRY_DEVICES devices (a million), all of them heard
	CITYWIRE_REGISTRY_DEVICES=$(REGISTRY_DEVICES) $(CARGO) test --locked --release --test registry -- \
		--exact large::seconds_and_bytes_of_a_large_registry --ignored --nocapture

bench: setup ## Throughput and CPU per message beside a bare subscriber, and how long an alarm takes meanwhile
	$(CARGO) bench --locked --bench throughput

bench-decode: ## Nanoseconds and allocations to decode a payload, beside functions written by hand
	$(CARGO) bench --locked --bench decode

KILLS ?= 100
SEED ?=
crash: setup ## Kill citywire, Mosquitto and the database in mid-stream: make crash KILLS=1000 SEED=7
	CITYWIRE_CRASH_KILLS=$(KILLS) CITYWIRE_CRASH_SEED=$(SEED) $(CARGO) test --locked --release --test crash -- \
		--exact every_scenario_with_many_kills --ignored --nocapture

MESSAGES ?= 100000
DEVICES ?= 100000
RETAINED ?= 10000
LARGE ?= 2000
CUTS ?= 60
# One test after another, so that each has the machine to itself; not optimized, so that there is less of it than comes in.
overload: setup ## More than citywire and its database can take: make overload MESSAGES=1000000 DEVICES=100000
	CITYWIRE_OVERLOAD_MESSAGES=$(MESSAGES) CITYWIRE_OVERLOAD_DEVICES=$(DEVICES) CITYWIRE_OVERLOAD_RETAINED=$(RETAINED) \
		CITYWIRE_OVERLOAD_LARGE=$(LARGE) CITYWIRE_OVERLOAD_CUTS=$(CUTS) \
		$(CARGO) test --locked --test overload -- --test-threads 1 --nocapture

# What a run starts with is kept in fuzz/seeds/, an archive for each target: what earlier runs found worth keeping.
FUZZ_TARGET ?= decode
FUZZ_SECONDS ?= 60
FUZZ_RUN = RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir fuzz
fuzz: fuzz/corpus/$(FUZZ_TARGET) ## Fuzz one reader of foreign bytes: make fuzz FUZZ_TARGET=decode FUZZ_SECONDS=60 (needs cargo-fuzz)
	$(FUZZ_RUN) $(FUZZ_TARGET) -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 \
		$(addprefix -dict=,$(wildcard fuzz/dictionaries/$(FUZZ_TARGET).dict))

fuzz-all: ## Fuzz every reader, one after another: make fuzz-all FUZZ_SECONDS=600
	@for target in $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))); do \
		$(MAKE) --no-print-directory fuzz FUZZ_TARGET=$$target || exit 1; done

fuzz-seeds: ## Keep what the fuzzing of one reader has found: make fuzz-seeds FUZZ_TARGET=decode
	RUSTC_BOOTSTRAP=1 $(CARGO) fuzz cmin --fuzz-dir fuzz $(FUZZ_TARGET)
	tar --sort=name --mtime=@0 --owner=0 --group=0 -C fuzz/corpus -c $(FUZZ_TARGET) | xz -9e > fuzz/seeds/$(FUZZ_TARGET).tar.xz

fuzz/corpus/%:
	mkdir -p $@
	if test -e fuzz/seeds/$*.tar.xz; then tar -C fuzz/corpus -xJf fuzz/seeds/$*.tar.xz; fi

# Schemathesis is installed into a temporary directory, from the Python package index.
EXAMPLES ?= 50
api-check: ## The read API of a real citywire against its OpenAPI document: make api-check EXAMPLES=500 SEED=7
	$(CARGO) build --locked
	EXAMPLES=$(EXAMPLES) $(if $(SEED),SEED=$(SEED)) scripts/api-check

deny: ## Licences and origin of every dependency (needs cargo-deny)
	$(CARGO) deny check bans licenses sources

demo: ## The service with a simulated city, on http://127.0.0.1:8080
	$(CARGO) run --locked --release -- demo

# Chinese needs a font that has it: fonts-noto-cjk, in Debian.
screenshots: setup ## Photograph every page of a simulated town, into docs/screenshots
	$(CARGO) test --locked --test browser -- --ignored --nocapture pictures_of_every_page

secrets: ## Make the passwords and tokens that docker compose hands out (deploy/secrets/)
	@scripts/secrets
