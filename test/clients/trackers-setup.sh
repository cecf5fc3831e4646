#!/bin/sh
# Installs TensorBoard, MLflow and wandb into test/clients/.trackers (about 1 GB).
#   sh test/clients/trackers-setup.sh && npx tsx test/clients/trackers.ts
set -e
cd "$(dirname "$0")"
[ -d .trackers ] || "${PYTHON:-python3}" -m venv .trackers
.trackers/bin/pip install -q tensorboard mlflow wandb
