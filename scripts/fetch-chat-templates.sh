#!/bin/sh
# Fetches real chat templates into .templates/, which git ignores: the ones that the PyPI packages trl, axolotl and
# llama-cpp-python ship (theirs are copies of the models' own). test/chat-templates.test.ts is skipped where they are not there.
set -e
cd "$(dirname "$0")/.."
mkdir -p .templates
cd .templates
python3 -m pip download --quiet --no-deps trl==1.16.0 axolotl==0.19.0
python3 -m pip download --quiet --no-deps --no-binary :all: llama-cpp-python || echo "without those of llama-cpp-python"
python3 - <<'PYTHON'
import glob, os, tarfile, zipfile
def write(package, name, data):
    os.makedirs(package, exist_ok=True)
    with open(os.path.join(package, os.path.basename(name)), "wb") as file:
        file.write(data)
for path in glob.glob("*.whl"):
    package = path.split("-")[0]
    with zipfile.ZipFile(path) as wheel:
        for name in wheel.namelist():
            if name.endswith(".jinja"):
                write(package, name, wheel.read(name))
    os.remove(path)
for path in glob.glob("llama_cpp_python*.tar.gz"):
    with tarfile.open(path) as source:
        for member in source:
            if member.name.endswith(".jinja"):
                write("llama_cpp", member.name, source.extractfile(member).read())
    os.remove(path)
PYTHON
find . -name '*.jinja' | wc -l
