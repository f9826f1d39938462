"""Which pretrained models a plan takes: what is there, what the time allows, what is said of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.beside import ENCODER
from polymodal.contract.kind import Kind, Weights, kinds
from polymodal.contract.recipe import Member, Modality, Recipe, Training, options_of
from polymodal.contract.resolve import overruled
from polymodal.fitting import backbones as seen
from polymodal.fitting import plan
from polymodal.fitting.backbones import Backbones, backbones, candidates, used
from polymodal.fitting.clock import EXPERT_SHARE, EXTRA_PART, FIRST_SHARE, SPARED, Clock
from polymodal.fitting.trials import _way
from polymodal.models.build import design
from polymodal.nn import checkpoint
from polymodal.table.media import Media
from polymodal.table.read import read
from polymodal.table.schema import Column, Schema

TEXT = kinds()["text"]
OWN = Kind.installed  # before any test runs
INSTALLED = Weights("MiniLM", "/installed/minilm", "some[extra]", "Apache-2.0", "English")
LACKING = Weights("Pictures", "", "some[pictures]", "MIT", "pictures of things")
SCHEMA = Schema((Column("note", "text"), Column("photo", "image"), Column("n", "number")), ())


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A text model is installed, one of pictures is not, and a second takes as long as it says."""
    told: dict[str, Any] = {"cached": [], "heard": [], "seconds": {INSTALLED.path: 10.0}}
    monkeypatch.setattr(Kind, "installed", OWN)
    monkeypatch.setattr(type(TEXT), "offered", lambda _: (INSTALLED,))
    monkeypatch.setattr(type(kinds()["image"]), "offered", lambda _: (LACKING,))
    monkeypatch.setattr(checkpoint, "cached", lambda path: path in told["cached"])

    def seconds(room: Any, one: Weights, sample: Any, count: int) -> float:
        if one.path not in told["seconds"]:
            raise UserError(f"no '{one.path}' could be had")
        return float(told["seconds"][one.path])

    monkeypatch.setattr(seen, "_sample", lambda *_: ([], 0))
    monkeypatch.setattr(seen, "_trainable", lambda room, one: one.path not in told["heard"])
    monkeypatch.setattr(seen, "_seconds", seconds)
    return told


def found(
    budget: float | None = None,
    tagged: frozenset[str] = frozenset(),
    own: dict[str, str] | None = None,
    written: bool = False,
    **keys: Any,
) -> Any:
    recipe, nothing = Recipe(budget=budget, **keys), SimpleNamespace()
    return backbones(nothing, SCHEMA, recipe, tagged, own or {}, written)  # type: ignore[arg-type]


def test_what_is_installed_comes_before_the_hub_and_none_takes_nothing(weights) -> None:
    first, second = (one.path for one in TEXT.hub)
    assert candidates(TEXT, "none") == []
    assert candidates(TEXT, "installed") == [INSTALLED]
    # Of one name the installed one is meant; what the hub's cache holds may be used unasked.
    weights["cached"] = [first, second]
    assert [one.path for one in candidates(TEXT, "installed")] == [INSTALLED.path, second]
    weights["cached"] = []
    assert [one.path for one in candidates(TEXT, "hub")] == [INSTALLED.path, second]


def test_small_pictures_are_no_photographs() -> None:
    def pictures(side: int) -> list[Media]:
        return [Media("image", values=np.zeros((side, 40, 3), np.uint8)) for _ in range(3)]

    image = kinds()["image"]
    assert not image.familiar(pictures(28)) and image.familiar(pictures(64))
    assert image.familiar([]) and TEXT.familiar(["a"])


def test_the_time_that_a_model_takes_is_measured_on_a_sample(bert_path) -> None:
    room, one = TEXT, Weights("M", bert_path, "", "", "")
    seconds = seen._seconds(room, one, ["the red house"] * 4, 4)
    assert 0 < seconds < seen._seconds(room, one, ["the red house"] * 4, 400_000)
    assert seen._seconds(room, one, [], 0) == 0 and seen._trainable(room, one)


