"""verl's own loader of a custom reward function and its own reward managers, with python/touchstone_reward.py."""

import asyncio
import math
import os

import numpy
import torch
import verl
from omegaconf import OmegaConf
from transformers import AutoTokenizer

from verl import DataProto
from verl.trainer.ppo.reward import get_custom_reward_fn, load_reward_manager
from verl.workers.reward_manager import get_reward_manager_cls

os.environ.update(TOUCHSTONE_URL=os.environ["URL"], TOUCHSTONE_TOKEN=os.environ["TOKEN"], TOUCHSTONE_TASK="gate", TOUCHSTONE_TIMEOUT="60")
tokenizer = AutoTokenizer.from_pretrained(os.environ["MODEL"])
defaults = OmegaConf.load(os.path.join(os.path.dirname(verl.__file__), "trainer/config/_generated_ppo_trainer.yaml"))


def config(name, **kwargs):
    function = {"path": os.path.join(os.environ["SHIM"], "touchstone_reward.py"), "name": name, "reward_kwargs": kwargs}
    return OmegaConf.merge({"reward": defaults.reward}, {"reward": {"custom_reward_function": function}})


def padded(rows, left):
    width = max(len(row) for row in rows)
    gaps = [[0] * (width - len(row)) for row in rows]
    ids = [gap + row if left else row + gap for gap, row in zip(gaps, rows)]
    mask = [gap + [1] * len(row) if left else [1] * len(row) + gap for gap, row in zip(gaps, rows)]
    return torch.tensor(ids), torch.tensor(mask)


def batch(responses):
    prompt = "Write about the sea."
    prompts, prompt_mask = padded([tokenizer.encode(prompt)] * len(responses), True)
    answers, answer_mask = padded([tokenizer.encode(text) for text in responses], False)
    objects = {
        "data_source": ["writing"] * len(responses),
        "reward_model": [{"ground_truth": "blue", "style": "rule"}] * len(responses),
        "extra_info": [{"prompt": prompt, "index": numpy.int64(i)} for i in range(len(responses))],
    }
    return DataProto.from_dict(
        {"prompts": prompts, "responses": answers, "attention_mask": torch.cat([prompt_mask, answer_mask], 1)},
        {key: numpy.array(value, dtype=object) for key, value in objects.items()},
    )


responses = ["blue and wide", "word " * 40]


def managed(name):
    """What verl's reward loop makes of the responses, each by itself as its workers do."""
    manager = load_reward_manager(config(name), tokenizer)
    data = batch(responses)

    async def all_of_them():
        return await asyncio.gather(*(manager.run_single(data[i : i + 1]) for i in range(len(data))))

    results = manager.loop.run_until_complete(all_of_them())
    tensor = manager.assemble_rm_scores(data, [result["reward_score"] for result in results])
    return results, tensor


results, tensor = managed("compute_score")
inside, outside = (result["reward_score"] for result in results)
assert inside > 0 and outside == 0, results
assert [result["reward_extra_info"]["feasible"] for result in results] == [1, 0], results
# At the last token of each response and nowhere else.
assert torch.allclose(tensor.sum(1), torch.tensor([inside, outside])) and (tensor != 0).sum() == 1, tensor
again, _ = managed("compute_score_async")
assert [result["reward_score"] for result in again] == [inside, outside], again

# The manager of trainers before the reward loop.
data = batch(responses)
legacy = get_reward_manager_cls("naive")(tokenizer, num_examine=0, compute_score=get_custom_reward_fn(config("compute_score")))
given = legacy(data, return_dict=True)
assert torch.allclose(given["reward_tensor"].sum(1), torch.tensor([inside, outside])), given
assert given["reward_extra_info"]["failed"] == [0, 0], given

# Nobody answers: no reward is invented, and reward_kwargs name another mark for it.
os.environ.update(TOUCHSTONE_URL="http://127.0.0.1:9", TOUCHSTONE_TIMEOUT="1")
lost, _ = managed("compute_score")
assert all(math.isnan(result["reward_score"]) and result["reward_extra_info"]["failed"] == 1 for result in lost), lost
marked = get_custom_reward_fn(config("compute_score", abstain=-1.0))
assert marked(data_source="writing", solution_str="blue", ground_truth="", extra_info={})["score"] == -1

print(f"ok verl {verl.__version__}: reward loop and naive manager, reward inside the constraints {inside:.4f}, outside {outside:.0f}")
