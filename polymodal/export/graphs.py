"""A member as one exported program, and as an ONNX graph: flat named tensors in, answers out."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from polymodal.base.errors import MissingExtra, UserError
from polymodal.contract.batch import Field
from polymodal.contract.predictor import Predictor
from polymodal.contract.supervised import Supervised
from polymodal.contract.task import Task
from polymodal.models.experts._forest import Forest

# What is exported to -> the module of `export/package` that computes it, and its files' suffix.
RUNTIMES = {"onnx": ("by_onnx", ".onnx"), "torch": ("by_torch", ".pt2")}
# Of ONNX: what PyTorch writes. To convert a graph to another version takes as long as a quarter
# of an export.
OPSET = 18
# Positions that a ragged modality of the example has at least: of one, a program knows no other.
LEAST = 3


class Flat(nn.Module):
    """A predictor of flat tensors: of each modality "data", "mask" where it is ragged, "present".

    It returns each target's answers `(batch, ...)`, and where words are labelled how many words
    each row has.

    Args:
        module: left as it is; boosted trees become plain operations in a copy of it.
        ragged: modality -> whether its fields have a mask.
        tasks: target -> task, in the order of the answers.
    """

    def __init__(
        self, module: Predictor, ragged: Mapping[str, bool], tasks: Mapping[str, Supervised]
    ) -> None:
        super().__init__()
        self.module = _portable(module)
        self.ragged, self.tasks = dict(ragged), dict(tasks)

    @property
    def inputs(self) -> list[str]:
        """What the tensors are called."""
        return [
            f"{name}.{part}"
            for name, has_mask in self.ragged.items()
            for part in ("data", *(["mask"] if has_mask else []), "present")
        ]

    @property
    def outputs(self) -> list[str]:
        return [
            f"{name}.{part}"
            for name, task in self.tasks.items()
            for part in ("answer", *(["length"] if task.words is not None else []))
        ]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = iter(tensors)
        inputs = {}
        for name, has_mask in self.ragged.items():
            data = next(given)
            mask = next(given) if has_mask else None
            inputs[name] = Field(data, mask, next(given))
        outputs = self.module(inputs)
        found = []
        for name, task in self.tasks.items():
            found.append(task.answer_of(outputs.logits[name].float()))
            if task.words is not None:
                assert outputs.fused is not None
                found.append(outputs.fused.tokens[task.words].mask.sum(1))
        return tuple(found)


def tensors(fields: Mapping[str, Field]) -> list[Tensor]:
    """A batch's fields as `Flat` takes them."""
    parts = ((field.data, field.mask, field.present) for field in fields.values())
    return [part for three in parts for part in three if part is not None]


def answered(tasks: Mapping[str, Task]) -> dict[str, Supervised]:
    """The tasks, if all of them can be answered without this package's tasks.

    Raises:
        UserError: one cannot.
    """
    found = {}
    for name, task in tasks.items():
        if not isinstance(task, Supervised) or task.spoils or task.plain_decode is None:
            raise UserError(
                f"The task '{name}' cannot be exported",
                expected="classes, numbers, sets of labels, or tags of words",
                got=type(task).__name__.lower(),
                do="serve the run itself, or fit with other targets",
            )
        found[name] = task
    return found


def program(flat: Flat, example: Mapping[str, Field]) -> torch.export.ExportedProgram:
    """A program of any number of rows, and any length of what is ragged.

    Args:
        example: two rows at least.
    """
    given = {name: _longer(field) for name, field in example.items()}
    ragged: list[bool] = []
    for field in given.values():
        ragged += [False, False] if field.mask is None else [True, True, False]
    return traced(flat, tensors(given), ragged)


def traced(
    module: nn.Module, example: Sequence[Tensor], ragged: Sequence[bool]
) -> torch.export.ExportedProgram:
    """A module's program of tensors of any number of rows.

    Args:
        example: two rows at least.
        ragged: of each tensor whether its second axis varies too.
    """
    dynamic = torch.export.Dim.DYNAMIC
    shapes = tuple({0: dynamic, 1: dynamic} if one else {0: dynamic} for one in ragged)
    with torch.no_grad(), _quiet(), quickly():
        return torch.export.export(
            module, tuple(_owned(example)), dynamic_shapes=(shapes,), strict=False
        )


def write(
    exported: torch.export.ExportedProgram,
    inputs: Sequence[str],
    outputs: Sequence[str],
    path: Path,
    to: str,
) -> None:
    """Write a program whose tensors are called so, as one of RUNTIMES has it.

    Raises:
        UserError: the extra is not installed, or ONNX has no operation that the program needs.
    """
    if to == "torch":
        with _quiet():
            torch.export.save(exported, path)
        return
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtra("onnxscript", "onnx", "An export to ONNX") from error
    try:
        with torch.no_grad(), _quiet(), quickly():
            found = torch.onnx.export(
                exported,
                dynamo=True,
                opset_version=OPSET,
                verbose=False,
                input_names=list(inputs),
                output_names=list(outputs),
            )
    except torch.onnx.errors.OnnxExporterError as error:
        last = [line for line in str(error.__cause__ or error).splitlines() if line.strip()]
        raise UserError(
            "ONNX has no operation for a part of a model",
            expected="a model of plain operations",
            got=" ".join(last)[:300],
            do="`to torch` keeps PyTorch's own operations",
        ) from error
    assert found is not None
    found.save(path)


def _owned(parts: Sequence[Tensor]) -> Iterator[Tensor]:
    """Copies that are no views: a program would remember what they are views of."""
    return (part.clone(memory_format=torch.contiguous_format) for part in parts)


def _longer(field: Field) -> Field:
    """A ragged field with LEAST positions, those added masked."""
    if field.mask is None or field.mask.shape[1] >= LEAST:
        return field
    short = LEAST - field.mask.shape[1]
    data, mask = (
        torch.cat([part, part.new_zeros(len(part), short, *part.shape[2:])], 1)
        for part in (field.data, field.mask)
    )
    return Field(data, mask, field.present)


def _portable(module: Predictor) -> Predictor:
    """A copy on the CPU, for prediction, with plain operations for what only a library does."""
    # Forms, which may hold a large model, are not learned with it.
    shared = {id(form): form for form in module.read_in.values()}
    found = copy.deepcopy(module, shared).cpu().eval()
    for name, inner in list(found.named_modules()):
        if isinstance(inner, Forest):
            found.set_submodule(name, inner.walked())
    return found


@contextmanager
def quickly() -> Iterator[None]:
    """While programs are traced, PyTorch keeps no shapes of operations that it has seen.

    Of sizes that vary, to find them again and to compare them takes longer than to compute them.
    """
    with torch._dynamo.config.patch(fake_tensor_cache_enabled=False):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of packages that are not installed, and of its own future."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
