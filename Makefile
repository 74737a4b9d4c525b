# Everything starts here: `make` lists the targets. Each sets up .venv by itself.
# A fresh machine needs GNU make, python3 (>= 3.10) and a package registry that pip can reach.

PYTHON     ?= python3
JOBS       ?= 3

DEMO   := examples/demo.safetensors
PY     := .venv/bin/python
READY  := .venv/.ready
EXTRAS := cma,export,cpu,evaluate,openvino,webgpu,rtx,serve,triton,ray,video,web,words,docs,dev
OTHERS := build/portability/.ready
LOWEST := build/lowest/.ready

# Hundreds of lines, of which one dot each is shown, and the last ones when it fails.
install = $(PY) -m pip install -c constraints.txt $(1) 2>&1 | tee -a .venv/pip.log \
    | while read -r word rest; do if [ "$$word" = Collecting ]; then printf .; fi; done && echo \
    || { tail -n 20 .venv/pip.log >&2; exit 1; }

SHELL := bash
.SHELLFLAGS := -o pipefail -c
export PIP_DISABLE_PIP_VERSION_CHECK = 1
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo web-demo families test quick check lowest portable docs bench bundle setup clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(READY)  ## From a trained network to pictures: export, verify, draw, mix, film, time (in demo/)
	$(PY) cli.py export $(DEMO) --out demo/bundle --force
	$(PY) cli.py verify demo/bundle --checkpoint $(DEMO)
	$(PY) cli.py generate demo/bundle --seeds 0-71 --class 0-5 --truncation-psi 0.7 --grid 12x6 --out demo/grid.png --force
	$(PY) cli.py mix demo/bundle --rows 2,8,26,9,21,34 --class 2,2,2,3,5,4 --columns 12-22 --column-class 0-5,0-4 --layers coarse --out demo/mix.png --force
	$(PY) cli.py video demo/bundle --seeds 0-23 --grid 6x1 --class 0-5 --seconds 1 --loop --out demo/walks.mp4 --force
	$(PY) cli.py bench demo/bundle --checkpoint $(DEMO) --backends torch-eager,onnxruntime --batch 1,8
	@echo
	@echo "Look at demo/grid.png (six classes, side by side), demo/mix.png (shapes from the top, colours from the left),"
	@echo "demo/walks.mp4, and demo/bundle/manifest.json (what was exported, and how exact it is)."
	@echo "To play with it in your browser: $(PY) cli.py serve demo/bundle"
	@echo "Your own network: $(PY) cli.py export YOUR.pkl --out my-bundle"

web-demo: $(READY)  ## A site that draws the demo in your browser (in demo/site; needs npm)
	$(PY) cli.py web apps/demo/bundle --out demo/site --runtime npm --force --serve

# Some of the tests start many processes, each of which would compile all modules by itself.
test quick: export PYTHONDONTWRITEBYTECODE =
# A worker that dies ends the run: with a new one in its place the last files were never begun.
PYTEST := $(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

test: $(READY)  ## Run the tests
	$(PYTEST)

quick: $(READY)  ## Run the tests of the core, within a minute, while you work (not those of tests/slow.txt)
	$(PYTEST) -m "not slow"

check: $(READY)  ## Check format, lint and types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	@mkdir -p .typing && ln -sfn .. .typing/stylert
	$(PY) -m mypy

lowest: $(READY) $(LOWEST)  ## Test the runtime with the oldest ONNX Runtime, OpenVINO and cuda-core that pyproject.toml admits
	PYTHONPATH=$(CURDIR)/build/lowest $(PYTEST) tests/runtime tests/test_tiny.py tests/export/graphs

portable: $(READY) $(OTHERS)  ## Draw on other processors, emulated: no AVX-512, no AVX, ARM (Debian, some minutes)
	tests/portability/run.sh

docs: $(READY)  ## Write the API reference (in docs/api/)
	$(PY) docs/build_api.py docs/api
	@echo "Look at docs/api/index.html. The guides are in docs/README.md."

families: $(READY)  ## Run every capability on a network of each family, for docs/families.md (some minutes)
	$(PY) docs/build_families.py docs/families.md

bench: $(READY)  ## Time StyleGAN2 256 with random weights against PyTorch (some minutes)
	$(PY) cli.py bench --untrained stylegan2-256 --batch 1,4,8 --out demo/bench.json --plot demo/bench.png --force
	@echo "Look at demo/bench.png; every sample is in demo/bench.json."

bundle: $(READY)  ## Export the bundle that comes with StyleRT again (in apps/demo/bundle)
	$(PY) cli.py export $(DEMO) --out apps/demo/bundle --weights int16 --half none --gradient --force
	$(PY) cli.py encoder apps/demo/bundle examples/demo_encoder.safetensors

setup: $(READY)  ## Make .venv with everything in it (the other targets do it when it is needed)

$(OTHERS): tests/portability/fetch.sh constraints.txt | $(READY)
	tests/portability/fetch.sh

# Beside .venv and before it on the path. The first >= of each line is the floor; the other is its marker's.
$(LOWEST): pyproject.toml | $(READY)
	rm -rf $(@D) && mkdir -p $(@D)
	grep -oE '"(onnxruntime|openvino|cuda-core|cuda-bindings)>=[^"]*"' pyproject.toml | sed 's/"//g; s/>=/==/' | sort -u > $(@D)/requirements.txt
	$(PY) -m pip install --no-deps --target $(@D) -r $(@D)/requirements.txt
	@touch $@

clean:  ## Remove what these targets made, .venv too
	rm -rf .venv .typing demo docs/api build dist stylert.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# setuptools comes first and from constraints.txt too, so that nothing unpinned builds the package.
$(READY): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 10) else "StyleRT needs Python >= 3.10, and $(PYTHON) is " + sys.version.split()[0] + ": run make PYTHON=python3.11")'
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv \
	    || { echo "No virtual environment: install Python's venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "Setting up .venv: some minutes, the first time. What pip says is in .venv/pip.log"
	@$(call install,setuptools)
	@$(call install,--no-build-isolation -e '.[$(EXTRAS)]')
	@touch $@
