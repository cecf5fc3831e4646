"""Losses and gradients of TRL's own trainers, and of torch, on small random tensors.

    python test/oracle/objectives_trl.py test/fixtures/objectives/trl.json

TRL's loss methods run unchanged; stand-ins give them leaf tensors of log-probabilities, so that autograd returns
dLoss/dlogprob. PPO, which TRL 1.13 no longer ships, the advantages of GRPO and RLOO, which its trainers compute amid
generation, and the GAE recursion are written out here in torch from their papers.
"""

import json
import sys
from types import SimpleNamespace
from unittest import mock

import torch
import trl
from torch import nn
from trl.trainer import dpo_trainer
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.reward_trainer import RewardTrainer
from trl.trainer.rloo_trainer import RLOOTrainer

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(20250)

PROMPTS, K, LENGTHS = 2, 3, [4, 6, 3, 5, 1, 6]
N, T = PROMPTS * K, max(LENGTHS)
MASK = torch.tensor([[1.0 if t < length else 0.0 for t in range(T)] for length in LENGTHS])


def normal(*shape, scale=1.0):
    return torch.randn(*shape, generator=generator) * scale


class Metrics(dict):
    def __missing__(self, key):
        self[key] = {} if key in ("train", "eval") else []
        if key in ("train", "eval"):
            self[key] = Metrics()
        return self[key]


ACCELERATOR = SimpleNamespace(
    gather=lambda x: x,
    gather_for_metrics=lambda x: x,
    reduce=lambda x, reduction=None: x,
    num_processes=1,
    sync_gradients=True,
    device=torch.device("cpu"),
)


def rows(tensor, mask=MASK):
    return [[float(x) for x, m in zip(row, keep) if m] for row, keep in zip(tensor.detach(), mask)]


def trainer_stub(logps, **fields):
    entropies = torch.zeros_like(logps)
    return SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *a, **k: (logps, entropies, None),
        accelerator=ACCELERATOR,
        model=SimpleNamespace(training=True),
        _metrics=Metrics(),
        aux_loss_enabled=False,
        **fields,
    )


def completion_inputs(**fields):
    ids = torch.zeros(N, T, dtype=torch.long)
    return dict(
        prompt_ids=torch.zeros(N, 2, dtype=torch.long),
        prompt_mask=torch.ones(N, 2, dtype=torch.long),
        completion_ids=ids,
        completion_mask=MASK.long(),
        **fields,
    )


old = -normal(N, T).abs()
policy = old + normal(N, T, scale=0.25)
reference = old + normal(N, T, scale=0.3)
rewards = normal(N)
grouped = rewards.view(PROMPTS, K)


def grpo_case(loss_type, *, beta, epsilon_high, scale, level="token", on_policy=False):
    centred = grouped - grouped.mean(1, keepdim=True)
    if scale == "group":
        advantages = centred / (grouped.std(1, keepdim=True) + 1e-4)
    elif scale == "batch":
        advantages = centred / (rewards.std() + 1e-4)
    else:
        advantages = centred
    logps = policy.clone().requires_grad_()
    stub = trainer_stub(
        logps,
        beta=beta,
        epsilon_low=0.2,
        epsilon_high=epsilon_high,
        loss_type=loss_type,
        importance_sampling_level=level,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        max_completion_length=8,
        current_gradient_accumulation_steps=1,
        _entropy_bonus_enabled=False,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
    )
    inputs = completion_inputs(
        advantages=advantages.reshape(-1),
        old_per_token_logps=None if on_policy else old,
        ref_per_token_logps=reference,
        num_items_in_batch=MASK.sum(),
    )
    loss = GRPOTrainer._compute_loss(stub, None, inputs)
    loss.backward()
    return dict(
        options=dict(
            lossType=loss_type,
            beta=beta,
            epsilon=0.2,
            epsilonHigh=epsilon_high,
            scaleRewards=scale,
            importanceLevel=level,
            maxNewTokens=8,
        ),
        onPolicy=on_policy,
        loss=loss.item(),
        g=rows(logps.grad),
        clipRatio=stub._metrics["train"]["clip_ratio/region_mean"][0],
        kl=stub._metrics["train"]["kl"][0] if beta else None,
    )


