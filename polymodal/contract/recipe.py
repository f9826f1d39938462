"""The recipe: a fit spelled out, validated, and saved resolved in every run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from polymodal.base import lookup
from polymodal.base.files import write_text


def _named(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("name"), str)):
        return value
    raise ValueError("a component's name, or a mapping with 'name' and its options")


def _folder(value: Any) -> Any:
    """A run that is given as its folder alone."""
    if isinstance(value, str):
        return {"run": value}
    if value is None or isinstance(value, dict | BaseModel):
        return value
    raise ValueError("a run's folder, or a mapping with 'run', which is that folder")


# Numbers without a point, such as 2e-4, which YAML 1.2 has and PyYAML takes for texts: a tag, how
# they are written, and what they begin with.
SCIENTIFIC = (
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Puts quotes around texts that would be read as such numbers."""


_Dumper.add_implicit_resolver(*SCIENTIFIC)

# A component in a recipe: its name, or a mapping with "name" and its options.
Spec = Annotated[str | dict[str, Any], BeforeValidator(_named)]


def name_of(spec: Spec) -> str:
    """The component's name."""
    return spec if isinstance(spec, str) else str(spec["name"])


def options_of(spec: Spec) -> dict[str, Any]:
    """The component's options, where it is given with some."""
    return {} if isinstance(spec, str) else {k: v for k, v in spec.items() if k != "name"}


def label(spec: Spec) -> str:
    """What to call a component: "gated", or "moe (experts=4)"."""
    options = ", ".join(f"{key}={value}" for key, value in options_of(spec).items())
    return name_of(spec).rpartition(":")[2] + (f" ({options})" if options else "")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Modality(_Strict):
    """One modality of a member.

    Attributes:
        columns: the columns it reads; several only for a table. Empty: what the schema says.
        encoder: a file of `modalities/<kind>/encoders/`; None: the plan's choice.
        form: options of the encoder's form, such as `{size: 64}`.
        augment: False for none, or options of `modalities/<kind>/augment.py`.
        pretrained: a package of weights, folder or hub id, instead of `encoder`; an expert reads
            its outputs beside what it reads anyway.
        align: as of the model, for this modality alone.
        width: of its encoder's tokens, where an alignment brings them to the model's; None: a
            pretrained model's own, else the model's.
        tune: short for `tuning: {name: encoder, names: [this modality]}` of the model, and read as
            that.
    """

    columns: list[str] = []
    encoder: Spec | None = None
    form: dict[str, Any] = {}
    augment: bool | dict[str, Any] = True
    pretrained: str | None = None
    align: Spec | None = None
    width: int | None = Field(None, ge=1)
    tune: bool = False

    @property
    def is_open(self) -> bool:
        """Whether nothing says how it is read."""
        return not (self.encoder or self.pretrained or self.form)

    @model_validator(mode="after")
    def _one_door(self) -> Modality:
        if self.pretrained and self.encoder:
            raise ValueError("give either 'encoder' or 'pretrained', not both")
        if self.tune and not self.pretrained:
            raise ValueError("'tune' goes with 'pretrained': a path or hub id")
        return self


