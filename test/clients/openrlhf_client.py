"""OpenRLHF's own `_fetch_rewards_via_http`, from its package; its other modules (vLLM, DeepSpeed) are not needed for it."""

import asyncio
import importlib.metadata
import importlib.util
import itertools
import os
import sys
import types

root = importlib.metadata.distribution("openrlhf").locate_file("openrlhf")
for name in ("openrlhf", "openrlhf.utils"):
    package = types.ModuleType(name)
    package.__path__ = [os.path.join(str(root), *name.split(".")[1:])]
    sys.modules[name] = package
from openrlhf.utils import agent  # noqa: E402

executor = agent.SingleTurnAgentExecutor.__new__(agent.SingleTurnAgentExecutor)
executor.reward_endpoints = [f"{os.environ['URL']}/t/{os.environ['TOKEN']}/get_reward"]
executor._reward_endpoint_cycle = itertools.cycle(executor.reward_endpoints)
executor.reward_func = None


def fetch(queries, prompts, labels):
    return asyncio.run(executor._fetch_rewards_via_http(queries, prompts, labels))[0]


short = fetch(["Say something. Hello there<|end|>"], ["Say something. "], ['{"task": "gate"}'])
long = fetch(["Say something. " + "word " * 40], ["Say something. "], ['{"task": "gate"}'])
assert len(short["rewards"]) == 1 and short["scores"] == [1], short
assert long["rewards"] == [0] and long["scores"] == [0], long
assert sorted(short["extra_logs"]) == sorted(long["extra_logs"]), (short, long)
print(f"ok openrlhf {importlib.metadata.version('openrlhf')}: reward inside the constraints {short['rewards'][0]:.4f}, outside 0")
