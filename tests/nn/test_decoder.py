"""Decoders: parity with transformers, what is masked, the cache, gradients in parts."""

from __future__ import annotations

import pytest
import torch

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.nn import decoder as module
from polymodal.nn.decoder import Prompt, Running

PIECES = 40
CASES = [("gpt2", False), ("gpt2", True), ("llama", False), ("qwen3", False)]
every_decoder = pytest.mark.parametrize(("name", "crosses"), CASES)


def ids(rows: int, length: int) -> torch.Tensor:
    return torch.randint(0, PIECES, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3"])
def test_logits_are_those_of_transformers(name, built):
    from transformers import GPT2LMHeadModel, LlamaForCausalLM, Qwen3ForCausalLM

    ours = built(name)
    config = ours.model.config
    config.tie_word_embeddings = True
    theirs_of = {"gpt2": GPT2LMHeadModel, "llama": LlamaForCausalLM, "qwen3": Qwen3ForCausalLM}
    theirs = theirs_of[name](config).eval()
    theirs.base_model.load_state_dict(ours.model.state_dict())
    theirs.tie_weights()
    given = ids(2, 9)
    wanted = theirs(input_ids=given).logits
    vectors = ours.embed(given)
    found = ours.logits(ours.states(Prompt(vectors, torch.ones(2, 9, dtype=torch.bool))))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3"])
def test_weights_of_few_inputs_are_spread_farther(name):
    """At 0.02, which suits 768 inputs, attention of 64 starts flat and learns late."""
    made = lookup.build("nn/decoders", {"name": name, "hidden": 64, "depth": 1}, 512, False)
    spread = float(made.model.get_input_embeddings().weight.detach().std())
    assert spread == pytest.approx(0.02 * (768 / 64) ** 0.5, rel=0.05)


@every_decoder
@pytest.mark.parametrize("kernel", ["sdpa", "plain"])
def test_masked_places_change_nothing_wherever_they_stand(
    name, crosses, kernel, built, prompt, one
):
    """Nothing, their gradients included: a row is as if they were cut out."""
    ours = built(name, crosses)
    ours.backbone.attention = kernel
    given = prompt(3, 7, crosses)
    text, real = ids(3, 4), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]).bool()
    found = ours.taught(given, text, real)
    assert (found[~real] == 0).all() and (found[real] < 0).all()
    for row in range(3):
        alone = one(given, row)
        count = int(real[row].sum())
        mask = torch.ones(1, count, dtype=torch.bool)
        wanted = ours.taught(alone, text[row : row + 1, :count], mask)
        torch.testing.assert_close(found[row : row + 1, :count], wanted, atol=1e-5, rtol=1e-5)
    (-found.sum()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in ours.parameters())


@every_decoder
def test_what_is_cached_is_what_would_be_computed_again(name, crosses, built, prompt):
    ours, given, text = built(name, crosses), prompt(3, 6, crosses), ids(3, 5)
    with torch.no_grad():
        running = Running(ours, given)
        steps = [running.logits]
        for place in range(4):
            running.write(text[:, place])
            steps.append(running.logits)
        found = torch.stack(steps, 1).log_softmax(-1).gather(2, text.unsqueeze(2))[..., 0]
        wanted = ours.taught(given, text, torch.ones(3, 5, dtype=torch.bool))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@every_decoder
def test_rows_may_be_chosen_on_the_way(name, crosses, built, prompt):
    ours, given, text = built(name, crosses), prompt(3, 6, crosses), ids(3, 5)
    order = torch.tensor([2, 0, 2])
    with torch.no_grad():
        running = Running(ours, given)
        running.write(text[:, 0])
        running.take(order)
        running.write(text[order, 1])
        other = Running(ours, given.take(order))
        other.write(text[order, 0])
        other.write(text[order, 1])
    torch.testing.assert_close(running.logits, other.logits, atol=1e-5, rtol=1e-5)


def test_gradients_in_parts_are_those_of_the_whole(monkeypatch, built, prompt):
    ours, given, text = built("gpt2"), prompt(3, 6), ids(3, 5)
    mask = torch.ones(3, 5, dtype=torch.bool)

    def gradients() -> list[torch.Tensor]:
        ours.zero_grad()
        ours.taught(given, text, mask).sum().backward()
        return [p.grad.clone() for p in ours.parameters() if p.grad is not None]

    whole = gradients()
    monkeypatch.setattr(module, "MOST", 4 * PIECES)
    for one, other in zip(whole, gradients(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_the_memory_is_read_and_not_by_others(built, prompt):
    ours, given, text = built("gpt2", True), prompt(3, 6, True), ids(3, 5)
    mask = torch.ones(3, 5, dtype=torch.bool)
    before = ours.taught(given, text, mask)
    assert given.memory is not None and given.seen is not None
    given.memory[1, given.seen[1]] += 1.0
    after = ours.taught(given, text, mask)
    assert (before[1] != after[1]).any()
    assert torch.equal(before[[0, 2]], after[[0, 2]])


def test_more_places_than_the_context_are_an_error(built, prompt):
    ours = built("gpt2", context=8)
    with pytest.raises(UserError, match="needs 10 places, and the decoder has 8"):
        ours.taught(prompt(1, 6), ids(1, 5), torch.ones(1, 5, dtype=torch.bool))


@pytest.mark.parametrize(
    ("option", "value"), [("hidden", 32), ("depth", 1), ("heads", 4), ("context", 128)]
)
@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3"])
def test_every_size_is_one_of_the_model(name, option, value, built):
    config = built(name, **{option: value}).model.config
    known = {
        "hidden": config.hidden_size,
        "depth": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "context": config.max_position_embeddings,
    }
    assert known[option] == value


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_groups_and_feed_are_sizes_of_the_model(name):
    spec = {"name": name, "hidden": 32, "heads": 4, "groups": 2, "feed": 48, "depth": 1}
    config = lookup.build("nn/decoders", spec, PIECES, False).model.config
    assert (config.num_key_value_heads, config.intermediate_size) == (2, 48)
    with pytest.raises(UserError, match="3 groups of keys and values do not divide 4"):
        lookup.build("nn/decoders", {**spec, "groups": 3}, PIECES, False)
    with pytest.raises(UserError, match="heads are of an odd width"):
        lookup.build("nn/decoders", {**spec, "hidden": 36}, PIECES, False)


def test_dropout_is_of_training_alone(built, prompt):
    ours = built("gpt2", dropout=0.5)
    given, text, mask = prompt(2, 4), ids(2, 3), torch.ones(2, 3, dtype=torch.bool)
    assert torch.equal(ours.taught(given, text, mask), ours.taught(given, text, mask))
    ours.train()
    assert not torch.equal(ours.taught(given, text, mask), ours.taught(given, text, mask))


def test_the_published_size_of_gpt2_small():
    with torch.device("meta"):
        spec = {"name": "gpt2", "hidden": 768, "depth": 12, "heads": 12}
        found = lookup.build("nn/decoders", spec, 50257, False)
    assert sum(p.numel() for p in found.parameters()) == 124_439_808