def test_every_kinds_list_says_what_and_under_which_licence() -> None:
    for kind in kinds().values():
        for one in (*kind.hub, *kind.offered()):
            assert one.name and one.licence and one.knows
        assert all(one.path and not one.package for one in kind.hub)
        assert all(one.package for one in kind.offered())


def test_models_are_taken_while_their_readings_take_a_part_of_the_budget(weights) -> None:
    assert found(budget=10 / seen.FROZEN_PART + 1).of == {"note": [INSTALLED]}
    short = found(budget=10 / seen.FROZEN_PART - 1)
    # A decoder has little else to go by.
    assert found(budget=10 / seen.FROZEN_PART - 1, written=True).of == {"note": [INSTALLED]}
    assert found(budget=10 / seen.READ_PART - 1, written=True).of == {}
    assert short.of == {}
    (what,) = (one.what for one in short.findings if INSTALLED.name in one.what)
    assert "10 s for 'note'" in what and "budget" in what
    assert found(budget=None).of == {"note": [INSTALLED]}
    assert found(pretrained="none").of == {} and found(pretrained="none").findings == []
    # Two together have no more than one alone.
    second = TEXT.hub[1].path
    weights["seconds"][second] = 20.0
    both = found(budget=30 / seen.FROZEN_PART + 1, pretrained="hub")
    assert [one.path for one in both.of["note"]] == [INSTALLED.path, second]
    one = found(budget=29 / seen.FROZEN_PART, pretrained="hub")
    assert [one.path for one in one.of["note"]] == [INSTALLED.path]


def test_a_parents_encoders_are_for_experts_whatever_else_may_read_cells(
    weights, tmp_path: Path
) -> None:
    (tmp_path / ENCODER).touch()
    path = str(tmp_path)
    weights["seconds"][path] = 10.0
    one = found(budget=20 / seen.FROZEN_PART + 1, own={"note": path})
    assert one.of == {"note": [INSTALLED]} and one.learned["note"].path == path
    # It has the time first, and needs no leave of `pretrained`, which is of others' models.
    short = found(budget=19 / seen.FROZEN_PART, own={"note": path})
    assert short.of == {} and list(short.learned) == ["note"]
    assert list(found(own={"note": path}, pretrained="none").learned) == ["note"]
    assert found(budget=9 / seen.FROZEN_PART, own={"note": path}).learned == {}
    known = plan.Facts(500, backbones=one.of, learned=one.learned)
    members = {m.name: m for m in plan.members(SCHEMA, known, Recipe())}
    assert members["note (linear, parent)"].modalities["note"].pretrained == path
    networks = [m for m in members.values() if design(m).paced]
    assert all(m.modalities[n].pretrained != path for m in networks for n in m.modalities)
    (told,) = used([members["note (linear, parent)"]], SCHEMA)
    assert told["name"] == "parent" and told["reads"] == ["note"] and "labels" in told["knows"]


