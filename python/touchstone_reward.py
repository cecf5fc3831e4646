"""Rewards of a Touchstone server (`touchstone serve`) for verl and TRL. Standard library only.

verl:  reward.custom_reward_function.path=touchstone_reward.py  name=compute_score (or compute_score_async)
TRL:   GRPOTrainer(reward_funcs=[touchstone_reward.trl_reward("writing")])
Where:    TOUCHSTONE_URL (http://127.0.0.1:8940), TOUCHSTONE_TOKEN, TOUCHSTONE_TIMEOUT (seconds, 120), TOUCHSTONE_TASK.
A sample that could not be judged is never a zero: None for TRL, which leaves it out; NaN (`abstain`) for verl.
"""

import asyncio
import json
import math
import os
import time
import urllib.error
import urllib.request


def ask(samples, task=None, timeout=None, tries=3):
    """The server's results for samples {prompt, response, ...}; None for all of them when it does not answer in time."""
    url = os.environ.get("TOUCHSTONE_URL", "http://127.0.0.1:8940").rstrip("/") + "/v1/reward"
    task = task or os.environ.get("TOUCHSTONE_TASK")
    deadline = time.monotonic() + float(timeout or os.environ.get("TOUCHSTONE_TIMEOUT", "120"))
    headers = {"Content-Type": "application/json"}
    if os.environ.get("TOUCHSTONE_TOKEN"):
        headers["Authorization"] = "Bearer " + os.environ["TOUCHSTONE_TOKEN"]
    body = json.dumps({"samples": samples, **({"task": task} if task else {})}, default=str).encode()
    for attempt in range(tries):
        try:
            request = urllib.request.Request(url, body, headers)
            with urllib.request.urlopen(request, timeout=max(0.1, deadline - time.monotonic())) as reply:
                return json.load(reply)["results"]
        except urllib.error.HTTPError as error:
            if error.code not in (408, 429, 500, 502, 503, 504):
                # A mistake in what was asked: the trainer has to hear of it.
                raise RuntimeError(f"{url}: {error.code} {error.read().decode(errors='replace')}") from None
            pause = float(error.headers.get("Retry-After") or 2**attempt)
        except OSError:
            pause = 2**attempt
        if time.monotonic() + pause > deadline:
            break
        time.sleep(pause)
    return [None] * len(samples)


def compute_score(data_source, solution_str, ground_truth, extra_info=None, abstain=math.nan, **_):
    """verl: the value as `score`, and what led to it beside."""
    extra = dict(extra_info or {})
    prompt = extra.pop("prompt", None) or extra.pop("question", "")
    sample = {"prompt": prompt, "response": solution_str, "metadata": {"answer": ground_truth, "data_source": data_source, **extra}}
    result = ask([sample])[0] or {"value": None, "feasible": None}
    value, feasible = result["value"], result["feasible"]
    return {"score": abstain if value is None else value, "failed": float(value is None), "feasible": float(bool(feasible))}


async def compute_score_async(*args, **kwargs):
    """The same without blocking verl's loop."""
    return await asyncio.to_thread(compute_score, *args, **kwargs)


def trl_reward(task=None, timeout=None):
    """TRL: a reward function over prompts, completions and the columns of the data set."""

    async def touchstone(prompts, completions, trainer_state=None, **columns):
        columns = {k: v for k, v in columns.items() if isinstance(v, list) and len(v) == len(prompts) and k != "completion_ids"}
        samples = [
            {
                "prompt": prompt,
                "response": completion if isinstance(completion, str) else "".join(turn["content"] or "" for turn in completion),
                "metadata": {name: column[i] for name, column in columns.items()},
            }
            for i, (prompt, completion) in enumerate(zip(prompts, completions))
        ]
        results = await asyncio.to_thread(ask, samples, task, timeout)
        return [None if result is None else result["value"] for result in results]

    touchstone.__name__ = f"touchstone_{task or 'reward'}"
    return touchstone
