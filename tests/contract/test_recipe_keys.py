"""Every key of the recipe changes what a fit does: one case a key, and none may be forgotten."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pydantic import BaseModel, ValidationError
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract import recipe
from polymodal.contract.fusion import Fusion
from polymodal.contract.kind import Kind
from polymodal.contract.recipe import Data, Member, Modality, Parent, Recipe, Teacher, Training
from polymodal.fitting import learn
from polymodal.fitting.learners import gradient
from polymodal.models.aligned import Aligned
from polymodal.prepared import encode
from polymodal.train.loop import Loop

pytestmark = pytest.mark.whole

ROWS = 60


# -- what is fitted ----------------------------------------------------------------------------


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "note": [f"{rng.choice(['sea', 'wood', 'town'])} {i}" for i in range(ROWS)],
            "a": rng.normal(size=ROWS),
            "b": rng.integers(0, 4, ROWS) + 0.5,
            "who": [f"person {i}" for i in rng.integers(0, 12, ROWS)],
            "when": rng.permutation(ROWS) + 0.25,
            "label": rng.choice(["yes", "no"], ROWS),
        }
    )


def spelled() -> pd.DataFrame:
    """Numbers, dates and gaps that two people would read in two ways."""
    rng = np.random.default_rng(0)
    days = rng.integers(1, 12, (ROWS, 2))
    return table().assign(
        amount=[f"{i % 7 + 1},{100 + i}" for i in range(ROWS)],
        day=[f"{first:02}/{second:02}/2024" for first, second in days],
        level=["-99" if i % 5 == 0 else f"{i}.5" for i in range(ROWS)],
    )


def pictures(broken: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(0)

    def png() -> bytes:
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(stream, "PNG")
        return stream.getvalue()

    cells = [png() for _ in range(ROWS)]
    cells[:broken] = [b"no picture"] * broken
    return pd.DataFrame({"image": cells, "label": rng.choice(["yes", "no"], ROWS)})


QUICK = {
    "epochs": 1,
    "batch_size": 32,
    "precision": "fp32",
    "attention": "plain",
    "memory_format": "contiguous",
    "threads": 1,
}
NOTE = {"encoder": {"name": "ngrams", "size": 50}}
PLAIN = {
    "targets": {"label": None},
    "modalities": {"note": NOTE, "table": {}},
    "fusion": "concat",
    "width": 8,
    "training": QUICK,
}
# "who" and "when" are for splitting, and no model reads them.
WORDS = {**PLAIN, "data": {"drop": ["who", "when"]}}
IMAGES = {
    **PLAIN,
    "modalities": {"image": {"encoder": {"name": "cnn", "channels": 8}, "form": {"size": 8}}},
}
TEXTS = {**PLAIN, "modalities": {"note": {"encoder": {"name": "transformer", "depth": 1}}}}
MODELS = {
    "targets": {"label": None},
    "models": [
        {
            "name": "one",
            "modalities": {"note": NOTE, "table": {}},
            "width": 8,
            "training": QUICK,
        }
    ],
}


@dataclass
class Fit:
    """What could be seen of one fit.

    Attributes:
        run: None if it failed.
        error: why it failed.
        rows: training and validation rows of every member that was trained.
        steps: the optimiser's groups at every step.
        norms: the gradients' at every step.
        dtypes: of linear layers' outputs.
        threads: torch's, at every step.
        hidden: how often a fusion was not given a modality.
        fused: how often attention was computed by torch's fused kernel.
        pools: the sizes of the process pools that were made.
    """

    run: pm.Run | None = None
    error: str = ""
    rows: list[tuple[list[int], list[int]]] = field(default_factory=list)
    steps: list[list[dict[str, Any]]] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    dtypes: set[torch.dtype] = field(default_factory=set)
    threads: set[int] = field(default_factory=set)
    hidden: int = 0
    fused: int = 0
    pools: list[int] = field(default_factory=list)

    @property
    def member(self) -> Any:
        assert self.run is not None, self.error
        return next(iter(self.run.members.values()))

    def weights(self) -> bytes:
        """Of the first member, as trained."""
        return b"".join(v.numpy().tobytes() for v in self.member.module.state_dict().values())


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Fit]]:
    """Fit and watch: (recipe, table, how validation losses go) -> Fit."""
    seen = Fit()
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Kind, "installed", lambda room: ())
    monkeypatch.setattr(encode, "POOL_SECONDS", 0.0)

    def stepped(optimizer: Any, *_: Any) -> None:
        groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
        for group, own in zip(groups, optimizer.param_groups, strict=True):
            group["count"] = len(own["params"])
        grads = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        seen.steps.append(groups)
        seen.norms.append(float(torch.stack([g.norm() for g in grads]).norm()))
        seen.threads.add(torch.get_num_threads())

    def passed(module: nn.Module, given: Any, found: Any) -> None:
        if isinstance(module, nn.Linear) and module.training:
            seen.dtypes.add(found.dtype)
        if isinstance(module, Fusion) and module.training:
            seen.hidden += sum(int((~t.present()).sum()) for t in given[0].values())

    trained = learn.learn

    def learned(job: Any, member: Any, train: Any, valid: Any, *rest: Any, **options: Any) -> Any:
        seen.rows.append((train.tolist(), valid.tolist()))
        return trained(job, member, train, valid, *rest, **options)

    kernel = nn.functional.scaled_dot_product_attention

    def fused(*args: Any, **options: Any) -> Any:
        seen.fused += 1
        return kernel(*args, **options)

    class Pool:
        """A pool that works in this process."""

        def __init__(self, workers: int, **_: Any) -> None:
            seen.pools.append(workers)

        def submit(self, call: Callable[..., Any], *args: Any) -> Any:
            done = type("Done", (), {})()
            done.result = lambda: call(*args)
            return done

        def shutdown(self, **_: Any) -> None:
            pass

    monkeypatch.setattr(learn, "learn", learned)
    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", fused)
    monkeypatch.setattr("joblib.externals.loky.ProcessPoolExecutor", Pool)
    hooks = [register_optimizer_step_pre_hook(stepped), register_module_forward_hook(passed)]

    def run(described: dict[str, Any], frame: pd.DataFrame, worsening: bool) -> Fit:
        nonlocal seen
        seen = Fit()
        with monkeypatch.context() as patch:
            patch.setenv("POLYMODAL_CACHE", str(tmp_path / str(len(list(tmp_path.iterdir())))))
            if worsening:
                patch.setattr(Loop, "_measure", lambda loop: (float(loop.progress.step), {}))
            # A recipe that reads its own tables is not given one.
            source = None if "train" in described else frame
            try:
                seen.run = pm.fit(source, recipe=Recipe.model_validate(described))
            except (UserError, ValidationError) as error:
                seen.error = str(error)
        return seen

    yield run
    for hook in hooks:
        hook.remove()


# -- what each key should do -------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Values of a key, and what is seen of a fit with each.

    Attributes:
        seen: what to look at.
        values: of the key.
        expected: what is to be seen with each; None: anything, but never the same.
        base: the recipe around the key.
        at: where in it the key stands, if not where its model usually stands.
        given: further keys that it needs, by their places.
        frame: what is fitted.
        worsening: every validation is worse than the one before.
    """

    seen: Callable[[Fit], Any]
    values: list[Any]
    expected: list[Any] | None = None
    base: dict[str, Any] = field(default_factory=lambda: WORDS)
    at: str | None = None
    given: dict[str, Any] = field(default_factory=dict)
    frame: Callable[[], pd.DataFrame] = table
    worsening: bool = False


