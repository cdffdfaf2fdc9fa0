# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets. `make demo` and `make test` do all their own set-up on a fresh Debian machine.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PY := .venv/bin/python
DEV := .venv/.installed-dev
UI_PACKAGES := ui/node_modules/.installed
UI_OUT := src/flowgauge/console/static/app/index.html
BPF_OUT := src/flowgauge/ebpf/flows.bpf.o
BPF_SRC := $(wildcard src/flowgauge/ebpf/programs/*)
UI_SRC := $(shell find ui -path ui/node_modules -prune -o -type f -not -name '*.md' -print 2>/dev/null)
QUICK := not slow and not root and not bpf and not browser

.PHONY: help setup setup-test demo check test test-root test-kernels test-ui bench fuzz fuzz-long ui bpf docs dist format clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## Install what Flowgauge and its demo need, build the eBPF object and the console
	@tools/setup.sh demo
	@$(MAKE) --no-print-directory bpf ui

setup-test: ## As setup, and what tests need
	@tools/setup.sh test
	@$(MAKE) --no-print-directory bpf ui

# The Python packages of checks and tests; no Debian packages, so that nobody needs to be root for them.
$(DEV): requirements/runtime.txt requirements/demo.txt requirements/dev.txt
	@tools/setup.sh check
	@touch $@

demo: setup ## See flow-demo's traffic, named and live (Ctrl-C ends it and removes everything)
	@./flowgauge demo $(ARGS)

bpf: $(BPF_OUT) ## Build the eBPF object
$(BPF_OUT): $(BPF_SRC)
	@$(MAKE) --no-print-directory -C src/flowgauge/ebpf/programs

ui: $(UI_OUT) ## Build the web console
# A stamp of our own: npm writes its lock file into the folder also when it is interrupted.
$(UI_PACKAGES): ui/package-lock.json
	@echo "npm packages of the console (about 110 MB)"
	@tools/node npm --prefix ui ci --no-audit --no-fund
	@touch $@
$(UI_OUT): $(UI_SRC) $(UI_PACKAGES)
	@tools/node npm --prefix ui run build

check: $(DEV) ## Format, lint, types, layers, generated pages and quick tests (under 3 minutes)
	@$(PY) -m ruff format --check src tests bench tools fuzz
	@$(PY) -m ruff check src tests bench tools fuzz
	@.venv/bin/lint-imports
	@$(PY) -m mypy
	@$(PY) -m pytest -q -n auto --maxprocesses 8 --dist worksteal -m "$(QUICK)" tests/unit tests/property tests/golden tests/quality

test: setup-test ## All that CI runs
	@$(PY) -m ruff format --check src tests bench tools fuzz
	@$(PY) -m ruff check src tests bench tools fuzz
	@.venv/bin/lint-imports
	@$(PY) -m mypy
	@tools/node npm --prefix ui test
	@$(PY) -m pytest

test-root: $(DEV) bpf ## Tests on network namespaces and eBPF (root)
	@$(PY) -m pytest -m "root or bpf" tests

test-kernels: $(DEV) bpf ## The eBPF object on Debian's 6.1 kernel, emulated (half an hour; needs qemu-system-x86, busybox-static, ppp)
	@$(PY) tools/kernels/run.py $(ARGS)

test-ui: $(DEV) ui ## The console's unit tests and the browser tests
	@tools/node npm --prefix ui test
	@$(PY) -m pytest tests/ui

bench: $(DEV) bpf ## Compare with other collectors (ARGS=--quick: 5 minutes), then print the parts' ratios
	@$(PY) bench/rivals.py $(ARGS)
	@for bench in $(filter-out bench/rivals.py,$(wildcard bench/[a-z]*.py)); do echo "== $$bench"; $(PY) $$bench || echo "$$bench: failed"; done

fuzz: $(DEV) ## Fuzz decoders and readers for a minute each, and hold them against tshark
	@$(PY) fuzz/wire.py 2>&1 | grep -E '^wire:|Error' | tail -n 20
	@$(PY) fuzz/captures.py
	@$(PY) fuzz/against_tshark.py
	@$(PY) fuzz/against_tshark_sflow.py

fuzz-long: $(DEV) ## Fuzz the decoder with 20 million datagrams and write fuzz/record.json (hours)
	@$(PY) fuzz/wire_long.py

docs: $(DEV) ## Generate the reference pages and build the documentation site
	@for tool in tools/generate/[a-z]*.py; do $(PY) $$tool; done
	@.venv/bin/zensical build --strict

dist: $(DEV) bpf ui ## Build the wheel and the source archive
	@$(PY) -m build --no-isolation

format: $(DEV) ## Format and mend what ruff can
	@$(PY) -m ruff check --fix-only -q src tests bench tools fuzz
	@$(PY) -m ruff format -q src tests bench tools fuzz

clean: ## Remove what was built (not the virtual environment)
	@rm -rf dist build site src/flowgauge/ebpf/*.bpf.o src/flowgauge/console/static/app
