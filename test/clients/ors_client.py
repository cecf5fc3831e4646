"""The Open Reward Standard's own client: environments, tasks, a session, the tool call with its reward."""

import importlib.metadata
import os

from ors.client import ORS

client = ORS(base_url=os.environ["URL"], api_key=os.environ["TOKEN"])
env = client.environment("gate")
count = env.num_tasks("train")
with env.session(split="train", index=0) as session:
    prompt = session.get_prompt()[0].text
    names = [tool.name for tool in session.list_tools()]
    output = session.call_tool("submit", {"answer": "Hello there"})
assert names == ["submit"] and output.finished and 0 < output.reward < 1, (names, output)
with env.session(split="train", index=1) as session:
    assert session.call_tool("submit", {"answer": "word " * 40}).reward == 0
print(f"ok ors-sdk {importlib.metadata.version('ors-sdk')}: {count} tasks, reward {output.reward:.4f}")