def count(fit: Fit) -> int:
    return len(fit.steps)


def rates(fit: Fit) -> list[float]:
    """Of the first step."""
    return sorted({group["lr"] for group in fit.steps[0]})


def parts(fit: Fit) -> list[str]:
    """The model's, by their classes."""
    module = fit.member.module
    return [type(part).__name__ for part in [*module.encoders, module.fusion]]


def alignments(fit: Fit) -> list[str]:
    """Of the model's modalities that have one, and the widths that it leads from and to."""
    assert fit.run is not None, fit.error
    found = [one for one in fit.member.module.encoders if isinstance(one, Aligned)]
    layers = [[m for m in one.align.modules() if isinstance(m, nn.Linear)] for one in found]
    return [
        f"{type(one.align).__name__} {own[0].in_features} {own[-1].out_features}"
        for one, own in zip(found, layers, strict=True)
    ]


def inputs(fit: Fit) -> list[str]:
    assert fit.run is not None, fit.error
    return [column.name for column in fit.run.schema.inputs]


def cut_groups(fit: Fit) -> bool:
    """Whether some group is on both sides."""
    who = table()["who"]
    ((train, valid),) = fit.rows
    return bool(set(who[train]) & set(who[valid]))


def read_as(fit: Fit) -> list[Any]:
    """How the cells of columns that may be read in two ways are read."""
    assert fit.run is not None, fit.error
    names = [name for name in ("amount", "day", "level") if name in inputs(fit)]
    return [(name, fit.run.schema.column(name).details) for name in names]


