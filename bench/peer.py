"""The PyTorch/transformers side of the engine benchmark: a long-lived process that answers JSON lines.

    python peer.py [--once]

Reads one request per line on stdin and answers one line on stdout; what libraries print goes to stderr. A request is an object with
`verb`, the verb's fields and maybe an `id`, which the answer repeats. An answer holds `seconds` (wall time of the work alone, without
building tensors from JSON), `tokens` (real ones, no padding), `peakMb` and `rssMb`; or `error`, one sentence. `--once` ends the process
after the first answer to a verb other than `load`, so that the peak is that of one work item.

    load        {dir, threads, lora?: {r, alpha}}             a causal model or a one-label classifier; replaces the one before
    train       {sequences, promptLengths, g?, steps?, learningRate?, maxGradNorm?}        full fine-tuning steps
    train_lora  the same, on adapters (`load` with lora); the base is frozen
    logprobs    {sequences, promptLengths}
    generate    {prompts, maxNewTokens, temperature?: 0 | 1, cache?: "dynamic" | "static", returnTokens?}
    score       {sequences}                                   classifier forward, one score per sequence
    memory      {reset?}                                      peakMb, rssMb; reset starts a new peak (Linux)

The peer gets its best shot without torch.compile: SDPA attention, float32, fused AdamW, no attention mask where padding stands on the
right (causal attention never looks at it, so SDPA can take its mask-free kernel), output logits at completion positions only, and for
generation the faster of DynamicCache and StaticCache, tried once per shape before the clock starts (name `cache` where the peak memory
counts, so that no trial adds to it).
"""

import argparse
import gc
import json
import os
import resource
import sys
import time

import peft
import torch
import torch.nn.functional as F
import transformers

ADAMW = dict(betas=(0.9, 0.999), eps=1e-8, fused=True)
WEIGHT_DECAY = 0.01
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TRIAL_TOKENS = 16
# One trial of each cache tells enough when it is this long.
LONG_TRIAL_SECONDS = 2


