# Everything a person does with this checkout. Each target may be run at any time, again, and after it was broken off.
# The longer ones stand in tools/.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help venv demo test lint caddy programs unit real sanity molecule bench bench-replay drills docs destroy freeze clean

BIN := $(CURDIR)/.venv/bin
STEP := tools/step.sh
REPORT := $(CURDIR)/.build/test-report.jsonl
# What make test runs. One more is run by its name: operations, which rehearses the changes of a data tier in use and takes an hour
# of its own.
SCENARIOS := default caddy proxies autoscale postgres
SCENARIO ?= $(SCENARIOS)
# For "make drills": the site that is broken, rounds of each fault, and after how many minutes no further round begins.
INVENTORY ?= inventories/ha
ROUNDS ?= 10
MINUTES ?= 120

# What ansible.cfg and pyproject.toml say holds without make as well, but molecule and the benches change directory.
export PATH := $(BIN):$(CURDIR)/.build/programs:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.build/collections
export PYTHONPATH := $(CURDIR)/.build/collections
export PYLXD_WARNINGS := none
export PYTHONUNBUFFERED := 1

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: ## make .venv from the pinned requirements (every target does it on demand)
	@tools/venv.sh

demo: venv ## bring up a small fleet on this host, put it under load, watch it grow and shrink
	@$(STEP) demo $(BIN)/python tools/demo.py

# The first two keep one core each.
test: venv ## lint + sanity + unit + molecule on real containers
	@rm -f $(REPORT)
	@GB_TEST_REPORT=$(REPORT) $(MAKE) --no-print-directory --jobs 2 --output-sync=line lint sanity
	@GB_TEST_REPORT=$(REPORT) $(MAKE) --no-print-directory caddy programs unit molecule
	@$(BIN)/python tools/summary.py $(REPORT)

lint: venv ## style, types, documentation, changelog, generated pages
	@$(STEP) lint tools/lint.sh

caddy: venv ## build Caddy as the role does, once; the unit tests then try the real one
	@$(STEP) caddy $(BIN)/ansible-playbook -i localhost, -c local -e ansible_python_interpreter=$(BIN)/python tools/caddy.yml

programs: venv ## install Chromium, unpack promtool and HAProxy, once; the unit tests then try page, alert rules and endpoints on them
	@$(STEP) programs tools/programs.sh

unit: venv ## unit tests and the content of the artifact
	@$(STEP) unit $(BIN)/python -m pytest -n auto --dist loadfile tests/unit

real: venv ## try the real botserver in LXD containers (GB_BOTSERVER_BINARY=/path/to/botserver)
	@$(STEP) real tools/real.sh

sanity: venv ## ansible-test sanity, without downloads from elsewhere than the package registry
	@$(STEP) sanity $(BIN)/python tools/sanity.py

molecule: venv ## the molecule scenarios on real LXD, one after the other (SCENARIO="autoscale postgres" for those)
	@set -e; for scenario in $(SCENARIO); do \
		$(STEP) "molecule $$scenario" $(BIN)/molecule test --scenario-name "$$scenario" </dev/null; \
	done

bench: venv caddy ## measure against the shell loop and the peers; prints ratios
	@tools/programs.sh haproxy wrk
	@$(STEP) bench $(BIN)/python -m pytest -s tests/bench

bench-replay: venv ## what the autoscaler would have done on recorded traffic (TRACE="my.csv ..." REPLAY="--help")
	@$(STEP) bench-replay $(BIN)/python tests/bench/replay.py $(TRACE) $(REPLAY)

drills: venv ## break the PostgreSQL cluster of a running site in every way, ROUNDS times each; goes on where it was broken off
	@$(STEP) drills $(BIN)/python tools/drills.py --inventory $(INVENTORY) --rounds $(ROUNDS) --minutes $(MINUTES)

docs: venv ## write the generated pages of docs/ anew from their sources
	@$(STEP) docs $(BIN)/python tools/docs.py

destroy: venv ## remove everything that the demo's project holds on this host
	@$(STEP) destroy $(BIN)/ansible-playbook playbooks/destroy.yml -e gb_destroy=yes

freeze: venv ## write constraints.txt anew from what .venv holds
	@sed -i '/^[^#]/d' constraints.txt
	@$(BIN)/pip freeze --disable-pip-version-check | LC_ALL=C sort -f >>constraints.txt

clean: ## remove what the targets made in this folder; containers stay (make destroy removes those)
	rm -rf .venv .build .ansible .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