def latest(fit: Fit) -> bool:
    """Whether the validation rows are the latest."""
    when = table()["when"]
    ((train, valid),) = fit.rows
    return bool(when[train].max() < when[valid].min())


def uneven(fit: Fit) -> bool:
    """Whether a class is validated in another proportion than it has."""
    label = table()["label"] == "yes"
    ((_, valid),) = fit.rows
    return bool(abs(label[valid].mean() - label.mean()) > 0.05)


def members(fit: Fit) -> list[str]:
    assert fit.run is not None, fit.error
    assert fit.run.recipe.models is not None
    return [member.name for member in fit.run.recipe.models]


def started(fit: Fit) -> dict[str, str]:
    """What starts from a parent, and from which of its columns."""
    assert fit.run is not None, fit.error
    return dict(fit.run.origin.get("parent", {}).get("started", {}))


def tuned_by(fit: Fit) -> tuple[str, bool]:
    """The mode that the run tells of, and whether it runs the pretrained model of the notes."""
    return fit.member.facts["learned"]["tuning"], fit.run.forms[0].tune


def layout(fit: Fit) -> bool:
    kernels = [m.weight for m in fit.member.module.modules() if isinstance(m, nn.Conv2d)]
    return all(k.is_contiguous(memory_format=torch.channels_last) for k in kernels)


BERT = "the path of a tiny BERT"
FILES = "the folder of files"
PARENT = "the folder of a parent"

