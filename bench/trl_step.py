"""TRL's side of `bench -- step`: a training run of GRPOTrainer or OnlineDPOTrainer that makes one step for each request.

Reads JSON lines on stdin and answers one line each on stdout, as peer.py does. The first is `load`, the others `step`.

    load  {dir, reward, prompts, method: "grpo" | "online_dpo", generations, batchPrompts, newTokens, lora?: {r, alpha}, threads}
    step  {}    seconds of the whole step, and of its phases: sample, reward, reference, and all that is left (policy, backward, AdamW)

Float32, SDPA attention, no gradient checkpointing (TRL's default would compute every forward pass twice), the policy's
log-probabilities only from the pass that differentiates, as TRL does on-policy, and micro-batches of 8 sequences.
"""

import functools
import json
import sys
import tempfile
import time

import datasets
import peft
import torch
import transformers
import trl
from peer import LORA_TARGETS, peak_mb
from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

MICRO_BATCH = 8


class Phases:
    """Seconds by phase of the step at hand."""

    def __init__(self):
        self.seconds = {}

    def wrap(self, owner, method, name):
        """Books what `method` takes under `name`, a string or a function without arguments (None: not at all)."""
        inner = getattr(owner, method)

        @functools.wraps(inner)
        def timed(*args, **kwargs):
            phase = name() if callable(name) else name
            start = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                if phase is not None:
                    self.seconds[phase] = self.seconds.get(phase, 0) + time.perf_counter() - start

        setattr(owner, method, timed)


class Stepper(transformers.TrainerCallback):
    """Holds the trainer before every step until somebody asks for it."""

    def __init__(self, phases, replies):
        self.phases, self.replies = phases, replies

    def on_step_begin(self, args, state, control, **kwargs):
        if not sys.stdin.readline().strip():
            sys.exit()
        self.phases.seconds.clear()
        self.start, self.cpu = time.perf_counter(), time.process_time()

    def on_step_end(self, args, state, control, **kwargs):
        seconds, cpu = time.perf_counter() - self.start, time.process_time() - self.cpu
        phases = dict(self.phases.seconds)
        phases["learn"] = seconds - sum(phases.values())
        self.reply(seconds=seconds, cpuSeconds=cpu, phases=phases)

    def reply(self, **fields):
        print(json.dumps(fields | {"tokens": 0, "peakMb": peak_mb()}), file=self.replies, flush=True)


def without_gradient():
    return None if torch.is_grad_enabled() else "reference"


def make_trainer(request, phases, directory):
    model = transformers.AutoModelForCausalLM.from_pretrained(request["dir"], dtype=torch.float32)
    reward = transformers.AutoModelForSequenceClassification.from_pretrained(request["reward"], dtype=torch.float32)
    lora = request.get("lora")
    samples = request["batchPrompts"] * request["generations"]
    common = dict(
        output_dir=directory,
        max_steps=100_000,
        learning_rate=1e-6,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
    )
    arguments = dict(
        model=model,
        reward_funcs=reward,
        train_dataset=datasets.Dataset.from_dict({"prompt": request["prompts"]}),
        processing_class=transformers.AutoTokenizer.from_pretrained(request["dir"], padding_side="left"),
        reward_processing_classes=transformers.AutoTokenizer.from_pretrained(request["reward"]),
        peft_config=lora
        and peft.LoraConfig(r=lora["r"], lora_alpha=lora["alpha"], target_modules=LORA_TARGETS, task_type="CAUSAL_LM"),
    )
    if request["method"] == "grpo":
        per_device = min(MICRO_BATCH, samples)
        config = trl.GRPOConfig(
            per_device_train_batch_size=per_device,
            gradient_accumulation_steps=samples // per_device,
            num_generations=request["generations"],
            max_completion_length=request["newTokens"],
            beta=0.04,
            loss_type="grpo",
            **common,
        )
        trainer = trl.GRPOTrainer(args=config, **arguments)
        phases.wrap(trainer, "_generate", "sample")
        phases.wrap(trainer, "_calculate_rewards", "reward")
        phases.wrap(trainer, "_get_per_token_logps_and_entropies", without_gradient)
        return trainer
    config = OnlineDPOConfig(
        per_device_train_batch_size=request["batchPrompts"],
        gradient_accumulation_steps=1,
        max_new_tokens=request["newTokens"],
        max_length=4096,
        temperature=1.0,
        **common,
    )
    trainer = OnlineDPOTrainer(args=config, **arguments)
    phases.wrap(trainer, "_generate", "sample")
    phases.wrap(trainer, "_calculate_rewards_from_functions", "reward")
    phases.wrap(trainer, "_forward", without_gradient)
    return trainer


def main():
    replies, sys.stdout = sys.stdout, sys.stderr
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    request = json.loads(sys.stdin.readline())
    torch.set_num_threads(request["threads"])
    phases = Phases()
    with tempfile.TemporaryDirectory() as directory:
        trainer = make_trainer(request, phases, directory)
        trainer.remove_callback(transformers.ProgressCallback)
        trainer.remove_callback(transformers.PrinterCallback)
        stepper = Stepper(phases, replies)
        trainer.add_callback(stepper)
        stepper.reply(seconds=0, versions={"torch": torch.__version__, "trl": trl.__version__, "transformers": transformers.__version__})
        trainer.train()


if __name__ == "__main__":
    main()
