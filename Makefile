# make demo  - the main job on this machine, from nothing: install, keys, receiver, engine, 20,000 recipients
# make test  - everything that needs only PyPI packages
# make browser - the live page and the opt-out page in a real Chromium (apt install chromium fonts-noto-cjk)
# make interop - against Postfix, Exim, OpenSMTPD, Haraka (npm), unbound, Knot, rspamd and others (installs Debian packages, as root)
# make observability - alerts, dashboards and metrics against a real Prometheus (apt install prometheus)
# make lint  - ruff and mypy
# make speed - is a message dearer than it was?
# make peers - the bench against everybody, into bench/report/ (ten minutes, as root)
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# pip checks every file against the hashes in the lock; the project itself is then linked in without asking an index.
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test browser interop observability lint coverage peers speed lock clean

demo: $(VENV)/run.stamp
	$(BIN)/python -m bench demo

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -q

browser: $(VENV)/browser.stamp
	@command -v "$${CHROMIUM:-chromium}" > /dev/null || \
		{ echo "No Chromium found. On Debian: apt install chromium fonts-noto-cjk; elsewhere set CHROMIUM=/path/to/it"; exit 1; }
	$(BIN)/python -m pytest -q tests/browser

# Needs root also afterwards: foreign servers take ports below 1024, mount and change their user.
interop: $(VENV)/dev.stamp
	sh tests/interop/install.sh .interop
	$(BIN)/python -m pytest -q -rs tests/interop

observability: $(VENV)/dashboards.stamp
	@command -v promtool > /dev/null && command -v prometheus > /dev/null || \
		{ echo "No Prometheus found. On Debian: apt install prometheus"; exit 1; }
	$(BIN)/python -m pytest -q tests/observability

lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Each pure floor must be covered whole by its own test files, not by luck through others.
coverage: $(VENV)/dev.stamp
	$(BIN)/python -m tests.floor_coverage

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Sokutatsu needs Python 3.11 or newer; found: $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "Could not make a virtual environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }

# The tools that build come first, pinned too: pip then fetches nothing by itself.
$(VENV)/build.stamp: requirements-build.lock | $(VENV)/bin/python
	$(PIP) install --require-hashes -r requirements-build.lock
	@touch $@

INSTALL := $(PIP) install --no-build-isolation --use-pep517

$(VENV)/run.stamp: requirements.lock pyproject.toml $(VENV)/build.stamp
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock pyproject.toml $(VENV)/build.stamp
	$(INSTALL) --require-hashes -r requirements-dev.lock
	$(INSTALL) --no-deps --editable .
	@touch $@ $(VENV)/run.stamp

$(VENV)/browser.stamp: requirements-browser.lock $(VENV)/dev.stamp
	$(PIP) install --require-hashes -r requirements-browser.lock
	@touch $@

$(VENV)/dashboards.stamp: requirements-dashboards.lock $(VENV)/dev.stamp
	$(PIP) install --require-hashes -r requirements-dashboards.lock
	@touch $@

# Fails when a message costs a fifth more CPU than bench/record.jsonl says, as a ratio to the floor of the same minute.
speed: $(VENV)/run.stamp
	$(BIN)/python -m bench check

# Everything measured anew, other mail servers included, into bench/report/. Needs root (namespaces), apt-get and npm.
peers: $(VENV)/run.stamp
	$(PIP) install --require-hashes -r requirements-bench.lock
	$(BIN)/python -m bench publish --again all

# After a change in pyproject.toml: pins and hashes anew (needs pip-tools), no index addresses in the result.
LOCK := pip-compile -q --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host --strip-extras --no-header
lock:
	$(LOCK) -o requirements-build.lock build.in
	$(LOCK) -o requirements.lock pyproject.toml
	$(LOCK) --extra dev -o requirements-dev.lock pyproject.toml
	$(LOCK) -o requirements-browser.lock browser.in
	$(LOCK) -o requirements-interop.lock interop.in
	$(LOCK) -o requirements-dashboards.lock dashboards.in
	$(LOCK) -o requirements-bench.lock bench.in

clean:
	rm -rf $(VENV) .interop demo-run bench-run build *.egg-info
