# Two commands do everything: `make run` and `make test`. Each sets up what is missing first; `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# two steps at a time: the jars build while packages come over the network
MAKEFLAGS += --no-print-directory --jobs=2

PYTHON ?= python3.11
VENV := .venv
STAMPS := .sluice/stamps
IN := $(VENV)/bin
ARGS ?=

SYSTEM := $(STAMPS)/system
PACKAGES := $(STAMPS)/packages
BROKER := $(STAMPS)/broker
CONNECTOR := $(STAMPS)/connector
MODELS := $(STAMPS)/models
FORECASTERS := $(STAMPS)/forecasters
ARCHIVES := $(STAMPS)/archives
PROMETHEUS := $(STAMPS)/prometheus
COMPUTING := tests/forecast tests/graph tests/planner tests/policies tests/repro tests/simulator tests/test_pure_core.py
SERVING := tests/alerts tests/autoscaler tests/bench tests/embedded tests/jobs tests/operators tests/test_readme.py
SETUP := $(SYSTEM) $(PACKAGES) $(BROKER) $(CONNECTOR) $(MODELS) $(FORECASTERS) $(ARCHIVES)
JAVA_SOURCES := $(shell find jobs/connector -name target -prune -o -type f \( -name '*.java' -o -name '*.proto' -o -name pom.xml -o -path '*/resources/*' \) -print 2>/dev/null)

# a stamp counts only while what it stands for is there
MODEL_CACHE := $(or $(SLUICE_MODELS),$(HOME)/.cache/sluice/models)
stale = $(if $(wildcard $(1)),,$(shell rm -f $(2)))
$(call stale,$(IN)/sluice,$(PACKAGES))
$(call stale,.sluice/jars/kafka/kafka_2.13-*.jar,$(BROKER))
$(call stale,jobs/connector/target/sluice-connector.jar,$(CONNECTOR))
$(call stale,jobs/connector/target/sluice-connector-metrics.jar,$(CONNECTOR))
$(call stale,$(MODEL_CACHE)/digits,$(MODELS))
$(call stale,$(MODEL_CACHE)/forecast,$(FORECASTERS))
$(call stale,.sluice/prometheus/bin/promtool,$(PROMETHEUS))

# $(call step,what,command): says what is done, and how long it took
define step
	@echo "==> $(1)"; begun=$$SECONDS; $(2); echo "==> $(1): done in $$((SECONDS - begun)) s"; mkdir -p $(STAMPS); touch $@
endef

.PHONY: help
help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.PHONY: run
run: setup ## Everything on this machine: broker, Flink, operators, autoscaler, a load (ARGS="--duration 60 --rate 200 ...")
	@SLUICE_END_WITH_PARENT=1 exec $(IN)/sluice run $(ARGS)

.PHONY: test
test: setup $(PROMETHEUS) lint java-test ## All tests: lint, Java, Python (ARGS="tests/graph -k reader": only these of the Python ones)
ifdef ARGS
	@$(IN)/python -m pytest $(ARGS)
else
	@echo "==> Python tests that only compute, two at a time"; status=0; \
	$(IN)/python -m pytest -n 2 --dist worksteal $(COMPUTING) || status=$$?; \
	echo "==> Python tests with a service or short processes, two files at a time"; \
	$(IN)/python -m pytest -n 2 --dist loadfile $(SERVING) || status=$$?; \
	echo "==> Python tests with brokers and clusters"; \
	$(IN)/python -m pytest --durations=20 $(COMPUTING:%=--ignore=%) $(SERVING:%=--ignore=%) || status=$$?; exit $$status
endif

.PHONY: java-test
java-test: $(CONNECTOR)
	@echo "==> Java tests"; begun=$$SECONDS; mvn -q -B -Dstyle.color=never -f jobs/connector/pom.xml test; echo "==> Java tests: done in $$((SECONDS - begun)) s"

.PHONY: test-data
test-data: setup ## Only the tests that read the shared data sets
	@$(IN)/python -m pytest -m data $(ARGS)

.PHONY: alerts
alerts: $(PACKAGES) $(PROMETHEUS) ## Check the alert rules, and their unit tests by promtool
	@$(IN)/python -m pytest tests/alerts $(ARGS)

.PHONY: peers
peers: setup ## Other servers and clients of the protocol, for test-peers and bench serving (1.6 GB; minutes the first time)
	@$(IN)/python -m bench.peers.set_up

.PHONY: test-peers
test-peers: peers ## Only the tests with them: Triton, MLServer, KServe's client, perf_analyzer, an operator in Go
	@$(IN)/python -m pytest -m peers tests/peers $(ARGS)

.PHONY: lint
lint: $(PACKAGES) ## Ruff
	@echo "==> lint"; $(IN)/ruff check --quiet .

.PHONY: setup
setup: $(SETUP) ## Only the set-up that run and test do: packages, jars, models

.PHONY: clean
clean: ## Remove what set-up and runs have made, .venv included
	rm -rf $(VENV) .sluice jobs/connector/target *.egg-info

$(SYSTEM):
	$(call step,system packages: Java 17 and Maven and Python 3.11,bash kafka/system-packages.sh $(PYTHON))

$(PACKAGES): pyproject.toml constraints.txt | $(SYSTEM)
	$(call step,Python packages in $(VENV) (torch is large: minutes the first time),\
		test -x $(IN)/python || $(PYTHON) -m venv $(VENV); \
		$(IN)/python -m pip install --disable-pip-version-check --progress-bar off -q -c constraints.txt -e '.[dev]')

$(BROKER): kafka/pom.xml | $(SYSTEM)
	$(call step,broker jars,mvn -q -B -Dstyle.color=never -f kafka/pom.xml package)

$(CONNECTOR): $(JAVA_SOURCES) | $(SYSTEM)
	$(call step,connector jars,mvn -q -B -Dstyle.color=never -f jobs/connector/pom.xml package -DskipTests)

$(MODELS): operators/training.py operators/networks.py operators/datasets.py | $(PACKAGES)
	$(call step,example models,$(IN)/sluice train)

$(FORECASTERS): $(filter-out %/cli.py %/store.py,$(wildcard autoscaler/forecast/*.py)) | $(PACKAGES)
	$(call step,forecasters of a generated load,$(IN)/sluice forecast train)

$(ARCHIVES): constraints.txt kafka/pom.xml jobs/embedded/archives.py jobs/embedded/cluster.py $(CONNECTOR) | $(PACKAGES) $(BROKER)
	$(call step,class archives for a faster start,$(IN)/python -m jobs.embedded.archives || true)

$(PROMETHEUS): k8s/prometheus/install.sh | $(SYSTEM)
	$(call step,Prometheus for the tests of the alert rules,bash k8s/prometheus/install.sh .sluice/prometheus)
