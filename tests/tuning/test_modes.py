"""Every mode on tiny checkpoints: what learns, by closed forms; what does not stays to the bit."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from polymodal.base import lookup
from polymodal.base.errors import MissingExtra, UserError
from polymodal.contract.recipe import Training
from polymodal.models.model import Model
from polymodal.train.learned import learned
from polymodal.train.optimizer import optimizer

# The options without which a mode says nothing.
GIVEN: dict[str, dict[str, Any]] = {
    "encoder": {"names": ["note"]},
    "mixed": {"rates": {"note.backbone": 0.0, "fusion": 0.003}},
}
MODES = [(name, GIVEN.get(name, {})) for name in lookup.names("tuning")]
MODES += [("lora", {"dora": True}), ("lora", {"stabilised": True, "dropout": 0.1})]
BACKBONES = ["bert", "gpt2", "vit"]
# Width 16, two layers; BERT and ViT go to 32 and back, GPT-2 to 64.
LAYERS, WIDTH, INNER = 2, 16, {"bert": 32, "vit": 32, "gpt2": 64}


def count(params: Any) -> int:
    return sum(p.numel() for p in params)


def new(model: Model) -> int:
    """Numbers outside of backbones."""
    inside = count(
        p for m in model.modules() if getattr(m, "is_backbone", 0) for p in m.parameters()
    )
    return count(model.parameters()) - inside


@pytest.mark.parametrize("which", BACKBONES)
@pytest.mark.parametrize(("mode", "options"), MODES, ids=str)
def test_what_is_frozen_stays_to_the_bit_and_what_learns_moves(
    which: str, mode: str, options: dict[str, Any], tuned: Callable[..., Any]
) -> None:
    made = tuned(which, mode, **options)
    free = set(made.learns())
    before = {k: v.clone() for k, v in made.model.state_dict().items()}
    made.step()
    after = made.model.state_dict()
    frozen = [k for k in after if k not in free]
    assert all(torch.equal(before[k], after[k]) for k in frozen)
    # A softmax over keys does not feel their biases.
    moved = [k for k in free if not torch.equal(before[k], after[k])]
    assert len(moved) > 0.7 * len(free)
    assert any("heads" in k for k in moved)
    assert learned(made.model).optimizer_bytes == 8 * count(made.learns().values())


@pytest.mark.parametrize("which", BACKBONES)
@pytest.mark.parametrize(("mode", "options"), MODES, ids=str)
def test_settled_it_answers_as_in_training_and_is_read_back_without_peft(
    which: str,
    mode: str,
    options: dict[str, Any],
    tuned: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = tuned(which, mode, **options)
    made.step()
    trained = made.out()
    made.tuning.settle(made.model)
    torch.testing.assert_close(made.out(), trained, rtol=0, atol=1e-5)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "peft" else find(n, *a)
    )
    again = copy.deepcopy(made.plain)
    if mode in ("prompt", "prefix"):
        lookup.build("tuning", {"name": mode, **options}).shape(again)
    again.load_state_dict(made.model.state_dict())
    assert torch.equal(made.out(again), made.out())


@pytest.mark.parametrize("which", BACKBONES)
def test_full_head_and_encoder_count(which: str, tuned: Callable[..., Any]) -> None:
    everything = count(tuned(which, "full").model.parameters())
    made = tuned(which, "full")
    assert count(made.learns().values()) == everything and learned(made.model).share == 1
    made = tuned(which, "head")
    assert count(made.learns().values()) == new(made.model)
    assert not made.tuning.reaches("note")
    table = (
        0
        if which == "vit"
        else made.model.encoders[0].tuned.backbone.model.get_input_embeddings().weight.numel()
    )
    assert count(tuned(which, "encoder", names=["note"]).learns().values()) == everything - table
    every = tuned(which, "encoder", names=["note"], embeddings=True)
    assert count(every.learns().values()) == everything
    other = tuned(which, "encoder", names=["other"])
    assert count(other.learns().values()) == new(other.model)
    assert other.tuning.reaches("other") and not other.tuning.reaches("note")


@pytest.mark.parametrize("which", BACKBONES)
def test_feed_forward_counts_the_layers_to_another_width_and_back(
    which: str, tuned: Callable[..., Any]
) -> None:
    made, inner = tuned(which, "feed_forward"), INNER[which]
    layers = LAYERS * (2 * WIDTH * inner + inner + WIDTH)
    assert count(made.learns().values()) == new(made.model) + layers


@pytest.mark.parametrize("which", BACKBONES)
@pytest.mark.parametrize("layers", ["all", "attention", "feed_forward"])
@pytest.mark.parametrize("rank", [1, 3])
def test_lora_counts_rank_times_inputs_and_outputs_of_each_layer(
    which: str, layers: str, rank: int, tuned: Callable[..., Any]
) -> None:
    made, inner = tuned(which, "lora", rank=rank, layers=layers), INNER[which]
    # GPT-2 makes queries, keys and values in one layer.
    square = 4 * 2 * WIDTH if which != "gpt2" else (WIDTH + 3 * WIDTH) + 2 * WIDTH
    sizes = {"attention": square, "feed_forward": 2 * (WIDTH + inner)}
    sizes["all"] = sum(sizes.values())
    assert count(made.learns().values()) == new(made.model) + LAYERS * rank * sizes[layers]


def test_dora_adds_a_length_for_each_output(tuned: Callable[..., Any]) -> None:
    plain, made = (tuned("bert", "lora", layers="attention", dora=dora) for dora in (False, True))
    more = count(made.learns().values()) - count(plain.learns().values())
    assert more == LAYERS * 4 * WIDTH


@pytest.mark.parametrize("which", BACKBONES)
@pytest.mark.parametrize("options", [{}, {"dora": True}, {"stabilised": True, "rank": 4}], ids=str)
def test_lora_changes_nothing_before_the_first_step(
    which: str, options: dict[str, Any], tuned: Callable[..., Any]
) -> None:
    made = tuned(which, "lora", **options)
    torch.testing.assert_close(made.out(), made.out(made.plain), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "scale"),
    [({"rank": 4}, 2), ({"rank": 4, "alpha": 2.0}, 0.5), ({"rank": 4, "stabilised": True}, 4)],
)
def test_lora_adds_alpha_by_rank_times_the_product(
    options: dict[str, Any], scale: float, tuned: Callable[..., Any]
) -> None:
    made = tuned("bert", "lora", **options)
    where = "encoders.0.tuned.backbone.model.encoder.layer.1.output.dense"
    layer = made.model.get_submodule(where)
    torch.nn.init.normal_(layer.lora_B["default"].weight)
    product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    expected = layer.base_layer.weight + scale * product
    made.tuning.settle(made.model)
    torch.testing.assert_close(made.model.get_submodule(where).weight, expected)


@pytest.mark.parametrize("which", BACKBONES)
def test_prompt_and_prefix_count_and_begin_as_what_the_model_knows(
    which: str, tuned: Callable[..., Any]
) -> None:
    made = tuned(which, "prompt", length=3)
    assert count(made.learns().values()) == new(made.plain) + 3 * WIDTH
    if which != "vit":
        table = made.plain.encoders[0].tuned.backbone.model.get_input_embeddings().weight
        ids = made.batch.inputs["note"].data[..., 0][made.batch.inputs["note"].mask].long()
        vectors = made.model.encoders[0].tuned.backbone.model.vectors.weight
        assert all((vector == table[ids]).all(1).any() for vector in vectors)
    made = tuned(which, "prefix", length=3)
    assert count(made.learns().values()) == new(made.plain) + LAYERS * 2 * 3 * WIDTH


def test_a_prefix_is_read_as_transformers_reads_a_cache_of_it(tuned: Callable[..., Any]) -> None:
    made = tuned("gpt2", "prefix", length=3)
    around = made.model.eval().encoders[0].tuned.backbone.model
    plain = made.plain.eval().encoders[0].tuned.backbone.model
    field = made.batch.inputs["note"]
    pieces, mask = field.data[..., 0].long(), field.mask.long()
    rows, length = pieces.shape
    cache = DynamicCache()
    with torch.no_grad():
        for layer, own in enumerate(zip(around.own_keys, around.own_values, strict=True)):
            held = (one.weight.view(3, around.heads, -1).transpose(0, 1) for one in own)
            cache.update(*(one.expand(rows, -1, -1, -1) for one in held), layer)
        found = around(input_ids=pieces, attention_mask=mask).last_hidden_state
        wanted = plain(
            input_ids=pieces,
            past_key_values=cache,
            attention_mask=torch.cat([mask.new_ones(rows, 3), mask], 1),
            position_ids=torch.arange(length).expand(rows, -1),
        ).last_hidden_state
    torch.testing.assert_close(found[field.mask], wanted[field.mask], rtol=0, atol=1e-5)
    assert not torch.allclose(made.out(), made.out(made.plain))


@pytest.mark.parametrize("mode", ["prompt", "prefix"])
@pytest.mark.parametrize("which", ["bert", "gpt2"])
def test_padding_changes_nothing_beside_prompts_and_prefixes(
    mode: str, which: str, tuned: Callable[..., Any]
) -> None:
    made = tuned(which, mode)
    together = made.out()
    field = made.batch.inputs["note"]
    for i, length in enumerate(field.mask.sum(1).tolist()):
        made.batch.inputs["note"] = type(field)(
            field.data[i : i + 1, :length], field.mask[i : i + 1, :length], field.present[i : i + 1]
        )
        torch.testing.assert_close(made.out()[0], together[i], rtol=0, atol=1e-5)


def test_a_text_is_cut_where_the_prompt_needs_the_room(tuned: Callable[..., Any]) -> None:
    made = tuned("bert", "prompt", length=60)
    assert made.out().isfinite().all()  # of 64 positions four are left, and texts have seven
    with pytest.raises(UserError, match="no room for a prompt of 64"):
        tuned("bert", "prompt", length=64)


def test_mixed_has_the_rates_that_it_names_and_freezes_at_0(tuned: Callable[..., Any]) -> None:
    rates = {"note": 0.004, "note.backbone": 0.002, "fusion": 0.0, "y": 0.001}
    made = tuned("bert", "mixed", rates=rates, decay=0.5)
    settings = Training(lr=0.01, pretrained_lr=0.1, weight_decay=0.0)
    found = {
        id(p): group["peak"]
        for group in optimizer(made.model, settings).param_groups
        for p in group["params"]
    }
    own = dict(made.model.named_parameters())
    rate = {name: found.get(id(p)) for name, p in own.items()}
    deep = "encoders.0.tuned.backbone.model."
    assert {v for k, v in rate.items() if k.startswith("fusion")} == {None}
    assert {v for k, v in rate.items() if k.startswith("heads")} == {0.001}
    assert rate["encoders.0.tuned.project.weight"] == 0.004
    assert rate[deep + "encoder.layer.1.output.dense.weight"] == 0.002
    assert rate[deep + "encoder.layer.0.output.dense.weight"] == 0.001
    assert rate[deep + "embeddings.word_embeddings.weight"] == 0.0005
    with pytest.raises(UserError, match="did you mean 'fusion'"):
        tuned("bert", "mixed", rates={"fusoin": 0.1})


def test_mixed_that_freezes_all_is_one_clear_error(tuned: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="'tuning: mixed' leaves nothing to learn"):
        tuned("bert", "mixed", rates={"note": 0.0, "fusion": 0.0, "y": 0.0})


def test_statistics_of_frozen_batch_norms_stay(tuned: Callable[..., Any]) -> None:
    made = tuned("resnet", "mixed", rates={"note.backbone": 0.0})
    before = {k: v.clone() for k, v in made.model.state_dict().items() if "running" in k}
    made.step()
    assert before and all(torch.equal(v, made.model.state_dict()[k]) for k, v in before.items())


@pytest.mark.parametrize("mode", ["prompt", "prefix", "feed_forward", "lora"])
def test_a_model_that_is_not_made_for_it_is_one_clear_error(
    mode: str, tuned: Callable[..., Any]
) -> None:
    with pytest.raises(UserError, match="tuning"):
        tuned("resnet", mode)


# The others say what is to learn of any model.
@pytest.mark.parametrize(
    ("mode", "options"), [one for one in MODES if one[0] not in ("full", "mixed", "head")], ids=str
)
def test_without_anything_pretrained_there_is_nothing_to_tune(
    mode: str, options: dict[str, Any], plain: Callable[[str], Any]
) -> None:
    model, batch = plain("bert")
    for module in model.modules():
        if getattr(module, "is_backbone", False):
            module.is_backbone = False
    tuning = lookup.build("tuning", {"name": mode, **options})
    tuning.shape(model)
    with pytest.raises(UserError, match="has nothing to tune"):
        tuning.choose(model, batch)


def test_what_a_parent_has_learned_counts_as_pretrained(plain: Callable[[str], Any]) -> None:
    model, batch = plain("bert")
    model.encoders[0].is_backbone = True
    names = {name for name, _ in model.named_parameters()}
    lookup.build("tuning", "head").choose(model, batch)
    free = {name for name, p in model.named_parameters() if p.requires_grad}
    assert free == {name for name in names if not name.startswith("encoders")}
    lookup.build("tuning", {"name": "lora", "rank": 1}).choose(model, batch)
    inside = {name for name, p in model.named_parameters() if p.requires_grad} - free
    assert inside and all("lora" in name for name in inside)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("lora", {"rank": 0}),
        ("lora", {"dropout": 1.0}),
        ("lora", {"alpha": 0.0}),
        ("prompt", {"length": 0}),
        ("prefix", {"lr": 0.0}),
        ("encoder", {"names": []}),
        ("mixed", {"rates": {"fusion": -1.0}}),
        ("mixed", {"rates": {}, "decay": 0.0}),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(mode: str, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"tuning: {mode}"):
        lookup.build("tuning", {"name": mode, **options})


def test_lora_without_its_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'polymodal\[peft\]'"):
        lookup.build("tuning", "lora").check()


def test_the_sentence_says_share_memory_and_what_is_frozen(tuned: Callable[..., Any]) -> None:
    made = tuned("bert", "lora", rank=1)
    told = learned(made.model, {"photo": 1_000_000}, "lora (rank=1)")
    frozen = count(p for p in made.model.parameters() if not p.requires_grad)
    assert told.frozen == frozen + 1_000_000
    assert told.sentence() == (
        f"lora (rank=1): {told.trainable:,} of {told.trainable + told.frozen:,} numbers learn "
        f"({100 * told.share:.2f} %), optimiser state {told.trainable * 8 / 2**20:.1f} MiB; "
        f"frozen: {frozen:,} numbers of note, the pretrained model of photo"
    )


@pytest.mark.parametrize("mode", ["lora", "prompt", "prefix"])
def test_what_is_added_moves_at_its_own_rate(mode: str, tuned: Callable[..., Any]) -> None:
    made = tuned("bert", mode, lr=0.123)
    peaks = {
        id(p): group["peak"]
        for group in optimizer(made.model, Training(lr=0.01)).param_groups
        for p in group["params"]
    }
    inside = {id(p) for p in made.model.encoders[0].tuned.backbone.parameters()}
    assert {rate for key, rate in peaks.items() if key in inside} == {0.123}
    assert {rate for key, rate in peaks.items() if key not in inside} == {0.01}


@pytest.mark.parametrize("mode", ["feed_forward", "lora", "prompt", "prefix"])
def test_only_the_modalities_that_it_names_are_tuned(mode: str, tuned: Callable[..., Any]) -> None:
    made = tuned("bert", mode, names=["photo"])
    assert made.tuning.reaches("photo") and not made.tuning.reaches("note")
    assert count(made.learns().values()) == new(made.plain)
    assert set(made.model.state_dict()) == set(made.plain.state_dict())


def test_lora_drops_its_inputs_in_training_alone(tuned: Callable[..., Any]) -> None:
    made = tuned("bert", "lora", dropout=0.5)
    for layer in made.model.modules():
        if hasattr(layer, "lora_B"):
            torch.nn.init.normal_(layer.lora_B["default"].weight)
    assert torch.equal(made.out(), made.out())
    for backbone in (m for m in made.model.modules() if isinstance(m, torch.nn.Dropout)):
        backbone.p = 0.5 if backbone.p == 0.5 else 0.0
    made.model.train()
    one, other = (made.model(made.batch.inputs).logits["y"] for _ in range(2))
    assert not torch.equal(one, other)


@pytest.mark.parametrize("mode", ["prompt", "prefix"])
def test_vectors_move_by_how_large_they_begin(mode: str, tuned: Callable[..., Any]) -> None:
    made = tuned("bert", mode)
    params = dict(made.model.named_parameters())
    assert made.model.rates
    for name, rate in made.model.rates.items():
        assert rate == pytest.approx(0.05 * float(params[name].detach().std()))
