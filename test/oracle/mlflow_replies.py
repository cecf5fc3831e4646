"""What a real MLflow tracking server replies: python mlflow_replies.py http://127.0.0.1:5000 > test/fixtures/mlflow/replies.json

The server is `mlflow server --backend-store-uri sqlite:///m.db --default-artifact-root mlflow-artifacts:`, new. Needs: nothing.
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request

recorded = {}


def call(name, path, body=None, **query):
    url = f"{sys.argv[1]}/api/2.0/mlflow/{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    recorded[name] = {"path": path, "status": status, "reply": json.loads(text)}
    return recorded[name]["reply"]


def metric(key, step):
    return {"key": key, "value": 0.5, "timestamp": 1700000000000, "step": step}


call("search", "experiments/search", {"max_results": 1})
call("no experiment", "experiments/get-by-name", experiment_name="recorded-x")
experiment = call("create experiment", "experiments/create", {"name": "recorded-x"})["experiment_id"]
call("experiment exists", "experiments/create", {"name": "recorded-x"})
call("experiment", "experiments/get-by-name", experiment_name="recorded-x")
begun = {"experiment_id": experiment, "run_name": "bot", "start_time": 1700000000000}
created = call("create run", "runs/create", {**begun, "tags": [{"key": "a", "value": "b"}]})
run = created["run"]["info"]["run_id"]
batch = {"params": [{"key": "lr", "value": "1"}], "metrics": [metric("tasks/chat/reward", 1)]}
call("log batch", "runs/log-batch", {"run_id": run, **batch})
call("param changed", "runs/log-batch", {"run_id": run, "params": [{"key": "lr", "value": "2"}]})
call("too many metrics", "runs/log-batch", {"run_id": run, "metrics": [metric("m", step) for step in range(1001)]})
many = [{"key": f"p{i}", "value": "a"} for i in range(101)]
call("too many params", "runs/log-batch", {"run_id": run, "params": many})
call("bad name", "runs/log-batch", {"run_id": run, "metrics": [metric("a%b", 1)]})
call("bad path", "runs/log-batch", {"run_id": run, "metrics": [metric("a//b", 1)]})
call("run", "runs/get", run_id=run)
call("no run", "runs/get", run_id="0" * 32)
call("update", "runs/update", {"run_id": run, "status": "KILLED", "end_time": 1700000000001})
call("delete", "runs/delete", {"run_id": run})
call("deleted run", "runs/get", run_id=run)
call("log to deleted", "runs/log-batch", {"run_id": run, "metrics": [metric("m", 1)]})
json.dump(recorded, sys.stdout, indent=1)
