"""What it saves to look at pictures once: a vision-language model whose tower does not learn.

    python benchmarks/looking.py --pictures 48 --repeats 3

A LLaVA of random weights (SigLIP's tower in the shape of ViT-S/16 at 224 pixels unless told
otherwise, a small Llama) learns by LoRA to write captions of `scenes`, its tower held. It is fitted
and asked for the same pictures twice: looking anew at whatever it reads (`seen_by: null`), and
looking once, both from an empty cache. Seconds are this process's own, on one thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import polymodal as pm
from polymodal.builtin import scenes
from polymodal.contract.recipe import Recipe
from polymodal.nn.borrowed import Sighted
from polymodal.nn.vision import Sight
from polymodal.report.console import Show

MARKS = ["<pad>", "</s>", "<s>", "<image>"]
SIDE, PATCH = 224, 16
# Both compute alike: what is faster by chance would tell them apart.
KERNELS = {
    "precision": "fp32",
    "attention": "sdpa",
    "memory_format": "contiguous",
    "threads": 1,
}
HEAD = ("pictures are seen", "fit", "of it looking", "predict", "of it looking", "cache")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tower", type=int, nargs=2, default=(384, 12), help="width and depth")
    parser.add_argument("--language", type=int, nargs=2, default=(384, 6), help="width and depth")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
    ratios: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = model(folder / "model", tuple(given.tower), tuple(given.language))
        columns = ("picture", "caption")
        data = scenes.write(folder / "data", given.pictures, 0, "easy", columns, SIDE, {"all": 1.0})
        texts: dict[str, Any] = {}
        measured(path, data["all"], 1, folder / "warm", {})  # imports are nobody's cost
        for i in range(given.repeats):
            took = []
            for how, form in (("anew", {"seen_by": None}), ("once", {})):
                out = folder / f"{how}-{i}"
                own, texts[how] = measured(path, data["all"], given.epochs, out, form)
                took.append(own)
                fit, fit_looking, asked, asked_looking, size = own
                cells = (how, *(f"{s:.1f} s" for s in (fit, fit_looking, asked, asked_looking)))
                print(f"| {' | '.join(cells)} | {size / 2**20:.1f} MiB |", flush=True)
            anew, once = took
            apart = np.abs(np.subtract(texts["anew"], texts["once"])).max()
            print(f"What they write is {apart:.1e} nats apart at most.", flush=True)
            ratios.append((anew[0] / once[0], anew[2] / once[2]))
    for what, own in zip(("fit", "predict"), zip(*ratios, strict=True), strict=True):
        print(
            f"{what}: looking anew takes {statistics.median(own):.2f} times as long "
            f"[{min(own):.2f}, {max(own):.2f}]"
        )


def measured(
    path: str, table: Path, epochs: int, out: Path, form: dict[str, Any]
) -> tuple[tuple[float, float, float, float, int], list[float]]:
    """Seconds of a fit and of predictions, and of each those of processor and tower; the cache's
    bytes; the log-likelihoods of what was written."""
    cache = out.with_suffix(".cache")
    os.environ["POLYMODAL_CACHE"] = str(cache)
    looking, plain = [0.0], {one: getattr(*one) for one in ((Sighted, "look"), (Sight, "forward"))}

    def timed(call: Any) -> Any:
        def looked(*args: Any) -> Any:
            start = time.process_time()
            found = call(*args)
            looking[0] += time.process_time() - start
            return found

        return looked

    try:
        for (owner, name), call in plain.items():
            setattr(owner, name, timed(call))
        start = time.process_time()
        run = pm.fit(table, recipe=recipe(path, epochs, form), out=out, show=Show.silent())
        fit, fit_looking = time.process_time() - start, looking[0]
        start = time.process_time()
        found = run.predict(table)
        asked = time.process_time() - start
    finally:
        for (owner, name), call in plain.items():
            setattr(owner, name, call)
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    times = (fit, fit_looking, asked, looking[0] - fit_looking, size)
    return times, found["caption.log_likelihood"]


def recipe(path: str, epochs: int, form: dict[str, Any]) -> Recipe:
    decoder = {"name": "vision_language", "path": path, "learns": "language"}
    spec = {"name": "generate", "template": "{picture}", "decoder": decoder}
    member = {
        "name": "model",
        "width": 32,
        "fusion": "sum",
        "modalities": {"picture": {"form": form}},
        "tuning": {"name": "lora", "names": ["caption"]},
        "training": {"epochs": epochs, "batch_size": 16, "patience": 0, **KERNELS},
    }
    targets = {"caption": {**spec, "decoding": {"longest": 8}}}
    data = {"kinds": {"caption": "text", "picture": "image"}}
    return Recipe.model_validate({"targets": targets, "models": [member], "data": data})


def model(folder: Path, tower: tuple[int, ...], language: tuple[int, ...]) -> str:
    """A LLaVA of random weights, with a tokenizer of bytes."""
    import transformers as lib
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE({sign: i for i, sign in enumerate(MARKS + signs)}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens([AddedToken(mark, special=True) for mark in MARKS])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>"}
    own = lib.PreTrainedTokenizerFast(tokenizer_object=raw, **names)

    def shape(width: int, depth: int) -> dict[str, Any]:
        heads = {"num_hidden_layers": depth, "num_attention_heads": width // 64}
        return {"hidden_size": width, "intermediate_size": 4 * width, **heads}

    places = (SIDE // PATCH) ** 2
    marks = {f"{name}_token_id": i for i, name in enumerate(("pad", "eos", "bos"))}
    text = {"vocab_size": len(MARKS + signs), "max_position_embeddings": 512, **marks}
    config = lib.LlavaConfig(
        vision_config=lib.SiglipVisionConfig(image_size=SIDE, patch_size=PATCH, **shape(*tower)),
        text_config=lib.LlamaConfig(**text, **shape(*language)),
        image_token_id=MARKS.index("<image>"),
        image_seq_length=places,
        vision_feature_layer=-2,
        vision_feature_select_strategy="full",
    )
    torch.manual_seed(0)
    lib.LlavaForConditionalGeneration(config).save_pretrained(folder)
    lib.LlavaProcessor(
        SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}),
        own,
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
    ).save_pretrained(folder)
    return str(folder)


if __name__ == "__main__":
    main()
