"""Speech recognition: units, costs, texts, measures, and fits of sounds that spell letters."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typed import one_error, polymodal

import polymodal as pm
from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.defaults import default
from polymodal.contract.recipe import Recipe
from polymodal.contract.task import Pass
from polymodal.fitting.plan import Facts, members
from polymodal.fitting.sizes import sizes
from polymodal.nn import ctc
from polymodal.prepared.targets import prepared
from polymodal.report.console import Show
from polymodal.tasks._heard import Letters, Merged, spoken
from polymodal.tasks.transcribe import HEAD, NEVER, Transcribe

WIDTH = 8
CELLS = ["Abba!", "cab", None, "a", "bab, cab", "..."]
TRAINING = {
    "epochs": 14,
    "batch_size": 16,
    "lr": 0.01,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}
EAR = {"name": "crnn", "hidden": 32, "stride": 2}
FORM = {"rate": 8000, "mels": 16, "seconds": 3}


def fitted(cells=CELLS, **options) -> Transcribe:
    task = lookup.build("tasks", {"name": "transcribe", **options}, "said")
    task.introduce({"sound": {"sound": "audio"}}, lambda name: [])
    task.fit(cells)
    return task


def field(task, cells):
    return prepared(task, cells).gather(np.arange(len(cells)))


def fused(counts, length=None, seed=0) -> Fused:
    draw = torch.Generator().manual_seed(seed)
    rows, length = len(counts), length or max(counts)
    mask = torch.arange(length) < torch.tensor(counts).unsqueeze(1)
    values = torch.stack([torch.randn(40, WIDTH, generator=draw) for _ in counts])[:, :length]
    values = torch.where(mask.unsqueeze(-1), values, 0)
    pooled = torch.randn(rows, WIDTH, generator=draw)
    return Fused(pooled, {"sound": Tokens(values, mask)})


def head(task):
    torch.manual_seed(0)
    return task.heads(WIDTH, [], 0.0, {"sound": None}).eval()


def done(task, given, target=None):
    return Pass({}, given, head(task)(given).output, target=target)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Don’t STOP — now!", "don't stop now"),
        ('\'tis "so"  e\u0301tudes', "tis so \u00e9tudes"),
        ("re-do 3.5 %", "re do 3 5"),
        ("今日は、いい", "今日は いい"),
        ("...", ""),
    ],
)
def test_spoken_has_no_capitals_and_no_marks(text, said):
    assert spoken(text) == said


def test_targets_are_units_and_come_back():
    for units in ("letters", "pieces"):
        task = fitted(units=units)
        arrays = task.encode(CELLS)
        texts = [None if one is None else task.truth(one) for one in arrays]
        assert texts == ["abba", "cab", None, "a", "bab cab", None]
        assert all(ctc.BLANK not in one for one in arrays if one is not None)
    assert isinstance(fitted(units="letters").tokens, Letters)
    plain = fitted(units="letters", normal=False)
    assert plain.truth(plain.encode(["Abba!"])[0]) == "Abba!"
    assert plain.is_known("...") and not fitted().is_known("...")
    assert [severity for severity, _ in fitted().remarks()] == ["warning"]


def test_pieces_where_words_come_back():
    assert isinstance(fitted().tokens, Letters)
    often = fitted(["yes", "no", "no no"] * 10)
    assert isinstance(often.tokens, Merged) and often.encode(["yes"])[0].shape == (1,)
    assert isinstance(fitted(["yes", "no"] * 20, units="letters").tokens, Letters)
    small = fitted(["yes no"] * 20 + ["no"], units="pieces", vocabulary=261)
    assert small.encode(["yes"])[0].shape == (4,)  # a blank and letters: nothing is merged


def test_a_letter_that_no_text_had_is_told():
    task = fitted()
    assert task.is_unseen("abd") and not task.is_unseen("ABC")
    with pytest.raises(UserError, match="has the letter 'd', which no training row had"):
        task.encode(["abd"])
    assert not fitted(units="pieces").is_unseen("abd")
    with pytest.raises(UserError, match="several texts"):
        fitted([["a", "b"], "c"])


def test_of_several_sounds_the_one_that_is_named_is_heard():
    both = {"a": {"a": "audio"}, "b": {"b": "audio"}, "note": {"note": "text"}}
    for name in "ab":
        task = lookup.build("tasks", {"name": "transcribe", "modality": name}, "said")
        task.introduce(both, lambda column: [])
        task.fit(CELLS)
        assert task.asks == {name: ("timed",)} and task.state["modality"] == name
    with pytest.raises(UserError, match="does not read 'b'"):
        task.heads(WIDTH, [], 0.0, {"a": None})


def test_restored_from_json():
    for units in ("letters", "pieces"):
        task = fitted(units=units)
        again = lookup.build("tasks", {"name": "transcribe", "units": units}, "said")
        again.state = json.loads(json.dumps(task.state))
        assert again.state == task.state and again.modality == "sound"
        for ours, theirs in zip(again.encode(CELLS), task.encode(CELLS), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_the_loss_is_torchs_ctc_a_unit():
    task, counts = fitted(), [9, 5, 3, 4, 12, 6]
    target, given = field(task, CELLS), fused(counts)
    own = done(task, given, target)
    known = [0, 1, 3, 4]
    logs = own.output["logs"][known].transpose(0, 1)
    lengths = torch.tensor([4, 3, 1, 7])
    wanted = torch.nn.functional.ctc_loss(
        logs,
        target.data[known],
        torch.tensor([counts[i] for i in known]),
        lengths,
        reduction="sum",
    )
    assert task.loss(own).item() == pytest.approx(wanted.item() / lengths.sum().item())
    each = -torch.log(task.likelihood(own))[known] * lengths
    assert each.sum().item() == pytest.approx(wanted.item(), rel=1e-5)
    answers = task.answer(own)
    targets = [one for one in task.encode(CELLS) if one is not None]
    mine = [answers[i] for i in known]
    assert task.criterion(mine, targets) == pytest.approx(task.loss(own).item(), rel=1e-5)


def test_a_text_without_room_teaches_nothing_and_costs_what_is_finite():
    """Of "abba" every letter has a token, and none is left for the blank between the two b."""
    task = fitted()
    short, target = fused([4, 5, 3, 4, 12, 6]), field(task, CELLS)
    own = done(task, short, target)
    others = done(task, short, field(task, [None, *CELLS[1:]]))
    assert task.loss(own).item() == task.loss(others).item()
    scores = head(task)(short).output["logs"][:1].detach().requires_grad_()
    lone = {"logs": scores, "counts": torch.tensor([4])}
    loss = task.loss(Pass({}, short, lone, target=field(task, CELLS[:1])))
    loss.backward()
    assert loss.item() == 0 and (scores.grad == 0).all()
    answers = task.answer(own)
    assert answers[0][1] == pytest.approx(4 * NEVER) and np.isfinite(np.concatenate(answers)).all()
    assert task.likelihood(own)[0] == 0 and task.room(task.encode(["abba"])[0]) == 5


def test_padding_and_company_change_nothing():
    task, counts = fitted(), [9, 5, 3, 4, 12, 6]
    target = field(task, CELLS)
    own = done(task, fused(counts), target)
    wanted = task.answer(own)
    target.data[~target.mask] = 2
    longer = task.answer(done(task, fused(counts, length=30), target))
    for a, b in zip(longer, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    whole = fused(counts)
    for row in range(6):
        tokens = whole.tokens["sound"]
        values, mask = tokens.values[row : row + 1], tokens.mask[row : row + 1]
        one = Fused(whole.pooled[row : row + 1], {"sound": Tokens(values, mask)})
        (alone,) = task.answer(done(task, one, field(task, CELLS[row : row + 1])))
        np.testing.assert_allclose(alone, wanted[row], rtol=1e-5)


def test_texts_come_with_their_log_likelihood_in_every_manner():
    task, given = fitted(), fused([9, 5, 0])
    own = head(task)
    logs = own(given).output["logs"]

    def cost(text, row):
        ids, lengths = ctc.padded([task.form.encode(text).tolist()], logs.device)
        counts = torch.tensor([[9, 5][row]])
        return -ctc.nats(logs[row : row + 1], counts, ids, lengths).item()

    plain = task.write(own, given, {})
    beams = task.write(own, given, {"beams": 8, "samples": 3})
    for row in range(2):
        ((said,), several) = plain[row], beams[row]
        assert said.log_likelihood == pytest.approx(cost(said.text, row), rel=1e-4)
        assert len(several) == 3 and said.read == [9, 5][row]
        found = [one.log_likelihood for one in several]
        assert found == sorted(found, reverse=True) and found[0] >= said.log_likelihood - 1e-6
    assert plain[2][0].text == "" and plain[2][0].log_likelihood == 0
    ((chosen,), *_) = task.write(own, given, {"choices": ["cab", "a b", "abab"]})
    assert chosen.text == max(chosen.choices, key=lambda text: chosen.choices[text][0])
    assert chosen.choices["cab"][0] == pytest.approx(cost("cab", 0), rel=1e-4)
    ((told,), *_) = task.write(own, given, {"choices": ["Ca B!", "Abba?"]})
    assert set(told.choices) == {"Ca B!", "Abba?"} and told.text in told.choices
    (blank,) = task.blank({"choices": ["Ca B!", "Abba?"]})
    assert set(blank.choices) == set(told.choices) and blank.text in blank.choices
    assert len(task.blank({"beams": 8, "samples": 3})) == 3
    assert "".join(task.stream(own, given, {})) == plain[0][0].text
    parts = [part for step in task.parts(own, given, {}) for part in step]
    assert [part.said for part in parts] == [said for (said,) in plain]
    wide = fitted(decoding={"beams": 8})
    assert wide.write(own, given, {})[0][0].text == beams[0][0].text
    neutral = {"temperature": 0, "top_k": 0, "top_p": 1.0}
    assert task.write(own, given, neutral)[0] == plain[0] == task.write(own, given, {"beams": 4})[0]
    assert task.write(own, given, {"beams": 1})[0][0].text == task.tokens.text(
        ctc.greedy(logs[0].detach().numpy())
    )
    for how in ({"temperature": 1.0}, {"pattern": "a"}, {"stop": ["a"]}, {"longest": 2}):
        with pytest.raises(UserError, match="takes no"):
            task.write(own, given, how)


def test_error_rates_are_all_edits_over_all_words():
    """Five words; one is another, one too many, one lacks: .6, not the mean of the rows' rates."""
    task = fitted(["a b c", "c", "a", "ab"], units="letters")
    said, wanted = ["a c c", "c c", ""], ["a b c", "c", "a"]
    texts = [task.form.encode(text) if text else np.zeros(0) for text in said]
    answers = [np.array([0, 0, 0, *units]) for units in texts]
    found = task.metrics(answers, [task.form.encode(text) for text in wanted])
    values = {name: metric.statistic(np.ones((1, 3)))[0] for name, metric in found.items()}
    assert values == pytest.approx({"wer": 3 / 5, "cer": 4 / 7, "exact_match": 0})
    assert next(iter(found)) == task.primary == "wer" and task.metrics([], []) == {}
    assert not found["wer"].greater_is_better
    assert task.judged(answers, [task.form.encode("a c c")] * 3).right.tolist() == [True, 0, 0]
    assert task.decode(answers)["said"] == said