def rloo_case(*, beta, epsilon_high, normalise, on_policy=False):
    sampled = policy if on_policy else old
    returns = rewards - beta * ((sampled - reference) * MASK).sum(1)
    by_prompt = returns.view(PROMPTS, K)
    advantages = (by_prompt - (by_prompt.sum(1, keepdim=True) - by_prompt) / (K - 1)).reshape(-1)
    if normalise:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-4)
    logps = policy.clone().requires_grad_()
    stub = trainer_stub(logps, epsilon_low=0.2, epsilon_high=epsilon_high)
    inputs = completion_inputs(advantages=advantages, old_logps=(sampled * MASK).sum(1))
    loss = RLOOTrainer._compute_loss(stub, None, inputs)
    loss.backward()
    return dict(
        options=dict(beta=beta, epsilon=0.2, epsilonHigh=epsilon_high, normaliseAdvantages=normalise),
        onPolicy=on_policy,
        loss=loss.item(),
        g=rows(logps.grad),
        clipRatio=stub._metrics["train"]["clip_ratio/region_mean"][0],
    )


def dpo_case(beta):
    """Sequences 0 .. 2 are chosen, 3 .. 5 rejected."""
    logps = policy.clone().requires_grad_()
    leaves = iter([logps * 1.0, reference.clone()])
    completion_mask = torch.cat([torch.zeros(N, 1), MASK], dim=1).long()
    logits = torch.zeros(N, T + 1, 5)
    model = lambda **k: SimpleNamespace(logits=logits)  # noqa: E731
    stub = SimpleNamespace(
        accelerator=ACCELERATOR,
        model=SimpleNamespace(training=True),
        ref_model=model,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        _metrics=Metrics(),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=False,
        f_divergence_type="reverse_kl",
        beta=beta,
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        use_weighting=False,
        _total_train_tokens=0,
        _tp_size=1,
    )
    stub.model.is_gradient_checkpointing = False
    inputs = dict(
        input_ids=torch.zeros(N, T + 1, dtype=torch.long),
        attention_mask=torch.ones(N, T + 1, dtype=torch.long),
        completion_mask=completion_mask,
    )
    with (
        mock.patch.object(dpo_trainer, "selective_log_softmax", lambda *a: next(leaves)),
        mock.patch.object(dpo_trainer, "is_peft_model", lambda m: False),
        mock.patch.object(dpo_trainer, "disable_gradient_checkpointing", lambda *a: torch.no_grad()),
    ):
        loss = DPOTrainer._compute_loss(stub, model, inputs, False)
    loss.backward()
    recorded = {name: values[0] for name, values in stub._metrics["train"].items()}
    names = ["rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen"]
    return dict(beta=beta, loss=loss.item(), g=rows(logps.grad), metrics={n: recorded[n] for n in names})


def reward_case(margins, coefficient):
    scores = torch.cat([torch.tensor([30.0, -45.0, 0.3, 1.5]), torch.tensor([-30.0, 45.0, 0.1, 2.5])])
    logits = scores.clone().unsqueeze(-1).requires_grad_()
    stub = SimpleNamespace(
        accelerator=ACCELERATOR,
        model=SimpleNamespace(training=True),
        args=SimpleNamespace(center_rewards_coefficient=coefficient),
        _metrics=Metrics(),
        _total_train_tokens=0,
        _tp_size=1,
    )
    inputs = dict(attention_mask=torch.ones(8, 1))
    if margins:
        inputs["margin"] = torch.tensor(margins)
    # The model must not see the margin as an input, so it takes and ignores everything.
    loss = RewardTrainer.compute_loss(stub, lambda **k: SimpleNamespace(logits=logits), inputs)
    loss.backward()
    grad = logits.grad.squeeze(-1)
    recorded = {name: values[0] for name, values in stub._metrics["train"].items() if name != "num_tokens"}
    return dict(
        chosen=scores[:4].tolist(),
        rejected=scores[4:].tolist(),
        margins=margins,
        centerRewardsCoefficient=coefficient or 0,
        loss=loss.item(),
        gChosen=grad[:4].tolist(),
        gRejected=grad[4:].tolist(),
        metrics={name: recorded[name] for name in ("accuracy", "margin", "min_reward", "mean_reward", "max_reward")},
    )


def masked_whiten(x, keep_mean=False):
    kept = x[MASK.bool()]
    out = (x - kept.mean()) * torch.rsqrt(kept.var() + 1e-8)
    return (out + kept.mean() if keep_mean else out) * MASK


