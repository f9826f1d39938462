"""Tokens a second of texts that are learned and written, against Transformers on the same model.

    python benchmarks/writing_speed.py --repeats 3

The texts are the paragraphs of the help that comes with Python (`pydoc_data.topics`), of any
length, told from the heading of their topic. Training: steps of `polymodal.fit`, which packs rows,
against the Hugging Face Trainer on the same Llama, tokenizer, rows and batch size, which pads them;
tokens are real ones of prompt and text, seconds those of steps (of the Trainer all of `train()`,
without evaluation). Writing: `run.write` of held-out headings, greedy, against `generate` of the
same weights with a cache: the same batch at once, and one row after another. A piece of one row
takes at least as long as its weights are read, which is told from how fast the machine copies.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

import polymodal as pm
from polymodal.contract.recipe import Recipe
from polymodal.report.console import Show
from polymodal.run.run import Run
from polymodal.tasks.generate import Generate

TEMPLATE = "{topic}: "
# Bytes that are copied to tell how fast that is.
COPIED = 2**28
# So often is a thing timed, of which the least counts.
TIMES = 3
# Of a text, so that rows fit into the context.
WORDS = 180


def paragraphs(count: int) -> dict[str, list[str]]:
    from pydoc_data.topics import topics

    found = [
        (name, " ".join(" ".join(part.split()).split()[:WORDS]))
        for name, text in sorted(topics.items())
        for part in re.split(r"\n\s*\n", text)
        if len(part.split()) > 3
    ]
    order = np.random.default_rng(0).permutation(len(found))[:count]
    return {"topic": [found[i][0] for i in order], "said": [found[i][1] for i in order]}


def recipe(given: argparse.Namespace) -> Recipe:
    decoder = {"name": "llama", "hidden": given.hidden, "depth": given.depth, "heads": 8}
    spec = {"name": "generate", "decoder": decoder, "template": TEMPLATE}
    training = {"epochs": given.epochs, "batch_size": given.batch, "patience": 0}
    training |= {"modality_dropout": 0.0, "dropout": 0.0, "ema": 0.0, "precision": given.precision}
    return Recipe.model_validate(
        {
            "targets": {"said": spec},
            "models": [{"name": "model", "fusion": "sum", "training": training}],
            "data": {"kinds": {"said": "text", "topic": "text"}, "valid": 0.02},
        }
    )


def writer(run: Run) -> Any:
    module: Any = run.members["model"].module
    return module.heads[0]


class Rival:
    """The same Llama in Transformers, and the rows as its Trainer takes them."""

    def __init__(self, run: Run, rows: dict[str, list[str]]) -> None:
        from transformers import LlamaForCausalLM

        task = run.tasks["said"]
        assert isinstance(task, Generate)
        self.tokens, self.writer = task.tokens, writer(run)
        self.prompts = [self.prompt(name) for name in rows["topic"]]
        self.texts = [self.tokens.numbers(text).tolist() for text in rows["said"]]
        self.config = self.writer.decoder.model.config
        self.config.tie_word_embeddings = True
        # The Trainer changes the configuration of what it is given, among others `use_cache`.
        self.make: Callable[[], Any] = lambda: LlamaForCausalLM(deepcopy(self.config))

    def prompt(self, name: str) -> list[int]:
        pieces: list[int] = self.writer.reader.pieces({"topic": name}, {})[:, 0].tolist()
        return pieces

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, i: int) -> dict[str, list[int]]:
        labels = [-100] * len(self.prompts[i]) + self.texts[i]
        return {"input_ids": self.prompts[i] + self.texts[i], "labels": labels}

    @property
    def places(self) -> int:
        return sum(map(len, self.prompts)) + sum(map(len, self.texts))


def collate(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    def padded(name: str, value: int) -> torch.Tensor:
        parts = [torch.tensor(row[name]) for row in rows]
        return nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=value)

    ids = padded("input_ids", -1)
    return {
        "input_ids": ids.clamp(min=0),
        "attention_mask": (ids >= 0).long(),
        "labels": padded("labels", -100),
    }


def trainer(rival: Rival, given: argparse.Namespace, seed: int) -> float:
    """Real tokens a second of the Trainer's steps."""
    from transformers import Trainer, TrainingArguments

    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            num_train_epochs=given.epochs,
            per_device_train_batch_size=given.batch,
            learning_rate=1e-3,
            weight_decay=0.05,
            lr_scheduler_type="cosine",
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            logging_strategy="no",
            seed=seed,
            bf16=given.precision == "bf16",
        )
        made = Trainer(rival.make(), settings, collate, rival)
        start = time.perf_counter()
        made.train()
        return rival.places * given.epochs / (time.perf_counter() - start)


