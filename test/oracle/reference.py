"""Float64 reference computations with transformers models: log-probabilities, gradients, AdamW, greedy decoding.

`model.double()` alone is not float64: transformers computes the norms and the attention softmax in float32 whatever the
weights are. `float64_model` lifts both. The rotary angles stay float32, because they are part of what transformers defines.
Gemma's norm narrows by a method of the tensor, which no name lifts, so its formula is written out here.
"""

import contextlib
import sys

import torch
import torch.nn.functional as F


class _TorchWithWideFloat32:
    """The torch module, except that the name float32 means float64."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def _gemma_norm(self, x):
    """Gemma's RMSNorm: (1 + w) x / rms(x)."""
    return self._norm(x) * (1.0 + self.weight)


@contextlib.contextmanager
def float64_model(model):
    """Runs `model` (a decoder, maybe inside PEFT) in float64 from end to end; its weights stay float64 afterwards."""
    model.double().eval()
    modules = {type(m).__module__ for m in model.modules()}
    modeling = [sys.modules[m] for m in modules if m.startswith("transformers.models.")]
    norms = {type(m) for m in model.modules() if type(m).__name__.startswith("Gemma") and hasattr(m, "_norm")}
    narrow = {norm: norm.forward for norm in norms}
    for module in modeling:
        module.torch = _TorchWithWideFloat32()
    for norm in norms:
        norm.forward = _gemma_norm
    try:
        yield model
    finally:
        for module in modeling:
            module.torch = torch
        for norm, forward in narrow.items():
            norm.forward = forward


def completion_logprobs(model, sequence):
    """log pi(token | prefix) of every completion token of one unpadded sequence."""
    tokens = torch.tensor(sequence["tokens"])
    p = sequence["promptLength"]
    logits = model(input_ids=tokens[None]).logits[0]
    return F.log_softmax(logits[p - 1 : -1], dim=-1).gather(1, tokens[p:, None])[:, 0]


def trainable(model):
    """The trainable parameters under the names that `save_pretrained` gives them."""
    return {name.replace(".default.", "."): p for name, p in model.named_parameters() if p.requires_grad}


def gradients(model, objective):
    """d objective / d parameter for every trainable parameter, as float32."""
    model.zero_grad()
    objective.backward()
    grads = {name: p.grad.to(torch.float32).clone() for name, p in trainable(model).items()}
    model.zero_grad()
    return grads


ADAMW = {
    "steps": 5,
    "learningRate": 1e-3,
    "beta1": 0.9,
    "beta2": 0.999,
    "epsilon": 1e-8,
    "weightDecay": 0.01,
    "maxGradNorm": 1.0,
}


def adamw_steps(model, sequences):
    """Steps of AdamW on minus the mean log-probability of all completion tokens, the same batch every time.

    Weight decay acts on matrices only; gradients are clipped to a global norm. Leaves the model trained, and returns a
    record of the run and the final trainable weights as float32.
    """
    params = trainable(model)
    start = {name: p.detach().clone() for name, p in params.items()}
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in params.values() if p.ndim >= 2], "weight_decay": ADAMW["weightDecay"]},
            {"params": [p for p in params.values() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=ADAMW["learningRate"],
        betas=(ADAMW["beta1"], ADAMW["beta2"]),
        eps=ADAMW["epsilon"],
    )
    losses, grad_norms = [], []
    for _ in range(ADAMW["steps"]):
        optimizer.zero_grad()
        loss = -torch.cat([completion_logprobs(model, s) for s in sequences]).mean()
        loss.backward()
        grad_norms.append(torch.nn.utils.clip_grad_norm_(params.values(), ADAMW["maxGradNorm"]).item())
        losses.append(loss.item())
        optimizer.step()
    deltas = {name: (p.detach() - start[name]).norm().item() for name, p in params.items()}
    record = {**ADAMW, "losses": losses, "gradNorms": grad_norms, "deltaNorms": deltas}
    return record, {name: p.detach().float() for name, p in params.items()}


def greedy(model, prompt, new_tokens):
    """Greedy continuation by `generate`, and the smallest gap between best and second-best logit along it."""
    model.generation_config.eos_token_id = None
    output = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        max_new_tokens=new_tokens,
        output_logits=True,
        return_dict_in_generate=True,
    )
    best = torch.stack(output.logits)[:, 0].topk(2).values
    return output.sequences[0, len(prompt) :].tolist(), (best[:, 0] - best[:, 1]).min().item()


def score(model, tokens):
    """The scalar of a one-label classifier at the last token of one unpadded sequence."""
    return model(input_ids=torch.tensor([tokens])).logits[0, 0]
