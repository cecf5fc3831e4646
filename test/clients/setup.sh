#!/bin/sh
# Installs the clients into test/clients/.venv (about 3 GB with torch; CLIENTS_BASE names a site-packages directory that has torch already).
#   sh test/clients/setup.sh && npx tsx test/clients/run.ts
set -e
cd "$(dirname "$0")"
[ -d .venv ] || "${PYTHON:-python3}" -m venv .venv
if [ -n "$CLIENTS_BASE" ]; then
  echo "$CLIENTS_BASE" > "$(echo .venv/lib/python3*/site-packages)/base.pth"
fi
.venv/bin/pip install -q openai huggingface_hub "lm-eval[api]" trl transformers datasets openenv ors-sdk aiohttp
# OpenRLHF's and slime's own client functions; what they train with is not needed.
.venv/bin/pip install -q --no-deps openrlhf
.venv/bin/pip install -q ray || true
if [ ! -d .slime ]; then git clone -q --depth 1 https://github.com/THUDM/slime .slime || echo "slime: not reachable, left out"; fi
# verl's loader and reward managers run without a GPU; what it trains with is left out.
[ -d .verl ] || "${PYTHON:-python3}" -m venv .verl
.verl/bin/pip install -q --no-deps verl
.verl/bin/pip install -q torch "tensordict>=0.8,<=0.10,!=0.9.0" "transformers<5.11" numpy aiohttp ray omegaconf hydra-core pandas codetiming datasets torchdata accelerate peft || true
# NeMo Gym wants Python 3.12 or newer.
PY="$(command -v python3.13 || command -v python3.12 || true)"
if [ -n "$PY" ]; then [ -d .gym ] || "$PY" -m venv .gym; .gym/bin/pip install -q nemo-gym; else echo "nemo-gym: no Python 3.12, left out"; fi
