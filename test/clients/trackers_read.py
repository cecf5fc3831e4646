"""What tensorboard, mlflow and wandb find of a run: python trackers_read.py RUN TRACKING_URI > found.json

For each tool, by the figure's name: its steps and values, in the order in which the tool has them.
"""

import glob
import json
import os
import subprocess
import sys

from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto import wandb_internal_pb2

run, tracking_uri = sys.argv[1:]


def from_tensorboard():
    events = EventAccumulator(os.path.join(run, "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    return {
        "figures": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
        "samples": {
            tag: [[t.step, t.tensor_proto.string_val[0].decode()] for t in events.Tensors(tag)]
            for tag in tags["tensors"]
        },
    }


def from_mlflow():
    client = MlflowClient(tracking_uri)
    with open(os.path.join(run, "mlflow.json")) as file:
        found = client.get_run(json.load(file)["run_id"])
    history = {
        key: [[m.step, m.value] for m in client.get_metric_history(found.info.run_id, key)]
        for key in found.data.metrics
    }
    return {"figures": history, "status": found.info.status, "params": found.data.params, "name": found.info.run_name}


def from_wandb():
    (directory,) = glob.glob(os.path.join(run, "wandb", "offline-run-*"))
    wandb = os.path.join(os.path.dirname(sys.executable), "wandb")
    printed = subprocess.run([wandb, "leet", "inspect", "--json", directory], capture_output=True, check=True).stdout
    summary = subprocess.run(
        [wandb, "leet", "inspect", "--summary", "--json", directory], capture_output=True, check=True
    ).stdout
    figures = {}
    texts = {}
    for line in printed.decode().splitlines():
        record = json.loads(line)
        if record.get("type") != "history":
            continue
        values = record["history"]["item"]
        step = values["_step"]
        for name, value in values.items():
            if not name.startswith("_"):
                (figures if not isinstance(value, str) else texts).setdefault(name, []).append([step, value])
    return {"figures": figures, "samples": texts, "summary": json.loads(summary), "records": records_of(directory)}


def records_of(directory):
    """How many records wandb's own message class parses, out of those that the file has."""
    (path,) = glob.glob(os.path.join(directory, "run-*.wandb"))
    with open(path, "rb") as file:
        data = file.read()
    at, message, count = 7, b"", 0
    while at < len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        message += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(message)
            count += 1
            assert record.num == count and record.WhichOneof("record_type"), record
            message = b""
    return count


json.dump({"tensorboard": from_tensorboard(), "mlflow": from_mlflow(), "wandb": from_wandb()}, sys.stdout)
