# Two commands do all the set-up on a fresh Debian machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
UV := $(VENV)/bin/uv
FAULTS ?= --long
BROKERS ?= --long
FUZZ ?= --seconds 20
# What the tests use of the system, as command:package.
SYSTEM := mosquitto:mosquitto dbus-daemon:dbus-daemon systemd-analyze:systemd cc:gcc ip:iproute2 \
  pg_ctlcluster:postgresql

.PHONY: demo test lint format bench bench-presence faults brokers fuzz clean system rabbitmq

demo: $(VENV)/.demo ## a simulated store, a broker, the agent and a hub; DEMO_SECONDS=30 ends by itself
	@$(VENV)/bin/edge-agent demo

test: $(VENV)/.dev system ## the whole suite, with real brokers and a real D-Bus
	$(VENV)/bin/pytest

lint: $(VENV)/.dev ## style, types and the direction of the data flow
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.dev
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(VENV)/.dev system ## the promises in numbers, measured here
	$(VENV)/bin/python -m simulators.bench

bench-presence: $(VENV)/.dev ## our tracker against every peer's rule; BENCH_PRESENCE=--short takes a minute
	$(VENV)/bin/python -m simulators contest --out simulators/contest/results $(BENCH_PRESENCE)

faults: $(VENV)/.dev system ## kill -9 amid 20,000 events, and all that can break around delivery
	$(VENV)/bin/python -m simulators faults $(FAULTS)

brokers: $(VENV)/.dev system rabbitmq ## nodes of every broker killed mid-stream; BROKERS=--short takes minutes
	$(VENV)/bin/python -m simulators brokers $(BROKERS)
	$(VENV)/bin/pytest -m proof tests/brokers

fuzz: $(VENV)/.dev ## every door, coverage-guided, 20 s each; FUZZ="--seconds 3" is short
	$(VENV)/bin/python -m simulators.fuzz $(FUZZ)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -qy python3-venv; \
	  else echo "python3-venv is missing: sudo apt install python3-venv"; exit 1; fi; \
	  $(PYTHON) -m venv $(VENV); }
	@$(VENV)/bin/python -m pip install --quiet uv

$(VENV)/.demo: $(UV) uv.lock
	@$(UV) sync --quiet --frozen --inexact --no-dev --extra demo
	@touch $@

$(VENV)/.dev: $(UV) uv.lock
	@$(UV) sync --quiet --frozen --inexact --extra demo
	@touch $@

system:
	@$(call install,$(SYSTEM))

rabbitmq:
	@$(call install,rabbitmq-server:rabbitmq-server)

# $(1): what is needed, as command:package; nothing is installed that is there.
define install
missing=""; for p in $(1); do \
  PATH=$$PATH:/usr/sbin command -v $${p%:*} >/dev/null || missing="$$missing $${p#*:}"; done; \
if [ -n "$$missing" ]; then \
  if [ "$$(id -u)" = 0 ]; then as=; elif command -v sudo >/dev/null; then as=sudo; \
  else echo "missing:$$missing; as root: apt install$$missing"; exit 1; fi; \
  $$as apt-get update -q && \
  $$as env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; fi
endef
