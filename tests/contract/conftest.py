"""Sample cells of every kind, batches of them, and a stub to stand beside any encoder.

The six rows of a batch: three with both modalities, one with either alone, one with neither.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from polymodal import modalities
from polymodal.base import lookup
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.contract.kind import kinds
from polymodal.contract.task import Task
from polymodal.models.model import Model
from polymodal.prepared.targets import prepared
from polymodal.table.media import Media

ROWS = 6
WIDTH = 16
HAS_SUBJECT = [True, True, True, True, False, False]
HAS_STUB = [True, True, True, False, True, False]
STUB_LENGTHS = [2, 4, 1, 0, 3, 0]

# Form options by name, for speed.
SMALL = {"size": 32, "frames": 3, "rate": 8000, "seconds": 1, "limit": 32, "count": 168}

# Encoders that get two layers, for speed: what goes through these goes through more.
DEEP = {
    ("audio", "ast"),
    ("audio", "hubert"),
    ("audio", "wav2vec2"),
    ("image", "vit"),
    ("series", "patch_transformer"),
    ("table", "ft_transformer"),
    ("video", "transformer"),
}

# Cells of every kind of target; what is missing is missing in some row that has inputs.
TARGETS: dict[str, list[Any]] = {
    "category": ["yes", "no", None, "yes", "no", "maybe"],
    "number": [1.5, -2.0, 3.0, None, 0.5, 1.0],
    "set": ["a;b", "b", None, "a", "c", "a;c"],
}
TAGS = ["B-X", "I-X", "O", "B-Y", "O", "O"]
TEXTS = [
    "The Quick brown fox jumps",
    "Anna sees the brown fox!",
    "the fox",
    "a quick house in London the",
]


@contextmanager
def toys() -> Iterator[None]:
    """Kinds that the package does not know stand beside its own."""
    added = str(Path(__file__).parent.parent / "toys" / "modalities")
    modalities.__path__.append(added)
    try:
        yield
    finally:
        modalities.__path__.remove(added)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """The tests in this folder list what there is to test while they are collected."""
    with toys():
        return (yield)


@pytest.fixture(autouse=True)
def toys_too() -> Iterator[None]:
    with toys():
        yield


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors on several threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


class Stub(Encoder):
    """A linear layer on given numbers, a token a step, as many as `STUB_LENGTHS` says."""

    kind = "series"
    form = "none"
    words = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, width)

    def forward(self, field: Field) -> Tokens:
        assert field.mask is not None
        return Tokens(self.linear(field.data), field.mask)


def stub_field() -> Field:
    mask = torch.arange(max(STUB_LENGTHS)) < torch.tensor(STUB_LENGTHS).unsqueeze(1)
    values = torch.randn(*mask.shape, 3, generator=torch.Generator().manual_seed(1))
    return Field(values * mask.unsqueeze(-1), mask, torch.tensor(HAS_STUB))


def collate(form: Form, cells: list[Any]) -> Field:
    """Encoded cells, None where missing, as one field."""
    arrays = [None if cell is None else form.encode(cell) for cell in cells]
    shown = next(a for a in arrays if a is not None)
    present = torch.tensor([a is not None for a in arrays])
    if not form.ragged:
        data = np.stack([np.zeros_like(shown) if a is None else a for a in arrays])
        return Field(torch.from_numpy(data), None, present)
    lengths = [0 if a is None else len(a) for a in arrays]
    data = np.zeros((len(arrays), max(*lengths, 1), *shown.shape[1:]), shown.dtype)
    for row, array in enumerate(arrays):
        if array is not None:
            data[row, : len(array)] = array
    mask = torch.arange(data.shape[1]) < torch.tensor(lengths).unsqueeze(1)
    return Field(torch.from_numpy(data), mask, present)


def _png(rng: np.random.Generator) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _wav(rng: np.random.Generator, seconds: float) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    samples = 0.3 * rng.normal(size=int(8000 * seconds)).clip(-3, 3)
    soundfile.write(buffer, samples, 8000, format="WAV")
    return buffer.getvalue()


def _mp4(rng: np.random.Generator, frames: int) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(frames):
            picture = rng.integers(0, 256, (32, 32, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.fixture(scope="session")
def cells() -> dict[str, list[Any]]:
    """Kind -> four present cells and two missing ones, of different lengths where they have one."""
    rng = np.random.default_rng(0)
    found: dict[str, list[Any]] = {
        "text": list(TEXTS),
        "image": [Media("image", data=_png(rng)) for _ in range(4)],
        "audio": [Media("audio", data=_wav(rng, s)) for s in (0.3, 0.5, 0.4, 0.2)],
        "video": [Media("video", data=_mp4(rng, n)) for n in (4, 6, 3, 5)],
        "series": [Media("series", values=rng.normal(size=(n, 2))) for n in (9, 14, 5, 20)],
        "table": [
            {"n": 1.5, "m": 10, "c": "red", "s": "x;y"},
            {"n": None, "m": 20, "c": "blue", "s": "y"},
            {"n": -2.0, "m": 15, "c": None, "s": None},
            {"n": 0.25, "m": None, "c": "red", "s": "x"},
        ],
    }
    with toys():
        for kind in kinds().keys() - found:
            found[kind] = importlib.import_module(f"polymodal.modalities.{kind}._sample").CELLS
    return {kind: [*present, None, None] for kind, present in found.items()}


# What the forms `pretrained` open.
BACKBONES = {
    "text": "bert",
    "image": "vit",
    "audio": "wav2vec2",
    "video": "videomae",
    "series": "patchtst",
}


@dataclass(frozen=True)
class Subject:
    """An encoder under test with its fitted form and a batch.

    Attributes:
        build: a fresh, adapted encoder of a width.
        tags: the tag target's cells, one a token of the encoder, or None if it labels no words.
    """

    form: Form
    field: Field
    build: Callable[..., Encoder]
    tags: list[Any] | None


@pytest.fixture(scope="session")
def collated() -> Callable[[Form, list[Any]], Field]:
    """`collated(form, cells)`: encoded cells, None where missing, as one field."""
    return collate


@pytest.fixture(scope="session")
def fitted_form(
    cells: dict[str, list[Any]], checkpoint: Callable[[str], str]
) -> Callable[..., Form]:
    """`fitted_form(kind, name, words=False)`: a small form fitted on the sample cells."""
    paths = {kind: checkpoint(name) for kind, name in BACKBONES.items()}
    columns = [("n", "number"), ("m", "number"), ("c", "category"), ("s", "set")]
    built: dict[tuple[str, str, bool], Form] = {}

    def make(kind: str, name: str, words: bool = False) -> Form:
        if (kind, name, words) not in built:
            cls = lookup.find(f"modalities/{kind}/forms", name)
            given: dict[str, Any] = SMALL | {
                "path": paths.get(kind),
                "columns": [{"name": n, "kind": k} for n, k in columns],
            }
            # A frozen model is asked for pooled tokens, one that is trained on for words.
            given["tune"] = words
            form = cls(**{k: v for k, v in given.items() if k in lookup.options(cls)})
            form.fit([cell for cell in cells[kind] if cell is not None])
            built[kind, name, words] = form
        return built[kind, name, words]

    return make


@pytest.fixture(scope="session")
def subject(
    cells: dict[str, list[Any]], fitted_form: Callable[..., Form]
) -> Callable[..., Subject]:
    """`subject(kind, name, words=False)`: the encoder `kind/name`, everything it needs."""
    made: dict[tuple[str, str, bool], Subject] = {}

    def make(kind: str, name: str, words: bool = False) -> Subject:
        if (kind, name, words) in made:
            return made[kind, name, words]
        cls = lookup.find(f"modalities/{kind}/encoders", name)
        form = fitted_form(kind, cls.form, words)
        field = collate(form, cells[kind])
        options: dict[str, Any] = {"words": True} if words else {}
        if (kind, name) in DEEP:
            options["depth"] = 2

        def build(width: int = 16, adapt: bool = True) -> Encoder:
            encoder = cls(form, width, **options)
            if adapt:
                encoder.adapt([field])
            return encoder

        tags = None
        if words:
            counts = [len(text.split()) for text in TEXTS]
            tags = [TAGS[:n] for n in counts] + [None, None]
        made[kind, name, words] = Subject(form, field, build, tags)
        return made[kind, name, words]

    return make


@pytest.fixture(scope="session")
def stub() -> tuple[Callable[[int], Encoder], Field, list[Any]]:
    """The stub encoder's class, its field, and tags for its tokens."""
    tags = [TAGS[:n] if n else None for n in STUB_LENGTHS]
    return Stub, stub_field(), tags


