# Everything a newcomer types. Each target makes what it needs; nothing is needed but Python 3.11 or newer, make and a network.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: env demo up down test check simulate-week bench bench-analytics clean

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "retail_sensors needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make env PYTHON=python3.12")'
	@echo "Installing into $(VENV): one to three minutes ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: env
	$(BIN)/retail-sensors demo

up: env
	$(BIN)/retail-sensors up

down: env
	$(BIN)/retail-sensors down

test: env
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/retail-sensors exec dg check defs
	$(BIN)/python -m pytest -q retail_sensors_tests/contract/test_docs.py

# DAYS=1 TICK=180 takes minutes; the whole week with every tick (TICK=5) takes hours.
DAYS ?= 7
TICK ?= 15
simulate-week: env
	$(BIN)/python -m retail_sensors_tests.week --days $(DAYS) --tick $(TICK)

bench: env
	$(BIN)/python -m benchmarks

# On public counts, which the project does not hold: RETAIL_SENSORS_REAL_DATA names their folder.
DATA ?= $(or $(RETAIL_SENSORS_REAL_DATA),../shared/data)
bench-analytics: env
	$(BIN)/python -m benchmarks.anomalies $(DATA)/calit2/calit2_counts.csv $(DATA)/calit2/calit2_events.csv --alarms-per-week 3 --warmup-weeks 3
	$(BIN)/python -m benchmarks.anomalies $(DATA)/nab/nyc_taxi.csv $(DATA)/nab/labels.json --alarms-per-week 0.5
	$(BIN)/python -m benchmarks.anomalies --quiet
	$(BIN)/python -m benchmarks.forecast $(DATA)/leeds/leeds_2009_2014_wide.csv.gz
	$(BIN)/python -m benchmarks.forecast $(DATA)/dublin/dublin_2023_in_out.csv.gz
	$(BIN)/python -m benchmarks.imputation $(DATA)/leeds/leeds_2009_2014_wide.csv.gz
	$(BIN)/python -m benchmarks.imputation $(DATA)/dublin/dublin_2023_in_out.csv.gz

# The data under .retail_sensors and the settings in .env stay.
clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