def ppo_case(*, gamma, lam, whiten_rewards, whiten_advantages):
    kl_coefficient, value_coefficient = 0.05, 0.1
    old_values = normal(N, T, scale=0.5) * MASK
    values = (old_values + normal(N, T, scale=0.25) * MASK).requires_grad_()
    token_rewards = -kl_coefficient * (old - reference) * MASK
    for i, length in enumerate(LENGTHS):
        token_rewards[i, length - 1] += rewards[i]
    if whiten_rewards:
        token_rewards = masked_whiten(token_rewards, keep_mean=True)
    deltas = torch.zeros(N, T)
    for i, length in enumerate(LENGTHS):
        for t in range(length):
            following = old_values[i, t + 1] if t + 1 < length else 0.0
            deltas[i, t] = token_rewards[i, t] + gamma * following - old_values[i, t]
    # The definition of GAE as a double sum, unlike the recursion under test.
    advantages = torch.zeros(N, T)
    for i, length in enumerate(LENGTHS):
        for t in range(length):
            advantages[i, t] = sum((gamma * lam) ** (u - t) * deltas[i, u] for u in range(t, length))
    returns = advantages + old_values
    if whiten_advantages:
        advantages = masked_whiten(advantages)
    logps = policy.clone().requires_grad_()
    ratio = torch.exp(logps - old)
    surrogate = torch.max(-advantages * ratio, -advantages * ratio.clamp(0.8, 1.2))
    clipped_values = old_values + (values - old_values).clamp(-0.2, 0.2)
    value_losses = torch.max((values - returns) ** 2, (clipped_values - returns) ** 2)
    policy_loss = (surrogate * MASK).sum() / MASK.sum()
    value_loss = 0.5 * (value_losses * MASK).sum() / MASK.sum()
    loss = policy_loss + value_coefficient * value_loss
    loss.backward()
    return dict(
        options=dict(gamma=gamma, gaeLambda=lam, whitenRewards=whiten_rewards, whitenAdvantages=whiten_advantages),
        oldValues=rows(old_values),
        values=rows(values),
        advantages=rows(advantages),
        returns=rows(returns),
        loss=loss.item(),
        policyLoss=policy_loss.item(),
        valueLoss=value_loss.item(),
        g=rows(logps.grad),
        gValues=rows(values.grad),
    )


def sft_case():
    logits = normal(N, T, 7)
    targets = torch.randint(7, (N, T), generator=generator)
    logps = torch.log_softmax(logits, -1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    labels = targets.masked_fill(MASK == 0, -100)
    loss = nn.functional.cross_entropy(logits.reshape(-1, 7), labels.reshape(-1), ignore_index=-100)
    return dict(logprobs=rows(logps), loss=loss.item())


def rounded(x):
    if isinstance(x, float):
        return float(f"{x:.12g}")
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items()}
    if isinstance(x, list):
        return [rounded(v) for v in x]
    return x


fixture = dict(
    versions=dict(trl=trl.__version__, torch=torch.__version__),
    promptCount=PROMPTS,
    promptIndex=[i // K for i in range(N)],
    rewards=rewards.tolist(),
    logprobs=rows(policy),
    oldLogprobs=rows(old),
    referenceLogprobs=rows(reference),
    grpo=[
        grpo_case("grpo", beta=0.04, epsilon_high=0.2, scale="group"),
        grpo_case("grpo", beta=0.0, epsilon_high=0.2, scale="group", on_policy=True),
        grpo_case("dapo", beta=0.0, epsilon_high=0.28, scale="batch"),
        grpo_case("dr_grpo", beta=0.1, epsilon_high=0.2, scale="none"),
        grpo_case("grpo", beta=0.0, epsilon_high=0.25, scale="group", level="sequence"),
    ],
    rloo=[
        rloo_case(beta=0.05, epsilon_high=0.2, normalise=False),
        rloo_case(beta=0.0, epsilon_high=0.4, normalise=True),
        rloo_case(beta=0.05, epsilon_high=0.2, normalise=False, on_policy=True),
    ],
    dpo=[dpo_case(0.1), dpo_case(1.5)],
    bradleyTerry=[reward_case(None, None), reward_case([0.5, 0.0, 1.0, 2.0], 0.01)],
    ppo=[
        ppo_case(gamma=1.0, lam=0.95, whiten_rewards=False, whiten_advantages=True),
        ppo_case(gamma=0.97, lam=0.9, whiten_rewards=True, whiten_advantages=False),
    ],
    sft=sft_case(),
)
with open(sys.argv[1], "w") as file:
    json.dump(rounded(fixture), file)
    file.write("\n")
