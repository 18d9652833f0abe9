# The work itself is in .ci; `make` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

DATA ?= ./data

.DEFAULT_GOAL := help
.PHONY: help run build web test lint generate check-generated soak bench dist check-dist clean

help: ## list the targets
	@printf 'Parley: customer messaging that does not lose a message.\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build everything and start the demo on the data in ./data
	@.ci/needs build
	@.ci/web build
	@.ci/build
	@exec ./bin/parley demo --data "$(DATA)"

build: web ## build the static binary bin/parley
	@.ci/build

web: ## build the web files that the binary embeds
	@.ci/needs build
	@.ci/web build

test: ## everything that must hold before a change lands
	@.ci/test

lint: ## read the source: format, vet, linters, arrows, generated files
	@.ci/lint

generate: ## make the generated files anew
	@.ci/generate

check-generated: ## fail if a generated file is not what its source says
	@.ci/generate check

soak: web ## every fault, long enough; writes docker/bench/FAULTS.md and HOURS.md; PARLEY_SOAK_SCALE=1
	@.ci/soak

bench: build ## measure the server, also side by side with others and with a long history; writes docker/bench/RESULTS.md, HISTORY.md
	@./bin/parley bench publish --results docker/bench/RESULTS.md
	@./bin/parley bench compare --results docker/bench/RESULTS.md
	@./bin/parley bench search --results docker/bench/HISTORY.md
	@./bin/parley bench seal --results docker/bench/RESULTS.md

dist: web ## the binaries of a release, with checksums and what is inside them, in ./dist
	@.ci/dist

check-dist: web ## build the release twice, in two folders: the same bytes
	@.ci/dist check

clean: ## remove what was built; data and installed packages stay
	rm -rf bin dist web-widget/node_modules/.parley-built web-widget/*/dist
	find api/web/dist -mindepth 1 ! -name make-run.html -delete