def test_it_is_the_default_of_one_sound_alone():
    assert default("text", ["audio"]) == "transcribe"
    assert default("text", ["audio", "text"]) == default("text", ["image"]) == "generate"


@pytest.mark.parametrize("several", [["a dog barks", "barking"], '["a dog barks", "barking"]'])
def test_several_texts_of_a_sound_are_captions(several) -> None:
    def told(*cells):
        return default("text", ["audio"], lambda: ["a bell", None, *cells])

    assert told(several) == "generate" and told("[sic]", '["a dog barks"]') == "transcribe"


# -- fits: sounds whose letters are tones -----------------------------------------------------


def spell(folder: Path, count: int, seed: int = 0) -> Path:
    """A table of sounds: a, b and c are tones of a tenth of a second, with gaps between."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        text = "".join(rng.choice(list("abc"), rng.integers(1, 5)))
        parts = []
        for letter in text:
            time = np.arange(800) / 8000
            tone = np.sin(2 * np.pi * {"a": 400, "b": 900, "c": 2000}[letter] * time)
            parts += [tone / 3, np.zeros(int(rng.integers(320, 480)))]
        sound = np.concatenate(parts) + rng.normal(0, 0.01, sum(map(len, parts)))
        soundfile.write(folder / f"{seed}-{i}.wav", sound, 8000)
        rows.append((f"{seed}-{i}.wav", text.upper()))
    path = folder / f"{seed}.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("sound", "said"), *rows])
    return path


def recipe(**task) -> Recipe:
    model = {
        "name": "ear",
        "modalities": {"sound": {"encoder": EAR, "form": FORM, "augment": False}},
        "width": 16,
        "training": TRAINING,
    }
    target = {"name": "transcribe", **task} if task else None
    data = {"kinds": {"said": "text"}, "valid": 0.2}
    return Recipe.model_validate({"targets": {"said": target}, "data": data, "models": [model]})


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spelled")
    return spell(folder, 140), spell(folder, 30, 1)


@pytest.fixture(scope="module")
def heard(tables, tmp_path_factory):
    out = tmp_path_factory.mktemp("heard") / "run"
    return pm.fit(tables[0], recipe=recipe(), out=out, show=Show.silent()), out


def test_a_fit_hears_letters(heard, tables, tmp_path):
    run, out = heard
    assert isinstance(run.tasks["said"], Transcribe)
    found = pm.evaluate(pm.load(out), tables[1], contributions="none", explain=0)
    assert found.targets["said"]["wer"]["value"] < 0.3
    assert found.targets["said"]["cer"]["value"] < 0.1
    found.save(tmp_path / "test")
    with (tmp_path / "test" / "samples.csv").open() as file:
        samples = list(csv.DictReader(file))
    assert len(samples) == 20 and set(samples[0]) >= {"said.reference", "said.written"}
    assert "lower case without punctuation" in found.text()
    predicted = run.predict(tables[1])
    assert list(predicted) == ["row", "said", "said.log_likelihood"]
    assert all(log <= 0 for log in predicted["said.log_likelihood"])
    with tables[1].open() as file:
        rows = [{"sound": str(tables[1].parent / row["sound"])} for row in csv.DictReader(file)]
    wide = [own[0] for own in run.write(rows, beams=8)]
    assert [one.text for one in run.write(rows)[0]] == predicted["said"][:1]
    assert all(
        one.log_likelihood >= log - 1e-4
        for one, log in zip(wide, predicted["said.log_likelihood"], strict=True)
    )


def test_same_seed_same_answers(heard, tables):
    again = pm.fit(tables[0], recipe=recipe(), show=Show.silent())
    one, two = (run.predict(tables[1]) for run in (heard[0], again))
    assert one["said"] == two["said"]
    assert one["said.log_likelihood"] == two["said.log_likelihood"]


def test_rows_whose_sound_is_too_short_are_counted(tables, tmp_path, capsys):
    with tables[0].open() as file:
        rows = list(csv.reader(file))[:41]
    for row in rows[1:]:
        row[0] = str(tables[0].parent / row[0])
    rows[3][1] = rows[7][1] = "ab" * 100

    def save(name: str) -> Path:
        path = tmp_path / name
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        return path

    made = recipe(units="letters")
    made.models[0].training.epochs = 1
    run = pm.fit(save("some.csv"), recipe=made, show=Show.silent())
    (counted,) = (n for why, n in run.ledger["skipped"].items() if "longer than what" in why)
    assert counted == 2
    for row in rows[1:]:
        row[1] = "ab" * 100 + row[1]
    with pytest.raises(UserError, match="Too few sounds are long enough"):
        pm.fit(save("all.csv"), recipe=made, show=Show.silent())


def test_a_sound_is_heard_beside_other_columns_and_never_left_out(tables, tmp_path):
    with tables[0].open() as file:
        rows = list(csv.DictReader(file))[:40]
    path = tmp_path / "beside.csv"
    with path.open("w", newline="") as file:
        write = csv.writer(file).writerow
        write(["sound", "loud", "said"])
        for i, row in enumerate(rows):
            write([tables[0].parent / row["sound"], i * 0.37, row["said"]])
    described = recipe(units="letters").model_dump(exclude_unset=True)
    described["models"][0] |= {"training": {**TRAINING, "epochs": 1}, "fusion": "sum"}
    described["models"][0]["modalities"]["table"] = {}
    described["rivals"] = True
    run = pm.fit(path, recipe=Recipe.model_validate(described), show=Show.silent())
    assert [member.name for member in run.recipe.models] == ["ear", "sound"]
    known = Facts(40, along=frozenset({"sound"}), solvable=False)
    planned = members(run.schema, known, Recipe())
    assert len(planned) > 1 and all("sound" in member.modalities for member in planned)
    del described["models"][0]["modalities"]["sound"]
    with pytest.raises(UserError, match="does not read 'sound'"):
        pm.fit(path, recipe=Recipe.model_validate(described), show=Show.silent())


def test_lengths_are_the_tokens_that_there_are():
    from polymodal.contract.batch import Field

    folder = "modalities/audio/encoders"
    for name in lookup.names(folder):
        cls = lookup.find(folder, name)
        if not cls.timed:
            continue
        for options in ({"stride": 1}, {"stride": 2}, {}) if name == "crnn" else ({},):
            form = lookup.build("modalities/audio/forms", {"name": cls.form, "rate": 8000})
            size = getattr(form, "mels", 1)
            encoder = lookup.build(folder, {"name": name, **options}, form, WIDTH).eval()
            counts = torch.tensor([1, 2, 399, 400, 401, 1000, 0])
            mask = torch.arange(1000) < counts.unsqueeze(1)
            given = Field(torch.randn(7, 1000, size), mask, counts > 0)
            with torch.no_grad():
                tokens = encoder(given)
            assert tokens.mask.sum(1).tolist() == encoder.lengths(counts).tolist()
            assert (tokens.mask[:, :-1] >= tokens.mask[:, 1:]).all()


def test_every_option_of_the_ear_changes_it():
    folder = "modalities/audio/encoders"
    form = lookup.build("modalities/audio/forms", {"name": "mel", "rate": 8000})

    def built(**options):
        torch.manual_seed(0)
        return lookup.build(folder, {"name": "crnn", **options}, form, WIDTH)

    def size(**options):
        return sum(parameter.numel() for parameter in built(**options).parameters())

    assert len({size(), size(channels=32), size(hidden=32), size(depth=2)}) == 4
    drops = {m.p for m in built(dropout=0.3).modules() if isinstance(m, torch.nn.Dropout)}
    assert drops == {0.3}
    with pytest.raises(UserError, match="stride=3 is not possible"):
        built(stride=3)


def test_its_size_is_told_without_a_decoder(tables):
    made = recipe(units="letters").model_copy(update={"train": str(tables[0])})
    (found,) = sizes(made)
    assert found.decoders == {} and found.parts["said"] == 2 * 16 * 4 + 4


def test_there_is_nothing_to_reason_about(heard, tables):
    from polymodal.reason.local import Local

    with pytest.raises(UserError, match="written without a decoder"):
        Local(heard[0], tables[1])


def test_a_pretrained_model_learns_to_hear_speech(checkpoint, tables, tmp_path):
    """Frozen it has one token a sound, along which nothing can be written down."""
    own = recipe(units="letters").model_dump(exclude_unset=True)
    own["models"][0]["modalities"] = {"sound": {"pretrained": checkpoint("wav2vec2"), "tune": True}}
    run = pm.fit(
        tables[1], recipe=Recipe.model_validate(own), out=tmp_path / "run", show=Show.silent()
    )
    assert run.members["ear"].module.encoders[0].tuned.window == 1
    said = run.predict(tables[1])
    assert (
        pm.load(tmp_path / "run").predict(tables[1]) == said
        and np.isfinite(said["said.log_likelihood"]).all()
    )
    own["models"][0]["modalities"]["sound"].pop("tune")
    with pytest.raises(UserError, match="does not suit") as caught:
        pm.fit(tables[1], recipe=Recipe.model_validate(own), show=Show.silent())
    assert "timed" in caught.value.expected and "tune" in caught.value.do


def run_on(folder: Path, text: str, task: str = "{name: transcribe}") -> int:
    for i in range(24):
        soundfile.write(folder / f"{i}.wav", np.random.default_rng(i).normal(0, 0.1, 4000), 8000)
    (folder / "t.csv").write_text(text)
    (folder / "r.yaml").write_text(
        f"train: t.csv\ntargets: {{said: {task}}}\ndata: {{kinds: {{said: text}}, valid: 0.25}}"
    )
    return polymodal("fit", "r.yaml", "--out", "new")


def table(head: str, row: str) -> str:
    words = ["yes", "no"]
    return "\n".join([head, *[row.format(i=i, w=words[i % 2]) for i in range(24)], ""])


BAD = {
    "no sound": (table("note,said", "a note of {i},{w}"), {}, "writes down one column of sounds"),
    "two sounds": (table("a,b,said", "{i}.wav,{i}.wav,{w}"), {}, "got: a, b of the inputs"),
    "no such sound": (
        table("a,b,said", "{i}.wav,{i}.wav,{w}"),
        {"task": "{name: transcribe, modality: c}"},
        "cannot hear 'c'",
    ),
    "no text": (table("a,said", "{i}.wav,..."), {}, "nothing to learn"),
    "unknown units": (
        table("a,said", "{i}.wav,{w}"),
        {"task": "{name: transcribe, units: phones}"},
        "cannot write 'phones'",
    ),
    "a manner of decoders": (
        table("a,said", "{i}.wav,{w}"),
        {"task": "{name: transcribe, decoding: {temperature: 1}}"},
        "takes no temperature",
    ),
    "texts that no sound has room for": (
        table("a,said", "{i}.wav," + "{w} " * 90),
        {"task": "{name: transcribe, units: letters}"},
        "too few sounds are long enough",
    ),
}


@pytest.mark.whole
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_error(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    text, options, says = BAD[name]
    assert run_on(tmp_path, text, **options) == 2
    one_error("".join(capsys.readouterr()), says)
    assert not (tmp_path / "new").exists()


def test_a_test_table_with_letters_never_seen_is_one_clear_error(
    heard, tables, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    sound = "1-0.wav"
    (tmp_path / "t.csv").write_text(f"sound,said\n{tables[1].parent / sound},abd\n")
    assert polymodal("evaluate", str(heard[1]), "--data", "t.csv", "--out", "found") == 2
    one_error("".join(capsys.readouterr()), "has the letter 'd', which no training row had")


def test_what_validation_does_not_ask_for_is_not_written(monkeypatch):
    task, given = fitted(), fused([9, 5, 0])
    own, target = head(task), field(task, CELLS[:3])
    wanted = task.answer(done(task, given, target))
    assert max(map(len, wanted)) > HEAD
    own.silent = True
    monkeypatch.setattr(ctc, "prefix_beam", None)
    found = task.answer(Pass({}, given, own(given, target).output, target=target))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one[1:], other[1:HEAD])
