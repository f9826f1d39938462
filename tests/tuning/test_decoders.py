"""Modes of tuning on the decoder of a task that writes: what learns, and that it folds in whole."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field
from polymodal.contract.recipe import Training
from polymodal.fusion.sum import Sum
from polymodal.modalities.table.encoders.mlp import Mlp
from polymodal.modalities.table.forms.cells import Cells
from polymodal.models.model import Model
from polymodal.nn.decoder import Prompt
from polymodal.prepared.targets import prepared
from polymodal.train.optimizer import optimizer

TEXTS = ["a red cross", "one blue square .", "a blue cross", "one red square ."]
KINDS = ["llama", "gpt2", "qwen3"]
SETTINGS = Training(lr=0.01, pretrained_lr=0.001)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`path("llama")`: a tiny language model of random weights with a tokenizer of words."""
    made: dict[str, Path] = {}

    def make(kind: str) -> str:
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

        if kind not in made:
            torch.manual_seed(0)
            size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
            size |= {"vocab_size": 32, "max_position_embeddings": 64}
            if kind != "gpt2":
                size |= {"intermediate_size": 24, "num_key_value_heads": 1, "head_dim": 8}
            folder = made[kind] = tmp_path_factory.mktemp(kind)
            config = AutoConfig.for_model(kind, **size)
            AutoModelForCausalLM.from_config(config).save_pretrained(folder)
            words = ["<unk>", "</s>", "red", "blue", "cross", "square", "a", "one", "."]
            raw = Tokenizer(models.WordLevel(dict(zip(words, range(9), strict=True)), "<unk>"))
            raw.pre_tokenizer = pre_tokenizers.Whitespace()
            marks = {"unk_token": "<unk>", "eos_token": "</s>"}
            PreTrainedTokenizerFast(tokenizer_object=raw, **marks).save_pretrained(folder)
        return str(made[kind])

    return make


def model(path: str, learns: bool = True) -> tuple[Model, Batch]:
    """A table's encoder from scratch, and a decoder that others trained."""
    torch.manual_seed(0)
    spec = {"name": "pretrained", "path": path, "learns": learns}
    task = lookup.build("tasks", {"name": "generate", "decoder": spec}, "said")
    task.fit(TEXTS)
    form = Cells(columns=[{"name": "size", "kind": "number"}])
    form.fit([{"size": float(i)} for i in range(4)])
    encoder = Mlp(form, 8)
    arrays = [form.encode({"size": float(i)}) for i in range(4)]
    data = torch.stack([torch.from_numpy(one) for one in arrays])
    field = Field(data, None, torch.ones(4, dtype=torch.bool))
    encoder.adapt([field])
    target = prepared(task, TEXTS).gather(torch.arange(4).numpy())
    built = Model({"size": encoder}, Sum(["size"], 8), {"said": task}, 8, 0.0, 0.0, {"size": form})
    return built, Batch({"size": field}, {"said": target}, torch.arange(4))


def learn(own: Model, batch: Batch, steps: int = 3) -> None:
    own.train()
    made = optimizer(own, SETTINGS)
    for _ in range(steps):
        out = own(batch.inputs, batch.targets).logits["said"]
        (out["nats"].sum() / out["places"].sum()).backward()
        made.step()
        made.zero_grad()


def logits(own: Model) -> torch.Tensor:
    """Of a text alone, without anything that is read."""
    decoder = own.heads[0].decoder.eval()
    ids = torch.tensor([[2, 4, 6, 3, 5]])
    with torch.no_grad():
        mask = torch.ones_like(ids, dtype=torch.bool)
        return decoder.logits(decoder.states(Prompt(decoder.embed(ids), mask)))


def costs(own: Model, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return own.eval()(batch.inputs, batch.targets).logits["said"]["nats"]


@pytest.mark.parametrize("kind", KINDS)
def test_of_the_decoder_only_the_products_learn_and_without_them_it_is_the_base(
    kind: str, path: Any
) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    own, batch = model(path(kind))
    base = logits(own)
    tuning = lookup.build("tuning", {"name": "lora", "rank": 2, "names": ["said"]})
    tuning.choose(own, batch)
    decoder = own.heads[0].decoder
    free = [k for k, p in decoder.named_parameters() if p.requires_grad]
    assert free and all("lora_" in name for name in free)
    assert all(p.requires_grad for p in own.heads[0].project.parameters())
    torch.testing.assert_close(logits(own), base)
    before = {k: v.clone() for k, v in decoder.state_dict().items()}
    learn(own, batch)
    after = decoder.state_dict()
    assert {k for k in after if not torch.equal(before[k], after[k])} == set(free)
    assert not torch.allclose(logits(own), base, atol=1e-3)
    adapted = [m for m in own.modules() if isinstance(m, BaseTunerLayer)]
    for layer in adapted:
        layer.enable_adapters(False)
    assert torch.equal(logits(own), base)
    for layer in adapted:
        layer.enable_adapters(True)
    unmerged, told = logits(own), costs(own, batch)
    tuning.settle(own)
    torch.testing.assert_close(logits(own), unmerged, rtol=0, atol=1e-5)
    torch.testing.assert_close(costs(own, batch), told, rtol=0, atol=1e-5)
    again, _ = model(path(kind))
    again.load_state_dict(own.state_dict())
    torch.testing.assert_close(logits(again), unmerged, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "options", "moves"),
    [
        ("full", {}, {"mlp", "self_attn", "embed_tokens", "norm"}),
        ("encoder", {"names": ["said"]}, {"mlp", "self_attn", "norm"}),
        ("feed_forward", {}, {"mlp"}),
        ("head", {}, set()),
        ("mixed", {"rates": {"said.backbone": 0.0}}, set()),
        ("mixed", {"rates": {"said.backbone": 0.002}}, {"mlp", "self_attn", "embed_tokens"}),
    ],
)
def test_modes_choose_what_of_the_decoder_learns(
    mode: str, options: dict[str, Any], moves: set[str], path: Any
) -> None:
    own, batch = model(path("llama"))
    lookup.build("tuning", {"name": mode, **options}).choose(own, batch)
    decoder = own.heads[0].decoder
    before = {k: v.clone() for k, v in decoder.state_dict().items()}
    learn(own, batch)
    moved = [k for k, v in decoder.state_dict().items() if not torch.equal(before[k], v)]
    for part in ("mlp", "self_attn", "embed_tokens"):
        assert any(part in name for name in moved) == (part in moves)


def test_it_learns_at_the_rate_of_what_is_pretrained(path: Any) -> None:
    own, _ = model(path("llama"))
    rates = {id(p): g["lr"] for g in optimizer(own, SETTINGS).param_groups for p in g["params"]}
    head = own.heads[0]
    assert {rates[id(p)] for p in head.decoder.parameters()} == {SETTINGS.pretrained_lr}
    assert {rates[id(p)] for p in head.project.parameters()} == {SETTINGS.lr}


@pytest.mark.parametrize("mode", ["lora", "feed_forward", "prompt"])
def test_a_decoder_that_is_held_or_that_a_mode_cannot_reach_is_an_error(
    mode: str, path: Any
) -> None:
    held, batch = model(path("llama"), learns=False)
    tuning = lookup.build("tuning", {"name": mode, "names": ["said"]})
    tuning.shape(held)
    with pytest.raises(UserError, match="learns: true"):
        tuning.choose(copy.deepcopy(held), batch)
    if mode == "prompt":
        own, batch = model(path("llama"))
        tuning.shape(own)
        with pytest.raises(UserError, match="does not reach decoders"):
            tuning.choose(own, batch)