CASES: dict[type[BaseModel], dict[str, Case]] = {
    Training: {
        # 51 rows for training in batches of 32 are two steps an epoch.
        "epochs": Case(count, [1, 3], [2, 6]),
        "batch_size": Case(count, [16, 64], [4, 1]),
        "lr": Case(rates, [0.01, 0.02], [[0.01], [0.02]]),
        "pretrained_lr": Case(
            rates,
            [1e-4, 3e-4],
            [[1e-4, 2e-3], [3e-4, 2e-3]],
            given={"modalities.note": {"pretrained": BERT, "tune": True}},
        ),
        "weight_decay": Case(
            lambda fit: sorted({group["weight_decay"] for group in fit.steps[0]}),
            [0.0, 0.3],
            [[0.0], [0.0, 0.3]],
        ),
        # Half of four steps: the first is at half the rate.
        "warmup": Case(
            rates, [0.0, 0.5], [[0.02], [0.01]], given={"training.lr": 0.02, "training.epochs": 2}
        ),
        "clip": Case(lambda fit: max(fit.norms) <= 0.0101, [0.01, 1000.0], [True, False]),
        "ema": Case(Fit.weights, [0.0, 0.05, 0.98]),
        # One validation an epoch, each worse than the first.
        "patience": Case(count, [0, 1, 2], [8, 4, 6], given={"training.epochs": 4}, worsening=True),
        "select": Case(Fit.weights, ["best", "last"], given={"training.epochs": 2}, worsening=True),
        "dropout": Case(Fit.weights, [0.0, 0.5]),
        "modality_dropout": Case(lambda fit: fit.hidden > 0, [0.0, 0.9], [False, True]),
        "balance": Case(
            lambda fit: (fit.weights(), sorted(fit.member.facts["history"][0])),
            [None, "ogm_ge", "jacobian_descent", {"name": "ogm_ge", "alpha": 2.0}],
        ),
        "precision": Case(
            lambda fit: (fit.dtypes, fit.member.facts["precision"]),
            ["fp32", "bf16"],
            [({torch.float32}, "fp32"), ({torch.bfloat16}, "bf16")],
        ),
        "attention": Case(
            lambda fit: (fit.fused > 0, fit.member.facts["attention"]),
            ["plain", "sdpa"],
            [(False, "plain"), (True, "sdpa")],
            TEXTS,
        ),
        "memory_format": Case(
            lambda fit: (layout(fit), fit.member.facts["memory_format"]),
            ["contiguous", "channels_last"],
            [(False, "contiguous"), (True, "channels_last")],
            IMAGES,
            frame=pictures,
        ),
        "threads": Case(lambda fit: fit.threads, [1, 2], [{1}, {2}]),
    },
    Data: {
        "kinds": Case(
            lambda fit: fit.run.schema.column("b").kind,
            [{"b": "number"}, {"b": "category"}],
            ["number", "category"],
        ),
        "drop": Case(
            inputs, [["who", "when"], ["who", "when", "a"]], [["note", "a", "b"], ["note", "b"]]
        ),
        "group": Case(cut_groups, [None, "who"], [True, False]),
        "time": Case(latest, [None, "when"], [False, True], given={"data.drop": ["who"]}),
        "split": Case(uneven, ["random", "stratified"], [True, False], given={"data.valid": 0.2}),
        "valid": Case(lambda fit: len(fit.rows[0][1]), [0.15, 0.5], [9, 30]),
        # Three of parts of the rows, one of all.
        "folds": Case(lambda fit: len(fit.rows), [0, 3], [1, 4]),
        "max_bad_rows": Case(
            lambda fit: (fit.run is not None, [len(t) + len(v) for t, v in fit.rows]),
            [1, 2],
            [(False, []), (True, [ROWS])],
            IMAGES,
            frame=lambda: pictures(broken=2),
        ),
        "decimal": Case(read_as, [{"amount": "."}, {"amount": ","}], frame=spelled),
        "date": Case(read_as, [{"day": "dmy"}, {"day": "mdy"}], frame=spelled),
        "missing": Case(read_as, [{}, {"level": ["-99"]}], frame=spelled),
        "encoding": Case(
            lambda fit: fit.run is not None,
            [None, "cp1252"],
            [False, True],
            {**WORDS, "train": f"{FILES}/coded.csv"},
        ),
        "workers": Case(lambda fit: fit.pools, [1, 3], [[], [3]], IMAGES, frame=pictures),
    },
    Modality: {
        "columns": Case(
            lambda fit: [s.name for s in fit.run.forms[1].slots],
            [["a"], ["b", "a"]],
            [["a"], ["a", "b"]],
        ),
        "encoder": Case(
            parts,
            ["mlp", "cells"],
            [["Ngrams", "Mlp", "Concat"], ["Ngrams", "Cells", "Concat"]],
        ),
        "form": Case(lambda fit: fit.weights(), [{"words": 1}, {"words": 2}], at="modalities.note"),
        "augment": Case(
            Fit.weights,
            [False, True, {"shift": 0.5}],
            base=IMAGES,
            at="modalities.image",
            frame=pictures,
        ),
        "pretrained": Case(
            parts,
            [None, BERT],
            [["Ngrams", "Mlp", "Concat"], ["Pretrained", "Mlp", "Concat"]],
            at="modalities.note",
            given={"modalities.note": {}},
        ),
        "align": Case(
            alignments,
            [None, "linear", {"name": "mlp", "hidden": 5}],
            [[], ["Linear 8 8"], ["Mlp 8 8"]],
        ),
        "width": Case(
            alignments,
            [None, 20],
            [["Linear 8 8"], ["Linear 20 8"]],
            given={"modalities.table.align": "linear"},
        ),
        "tune": Case(
            lambda fit: sum(group["count"] for group in fit.steps[0]) > 30,
            [False, True],
            [False, True],
            at="modalities.note",
            given={"modalities.note": {"pretrained": BERT}},
        ),
    },
    Member: {
        "name": Case(members, ["one", "two"], [["one"], ["two"]]),
        "learner": Case(
            lambda fit: type(fit.member.module).__name__,
            ["gradient", "linear", "trees"],
            ["Model", "Linear", "Trees"],
            {
                "targets": {"label": None},
                "models": [{"name": "one", "modalities": {"note": {}, "table": {}}}],
            },
        ),
        "modalities": Case(
            lambda fit: fit.member.module.names,
            [{"note": NOTE}, {"table": {}}],
            [["note"], ["table"]],
        ),
        "align": Case(
            alignments,
            [None, "residual", "cca"],
            [[], ["Residual 8 8", "Residual 8 8"], ["Cca 8 8", "Cca 8 8"]],
        ),
        "fusion": Case(lambda fit: parts(fit)[-1], ["sum", "gated"], ["Sum", "Gated"]),
        "width": Case(
            lambda fit: fit.member.module.heads[0].layers[0].in_features, [4, 12], [4, 12]
        ),
        "tuning": Case(
            tuned_by,
            [None, "full", {"name": "prompt", "length": 2}],
            [("", False), ("full", True), ("prompt (length=2)", True)],
            given={"models.0.modalities.note": {"pretrained": BERT}},
        ),
        "training": Case(count, [{**QUICK, "epochs": n} for n in (1, 2)], [2, 4]),
    },
    Parent: {
        "run": Case(lambda fit: fit.run is not None, [PARENT, FILES], [True, False]),
        "columns": Case(
            lambda fit: "no column 'text'" in fit.error,
            [{"note": "note"}, {"note": "text"}],
            [False, True],
            given={"parent.run": PARENT},
        ),
    },
    Teacher: {
        "run": Case(lambda fit: fit.run is not None, [PARENT, FILES], [True, False]),
        "share": Case(lambda fit: fit.weights(), [0.1, 1.0], given={"teacher.run": PARENT}),
    },
    Recipe: {
        "train": Case(
            lambda fit: sum(map(len, fit.rows[0])),
            [f"{FILES}/all.csv", f"{FILES}/half.csv"],
            [ROWS, ROWS // 2],
        ),
        "valid": Case(
            lambda fit: tuple(map(len, fit.rows[0])),
            [None, f"{FILES}/half.csv"],
            [(51, 9), (ROWS, ROWS // 2)],
            given={"train": f"{FILES}/all.csv"},
        ),
        "targets": Case(
            lambda fit: [(type(o).__name__, o.name) for o in fit.run.tasks.values()],
            [{"label": None}, {"a": None}, {"b": "classify"}],
            [[("Classify", "label")], [("Regress", "a")], [("Classify", "b")]],
        ),
        "data": Case(lambda fit: len(fit.rows[0][1]), [{}, {"valid": 0.5}], [9, 30]),
        "modalities": Case(
            lambda fit: fit.member.module.names,
            [{"note": NOTE}, {"table": {}}],
            [["note"], ["table"]],
        ),
        "align": Case(
            alignments, [None, "pca"], [[], ["Pca 8 8", "Pca 8 8"]], given={"fusion": "sum"}
        ),
        "fusion": Case(
            lambda fit: (members(fit), parts(fit)[-1]),
            ["sum", "gated", ["gated", "sum"]],
            [(["model"], "Sum"), (["model"], "Gated"), (["gated", "sum"], "Gated")],
        ),
        "width": Case(
            lambda fit: fit.member.module.heads[0].layers[0].in_features, [4, 12], [4, 12]
        ),
        "tuning": Case(
            tuned_by,
            [{"name": "encoder", "names": ["note"]}, "head"],
            [("encoder (names=['note'])", True), ("head", False)],
            given={"modalities.note": {"pretrained": BERT}},
        ),
        "training": Case(count, [{**QUICK, "epochs": n} for n in (1, 2)], [2, 4]),
        "models": Case(
            members,
            [[{**MODELS["models"][0], "name": name} for name in names] for names in ("a", "ab")],
            [["a"], ["a", "b"]],
            {"targets": {"label": None}},
        ),
        "rivals": Case(members, [False, True], [["model"], ["model", "note", "table"]]),
        # What is to be compared comes after its rivals.
        "compare": Case(
            members,
            [False, True],
            [["one", "note", "table"], ["note", "table", "one"]],
            MODELS,
            given={"rivals": True},
        ),
        "metric": Case(
            lambda fit: {line["metric"] for line in fit.run.leaderboard},
            [None, "macro_f1"],
            [{"accuracy"}, {"macro_f1"}],
        ),
        "teacher": Case(lambda fit: fit.weights(), [None, PARENT]),
        "parent": Case(started, [None, PARENT], [{}, {"note": "note", "table": "table"}]),
        # What "installed" and "hub" take is tried where a plan looks for it.
        "pretrained": Case(
            lambda fit: "forbids" in fit.error,
            ["installed", "none"],
            [False, True],
            given={"modalities.note": {"pretrained": BERT}},
        ),
        "seed": Case(lambda fit: (fit.weights(), str(fit.rows)), [0, 1]),
        # No time is left: one step is made all the same.
        # Without any time left, the one model there must be makes its least steps.
        "budget": Case(
            count,
            [None, 0.001],
            [80, gradient.LEAST_STEPS],
            given={"training.epochs": 40, "training.patience": 0},
        ),
    },
}
PLACES = {
    Training: "training",
    Data: "data",
    Modality: "modalities.table",
    Member: "models.0",
    Parent: "parent",
    Teacher: "teacher",
    Recipe: "",
}


def put(described: dict[str, Any], place: str, value: Any) -> None:
    """Set a value at a dotted place; mappings on the way are made."""
    *way, last = place.split(".")
    here: Any = described
    for step in way:
        here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
    here[last] = value


def filled(value: Any, names: dict[str, str]) -> Any:
    """With real paths in place of those that stand for them."""
    if isinstance(value, dict):
        return {key: filled(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, names) for inner in value]
    if isinstance(value, str):
        for name, path in names.items():
            value = value.replace(name, path)
    return value


@pytest.mark.parametrize(
    ("model", "key"), [(model, key) for model, cases in CASES.items() for key in cases]
)
def test_the_key_changes_what_a_fit_does(
    model: type[BaseModel],
    key: str,
    fit: Callable[..., Fit],
    bert_path: str,
    tmp_path: Path,
) -> None:
    case = CASES[model][key]
    frame = case.frame()
    if case.frame is table:
        frame.to_csv(tmp_path / "all.csv", index=False)
        frame[: ROWS // 2].to_csv(tmp_path / "half.csv", index=False)
        coded = frame.assign(note=frame["note"] + " é")
        coded.to_csv(tmp_path / "coded.csv", index=False, encoding="cp1252")
    folder = tmp_path / "parent"
    if PARENT in str((case.values, case.given)):
        pm.fit(frame, recipe=Recipe.model_validate(WORDS), out=folder)
    place = PLACES[model] if case.at is None else case.at
    found = []
    for value in case.values:
        described = copy.deepcopy(MODELS if model is Member and case.base is WORDS else case.base)
        for where, needed in case.given.items():
            put(described, where, copy.deepcopy(needed))
        put(described, f"{place}.{key}".lstrip("."), value)
        described = filled(described, {BERT: bert_path, FILES: str(tmp_path), PARENT: str(folder)})
        found.append(case.seen(fit(described, frame, case.worsening)))
    if case.expected is not None:
        assert found == case.expected
    assert all(a != b for i, a in enumerate(found) for b in found[:i])


def test_every_key_has_a_case_and_every_case_is_of_a_key() -> None:
    models = {
        value
        for name, value in vars(recipe).items()
        if isinstance(value, type)
        and issubclass(value, BaseModel)
        and value is not BaseModel
        and not name.startswith("_")
    }
    assert set(CASES) == set(PLACES) == models
    for model, cases in CASES.items():
        assert set(cases) == set(model.model_fields), model.__name__
