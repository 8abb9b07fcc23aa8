# make run     the service at http://127.0.0.1:7071/v2, its data in .data/
# make viewer  the service, and OHIF for it at http://127.0.0.1:3000; VIEWER_ARGS=--samples for something to see
# make test    every test but the slow ones; PYTEST_ARGS="-k store" for some
# make test-all   every test
# make check   format, lint, types, imports, and make audit where that is possible
# make audit   what is known against the packages that are deployed; asks pypi.org
# make bench   what the service costs; BENCH_ARGS="--only store" for some
# make bench-peer   the same beside Orthanc, where Debian's orthanc and orthanc-dicomweb are installed
# make bench-search   what searches cost in archives of several sizes; BENCH_ARGS="--sizes 1000" for one
# make clean   removes what these made, but for the data

HOST ?= 127.0.0.1
PORT ?= 7071
DATA_DIR ?= .data
APP ?= .
export HOST PORT DATA_DIR

RUN = .venv/.run
DEVELOP = .venv/.develop
AZURITE = .tools/.azurite
WORKER = .tools/.worker
VIEWER = .tools/.viewer
CLIENTS = .tools/.clients
MODELS = .tools/.models
AUDIT = .tools/.audit
FHIR = .tools/.fhir

TOOLS = $(AZURITE) $(DEVELOP) $(WORKER) $(VIEWER) $(CLIENTS) $(MODELS) $(FHIR)

.PHONY: run viewer test test-all check audit bench bench-peer bench-search setup clean

run: $(AZURITE) $(RUN)
	@exec .venv/bin/python -m tools.local_host $(APP)

viewer: $(AZURITE) $(RUN) $(VIEWER)
	@exec .venv/bin/python -m tools.viewer $(VIEWER_ARGS)

test: $(TOOLS)
	.venv/bin/python -m pytest -n auto -m "not slow" $(PYTEST_ARGS)

test-all: $(TOOLS)
	.venv/bin/python -m pytest -n auto $(PYTEST_ARGS)

check: $(DEVELOP) $(AUDIT)
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	@.venv/bin/python -m tools.audit --if-possible

audit: $(DEVELOP) $(AUDIT)
	@.venv/bin/python -m tools.audit

bench: $(DEVELOP) $(AZURITE)
	@.venv/bin/python -m benchmarks $(BENCH_ARGS)

bench-peer: $(DEVELOP) $(AZURITE)
	@.venv/bin/python -m benchmarks.peer $(BENCH_ARGS)

bench-search: $(DEVELOP) $(AZURITE)
	@.venv/bin/python -m benchmarks.search $(BENCH_ARGS)

setup: $(TOOLS)

$(RUN): requirements.txt tools/setup.sh
	@sh tools/setup.sh python requirements.txt
	@touch $@

$(DEVELOP): requirements-dev.txt requirements.txt tools/setup.sh
	@sh tools/setup.sh python requirements-dev.txt
	@touch $(RUN) $@

$(AZURITE): tools/setup.sh
	@sh tools/setup.sh azurite
	@touch $@

$(WORKER): $(DEVELOP) tools/setup.sh
	@sh tools/setup.sh worker
	@touch $@

$(VIEWER): tools/setup.sh
	@sh tools/setup.sh viewer
	@touch $@

$(CLIENTS): tools/setup.sh
	@sh tools/setup.sh clients
	@touch $@

$(MODELS): $(DEVELOP) tools/setup.sh tools/bicep_check/digest.py
	@sh tools/setup.sh models
	@touch $@

$(FHIR): $(DEVELOP) tools/setup.sh tests/fhir/server/requirements.txt
	@sh tools/setup.sh fhir
	@touch $@

$(AUDIT): $(DEVELOP) tools/setup.sh
	@sh tools/setup.sh audit
	@touch $@

clean:
	rm -rf .venv .tools .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
