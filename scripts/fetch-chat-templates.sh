#!/bin/sh
# Fetches real chat templates into .templates/, which git ignores: the ones that the PyPI packages trl and axolotl ship (copies of
# the models' own). test/chat-templates.test.ts is skipped where they are not there.
set -e
cd "$(dirname "$0")/.."
mkdir -p .templates
cd .templates
python3 -m pip download --quiet --no-deps trl==1.16.0 axolotl==0.19.0
python3 - <<'PYTHON'
import glob, os, zipfile
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
PYTHON
find . -name '*.jinja' | wc -l
