# make demo   three variants on the three pocket tasks, then a page to look at
# make test   format, lint, types, tests
# Another interpreter: make demo PYTHON=python3.12

PYTHON ?= python3
JOBS ?= 2
export OMP_NUM_THREADS ?= 1

STORE := results/demo
READY := .venv/.ready

.PHONY: demo test clean

demo: $(READY)
	.venv/bin/suite run --variants lora,pissa,lori --store $(STORE)
	@echo "The page: $(CURDIR)/$(STORE)/site/index.html"

test: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright --pythonpath .venv/bin/python
	.venv/bin/pytest -n $(JOBS)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "lora-suite needs Python 3.11 or newer; $(PYTHON) is not: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv build *.egg-info
