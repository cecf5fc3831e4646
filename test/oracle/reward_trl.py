"""Makes test/fixtures/reward/trl: reward models trained and saved by TRL's RewardTrainer, with TRL's own scores.

    python reward_trl.py --tokenizer test/fixtures/formats/tokenizer-smollm2 --out test/fixtures/reward/trl

Two members from one initialisation, a few steps each, in the files that RewardTrainer writes (one in bfloat16). Scores are
those of the trained models in evaluation mode on the token ids that RewardTrainer made of the rows; `average` holds
those of the model whose every weight is the mean of the two, computed in float64.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import torch
import transformers
from datasets import Dataset
from trl import RewardConfig, RewardTrainer

from engine_fixtures import randomize, rounded, write_json

ROWS = [
    ("What is 2 plus 2?", " It is 4.", " It is 5, I think."),
    ("Name a colour.", " Blue.", " Dog dog dog."),
    ("Write about the sun.", " The sun shines on the sea.", " No."),
    ("Say hello in German.", " Guten Tag, schön dich zu sehen!", " Hola!"),
    ("Count to three.", " 1, 2, 3", " 3, 1"),
    ("Is the sky green?", " No, it is blue.", " Yes yes yes yes."),
]


def train(base, tokenizer, seed, scratch):
    """One member; its directory as RewardTrainer leaves it, and its scores of the training rows."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    rows = Dataset.from_list([{"prompt": p, "chosen": c, "rejected": r} for p, c, r in ROWS])
    args = RewardConfig(
        output_dir=str(scratch / f"run-{seed}"),
        seed=seed,
        data_seed=seed,
        max_steps=4,
        per_device_train_batch_size=3,
        learning_rate=0.02,
        save_strategy="no",
        report_to=[],
        logging_steps=1,
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    )
    trainer = RewardTrainer(model=model, args=args, train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    saved = scratch / f"member-{seed}"
    trainer.save_model(str(saved))
    return saved, [row[key] for row in trainer.train_dataset for key in ("chosen_ids", "rejected_ids")]


@torch.no_grad()
def scores(model, sequences):
    model = model.eval()
    return [model(input_ids=torch.tensor([ids])).logits[0, 0].item() for ids in sequences]


def load(directory):
    return transformers.AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.tokenizer)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
        num_labels=1,
    )
    shutil.rmtree(args.out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        base = scratch / "base"
        model = transformers.AutoModelForSequenceClassification.from_config(config)
        randomize(dict(model.named_parameters()))
        model.save_pretrained(base)
        members = {}
        for seed in (1, 2):
            saved, sequences = train(base, tokenizer, seed, scratch)
            if seed == 2:
                load(saved).bfloat16().save_pretrained(saved)
            target = args.out / f"member-{seed}"
            shutil.copytree(saved, target, ignore=shutil.ignore_patterns("training_args.bin"))
            members[f"member-{seed}"] = load(target)
    mean = load(args.out / "member-1")
    states = [member.state_dict() for member in members.values()]
    mean.load_state_dict({k: (sum(s[k].double() for s in states) / len(states)).float() for k in states[0]})
    expected = {
        "rows": [{"prompt": p, "completion": text} for p, c, r in ROWS for text in (c, r)],
        "token_ids": sequences,
        "scores": {**{n: scores(m, sequences) for n, m in members.items()}, "average": scores(mean, sequences)},
    }
    write_json(args.out / "expected.json", rounded(expected))


if __name__ == "__main__":
    main()
