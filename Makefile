# make demo    sets up .venv, installs, streams a 10-second take of a prompt into demo.mp4
# make test    same, then the whole test suite
# make check   formatter, linter, types, direction of imports
# make soak    the long forms of the tests
# make bench   measures everything anew and writes docs/benchmarks.md (hours)
# make wheel-check   builds the wheel and generates a second with it, outside the checkout
# make quantise-check   tests 8-bit weights with torchao, which is kept out of .venv: everything would load it
# make constraints   resolves the dependencies afresh and pins them

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PROMPT ?= a blue cube slides to the left on grass
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check soak bench wheel-check quantise-check constraints

demo: $(READY)
	$(BIN)/longtake generate "$(PROMPT)" --seconds 10 --seed 7 --scale 4 --force --out demo.mp4

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/test_imports.py

soak: $(READY)
	$(BIN)/python -m pytest -m soak

# Every benchmark that needs nothing but the package, then those of models of your own:
#   make bench RIVALS="--model sf=runs/sf/model --model dmd=runs/dmd/model" ABLATIONS="--model mini --model one=runs/one/model"
STUDENT ?= mini
RIVALS ?=
ABLATIONS ?=
BENCH := $(BIN)/longtake bench

bench: $(READY)
	$(BENCH) reader
	$(BENCH) speed
	$(BENCH) playback
	$(BENCH) length
	for level in 1 2 3; do $(BENCH) adherence --level $$level || exit; done
	$(BENCH) long
	$(BENCH) change --policy all
	$(BENCH) given image
	$(BENCH) given video
	$(BENCH) narrative
	$(BENCH) streaming
	$(BENCH) policies
	$(BENCH) memory
	$(BENCH) real-size
	$(BENCH) gpu
	$(BENCH) cuts
	$(BENCH) metrics
	$(BENCH) long --methods all
	$(BENCH) streamingt2v blending --prompts 16
	$(BENCH) streamingt2v-step
	$(BENCH) speedup
	$(BENCH) speedup --native --model $(STUDENT)
	$(BENCH) student --model $(STUDENT)
	$(if $(RIVALS),$(BENCH) drift $(RIVALS))
	$(if $(ABLATIONS),$(BENCH) ablations $(ABLATIONS))
	$(BENCH) report --out docs/benchmarks.md

wheel-check: $(READY)
	place=$$(mktemp -d) && trap 'rm -rf "$$place"' EXIT && \
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir "$$place" . && \
	$(PYTHON) -m venv "$$place/venv" && \
	"$$place/venv/bin/python" -m pip install --quiet --constraint constraints.txt "$$place"/*.whl && \
	cd "$$place" && venv/bin/longtake doctor && \
	venv/bin/longtake generate "$(PROMPT)" --seconds 1 --json

quantise-check: $(READY)
	place=$$(mktemp -d) && trap 'rm -rf "$$place"' EXIT && \
	$(BIN)/python -m pip install --quiet --no-deps --target "$$place" --constraint constraints.txt torchao && \
	PYTHONPATH="$$place" $(BIN)/python -m pytest --quiet tests/models/test_quantise.py

constraints:
	place=$$(mktemp -d) && trap 'rm -rf "$$place"' EXIT && \
	$(PYTHON) -m venv "$$place" && "$$place/bin/python" -m pip install --quiet '.[dev,quantise]' && \
	"$$place/bin/python" -m pip freeze --exclude longtake \
		| sed -E 's/\+cpu$$//; / @ /d; /^(nvidia|cuda|triton)/d' > constraints.txt

$(READY): pyproject.toml constraints.txt
	@echo "Setting up .venv; the first time takes some minutes."
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
