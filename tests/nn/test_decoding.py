"""Writing: what is likeliest, what is drawn, beams; batches, ends and reasons to stop."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.nn.decoding import pieces, write
from polymodal.nn.manner import Manner, Text

PIECES = 40
CASES = [("gpt2", False), ("gpt2", True), ("llama", False), ("qwen3", False)]
every_decoder = pytest.mark.parametrize(("name", "crosses"), CASES)


def manner(**options) -> Manner:
    return Manner(**{"longest": 8, **options})


def some_end(decoder, given) -> int:
    """A piece that the decoder writes in some rows soon, in others late or never."""
    found = [own[0].ids for own in write(decoder, given, PIECES, manner())]
    counts = Counter(piece for ids in found for piece in set(ids[1:]) - {ids[0]})
    few = [piece for piece, count in counts.most_common() if count < len(found)]
    return few[0] if few else counts.most_common(1)[0][0]


def said(texts: list[list[Text]]) -> list[list[list[int]]]:
    return [[text.ids for text in own] for own in texts]


@every_decoder
@pytest.mark.parametrize(
    "how", [{}, {"beams": 3, "samples": 2}, {"temperature": 1.5, "samples": 3, "seed": 4}]
)
def test_a_row_alone_is_a_row_among_eight(name, crosses, how, built, prompt, one):
    """Whatever stands at masked places, and however many there are."""
    decoder, given = built(name, crosses), prompt(8, 7, crosses)
    end = some_end(decoder, given)
    together = write(decoder, given, end, manner(**how))
    assert len({len(text.ids) for own in together for text in own}) > 1
    for row, own in enumerate(together):
        (alone,) = write(decoder, one(given, row), end, manner(**how))
        assert [text.ids for text in alone] == [text.ids for text in own]
        assert [text.ended for text in alone] == [text.ended for text in own]
        for a, b in zip(alone, own, strict=True):
            assert a.logs == pytest.approx(b.logs, abs=1e-4)


@every_decoder
def test_the_likeliest_piece_is_what_transformers_writes(name, crosses, built, prompt):
    """`generate` of the same weights, with its own cache and masks."""
    from transformers import GPT2LMHeadModel, LlamaForCausalLM, Qwen3ForCausalLM

    decoder, given = built(name, crosses), prompt(6, 7, crosses)
    end = some_end(decoder, given)
    config = decoder.model.config
    config.tie_word_embeddings = True
    kinds = {"gpt2": GPT2LMHeadModel, "llama": LlamaForCausalLM, "qwen3": Qwen3ForCausalLM}
    model = kinds[name](config).eval()
    model.base_model.load_state_dict(decoder.model.state_dict())
    model.tie_weights()
    more = {}
    if crosses:
        more = {"encoder_hidden_states": given.memory, "encoder_attention_mask": given.seen}
    found = model.generate(
        inputs_embeds=given.vectors,
        attention_mask=given.mask.long(),
        max_new_tokens=8,
        do_sample=False,
        eos_token_id=end,
        pad_token_id=end,
        **more,
    )
    wanted = [row[: row.index(end)] if end in row else row for row in found.tolist()]
    assert [own[0].ids for own in write(decoder, given, end, manner())] == wanted


def test_log_probabilities_are_those_of_teaching(built, prompt):
    decoder, given = built("gpt2"), prompt(5, 6)
    end = some_end(decoder, given)
    for how in ({}, {"beams": 3}, {"temperature": 2.0, "top_k": 5}):
        texts = [own[0] for own in write(decoder, given, end, manner(**how))]
        for row, text in enumerate(texts):
            ids = torch.tensor([[*text.ids, *[end] * text.ended]])
            mask = torch.ones_like(ids, dtype=torch.bool)
            logs = decoder.taught(given.take(torch.tensor([row])), ids, mask)
            assert text.logs == pytest.approx(logs[0].tolist(), abs=1e-4)


def test_wide_beams_find_the_likeliest_of_all_texts(built, prompt):
    """Every text of at most three pieces is weighed by teaching."""
    decoder, given = built("gpt2"), prompt(2, 5)
    end = some_end(decoder, given)
    few = [end, *[piece for piece in (4, 5, 6, 7, 8) if piece != end][:4]]

    class Few:
        def start(self):
            return None

        def allowed(self, state):
            mask = torch.zeros(PIECES, dtype=torch.bool)
            mask[few] = True
            return mask

        def then(self, state, piece):
            return None

    for penalty in (0.0, 1.0):
        how = manner(longest=2, beams=40, samples=3, penalty=penalty)
        found = write(decoder, given, end, how, Few())
        for row in range(2):
            scores = {}
            for length in range(3):
                for text in itertools.product(few[1:], repeat=length):
                    ids = torch.tensor([[*text, end]])
                    mask = torch.ones_like(ids, dtype=torch.bool)
                    total = decoder.taught(given.take(torch.tensor([row])), ids, mask).sum()
                    scores[text] = total.item() / len(ids[0]) ** penalty
            best = sorted(scores, key=scores.__getitem__, reverse=True)[:3]
            assert [tuple(text.ids) for text in found[row]] == best


def test_reasons_to_stop_are_true(built, prompt):
    """A text that has ended goes on no more; one that has not has as many pieces as it may."""
    decoder, given = built("gpt2"), prompt(8, 6)
    end = some_end(decoder, given)
    for how in ({}, {"beams": 2}, {"temperature": 1.0}):
        for (text,) in write(decoder, given, end, manner(**how)):
            assert end not in text.ids
            assert len(text.logs) == len(text.ids) + text.ended
            assert text.ended or len(text.ids) == 8
    long = [own[0] for own in write(decoder, given, end, manner(longest=30))]
    ended = next(text for text in long if text.ended and text.ids)
    row, length = long.index(ended), len(ended.ids)
    exactly = write(decoder, given, end, manner(longest=length))[row][0]
    assert exactly.ended and exactly.ids == ended.ids
    cut = write(decoder, given, end, manner(longest=length - 1))[row][0] if length > 1 else None
    assert cut is None or (not cut.ended and cut.ids == ended.ids[:-1])


def test_pieces_come_one_by_one(built, prompt):
    decoder, given = built("gpt2"), prompt(4, 6)
    end = some_end(decoder, given)
    texts = [[] for _ in range(4)]
    steps = 0
    for rows, ids, _ in pieces(decoder, given, end, manner()):
        steps += 1
        for row, piece in zip(rows, ids, strict=True):
            if piece != end:
                texts[row].append(piece)
    assert steps > 1
    assert texts == [own[0].ids for own in write(decoder, given, end, manner())]


def test_drawn_pieces_come_as_often_as_they_are_likely(built, prompt):
    """First pieces of many samples against the model's probabilities; what is cut never comes."""
    decoder, given = built("gpt2"), prompt(1, 6)
    mask = torch.ones(1, 1, dtype=torch.bool)
    logs = torch.cat([decoder.taught(given, torch.tensor([[i]]), mask) for i in range(PIECES)])
    shares = logs.detach()[:, 0].div(0.7).softmax(0)

    def counted(**options) -> Counter:
        how = manner(longest=1, samples=4000, temperature=0.7, **options)
        (texts,) = write(decoder, given, PIECES, how)
        return Counter(text.ids[0] for text in texts)

    found, best = counted(), shares.argsort(descending=True)
    for piece in best[:5].tolist():
        p = float(shares[piece])
        assert found[piece] / 4000 == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 4000))
    assert set(counted(top_k=3)) == set(best[:3].tolist())
    needed = int((shares[best].cumsum(0) < 0.5).sum()) + 1
    assert set(counted(top_p=0.5)) == set(best[:needed].tolist())


