# Payment by palm. `make help` says what there is.
PYTHON ?= python3
EXTRAS ?= identity,dev
VENV := .venv
BIN := $(VENV)/bin
# One thread for each numeric library: threads of BLAS fight those of requests (a 0.2 ms search became 257 ms).
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install run test lint types check bench recordings soak fuzz proto models test-camera clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# One stamp for each set of extras, so that asking for more installs more.
comma := ,
STAMP := $(VENV)/.installed-$(subst $(comma),-,$(EXTRAS))

install: $(STAMP) ## a virtual environment with everything that runs and tests need
$(STAMP): setup.cfg pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.13 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv is missing: on Debian, apt install python3-venv"; exit 2; }
	$(BIN)/pip install --quiet --disable-pip-version-check --progress-bar on -e '.[$(EXTRAS)]'
	@touch $@

run: install ## the whole way on this machine: a service, a terminal, a register; SCRIPT=morning plays without a person
	$(BIN)/python -m terminal.simulation.stage $(if $(SCRIPT),--script $(SCRIPT))

test: install lint types check ## every check: style, types, tests

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

check:
	$(BIN)/pytest -n 2 --dist loadgroup

bench: install ## the table "Numbers to reach", measured on this machine
	$(BIN)/python -m tests.bench

recordings: install ## recordings of real hands, one folder of pictures a person in FOLDER=..., through enrolment and payment
	@test -n "$(FOLDER)" || { echo "make recordings FOLDER=...: one folder of pictures for each person is expected there"; exit 2; }
	$(BIN)/python -m tests.bench.recordings $(FOLDER)

soak: install ## 10,000 runs of register, line and terminal with everything going wrong
	$(BIN)/python -m tests.terminal.register.soak --runs $(or $(RUNS),10000)

fuzz: install ## 10 million inputs at each decoder of register bytes
	$(BIN)/python -m tests.terminal.register.fuzz --inputs $(or $(INPUTS),10000000)

test-camera: install ## the real picamera2 on a virtual camera (root, Debian, about a minute)
	$(BIN)/python -m tests.terminal.reader.virtual_camera

proto: install ## the code under proto/palmpay from its .proto files
	$(BIN)/python -m proto.generate

models: ## train both networks from their seeds (hours on two cores; a GPU is used when there is one)
	$(MAKE) install EXTRAS=identity,dev,training
	$(MAKE) -C models all

clean: ## what the commands above made, but not the virtual environment
	rm -rf .run .bench .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