@pytest.mark.parametrize(("budget", "tried"), [(100.0, 1), (1000.0, 2)])
def test_models_are_looked_at_for_a_part_of_the_budget(
    weights, monkeypatch, budget: float, tried: int
) -> None:
    other = Weights("Other", "/installed/other", "some[other]", "MIT", "English too")
    monkeypatch.setattr(type(TEXT), "offered", lambda _: (INSTALLED, other))
    weights["seconds"] = {INSTALLED.path: 1.0, other.path: 1.0}
    clock = iter(np.arange(0.0, 100.0, 6.0).tolist())
    monkeypatch.setattr(seen, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    told = found(budget)
    assert told.of["note"] == [INSTALLED, other][:tried]
    assert any("Other is not tried" in one.what for one in told.findings) == (tried == 1)


def test_training_on_a_model_counts_its_readings(weights) -> None:
    tagged = frozenset({"note"})
    needed = 10 * seen.TUNED_READINGS / seen.TUNED_PART
    assert found(budget=needed + 1, tagged=tagged).of == {"note": [INSTALLED]}
    assert found(budget=needed - 1, tagged=tagged).of == {}


def test_one_line_says_what_could_be_had_by_which_command(weights) -> None:
    (what,) = (one.what for one in found().findings)
    assert "pip install 'some[pictures]'" in what and "'photo'" in what and LACKING.knows in what


def test_another_word_for_what_may_be_used_is_an_error() -> None:
    with pytest.raises(UserError, match="'pretrained' is not valid"):
        overruled(Recipe(), pretrained="all")


def test_a_decoder_is_left_more_of_a_picture_than_its_mean(vit_path) -> None:
    read = {"photo": [Weights("V", vit_path, "", "", "")]}
    grids = {}
    for written in (False, True):
        known = plan.Facts(2000, backbones=read, written=written, tunable=frozenset({"photo"}))
        members = {one.name: one for one in plan.members(SCHEMA, known, Recipe())}
        tuned = next(name for name in members if name.endswith("tuned)"))
        grids[written] = [
            members[name].modalities["photo"].form.get("grid")
            for name in ("photo (V)", "photo (linear, V)", tuned)
        ]
    assert grids == {False: [None, None, None], True: [4, None, None]}


def test_what_the_hub_does_not_give_is_said_and_left_out(weights) -> None:
    got = found(pretrained="hub")
    assert got.of == {"note": [INSTALLED]}
    assert any("could be had" in one.what for one in got.findings)


def test_the_plan_tries_every_expert_with_and_without(bert_path, vit_path) -> None:
    read = {
        "note": [Weights("M", bert_path, "", "", "")],
        "photo": [Weights("V", vit_path, "", "", "")],
    }
    known = plan.Facts(2000, backbones=read)
    members = {one.name: one for one in plan.members(SCHEMA, known, Recipe())}
    for name in ("note (linear)", "note (linear, M)", "note+photo+table (linear, M, V)"):
        assert name in members
    # Trees read what a frozen model makes of pictures, and without one no pictures.
    assert list(members["note+photo+table (trees, M, V)"].modalities) == ["note", "photo", "table"]
    assert list(members["note+table (trees)"].modalities) == ["note", "table"]
    assert "photo (trees)" not in members and "photo (trees, V)" in members
    # What is slow is tried once, with all there is to read.
    assert "note+photo+table (tabm, M, V)" in members and "table (tabm)" in members
    assert "note+table (tabm)" not in members and "note (tabm, M)" not in members
    extra = {name: plan.is_extra(one) for name, one in members.items() if not design(one).paced}
    assert (
        not extra["note (linear)"] and not extra["note (linear, M)"] and not extra["table (trees)"]
    )
    assert extra["photo (trees, V)"] and extra["table (tabm)"]
    few = plan.members(SCHEMA, plan.Facts(999, backbones=read), Recipe())
    assert not [one.name for one in few if "tabm" in one.name]
    joint = members["note+photo+table (linear, M, V)"].modalities
    assert [joint[name].pretrained for name in joint] == [bert_path, vit_path, None]
    # A network sees pictures itself, another one by the model; words by the model.
    networks = {n: m for n, m in members.items() if design(m).paced}
    assert networks["photo"].modalities["photo"].pretrained is None
    assert networks["photo (V)"].modalities["photo"].pretrained == vit_path
    assert networks["note"].modalities["note"].pretrained == bert_path
    without = plan.members(SCHEMA, plan.Facts(2000), Recipe())
    assert not any(m.pretrained for one in without for m in one.modalities.values())


def test_a_task_may_ask_for_a_lower_rate_and_the_recipe_knows_better() -> None:
    networks = [one for one in plan.members(SCHEMA, plan.Facts(2000), Recipe()) if one.training]
    assert {one.training.lr for one in networks if one.training} == {Training().lr}
    slow = plan.members(SCHEMA, plan.Facts(2000, lr=3e-4), Recipe())
    assert {one.training.lr for one in slow if one.training} == {3e-4}
    table = read({"said": ["a word", "another"]})  # of no column a sample is looked at
    plain = Schema((Column("note", "text"), Column("n", "number")), ())
    writes = lookup.build("tasks", "generate", "said")
    asked = plan.facts(table, plain, 2000, Recipe(), [writes], Backbones())
    assert asked.lr == writes.lr is not None
    told = Recipe.model_validate({"models": [{"name": "a", "training": {"lr": 0.01}}]})
    (own,) = plan.members(SCHEMA, plan.Facts(2000, lr=3e-4), told)
    assert own.training is not None and own.training.lr == 0.01


def test_a_model_that_is_trained_on_is_one_more_member(weights, bert_path, vit_path) -> None:
    needed = 10 * seen.TUNED_READINGS * seen.TUNED_EPOCHS / seen.MEMBER_PART
    assert found(budget=needed + 1).tunable == {"note"}
    assert not found(budget=needed - 1).tunable and not found().tunable
    weights["heard"] = [INSTALLED.path]
    assert not found(budget=needed + 1).tunable
    read = {"note": [Weights("M", bert_path, "", "", "")]}
    known = plan.Facts(2000, backbones=read, tunable=frozenset({"note"}))
    members = plan.members(SCHEMA, known, Recipe())
    (tuned,) = (one for one in members if one.tuning)
    assert options_of(tuned.tuning) == {"names": ["note"]}
    assert tuned.name == "note+photo+table (M, tuned)"
    assert tuned.training is not None and tuned.training.epochs == seen.TUNED_EPOCHS
    assert [one.name for one in members if plan.is_further(one, members) and design(one).paced] == [
        tuned.name,
        "note+photo+table (gated)",
        "note+photo+table (cross_attention)",
    ]
    # Where words are labelled nothing reads them without it: it is no further one.
    both = {**read, "photo": [Weights("V", vit_path, "", "", "")]}
    photo, note = frozenset({"photo"}), frozenset({"note"})
    tags = plan.Facts(2000, backbones=both, tunable=photo, tagged=note, solvable=False)
    own = plan.members(SCHEMA, tags, Recipe())
    assert not plan.is_further(own[0], own) and own[0].tuning
    assert all("note" in options_of(one.tuning)["names"] for one in own)


def test_an_expert_that_a_model_helps_is_another_try(bert_path) -> None:
    """Else a fusion with it would have had more tries than a rival which none can help."""
    own = {"note": Modality(pretrained=bert_path)}
    assert _way(Member(name="a", learner="linear", modalities=own)) == "linear, pretrained"
    assert _way(Member(name="a", learner="linear", modalities={"note": Modality()})) == "linear"
    assert _way(Member(name="a", modalities=own)) == "gradient"


def test_a_run_says_whose_weights_it_has(weights, tmp_path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\ntags: [x]\n---\nA model.")
    own = {"note": Modality(pretrained=INSTALLED.path), "photo": Modality(pretrained=str(tmp_path))}
    told = used([Member(name=n, modalities=own) for n in ("one", "two")], SCHEMA)
    assert [(one["name"], one["licence"], one["reads"]) for one in told] == [
        ("MiniLM", "Apache-2.0", ["note"]),
        (str(tmp_path), "mit", ["photo"]),
    ]


def test_what_is_tried_once_more_leaves_networks_their_time(bert_path, monkeypatch) -> None:
    read = {"note": [Weights("M", bert_path, "", "", "")]}
    members = {m.name: m for m in plan.members(SCHEMA, plan.Facts(2000, backbones=read), Recipe())}
    clock = Clock(Recipe(budget=100.0), list(members.values()), 0.0)
    first, last = members["note+photo+table (linear, M)"], members["note+table (trees, M)"]
    monkeypatch.setattr(clock, "left", lambda: 80.0)
    assert clock.expert(members["note+photo+table (linear)"]) == 80 * FIRST_SHARE
    assert clock.expert(first) == 80 * EXPERT_SHARE
    assert clock.expert(last) == 80 * EXPERT_SHARE * EXTRA_PART
    monkeypatch.setattr(clock, "left", lambda: 100 * SPARED - 1)
    assert clock.expert(first) > 0 == clock.expert(last)
    assert clock.expert(members["table (tabm)"]) == 0
    # Whoever asks for an expert has it.
    asked = Clock(Recipe(budget=100.0, models=[last]), [last], 0.0)
    monkeypatch.setattr(asked, "left", lambda: 10.0)
    assert asked.expert(last) == 10 * FIRST_SHARE
