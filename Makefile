# make demo: from nothing to a trained model, masks and a report. make test: every check. Both make .venv by themselves.

# the first one that runs and is new enough: a name on the PATH may be an empty shim
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

LABEL_VENV  := .venv-label
LABEL_READY := $(LABEL_VENV)/.ready

BENCHMARK_VENV  := .venv-benchmark
BENCHMARK_READY := $(BENCHMARK_VENV)/.ready

# make demo BUNDLE=covid19: another bundle. Without DATA phantoms are written into data/; with it, the real set is trained
# on briefly.
BUNDLE ?= acdc
DATA   ?=
PHANTOM_acdc           := acdc data/acdc --patients 8
PHANTOM_covid19        := covid19 data/covid19 --patients 10
PHANTOM_covid19_slices := covid19 data/covid19_slices --layout covid-semiseg --patients 40
EPOCHS_acdc            := 100
EPOCHS_covid19         := 60
EPOCHS_covid19_slices  := 20
PHANTOMS := data/$(BUNDLE)
SOURCE := $(if $(DATA),$(DATA),$(PHANTOMS))
EPOCHS ?= $(if $(DATA),30,$(EPOCHS_$(BUNDLE)))
RUN    ?= runs/demo/$(BUNDLE)$(if $(DATA),_real)
CONFIG := bundles/$(BUNDLE)/train.json

.PHONY: demo test label-test faults bench bench-ct lint help clean

help:
	@echo "make demo                     phantoms, a short training, masks and a report (under 10 minutes on 2 cores)"
	@echo "make demo DATA=path/to/acdc   the same on the real ACDC set"
	@echo "make demo BUNDLE=covid19      the same for lungs and infections in chest CT (or covid19_slices)"
	@echo "make test                     lint and every test"
	@echo "make label-test               packed bundles in a real MONAI Label server, in an environment of its own"
	@echo "make faults                   bad input and interruptions of every kind"
	@echo "make bench                    speed beside MONAI's, nnU-Net's and medpy's (4 minutes; ARGS=--quick: less)"
	@echo "make bench-ct                 whole CT scans, and how time and memory grow (5 minutes)"
	@echo "make clean                    remove $(VENV), $(LABEL_VENV), $(BENCHMARK_VENV) and runs/demo"

$(READY): setup.cfg constraints.txt docker/install.sh
	@test -n "$(PYTHON)" || { echo "volseg needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "==> installing into $(VENV) (the exact versions of constraints.txt)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@PIP="$(BIN)/pip --quiet --disable-pip-version-check" EXTRAS=test sh docker/install.sh
	@touch $(READY)

demo: $(READY)
	@test -f $(CONFIG) || { echo "no bundle of that name: $(BUNDLE) (acdc, covid19, covid19_slices)"; exit 2; }
	@if [ -n "$(DATA)" ]; then echo "==> real data in $(DATA)"; \
	 elif [ -f $(PHANTOMS)/datalist.json ]; then echo "==> phantoms are in $(PHANTOMS) already"; \
	 else echo "==> writing phantoms to $(PHANTOMS)"; $(BIN)/volseg phantom $(PHANTOM_$(BUNDLE)); fi
	@if [ -f $(RUN)/models/model_final.pt ]; then echo "==> $(RUN) holds a trained model already (make clean removes it)"; \
	 else echo "==> training for $(EPOCHS) epochs on fold 0 of $(SOURCE)"; \
	 $(BIN)/python -m monai.bundle run training --config_file $(CONFIG) --dataset_dir $(SOURCE) \
		--output_dir $(RUN) --epochs $(EPOCHS) --val_interval $(EPOCHS) --resume true; fi
	@echo "==> masks, scores and report of the held-out patients"
	@$(BIN)/python -m monai.bundle run evaluating --config_file "['$(CONFIG)','bundles/$(BUNDLE)/evaluate.json']" \
		--dataset_dir $(SOURCE) --output_dir $(RUN) --overwrite true
	@echo "==> done. Report: $(RUN)/evaluation/report.html   masks: $(RUN)/evaluation/masks   model: $(RUN)/models/model.pt"

test: $(READY)
	@echo "==> lint"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "==> tests"
	@$(BIN)/python -m pytest

$(LABEL_READY): constraints-label.txt docker/install_label.sh
	@test -n "$(PYTHON)" || { echo "volseg needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "==> installing MONAI Label into $(LABEL_VENV)"
	@test -x $(LABEL_VENV)/bin/python || $(PYTHON) -m venv $(LABEL_VENV)
	@PIP="$(LABEL_VENV)/bin/pip --quiet --disable-pip-version-check" sh docker/install_label.sh
	@touch $(LABEL_READY)

label-test: $(READY) $(LABEL_READY)
	@VOLSEG_LABEL_PYTHON=$(CURDIR)/$(LABEL_VENV)/bin/python $(BIN)/python -m pytest tests/label -v --timeout 1800

faults: $(READY)
	@$(BIN)/python -m pytest tests/faults

# the peers lie in an environment of their own on top of $(VENV): the same torch, and nothing of theirs in the tests.
# nnunetv2 without its dependencies: timm and torchvision, which its predictor never imports, ask for another torch
$(BENCHMARK_READY): $(READY) constraints-benchmark.txt
	@echo "==> installing nnU-Net, medpy and surface-distance into $(BENCHMARK_VENV)"
	@test -x $(BENCHMARK_VENV)/bin/python || $(BIN)/python -m venv $(BENCHMARK_VENV)
	@echo '*' > $(BENCHMARK_VENV)/.gitignore
	@own=$$($(BENCHMARK_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	 base=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	 echo "import site; site.addsitedir('$$base')" > $$own/volseg_environment.pth
	@$(BENCHMARK_VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -c constraints-benchmark.txt nnunetv2 \
		acvl_utils batchgenerators batchgeneratorsv2 dynamic_network_architectures medpy surface-distance
	@$(BENCHMARK_VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-benchmark.txt \
		blosc2 future graphviz requests seaborn yacs
	@touch $(BENCHMARK_READY)

# ARGS="--quick", "--write" (into docs/performance.md), "--only acdc": python -m benchmarks --help
bench: $(BENCHMARK_READY)
	@$(BENCHMARK_VENV)/bin/python -m benchmarks $(ARGS)

bench-ct: $(BENCHMARK_READY)
	@$(BENCHMARK_VENV)/bin/python -m benchmarks --ct $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) $(LABEL_VENV) $(BENCHMARK_VENV) runs/demo