class Training(_Strict):
    """How a member learns by gradient.

    Attributes:
        epochs: passes over the training rows, fewer if the budget ends before; None: 20.
        batch_size: rows a step.
        lr: peak learning rate of AdamW, after `warmup` and before the cosine to zero.
        pretrained_lr: the same for the weights of a pretrained backbone that learn themselves, and
            for those that a parent has learned.
        weight_decay: decoupled; not on biases, norms and embeddings.
        warmup: share of all steps.
        clip: largest gradient norm.
        ema: decay of the weights' moving average that is validated and kept; 0 for none.
        patience: validations without improvement before training stops; 0 to never stop.
        select: "best": the weights that validated best; "last": those of the last step.
        dropout: before the heads.
        modality_dropout: chance to hide a present modality of a training row.
        balance: a file of `train/balance/` by which modalities are kept from starving each other;
            None: the joint loss alone. A member of one modality has nothing to balance.
        precision: "fp32", "bf16", or "auto": the faster of the two, by measuring a step.
        attention: "plain" (two products and a softmax), "sdpa", or "auto": measured.
        memory_format: "channels_last", "contiguous", or "auto": measured.
        threads: CPU threads; 0: measured.
    """

    epochs: int | None = Field(None, ge=1)
    batch_size: int = Field(64, ge=1)
    lr: float = Field(2e-3, gt=0)
    pretrained_lr: float = Field(5e-5, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    clip: float = Field(1.0, gt=0)
    ema: float = Field(0.98, ge=0, lt=1)
    patience: int = Field(8, ge=0)
    select: Literal["best", "last"] = "best"
    dropout: float = Field(0.1, ge=0, lt=1)
    modality_dropout: float = Field(0.1, ge=0, lt=1)
    balance: Spec | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    attention: Literal["auto", "plain", "sdpa"] = "auto"
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    threads: int = Field(0, ge=0)


class Member(_Strict):
    """One model of the run: a fusion of some modalities, or a rival with one.

    Attributes:
        name: unique in the recipe; what the leaderboard calls it.
        learner: "gradient", or an expert of `models/experts/` ("linear", "trees") with its options.
        modalities: name -> Modality; none: all that the table has.
        align: a file of `align/`, which brings each encoder's tokens to `width`; None: encoders do.
        fusion: a file of `fusion/`.
        width: of the tokens and the fused vector.
        tuning: a file of `tuning/`: which parameters learn; None: all but pretrained backbones,
            whose outputs are cached.
        training: how it learns; None: epochs and batch size by the number of rows.

    An expert has no alignment, fusion, width, tuning, training or encoders: to give them is an
    error.
    """

    name: str
    learner: Spec = "gradient"
    modalities: dict[str, Modality] = {}
    align: Spec | None = None
    fusion: Spec = "concat"
    width: int = Field(128, ge=4)
    tuning: Spec | None = None
    training: Training | None = None

    @model_validator(mode="after")
    def _experts_have_no_network(self) -> Member:
        learner = name_of(self.learner)
        if learner in lookup.names("models/designs"):
            return self

        def given(part: _Strict, where: str, *keys: str) -> list[str]:
            known = type(part).model_fields
            return [where + k for k in keys if getattr(part, k) != known[k].default]

        unused = given(self, "", *(key for key in SHORT if key != "modalities"))
        for name, modality in self.modalities.items():
            where = f"modalities.{name}."
            unused += given(modality, where, "encoder", "align", "width", "tune", "augment")
        if unused:
            raise ValueError(
                f"no {' and no '.join(unused)} in the model '{self.name}': its learner "
                f"'{learner}' has none. Leave them out, or give it learner: gradient"
            )
        return self

    @model_validator(mode="after")
    def _width_is_aligned(self) -> Member:
        for name, modality in self.modalities.items():
            if modality.width is not None and not (modality.align or self.align):
                raise ValueError(
                    f"'width' of the modality '{name}' goes with 'align', which brings its tokens "
                    "to the width of the model"
                )
        return self

    @model_validator(mode="after")
    def _one_way_to_tune(self) -> Member:
        names = [name for name, modality in self.modalities.items() if modality.tune]
        if names and self.tuning is not None:
            raise ValueError(
                "give either 'tuning', or 'tune' of a modality, not both: `tune: true` is short "
                f"for tuning: {{name: encoder, names: [{', '.join(names)}]}}"
            )
        if names:
            self.tuning = {"name": "encoder", "names": names}
            self.modalities = {
                name: modality.model_copy(update={"tune": False})
                for name, modality in self.modalities.items()
            }
        return self


class Parent(_Strict):
    """The run that a fit starts from.

    Attributes:
        run: its folder. `parent: FOLDER` is short for it.
        columns: column of the table -> what the parent calls it, where the names differ.
    """

    run: str
    columns: dict[str, str] = {}


class Teacher(_Strict):
    """The run whose answers networks learn, beside the labels.

    Attributes:
        run: its folder. `teacher: FOLDER` is short for it.
        share: of the teacher in what is learned; the labels have the rest.
    """

    run: str
    share: float = Field(0.9, gt=0, le=1)


class Data(_Strict):
    """What is read of the table, and how it is divided.

    Attributes:
        kinds: column -> kind, overruling what is inferred.
        drop: columns to leave out.
        group: column whose equal values are never split apart.
        time: column by which `split: time` cuts; `split: auto` then does.
        split: how validation rows are taken from the training table when no file is given.
        valid: share of the rows that validation takes; None: 15 % of them, or five folds if they
            are under 1 000 and the members are the plan's.
        folds: cross-validate with this many folds; 0: one split, but see `valid`.
        max_bad_rows: so many unreadable cells of a modality count as missing; more are an error.
        workers: processes that decode media; 0: as many as cores.
        decimal: column -> "." or ",", or "*" for all: what "6,174" means.
        date: column -> dmy, mdy, ymd or a format such as %d.%m.%y, or "*" for all dates.
        missing: column -> words that say that nothing is known, or "*" for all.
        encoding: of texts that are not UTF-8, such as cp1252.
    """

    kinds: dict[str, str] = {}
    drop: list[str] = []
    group: str | None = None
    time: str | None = None
    split: Literal["auto", "random", "stratified", "group", "time"] = "auto"
    valid: float | None = Field(None, gt=0, lt=1)
    folds: int = Field(0, ge=0)
    max_bad_rows: int = Field(0, ge=0)
    workers: int = Field(0, ge=0)
    decimal: dict[str, str] = {}
    date: dict[str, str] = {}
    missing: dict[str, list[str]] = {}
    encoding: str | None = None

    @model_validator(mode="after")
    def _one_division(self) -> Data:
        if self.time and self.split not in ("auto", "time"):
            raise ValueError(f"'time' goes with 'split: time', not with 'split: {self.split}'")
        if self.folds and self.valid:
            raise ValueError("give either 'folds' or 'valid', not both")
        return self

    def division(self) -> list[str]:
        """The keys given here that say how the training table is divided."""
        keys = ("split", "time", "valid", "folds")
        return [key for key in keys if getattr(self, key) != type(self).model_fields[key].default]


# What describes one model at the top of a recipe, for short.
SHORT = ("modalities", "align", "fusion", "width", "tuning", "training")


class Recipe(_Strict):
    """A whole fit.

    Attributes:
        train: table of training rows (any source that `read` takes, if it is a path).
        valid: table of validation rows; None: split from `train`.
        targets: name -> task (a file of `tasks/`); None: by the column's kind. The name is that of
            the target column, where the task has one.
        data: see Data.
        models: what is trained; None: the plan chooses by the data's size.
        rivals: also train each modality of the models alone (the plan does so unasked).
        compare: each model has the same part of the budget, and all are kept for `compare`.
        metric: what models are chosen, shown and judged by; None: each task's own primary metric.
        pretrained: which models trained elsewhere the plan may read cells with: "installed" by a
            package or in the hub's local cache, "hub" to download those of a short list too, or
            "none", which also forbids what modalities name, a parent's own models left out.
        seed: of everything random.
        budget: seconds for the whole fit; None: no limit of its own.
        parent: a run whose encoders and forms networks start from, by the columns' names; or None.
        teacher: a run whose answers are learned in the labels' place, by one network of all
            modalities unless models are named; or None.
        modalities, align, fusion, width, tuning, training: short for one of the models, called
            "model", or for one of each fusion if that is a list, which are then compared; gone once
            they are read.
    """

    train: str | None = None
    valid: str | None = None
    targets: dict[str, Spec | None] = {}
    data: Data = Data()
    models: list[Member] | None = None
    rivals: bool = False
    compare: bool = False
    metric: str | None = None
    pretrained: Literal["installed", "hub", "none"] = "installed"
    seed: int = Field(0, ge=0, lt=2**32)
    budget: float | None = Field(None, gt=0)
    parent: Annotated[Parent | None, BeforeValidator(_folder)] = None
    teacher: Annotated[Teacher | None, BeforeValidator(_folder)] = None
    modalities: dict[str, Modality] | None = Field(None, exclude=True)
    align: Spec | None = Field(None, exclude=True)
    fusion: Spec | list[Spec] | None = Field(None, exclude=True)
    width: int | None = Field(None, ge=4, exclude=True)
    tuning: Spec | None = Field(None, exclude=True)
    training: Training | None = Field(None, exclude=True)

    @model_validator(mode="after")
    def _one_way(self) -> Recipe:
        short = [key for key in SHORT if getattr(self, key) is not None]
        if self.models and short:
            raise ValueError(f"give either 'models' or {' / '.join(short)}, not both")
        if short:
            self._expand(short)
        elif self.teacher is not None and not self.models:
            self.models = [Member(name="student")]
        for key in ("rivals", "compare"):
            if getattr(self, key) and not self.models:
                raise ValueError(f"'{key}' goes with 'models'; the plan has rivals anyway")
        # What a parent has learned, or was tuned from, is named in its fit's resolved models too.
        alone = self.pretrained == "none" and self.parent is None
        for model in self.models or [] if alone else ():
            for name, modality in model.modalities.items():
                if modality.pretrained:
                    what = f"the pretrained model that '{model.name}' reads '{name}' with"
                    raise ValueError(f"'pretrained: none' forbids {what}")
        names = [model.name for model in self.models or []]
        if len(set(names)) < len(names):
            raise ValueError("two models have the same name")
        return self

    def _expand(self, short: list[str]) -> None:
        """The short form as `models`."""
        given = {key: getattr(self, key) for key in short if key != "fusion"}
        if isinstance(self.fusion, list):
            if not self.fusion:
                raise ValueError("'fusion' takes at least one")
            fusions = {label(spec): spec for spec in self.fusion}
            if len(fusions) < len(self.fusion):
                raise ValueError("the same fusion is listed twice")
            self.models = [Member(name=n, fusion=spec, **given) for n, spec in fusions.items()]
            self.compare = True
        else:
            given |= {} if self.fusion is None else {"fusion": self.fusion}
            self.models = [Member(name="model", **given)]
        for key in SHORT:
            setattr(self, key, None)

    def save(self, path: Path) -> None:
        options: dict[str, Any] = {"Dumper": _Dumper, "sort_keys": False, "allow_unicode": True}
        write_text(path, yaml.dump(self.model_dump(), **options))
