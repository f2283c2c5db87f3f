# Two commands on a fresh machine: `make setup`, then `make report`. Python 3.11 or 3.12: `make setup PYTHON=python3.12`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup report times lint test benchmark clean

setup: .venv/ready

# Bytecode is compiled once, because where Python may not write it (PYTHONDONTWRITEBYTECODE) every kernel would compile again.
.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --requirement requirements.txt
	$(BIN)/python -m compileall -q -j 0 .venv/lib adhelpers || true
	touch .venv/ready

report: setup
	$(BIN)/python -m adhelpers run

# How long each run of the last report took; README's times come from it.
times: setup
	$(BIN)/python tests/benchmarks/times.py

# Pages with the executed notebooks of the last runs: docs/_build/html/index.html. Warnings are errors.
docs: setup
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

benchmark: setup
	$(BIN)/python -m pytest tests/benchmarks -s

clean:
	rm -rf .venv