def pace(run: Run) -> dict[str, float]:
    """The means of what the training logged."""
    history = run.members["model"].facts["history"]
    names = [name for name in history[0] if name.startswith("train/")]
    return {name: statistics.fmean(line[name] for line in history) for name in names}


def generated(rival: Rival, prompts: list[list[int]], longest: int, size: int) -> tuple[float, Any]:
    """Seconds and texts of `generate`, in batches of a size."""
    model = rival.make().eval()
    model.model.load_state_dict(rival.writer.decoder.model.state_dict())
    model.tie_weights()
    end, found = rival.tokens.end, []
    start = time.perf_counter()
    for first in range(0, len(prompts), size):
        rows = prompts[first : first + size]
        most = max(map(len, rows))
        ids = torch.tensor([[end] * (most - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (most - len(row)) + [1] * len(row) for row in rows])
        said = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=longest,
            do_sample=False,
            use_cache=True,
            eos_token_id=end,
            pad_token_id=end,
        )
        found += [rival.tokens.text(one.tolist()) for one in said[:, most:]]
    return time.perf_counter() - start, found


def timed(call: Callable[..., Any], *given: Any, **more: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    found = call(*given, **more)
    return time.perf_counter() - start, found


def written(run: Run, rival: Rival, topics: list[str], longest: int) -> dict[str, float]:
    """How many times as long as ours `generate` takes for the same texts."""
    asked, prompts = [{"topic": name} for name in topics], rival.prompts[: len(topics)]
    took = batched = step = float("inf")
    # When memory is first asked for, and by whom, is luck.
    for _ in range(TIMES):
        seconds, said = timed(run.write, asked, longest=longest)
        took = min(took, seconds)
        seconds, others = generated(rival, prompts, longest, len(prompts))
        batched = min(batched, seconds)
        seconds, one = timed(run.write, asked[:1], longest=longest)
        step = min(step, seconds / max(1, one[0][0].pieces))
    alone, _ = generated(rival, prompts, longest, 1)
    same = sum(own[0].text == other for own, other in zip(said, others, strict=True))
    pieces = sum(own[0].pieces for own in said)
    print(
        f"writing {len(asked)} texts of {pieces:,} pieces: {took:.2f} s, `generate` at the same "
        f"batch {batched:.2f} s, one by one {alone:.2f} s; {same} texts are equal",
        flush=True,
    )
    weights = sum(p.numel() * p.element_size() for p in rival.writer.decoder.parameters())
    limit = weights / bandwidth()
    print(
        f"one row: {1000 * step:.2f} ms a piece; {weights / 1e6:.1f} MB of weights are copied in "
        f"{1000 * limit:.2f} ms, {limit / step:.0%} of it",
        flush=True,
    )
    return {"batched": batched / took, "one by one": alone / took}


def bandwidth() -> float:
    """Bytes a second that a copy reads."""
    source = torch.ones(COPIED // 4)
    target = torch.empty_like(source)
    return COPIED / min(timed(target.copy_, source)[0] for _ in range(TIMES))


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--write", type=int, default=32, help="rows that are written")
    parser.add_argument("--longest", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    rows = paragraphs(given.rows)
    ratios: dict[str, list[float]] = {"training": [], "batched": [], "one by one": []}
    for repeat in range(given.repeats):
        with tempfile.TemporaryDirectory() as cache:
            os.environ["POLYMODAL_CACHE"] = cache
            run = pm.fit(rows, recipe=recipe(given), seed=repeat, show=Show.silent())
        own, rival = pace(run), Rival(run, rows)
        its = trainer(rival, given, repeat)
        speed = own["train/tokens_per_second"]
        ratios["training"].append(speed / its)
        print(
            f"training: {speed:,.0f} tokens/s (padding {own['train/padding']:.1%}, utilisation "
            f"{own['train/utilisation']:.0%}), HF Trainer {its:,.0f}: {speed / its:.2f} times",
            flush=True,
        )
        for name, ratio in written(run, rival, rows["topic"][: given.write], given.longest).items():
            ratios[name].append(ratio)
    numbers = sum(p.numel() for p in writer(run).decoder.parameters())
    print(f"{numbers:,} numbers, {given.precision}, torch {torch.__version__}")
    for name, values in ratios.items():
        print(f"{name}: {spread(values)} times (median [least, most] of {given.repeats})")


if __name__ == "__main__":
    sys.exit(main())
