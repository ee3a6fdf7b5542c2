# `make help` lists the targets.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
CASCADE := $(BIN)/cascade
PAIR ?= qwen2.5-coder
# int4 on CPUs with native bfloat16, where that was measured to be the fastest.  The drafter's own
# answers and a cascade's are then those of the rounded drafter; lossless ones keep the expert's law.
DRAFTER_WEIGHTS ?= $(if $(wildcard /dev/nvidiactl),auto,$(if $(shell grep -m1 -w avx512_bf16 /proc/cpuinfo),int4,auto))
PROMPT ?= Who is Buzz Aldrin?

PROTOS := $(wildcard protos/cascade/v1/*.proto)
GENERATED := protos/python/.generated
INSTALLED := $(VENV)/.installed
CODE := services router bench k8s tests
# Tests that compute in a process of their own: two at a time, of one thread each.  The others have
# services beside them.
ALONE := tests/oracle tests/unit tests/k8s tests/laws
OVERLAY ?= local

.DEFAULT_GOAL := help
.PHONY: help setup protos protos-baseline models demo up down test test-laws test-faults check format bench-speed bench-streams bench-network bench-fallback bench-foresight bench-capacity bench-engine bench-near-ties bench-wire bench-acceptance bench-rules bench-quality bench-cost peer-vllm peer-llama-cpp k8s-render k8s-validate images containers-smoke deploy k8s-smoke undeploy test-tls bench-overload bench-load clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.created:
	$(PYTHON) -c 'import sys; assert sys.version_info[:2] == (3, 11), "Python 3.11 is needed"'
	$(PYTHON) -m venv $(VENV)
	touch $@

# The generator comes first: the package that is then installed holds what it makes.
$(GENERATED): $(PROTOS) constraints.txt | $(VENV)/.created
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt grpcio-tools mypy-protobuf
	rm -rf protos/python && mkdir -p protos/python
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iprotos \
	  --python_out=protos/python --grpc_python_out=protos/python \
	  --mypy_out=quiet:protos/python --mypy_grpc_out=quiet:protos/python $(PROTOS)
	touch $@

$(INSTALLED): pyproject.toml constraints.txt | $(GENERATED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[engine,calibrate,kubernetes,dev]'
	touch $@

setup: $(GENERATED) $(INSTALLED) ## Virtual environment, pinned dependencies, generated code

protos: $(GENERATED) ## Generate the code of the contract

protos-baseline: setup ## Accept the contract as it is as the one that must not break
	$(BIN)/buf build -o protos/baseline.binpb

models: setup ## Fetch the default pair (PAIR=name for another)
	$(CASCADE) models fetch $(PAIR)

demo: models ## All from a bare clone: models, services, one prompt in four modes, then down
	@export CASCADE_STATE_DIR=.run/demo; trap '$(CASCADE) down' EXIT; \
	$(CASCADE) up --port 0 --pair $(PAIR) --drafter-weights $(DRAFTER_WEIGHTS) || exit 1; \
	for mode in drafter expert speculative speculative_cascade; do \
	  printf '\n== %s ==\n' $$mode; \
	  $(CASCADE) generate --mode $$mode --max-tokens 96 "$(PROMPT)" || exit 1; \
	done

up: models ## Start the three services with the default pair (PAIR=name, DRAFTER_WEIGHTS=auto|bfloat16|bfloat16+float16|int8|int4)
	$(CASCADE) up --pair $(PAIR) --drafter-weights $(DRAFTER_WEIGHTS)

down: setup ## Stop them
	$(CASCADE) down

test: setup check ## All checks and the test suite
	OMP_NUM_THREADS=1 $(BIN)/pytest -rs -n 2 -m 'not laws and not faults' $(ALONE)
	$(BIN)/pytest -rs -m 'not laws and not faults' $(addprefix --ignore ,$(ALONE))

test-laws: setup ## The long statistical tests
	$(BIN)/pytest -m laws

test-faults: setup ## The long tests of what goes wrong: dropped sessions, killed pods
	$(BIN)/pytest -m faults

test-tls: setup ## The integration tests with mutual TLS between all processes
	CASCADE_TEST_TLS=1 $(BIN)/pytest tests/integration --ignore tests/integration/laws -m 'not laws and not faults'

check: setup ## Format, lint, types, import rules, contract
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf breaking --against protos/baseline.binpb

format: setup ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-speed: models ## Ours beside transformers, greedy, one stream: bench/results/speed.md
	$(BIN)/python -m bench.speed --pair $(PAIR) --drafter-weights int4

bench-streams: models ## Ours beside others (make peer-vllm peer-llama-cpp), one request and 8 at once, greedy and sampled: bench/results/streams.md, streams-t1.md
	$(BIN)/python -m bench.streams --pair $(PAIR) --drafter-weights int4
	$(BIN)/python -m bench.streams --pair $(PAIR) --drafter-weights int4 --temperature 1

peer-vllm: .peers/vllm/.installed ## Install vLLM's CPU build, in an environment of its own

.peers/vllm/.installed: bench/peers/vllm_install.py
	$(PYTHON) -m venv .peers/vllm
	.peers/vllm/bin/pip install --quiet --disable-pip-version-check packaging
	.peers/vllm/bin/python bench/peers/vllm_install.py
	touch $@

peer-llama-cpp: .peers/llama-cpp/.installed setup ## Build llama.cpp's server, in an environment of its own, and keep its files of the pair
	$(BIN)/python -m services.models fetch $(PAIR) --keep

.peers/llama-cpp/.installed: bench/peers/llama_cpp_install.py
	$(PYTHON) -m venv .peers/llama-cpp
	.peers/llama-cpp/bin/python bench/peers/llama_cpp_install.py
	touch $@

bench-network: setup ## Simulated models over a simulated network: bench/results/network.md
	$(BIN)/python -m bench.network

bench-capacity: setup ## The rounds that one router process on one core carries, and what it adds: bench/results/capacity.md
	$(BIN)/python -m bench.capacity

bench-overload: setup ## Ten times the capacity of a router: refusals, goodput, and a request after it: bench/results/overload.md
	$(BIN)/python -m bench.overload

bench-load: setup ## Many sessions at once: blocks of one length, the router's choice, the expert alone: bench/results/load.md
	$(BIN)/python -m bench.load

bench-engine: models ## The engine: its step beside transformers', many sessions at once: bench/results/engine.md
	$(BIN)/python -m bench.engine --pair $(PAIR)

bench-fallback: setup ## When speculation does not pay: how soon the router knows
	$(BIN)/python -m bench.fallback

bench-foresight: models ## How often the drafter foresees what replaces a rejected token
	$(BIN)/python -m bench.foresight --pair $(PAIR)

bench-near-ties: models ## Where speculative and expert answers differ, and by how little
	$(BIN)/python -m bench.near_ties --pair $(PAIR)

bench-wire: models ## Bytes on the wire for each drafted token, law by law
	$(BIN)/python -m bench.wire --pair $(PAIR)

bench-acceptance: models ## What accepting costs beside the expert's pass, law by law
	$(BIN)/python -m bench.acceptance --pair $(PAIR)

bench-rules: models ## Every rule: the acceptance that a distance buys: bench/results/rules.md, docs/images
	$(BIN)/python -m bench.rules --pair $(PAIR) --pair tiny

bench-quality: models ## HumanEval pass@1 beside speed and expert calls, resumable: bench/results/quality.md, docs/images
	$(BIN)/python -m bench.quality --pair $(PAIR) --drafter-weights int4 --limit 40

bench-cost: setup ## Device time, cost and pods of every mode, from the reports that are there: bench/results/cost.md
	$(BIN)/python -m bench.cost

k8s-render: setup ## Every overlay of the manifests as one file: build/k8s
	$(BIN)/python -m k8s.render

k8s-validate: setup ## Check every overlay, every component alone, and all together
	$(BIN)/python -m k8s.checks

images: setup ## Build the three images (ENGINE, BASE_IMAGE, TORCH, TORCH_INDEX_URL, WHEELS, PIP_INDEX_URL)
	k8s/containers/images.sh

containers-smoke: setup ## The three images as containers of a network of their own: one answer, then down
	k8s/containers/smoke.sh

deploy: setup ## Apply an overlay to the cluster that kubectl knows (OVERLAY=local), and wait for it
	k8s/deploy.sh $(OVERLAY)

k8s-smoke: setup ## One request in each mode to what is deployed
	k8s/smoke.sh

undeploy: setup ## Take an overlay's objects down; weights stay
	k8s/undeploy.sh $(OVERLAY)

clean: ## Remove the environment and all that was generated; models stay
	rm -rf $(VENV) protos/python build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