@pytest.fixture(scope="session")
def target_cells() -> dict[str, list[Any]]:
    """Column kind -> six target cells ("tags" depend on the tokens, see `Subject.tags`)."""
    return TARGETS


@dataclass
class Case:
    """A model to be built twice, its batch and its targets."""

    build: Callable[[], Model]
    inputs: dict[str, Field]
    tasks: dict[str, Task]
    targets: dict[str, Field]


@pytest.fixture
def case(subject, stub, target_cells) -> Callable[..., Case]:
    """`case(encoders, fusion, tasks)`: encoders are (kind, name, words), at most one by word.

    A stub stands beside them, and another if there are none. Its words are tagged, unless an
    encoder gives words.
    """

    def make(encoders: Sequence[tuple[str, str, bool]], fusion: str, names: list[str]) -> Case:
        stub_class, field, tags = stub
        subjects = {"-".join(map(str, one)): subject(*one) for one in encoders}
        inputs = {name: one.field for name, one in subjects.items()}
        if not subjects:
            inputs["other"] = Field(field.data.flip(0), field.mask.flip(0), field.present.flip(0))
        inputs["stub"] = field
        tagged = "stub"
        for name, one in subjects.items():
            if one.tags:
                tags, tagged = one.tags, name
        tasks, targets = {}, {}
        for name in names:
            task = lookup.build("tasks", name, name)
            cells = (target_cells | {"tags": tags})[task.kind]
            task.fit(cells, {"text": tagged})
            tasks[name] = task
            targets[name] = prepared(task, cells).gather(np.arange(len(cells)))

        def build(adapt: bool = True) -> Model:
            built = {
                name: subjects[name].build(WIDTH, adapt) if name in subjects else stub_class(WIDTH)
                for name in inputs
            }
            fused = lookup.build("fusion", fusion, list(built), WIDTH)
            return Model(built, fused, tasks, WIDTH, modality_dropout=0.0)

        return Case(build, inputs, tasks, targets)

    return make