def test_the_seed_decides_what_is_drawn(built, prompt):
    decoder, given = built("gpt2"), prompt(3, 6)
    end = some_end(decoder, given)
    state = torch.get_rng_state()
    first, again, other = (
        said(write(decoder, given, end, manner(temperature=1.0, samples=2, seed=seed)))
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert any(a != b for a, b in first)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_longer_text_is_worth_more_where_length_is_not_punished(built, prompt):
    decoder, given = built("gpt2"), prompt(8, 6)
    end = some_end(decoder, given)
    short, long = (
        sum(len(own[0].ids) for own in write(decoder, given, end, manner(beams=4, penalty=p)))
        for p in (0.0, 3.0)
    )
    assert short < long


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"longest": 0}, "longest=0"),
        ({"beams": 0}, "beams=0"),
        ({"temperature": -1.0}, "temperature=-1"),
        ({"top_p": 0.0, "temperature": 1.0}, "top_p=0"),
        ({"top_k": -1, "temperature": 1.0}, "top_k=-1"),
        ({"samples": 0}, "samples=0"),
        ({"beams": 2, "temperature": 1.0}, "drawn, or found by beams"),
        ({"top_k": 3}, "none is drawn"),
        ({"samples": 3, "beams": 2}, "samples=3 different texts"),
    ],
)
def test_what_does_not_go_together_is_an_error(options, message):
    with pytest.raises(UserError, match=message):
        manner(**options)
