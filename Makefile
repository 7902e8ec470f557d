# `make` alone explains itself. Everything runs from a checkout on Debian or Ubuntu.
.DEFAULT_GOAL := help
.PHONY: help up down status test test-quick coverage lint format demo bench screenshots agent frontend setup clean
SHELL := /bin/bash
VENV := .venv/bin
FRONTEND_SOURCES := $(shell find frontend -path frontend/node_modules -prune -o -type f -print 2>/dev/null)
AGENT_SOURCES := $(shell find agent -name '*.go' -not -name '*_test.go' 2>/dev/null) agent/go.mod

help: ## Show this
	@echo "Alcove: cloud development environments for people and for coding agents."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

up: .tools/ready ## Set up everything, start the server in the background, sign you in
	@tools/as-root $(VENV)/alcove up

down: ## Stop the server and every workspace; data is kept
	@tools/as-root $(VENV)/alcove down

status: ## Say what is running
	@$(VENV)/alcove status

test: setup agent frontend .tools/runsc ## Set up everything and run all tests (as root: also those with real workspaces)
	@tools/test

test-quick: setup agent frontend ## The tests that need neither root nor PostgreSQL
	@$(VENV)/pytest -m "not root and not postgres and not slow" -n 2

coverage: setup agent frontend ## Measure what the tests reach, by package; without those in a browser and on the machine
	@tools/as-root tools/with-node $(VENV)/python tools/coverage_table.py

lint: setup frontend ## Check style, types, layers and the Go code
	@tools/lint

format: setup ## Rewrite the code in the project's style
	@$(VENV)/ruff check --fix -q . ; $(VENV)/ruff format -q . ; gofmt -w agent

demo: up ## Take a real project through a workspace: clone, install, test, push, delete
	@tools/as-root $(VENV)/python -m demo

bench: setup agent frontend .tools/runsc ## Measure, beside the floor in the same run; writes bench/results/
	@tools/as-root $(VENV)/python -m bench

screenshots: setup agent frontend ## Pictures of the pages in both themes, into docs/screenshots/
	@PYTHONPATH=. $(VENV)/python tools/screenshots.py

agent: src/alcove/bin/alcove-agent ## Build the program that runs inside workspaces

src/alcove/bin/alcove-agent: $(AGENT_SOURCES) | .tools/ready
	@tools/with-go $(VENV)/python hatch_build.py dev

frontend: src/alcove/web/built/app.js ## Bundle the programs that run in a browser

src/alcove/web/built/app.js: $(FRONTEND_SOURCES) | .tools/ready
	@tools/with-node $(VENV)/python hatch_build.py frontend

# Of gVisor, for the tests of that isolation tier; `make up` builds its own where this is missing.
.tools/runsc: tools/runsc/go.mod tools/runsc/go.sum | .tools/ready
	@tools/build-runsc $@

setup: .tools/ready

.tools/ready: pyproject.toml uv.lock tools/bootstrap
	@tools/bootstrap

clean: ## Remove what the build made; the server's data stays
	@rm -rf .venv .tools src/alcove/bin src/alcove/web/built frontend/node_modules dist .coverage .pytest_cache .ruff_cache .hypothesis
