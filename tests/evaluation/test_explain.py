"""Explanations: the part that a model is known to look at comes first, shares add up exactly."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import polymodal as pm
from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Outputs, Tokens
from polymodal.contract.kind import kinds
from polymodal.contract.parts import PARTS, SPANS
from polymodal.contract.predictor import Predictor
from polymodal.contract.recipe import Recipe
from polymodal.evaluation.explain import _Asked
from polymodal.modalities.image.image import GRID
from polymodal.models.experts import _boosting
from polymodal.table.media import wav
from polymodal.tasks.multilabel import Multilabel
from polymodal.tasks.tag import Tag

pytestmark = pytest.mark.whole

ROWS = 60


def frame() -> pd.DataFrame:
    """Every kind; the word, the cell and the channel that carry the label are known."""
    rng = np.random.default_rng(0)
    label = np.arange(ROWS) % 2
    signal = rng.normal(0, 0.1, (ROWS, 12, 3))
    signal[:, :, 1] += 2 * label[:, None]
    tone = np.sin(np.arange(1600.0) / 3)
    return pd.DataFrame(
        {
            "picture": list(rng.integers(0, 60, (ROWS, 28, 28, 3)).astype(np.uint8)),
            "clip": list(rng.integers(0, 60, (ROWS, 4, 16, 16, 3)).astype(np.uint8)),
            "sound": [wav(tone + rng.normal(0, 0.1, 1600), 8000) for _ in range(ROWS)],
            "signal": [x.tolist() for x in signal],
            "words": [f"the parcel {rng.integers(9)} came {('early', 'late')[y]}" for y in label],
            "size": rng.normal(size=ROWS),
            "weight": label + 0.1 * rng.normal(size=ROWS),
            "label": np.where(label, "yes", "no"),
        }
    )


FUSIONS = [*lookup.names("fusion")]
READ = {
    "linear": ("signal", "words", "table"),
    "trees": ("words", "table"),
    "all": ("picture", "clip", "sound", "signal", "words", "table"),
}
MEMBERS = [*READ, *FUSIONS]


Fitted = Callable[[str], pm.Run]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A run of one member: an expert, all kinds in one model, or a fusion, after one epoch."""
    cache = str(tmp_path_factory.mktemp("cache"))

    @functools.cache
    def fit(name: str) -> pm.Run:
        member: dict[str, Any] = {"modalities": {key: {} for key in READ.get(name, READ["trees"])}}
        if name in ("linear", "trees"):
            member["learner"] = name
        else:
            member |= {"width": 16, "training": {"epochs": 1, "threads": 1}}
            member["fusion"] = "concat" if name == "all" else name
        described = {
            "models": [{"name": name, **member}],
            "data": {"kinds": {"words": "text"}},
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("POLYMODAL_CACHE", cache)
            patch.setattr(_boosting, "MOST_ROUNDS", 20)
            return pm.fit(frame(), "label", recipe=Recipe.model_validate(described))

    return fit


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


def strongest(row: dict[str, Any], modality: str, unit: str) -> str:
    part = next(p for p in row["parts"] if (p["modality"], p["unit"]) == (modality, unit))
    return part["labels"][int(np.argmax(part["losses"]))]


@pytest.mark.parametrize("member", MEMBERS)
def test_shares_add_up_and_losses_are_finite(fitted: Fitted, member: str) -> None:
    """For every expert and every fusion."""
    run = fitted(member)
    read = run.members[member].forms
    for row in run_explained(run, [1, 2]):
        assert sum(row["shapley"].values()) == pytest.approx(
            row["support"] - row["nothing"], abs=1e-9
        )
        assert row["support"] >= 0.5
        assert {p["modality"] for p in row["parts"]} == set(read)
        assert set(row["shapley"]) == set(run.schema.modalities())
        losses = [loss for p in row["parts"] for loss in p["losses"]]
        assert np.isfinite(losses).all()
        assert np.abs(losses).max() > 0


def test_what_carries_the_label_comes_first(fitted: Fitted) -> None:
    found = run_explained(fitted("linear"), [0, 1, 2, 3])
    for i, row in enumerate(found):
        assert row["answer"] == ("yes" if i % 2 else "no")
        assert strongest(row, "words", "words") == ("late" if i % 2 else "early")
        assert strongest(row, "table", "cells") == "weight"
        assert strongest(row, "signal", "channels") == "channel 2"


def run_explained(run: pm.Run, rows: list[int], **changed: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pm.explain(run, frame().assign(**changed), rows)["label"]["rows"]
    return found


def test_what_is_not_replaced_is_encoded_once(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fitted("all")
    sizes: list[list[int]] = []
    encode = type(run.members["all"].module).encode

    def counted(module: Any, inputs: Mapping[str, Field]) -> dict[str, Tokens]:
        sizes.append(sorted(len(field.present) for field in inputs.values()))
        return encode(module, inputs)

    monkeypatch.setattr(type(run.members["all"].module), "encode", counted)
    (row,) = run_explained(run, [1])
    parts = [len(part["losses"]) for part in row["parts"]]
    assert sizes[1:] == [[1] * 5 + [1 + count] for count in parts]


def test_rows_together_are_explained_as_alone(fitted: Fitted) -> None:
    """Their batches differ, and so does the padding of their words."""
    run = fitted("all")
    longer = [
        f"{text} indeed and for ever" if i == 5 else text for i, text in enumerate(frame().words)
    ]
    together = run_explained(run, [5, 8], words=longer)
    for row, both in zip((5, 8), together, strict=True):
        (single,) = run_explained(run, [row], words=longer)
        assert single["shapley"] == pytest.approx(both["shapley"], abs=1e-5)
        for one, other in zip(single["parts"], both["parts"], strict=True):
            assert one["labels"] == other["labels"]
            assert one["losses"] == pytest.approx(other["losses"], abs=1e-5)


@pytest.mark.parametrize("member", MEMBERS)
def test_a_missing_modality_adds_nothing(fitted: Fitted, member: str) -> None:
    words = frame().words.where(np.arange(ROWS) != 3, None)
    (row,) = run_explained(fitted(member), [3], words=words)
    assert row["shapley"]["words"] == 0
    assert all(part["modality"] != "words" for part in row["parts"])
    assert sum(row["shapley"].values()) == pytest.approx(row["support"] - row["nothing"], abs=1e-6)


class Corner(Predictor):
    """Brightness of one patch of a picture, one frame of a clip and one moment of a sound."""

    embeds = False

    def __init__(self) -> None:
        super().__init__()
        self.names, self.targets, self.read_in = ["picture", "clip", "sound"], ["label"], {}

    def encode(self, inputs: Mapping[str, Field]) -> dict[str, Tokens]:
        picture = inputs["picture"].data.float()
        size = picture.shape[1] // GRID
        clip = inputs["clip"].data.float()
        sound = inputs["sound"].data.float()
        seen = {
            "picture": picture[:, 2 * size : 3 * size, 4 * size : 5 * size].mean((1, 2, 3)) / 60,
            "clip": clip[:, 2].mean((1, 2, 3)) / 60,
            "sound": sound[:, : sound.shape[1] // SPANS - 3].mean((1, 2)) / 5,
        }
        return {
            name: Tokens(value[:, None, None], inputs[name].present[:, None])
            for name, value in seen.items()
        }

    def fuse(
        self,
        tokens: Mapping[str, Tokens],
        absent: Collection[str] = (),
        targets: Mapping[str, Field] | None = None,
        tasks: Collection[str] | None = None,
    ) -> Outputs:
        total = sum(t.values[:, 0, 0] for name, t in tokens.items() if name not in absent)
        total = torch.as_tensor(total).expand(len(next(iter(tokens.values())).mask))
        return Outputs({"label": torch.stack([0 * total, total], 1)})


def test_the_patch_the_frame_and_the_moment_that_a_model_looks_at(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fitted("all")
    monkeypatch.setattr(run.members["all"], "module", Corner())
    pictures, clips = list(frame()["picture"]), list(frame()["clip"])
    pictures[7] = np.zeros_like(pictures[7])
    pictures[7][8:12, 16:20] = 200
    clips[7] = np.zeros_like(clips[7])
    clips[7][2] = 200
    (row,) = run_explained(run, [7], picture=pictures, clip=clips)
    assert strongest(row, "picture", "patches") == "line 3, column 5"
    assert strongest(row, "clip", "frames") == "frame 3"
    assert strongest(row, "sound", "seconds").startswith("0.00–")
    patches = next(p for p in row["parts"] if p["unit"] == "patches")
    assert np.count_nonzero(np.abs(patches["losses"]) > 1e-6) == 1
    assert patches["columns"] == GRID


def test_parts_have_a_bound() -> None:
    text = " ".join(f"w{i}" for i in range(1000))
    _, (words,) = kinds()["text"].parts(text, [], [])
    assert len(words.cells) == PARTS
    assert " ".join(words.labels) == text
    assert all(len(cell.split()) == 1000 for cell in words.cells)
    _, (cells,) = kinds()["table"].parts({f"c{i}": i for i in range(100)}, [], [])
    assert len(cells.cells) == PARTS
    gone = [name for cell in cells.cells for name, value in cell.items() if value is None]
    assert sorted(gone) == sorted(f"c{i}" for i in range(100))
    assert kinds()["text"].parts("  ", [], [])[1][0].cells == []


def test_missing_cells_are_no_parts() -> None:
    _, (cells,) = kinds()["table"].parts({"a": 1, "b": None}, [], [])
    assert cells.labels == ["a"]
    assert cells.cells == [{"a": None, "b": None}]


def test_support() -> None:
    answered = np.array([0.9, 0.2])
    labels = Multilabel("y")
    assert labels.support(np.array([0.6, 0.3]), answered) == pytest.approx((0.6 + 0.7) / 2)
    tags = Tag("y")
    answered = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert tags.support(np.array([[0.7, 0.3], [0.5, 0.5]]), answered) == pytest.approx(0.6)
    assert tags.support(np.array([[0.7, 0.3]]), answered) == pytest.approx(0.7)
    assert tags.support(np.zeros((0, 2)), answered) == 0


def test_without_its_text_a_tagger_supports_what_it_says_to_no_input() -> None:
    """A team without the tagged text scores no words; that is no worse than knowing nothing."""
    both = np.array([[0.95, 0.05], [0.95, 0.05]])
    tags = Tag("tags")
    tags.fit([["O", "B-x"], ["O", "O"]])
    asked: Any = SimpleNamespace(
        columns={"text": [], "image": []},
        here=[frozenset({"text", "image"})],
        occluded=[[]],
        scores={
            frozenset({"text"}): {"m": {"tags": [both]}},
            frozenset({"image"}): {"m": {"tags": [both[:0]]}},
            frozenset({"text", "image"}): {"m": {"tags": [both]}},
        },
        run=SimpleNamespace(
            combine=lambda scores, targets, present: {"tags": scores["m"]["tags"]},
            pipeline=SimpleNamespace(
                standing=lambda: SimpleNamespace(felt=lambda target, present: set(present))
            ),
        ),
    )
    asked._combined = functools.partial(_Asked._combined, asked)
    found = _Asked.explanation(asked, 0, tags)
    assert found["shapley"]["image"] == 0
    assert found["shapley"]["text"] == pytest.approx(found["support"] - found["nothing"])


def test_bad_series_that_may_count_as_missing_do_not_spoil_the_typical_one(fitted: Fitted) -> None:
    run, table = fitted("linear"), frame()
    good = pm.explain(run, table, [1])["label"]["rows"][0]
    cells = table["signal"].tolist()
    cells[0], cells[2] = [[1.0, 2.0]] * 3, [[1.0, float("nan"), 0.0]] * 3
    explained = pm.explain(run, table.assign(signal=cells), [1])["label"]["rows"][0]
    for part, before in zip(explained["parts"], good["parts"], strict=True):
        spread = np.ptp(before["losses"])
        np.testing.assert_allclose(part["losses"], before["losses"], rtol=0, atol=0.25 * spread)


def test_rows_that_are_not_there(fitted: Fitted) -> None:
    with pytest.raises(UserError, match=f"no row {ROWS}"):
        pm.explain(fitted("linear"), frame(), [0, ROWS])
