"""OpenEnv's own client over its WebSocket: reset, step, state, and an action that it refuses."""

import asyncio
import importlib.metadata
import os

from openenv.core.generic_client import GenericEnvClient


async def main():
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    async with GenericEnvClient(base_url=os.environ["URL"] + "/task/gate", headers=headers) as env:
        first = await env.reset(seed=7)
        again = await env.reset(seed=7)
        assert first.observation["prompt"] == again.observation["prompt"] and not first.done, first
        result = await env.step({"response": "Hello there"})
        assert result.done and 0 < result.reward < 1, result
        state = await env.state()
        assert state["step_count"] == 1, state
        try:
            await env.step({"answer": "Hello"})
            raise SystemExit("an unknown action was taken")
        except Exception as error:
            assert "response" in str(error) or "VALIDATION" in str(error), error
        return result.reward


print(f"ok openenv {importlib.metadata.version('openenv')}: an episode with reward {asyncio.run(main()):.4f}")
