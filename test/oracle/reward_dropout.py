"""Makes test/fixtures/reward/dropout: Bradley-Terry under a fixed dropout mask, loss and gradient by PyTorch.

    python reward_dropout.py --engine test/fixtures/engine --out test/fixtures/reward/dropout

The model is the trunk of engine/llama-tied (two layers) under a score head that is stored with the expectations. The masks
follow the definition in src/engine/local/dropout.ts, written here a second time, and are stored too: a later version
that draws others would break runs that are resumed across it. They multiply the output of the embedding and of every
attention and feed-forward block. Computed in float64, each sequence alone and unpadded.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
import transformers

from engine_fixtures import generator, random_tokens, rounded, save_tensors, write_json
from reference import float64_model, gradients, score

NAME = "dropout"
RATE = 0.2
SEED = 3141592653
U32 = np.uint32


def mix32(a, b, c):
    h = 0x9747B28C
    for word in (a, b, c):
        k = word * 0xCC9E2D51 & 0xFFFFFFFF
        k = (k << 15 | k >> 17) & 0xFFFFFFFF
        h ^= k * 0x1B873593 & 0xFFFFFFFF
        h = (h << 13 | h >> 19) & 0xFFFFFFFF
        h = (h * 5 + 0xE6546B64) & 0xFFFFFFFF
    h ^= h >> 16
    h = h * 0x85EBCA6B & 0xFFFFFFFF
    h ^= h >> 13
    h = h * 0xC2B2AE35 & 0xFFFFFFFF
    return h ^ h >> 16


def dropped(sequence, site, length, hidden):
    """Which units of one sequence at one site are dropped: bool [length, hidden]."""
    h = np.arange(length * hidden, dtype=U32) + U32(mix32(SEED, sequence, 2 * site))
    h ^= h >> U32(16)
    h = h * U32(0x85EBCA6B) ^ U32(mix32(SEED, sequence, 2 * site + 1))
    h ^= h >> U32(13)
    h *= U32(0xC2B2AE35)
    h = (h ^ h >> U32(16)) >> U32(1)
    return (h < round(RATE * 2**31)).reshape(length, hidden)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        args.engine / "llama-tied", num_labels=1, dtype=torch.float32, attn_implementation="eager"
    )
    head = torch.randn(model.score.weight.shape, generator=generator(NAME)).bfloat16().float()
    model.score.weight.data.copy_(head)
    g = generator(NAME + "/batch")
    sequences = [random_tokens(g, n) for n in (9, 14, 21, 5)]
    pairs = [[1, 0], [2, 3]]
    hidden = model.config.hidden_size
    sites = [model.model.embed_tokens] + [
        module for layer in model.model.layers for module in (layer.self_attn, layer.mlp)
    ]
    masks = [[dropped(i, s, len(tokens), hidden) for s in range(len(sites))] for i, tokens in enumerate(sequences)]

    current = [0]

    def hook(site):
        def apply(_module, _inputs, output):
            mask = torch.from_numpy(~masks[current[0]][site]).double() / (1 - RATE)
            return (output[0] * mask, *output[1:]) if isinstance(output, tuple) else output * mask

        return apply

    for site, module in enumerate(sites):
        module.register_forward_hook(hook(site))

    def masked_score(i):
        current[0] = i
        return score(model, sequences[i])

    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    with float64_model(model):
        scores = torch.stack([masked_score(i) for i in range(len(sequences))])
        margins = torch.stack([scores[chosen] - scores[rejected] for chosen, rejected in pairs])
        loss = -torch.nn.functional.logsigmoid(margins).mean()
        save_tensors(args.out / "grads.safetensors", gradients(model, loss))
    expected = {
        "rate": RATE,
        "seed": SEED,
        "head": head[0],
        "sequences": sequences,
        "pairs": pairs,
        "scores": scores.detach(),
        "loss": loss.item(),
        # [sequence][site]: one bit for every unit, 1 where it is dropped, the first in the highest bit of the first byte.
        "dropped": [[np.packbits(mask).tobytes().hex() for mask in of] for of in masks],
    }
    write_json(args.out / "expected.json", rounded(expected))


if __name__ == "__main__":
    main()
