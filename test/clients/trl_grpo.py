"""TRL's GRPOTrainer trains a tiny model with the shim: against a served gate (R_cr of eq. 8), then against an evolving rubric."""

import os
import sys

sys.path.insert(0, os.environ["SHIM"])
os.environ["TOUCHSTONE_URL"], os.environ["TOUCHSTONE_TOKEN"] = os.environ["URL"], os.environ["TOKEN"]
import touchstone_reward  # noqa: E402
import trl  # noqa: E402
from datasets import Dataset  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from trl import GRPOConfig, GRPOTrainer  # noqa: E402

rows = Dataset.from_list([{"prompt": f"Write about {topic}.", "topic": topic} for topic in ("rain", "snow", "wind", "sun")] * 2)
for task, steps in (("gate", 3), ("rubric", 4)):
    seen = []
    reward = touchstone_reward.trl_reward(task)

    async def watched(reward=reward, **given):
        values = await reward(**given)
        seen.extend(values)
        return values

    watched.__name__ = task
    model = AutoModelForCausalLM.from_pretrained(os.environ["MODEL"])
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    settings = GRPOConfig(
        output_dir=os.path.join(os.environ["OUT"], task), max_steps=steps, per_device_train_batch_size=4, num_generations=4,
        max_completion_length=8, learning_rate=1e-3, logging_steps=1, report_to="none", save_strategy="no", use_cpu=True, bf16=False,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=model, processing_class=AutoTokenizer.from_pretrained(os.environ["MODEL"]), reward_funcs=[watched], args=settings, train_dataset=rows
    )
    trainer.train()
    logged = [entry[f"rewards/{task}/mean"] for entry in trainer.state.log_history if f"rewards/{task}/mean" in entry]
    assert len(logged) == steps and len(seen) >= 4 * steps and all(value is not None for value in seen), (logged, seen)
    moved = any((before[name] != tensor).any() for name, tensor in trainer.model.named_parameters())
    assert moved or len(set(seen)) == 1, "different rewards, and the model has not learned"
    print(f"ok trl {trl.__version__}: {steps} steps of GRPO on {task}, {len(seen)} rewards from {min(seen):.3f} to {max(seen):.3f}, model moved: {moved}")
