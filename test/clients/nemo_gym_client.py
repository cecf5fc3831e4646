"""NeMo Gym's own server client and models: seed, verify and aggregate as its agents do, and our app.py as its launcher runs it."""

import asyncio
import importlib.metadata
import json
import os
import subprocess
import sys
import time
import urllib.request

from nemo_gym.base_resources_server import BaseVerifyResponse
from nemo_gym.server_utils import BaseServerConfig, ServerClient, get_response_json
from omegaconf import OmegaConf

host, port = os.environ["URL"].split("//")[1].split(":")
entry = {"entrypoint": "app.py", "domain": "rlhf", "host": host, "port": int(port)}
config = OmegaConf.create({"touchstone": {"resources_servers": {"touchstone": entry}}})
client = ServerClient(head_server_config=BaseServerConfig(host=host, port=1), global_config_dict=config)
response = {
    "id": "r", "created_at": 0.0, "model": "m", "object": "response", "parallel_tool_calls": False, "tool_choice": "auto", "tools": [],
    "output": [{"id": "m", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "Hello there", "annotations": []}]}],
}  # fmt: skip
row = {"responses_create_params": {"input": [{"role": "user", "content": "Say something."}]}, "touchstone_task": "gate"}


async def main():
    seeded = await client.request("touchstone", "/seed_session", "POST", json=row)
    assert await get_response_json(seeded) == {}
    verified = await client.request("touchstone", "/verify", "POST", json={**row, "response": response}, cookies=seeded.cookies)
    body = await get_response_json(verified)
    parsed = BaseVerifyResponse.model_validate(body)
    assert 0 < parsed.reward < 1 and body["mask_sample"] is False and body["touchstone_task"] == "gate", body
    aggregated = await client.request("touchstone", "/aggregate_metrics", "POST", json={"verify_responses": [{**body, "_ng_task_index": 0}]})
    metrics = await get_response_json(aggregated)
    assert metrics["key_metrics"]["mean/reward"] == parsed.reward, metrics
    return parsed.reward


reward = asyncio.run(main())

# The launcher: app.py in its folder, told by two environment variables.
free = int(port) + 1
launched = OmegaConf.create({"touchstone": {"resources_servers": {"touchstone": {
    "entrypoint": "app.py", "host": "127.0.0.1", "port": free, "arguments": ["--judge", "{kind: length, max_words: 3}", "-o", os.environ["OUT"]]}}}})  # fmt: skip
environment = {**os.environ, "NEMO_GYM_CONFIG_DICT": OmegaConf.to_yaml(launched), "NEMO_GYM_CONFIG_PATH": "touchstone"}
process = subprocess.Popen([sys.executable, "app.py"], cwd=os.environ["GYM_FOLDER"], env=environment)
try:
    for _ in range(240):
        try:
            assert json.load(urllib.request.urlopen(f"http://127.0.0.1:{free}/", timeout=5)) == {"status": "ok"}
            break
        except OSError:
            time.sleep(0.5)
    else:
        raise SystemExit("app.py did not start the server")
finally:
    process.terminate()
    process.wait()
print(f"ok nemo-gym {importlib.metadata.version('nemo-gym')}: seed, verify ({reward:.4f}), aggregate, launcher")