class Peer:
    def __init__(self):
        self.model = None
        self.optimizer = None
        self.cache_by_shape = {}
        self.import_mb = rss_mb()

    # Verbs -----------------------------------------------------------------------------------------------------------

    def load(self, dir, threads, lora=None):
        self.model = self.optimizer = None
        self.cache_by_shape = {}
        gc.collect()
        torch.set_num_threads(threads)
        architecture = transformers.AutoConfig.from_pretrained(dir).architectures[0]
        self.classifier = architecture.endswith("ForSequenceClassification")
        auto = transformers.AutoModelForSequenceClassification if self.classifier else transformers.AutoModelForCausalLM
        start = time.perf_counter()
        model = auto.from_pretrained(dir, dtype=torch.float32, attn_implementation="sdpa")
        if lora:
            config = peft.LoraConfig(
                r=lora["r"],
                lora_alpha=lora["alpha"],
                target_modules=lora.get("targets", LORA_TARGETS),
                lora_dropout=0.0,
                task_type="SEQ_CLS" if self.classifier else "CAUSAL_LM",
            )
            model = peft.get_peft_model(model, config)
        self.lora = bool(lora)
        self.model = model
        self.decoder = model.get_base_model() if lora else model
        return {
            "seconds": time.perf_counter() - start,
            "class": architecture,
            "parameters": sum(p.numel() for p in model.parameters()),
            "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "importMb": self.import_mb,
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
            "threads": torch.get_num_threads(),
        }

    def train(self, sequences, promptLengths, g=None, steps=1, learningRate=1e-5, maxGradNorm=0.0):
        self.need(classifier=False, lora=False)
        return self.train_steps(sequences, promptLengths, g, steps, learningRate, maxGradNorm)

    def train_lora(self, sequences, promptLengths, g=None, steps=1, learningRate=1e-5, maxGradNorm=0.0):
        self.need(classifier=False, lora=True)
        return self.train_steps(sequences, promptLengths, g, steps, learningRate, maxGradNorm)

    def logprobs(self, sequences, promptLengths):
        self.need(classifier=False)
        batch = CompletionBatch(sequences, promptLengths)
        self.model.eval()
        with torch.inference_mode():
            start = time.perf_counter()
            logprobs = self.completion_logprobs(batch)
            seconds = time.perf_counter() - start
        return {
            "seconds": seconds,
            "tokens": batch.tokens,
            "completionTokens": batch.completion_tokens,
            "logprobs": [part.tolist() for part in logprobs.split(batch.completion_lengths)],
        }

    def generate(self, prompts, maxNewTokens, temperature=1.0, cache=None, returnTokens=False):
        self.need(classifier=False)
        if temperature not in (0, 1):
            raise ValueError(f"temperature {temperature} is not 0 or 1")
        input_ids, mask = left_padded(prompts)
        self.model.eval()
        self.model.generation_config.eos_token_id = None
        settings = dict(do_sample=temperature == 1)
        if temperature == 1:
            settings |= dict(temperature=1.0, top_k=0, top_p=1.0)
        cache = cache or self.faster_cache(input_ids, mask, maxNewTokens, settings)
        seconds, output = self.timed_generate(input_ids, mask, maxNewTokens, cache, settings)
        new = output[:, input_ids.shape[1] :]
        answer = {"seconds": seconds, "tokens": new.numel(), "cache": cache}
        return answer | ({"completions": new.tolist()} if returnTokens else {})

    def score(self, sequences):
        self.need(classifier=True)
        input_ids = right_padded(sequences)
        last = torch.tensor([len(s) - 1 for s in sequences])
        rows = torch.arange(len(sequences))
        self.model.eval()
        with torch.inference_mode():
            start = time.perf_counter()
            hidden = self.decoder.model(input_ids=input_ids, use_cache=False).last_hidden_state
            scores = self.decoder.score(hidden[rows, last])[:, 0]
            seconds = time.perf_counter() - start
        return {"seconds": seconds, "tokens": sum(map(len, sequences)), "scores": scores.tolist()}

    def memory(self, reset=False):
        if reset:
            with open("/proc/self/clear_refs", "w") as f:
                f.write("5")
        return {}

    # Parts -----------------------------------------------------------------------------------------------------------

    def need(self, classifier, lora=None):
        if self.model is None:
            raise ValueError("no model is loaded")
        if self.classifier != classifier:
            raise ValueError(f"this verb needs a {'classifier' if classifier else 'causal model'}")
        if lora is not None and self.lora != lora:
            raise ValueError("load the model " + ("with lora for train_lora" if lora else "without lora for train"))

    def completion_logprobs(self, batch):
        """log pi(token | prefix) of all completion tokens of the batch, one after another."""
        hidden = self.decoder.model(input_ids=batch.input_ids, use_cache=False).last_hidden_state
        logits = self.decoder.lm_head(hidden.flatten(0, 1).index_select(0, batch.positions))
        return -F.cross_entropy(logits, batch.targets, reduction="none")

    def train_steps(self, sequences, prompt_lengths, g, steps, learning_rate, max_grad_norm):
        batch = CompletionBatch(sequences, prompt_lengths)
        weights = torch.tensor([w for row in g for w in row]) if g else None
        if weights is None:
            weights = torch.full((batch.completion_tokens,), -1.0 / batch.completion_tokens)
        if weights.numel() != batch.completion_tokens:
            raise ValueError(f"g holds {weights.numel()} numbers for {batch.completion_tokens} completion tokens")
        self.model.train()
        params = [p for p in self.model.parameters() if p.requires_grad]
        if self.optimizer is None:
            matrices = {"params": [p for p in params if p.ndim >= 2], "weight_decay": WEIGHT_DECAY}
            vectors = {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0}
            groups = [group for group in (matrices, vectors) if group["params"]]
            self.optimizer = torch.optim.AdamW(groups, **ADAMW)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        seconds, losses = [], []
        for _ in range(steps):
            start = time.perf_counter()
            loss = (weights * self.completion_logprobs(batch)).sum()
            loss.backward()
            if max_grad_norm:
                torch.nn.utils.clip_grad_norm_(params, max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
            seconds.append(time.perf_counter() - start)
        return {
            "seconds": sum(seconds),
            "stepSeconds": seconds,
            "losses": losses,
            "tokens": batch.tokens * steps,
            "completionTokens": batch.completion_tokens * steps,
        }

    @torch.inference_mode()
    def timed_generate(self, input_ids, mask, new_tokens, cache, settings):
        start = time.perf_counter()
        output = self.model.generate(
            input_ids=input_ids,
            attention_mask=mask,
            max_new_tokens=new_tokens,
            cache_implementation="static" if cache == "static" else None,
            disable_compile=True,
            **settings,
        )
        return time.perf_counter() - start, output

    def faster_cache(self, input_ids, mask, new_tokens, settings):
        shape = (*input_ids.shape, new_tokens)
        if shape not in self.cache_by_shape:
            tokens = min(new_tokens, TRIAL_TOKENS)
            trial = {"dynamic": [], "static": []}
            start = time.perf_counter()
            for cache in ("dynamic", "static", "static", "dynamic"):
                if all(trial.values()) and time.perf_counter() - start > LONG_TRIAL_SECONDS:
                    break
                trial[cache].append(self.timed_generate(input_ids, mask, tokens, cache, settings)[0])
            self.cache_by_shape[shape] = min(trial, key=lambda cache: min(trial[cache]))
        return self.cache_by_shape[shape]


class CompletionBatch:
    """Right-padded sequences, and where among the flattened positions each completion token is predicted."""

    def __init__(self, sequences, prompt_lengths):
        if len(sequences) != len(prompt_lengths):
            raise ValueError(f"{len(sequences)} sequences but {len(prompt_lengths)} prompt lengths")
        self.input_ids = right_padded(sequences)
        width = self.input_ids.shape[1]
        spans = [(i, p, len(s)) for i, (s, p) in enumerate(zip(sequences, prompt_lengths))]
        self.positions = torch.cat([i * width + torch.arange(p - 1, n - 1) for i, p, n in spans])
        self.targets = torch.cat([torch.tensor(sequences[i][p:]) for i, p, _ in spans])
        self.completion_lengths = [n - p for _, p, n in spans]
        self.completion_tokens = self.targets.numel()
        self.tokens = sum(map(len, sequences))


def right_padded(sequences):
    width = max(map(len, sequences))
    return torch.tensor([list(s) + [0] * (width - len(s)) for s in sequences])


def left_padded(prompts):
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    return ids, mask


def rss_mb():
    try:
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return None


def peak_mb():
    """Peak resident memory of this program. VmHWM rather than ru_maxrss, which inherits the parent's size across exec."""
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 1024)


VERBS = {"load", "train", "train_lora", "logprobs", "generate", "score", "memory"}


def answer(peer, line):
    request = {}
    try:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise ValueError("a request is a JSON object")
        if request.get("verb") not in VERBS:
            raise ValueError(f"unknown verb {request.get('verb')!r}; known: {', '.join(sorted(VERBS))}")
        fields = {k: v for k, v in request.items() if k not in ("verb", "id")}
        result = getattr(peer, request["verb"])(**fields)
        result |= {"peakMb": peak_mb(), "rssMb": rss_mb()}
    except Exception as error:
        result = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    if isinstance(request, dict) and "id" in request:
        result["id"] = request["id"]
    return request, result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", help="end after the first answer to a verb other than load")
    args = parser.parse_args()
    replies, sys.stdout = sys.stdout, sys.stderr
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    peer = Peer()
    for line in sys.stdin:
        if not line.strip():
            continue
        request, result = answer(peer, line)
        print(json.dumps(result), file=replies, flush=True)
        if args.once and isinstance(request, dict) and request.get("verb") != "load":
            break


if __name__ == "__main__":
    main()
