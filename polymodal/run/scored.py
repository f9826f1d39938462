"""Scores kept on disk under the hash of all that they were computed from.

Nothing is ever updated: what differs has another name. A damaged file counts as none.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from polymodal.base import lookup
from polymodal.base.devices import device_of
from polymodal.base.errors import UserError
from polymodal.base.files import whole
from polymodal.contract.task import Answers, Task
from polymodal.prepared.cache import SCORES
from polymodal.prepared.index import explained
from polymodal.prepared.prepare import Prepared

# What scores may depend on, beside this package's code.
VERSIONS = ("polymodal", "torch", "transformers", "accelerate", "lightgbm", "scikit-learn", "numpy")
# What all scores may take; beyond it those used longest ago go.
LIMIT = 2**30
_DIGEST = 16
_HASHED = re.compile(r"[0-9a-f]{32}\.npz")


def remembered(
    folder: Path,
    key: bytes,
    absent: Sequence[Collection[str]],
    compute: Callable[..., list[dict[str, Answers]]],
) -> list[dict[str, Answers]]:
    """Scores for every set in `absent` of modalities to leave out, computed where not kept.

    Args:
        folder: the cache.
        key: of everything else that they depend on; see `key_of`.
        compute: called with the sets that are not kept as `absent`, returns their scores.
    """
    paths = [_path(folder, key, gone) for gone in absent]
    with explained(folder):
        found = [_read(path) for path in paths]
    left = [i for i, scores in enumerate(found) if scores is None]
    if left:
        computed = compute(absent=[absent[i] for i in left])
        for i, scores in zip(left, computed, strict=True):
            found[i] = scores
            with suppress(UserError):  # they are right, kept or not
                _write(paths[i], scores)
        with explained(folder):
            _bound(folder / SCORES)
    return [scores for scores in found if scores is not None]


def missing(folder: Path, key: bytes, absent: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """Those sets whose scores `remembered` does not find."""
    with explained(folder):
        return [gone for gone in absent if _read(_path(folder, key, gone)) is None]


def key_of(
    module: nn.Module,
    described: Any,
    tasks: Mapping[str, Task],
    inputs: Mapping[str, Prepared],
    rows: np.ndarray[Any, Any],
) -> bytes:
    """Hash of the weights, the code, the settings, the library versions and the rows' contents.

    Args:
        described: how the module was built, how it is computed and by which versions; JSON can
            hold it.
        inputs: modality -> prepared cells; their keys hash media bytes, texts and preprocessing.
    """
    known = blake2b(digest_size=_DIGEST)
    about = {
        "described": described,
        "tasks": [
            [name, lookup.name_of(type(o)), lookup.chosen(o), o.state] for name, o in tasks.items()
        ],
        "computed": [str(device_of(module)), torch.backends.cpu.get_cpu_capability()],
    }
    known.update(json.dumps(about).encode())
    known.update(_OWN)
    parts = [*module.modules(), *tasks.values()]
    for name in sorted({base.__module__ for part in parts for base in type(part).__mro__}):
        known.update(_source(name))
    for name, tensor in module.state_dict().items():
        known.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        # A copy, for a tensor of one number may have strides that `view` refuses.
        flat = tensor.detach().cpu().flatten().clone(memory_format=torch.contiguous_format)
        known.update(flat.view(torch.uint8).numpy().data)
    for name, prepared in inputs.items():
        known.update(name.encode() + prepared.digest(rows))
    return known.digest()


def versions() -> dict[str, str]:
    """Package -> installed version, or "unknown"."""
    return {name: _version(name) for name in VERSIONS}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _path(folder: Path, key: bytes, absent: Collection[str]) -> Path:
    data = key + json.dumps(sorted(absent)).encode()
    return folder / SCORES / f"{_digest(data).hex()}.npz"


@cache
def _source(name: str) -> bytes:
    """Hash of a module's name and file; a file that a recipe names has its content in the name."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return _digest(name.encode() + (Path(file).read_bytes() if file else b""))


def _package() -> bytes:
    """Hash of all code of this package."""
    known = blake2b(digest_size=_DIGEST)
    for path in sorted(lookup.ROOT.rglob("*.py")):
        known.update(f"{path.relative_to(lookup.ROOT)}".encode() + _digest(path.read_bytes()))
    return known.digest()


def _write(path: Path, scores: dict[str, Answers]) -> None:
    """Each target's rows in one array, and where each ends if their lengths vary."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, values in scores.items():
        alike = len({value.shape for value in values}) == 1
        arrays[f"values {name}"] = np.stack(values) if alike else np.concatenate(values)
        if not alike:
            arrays[f"ends {name}"] = np.cumsum([len(value) for value in values])
    data = io.BytesIO()
    np.savez(data, **arrays)  # type: ignore[arg-type]
    with whole(path) as temporary:
        temporary.write_bytes(_digest(data.getvalue()) + data.getvalue())


def _read(path: Path) -> dict[str, Answers] | None:
    """What `_write` wrote; None if there is no such file, or another content in it."""
    try:
        content = path.read_bytes()
        path.touch()  # so that what is in use is not the oldest
    except FileNotFoundError:
        return None
    if content[:_DIGEST] != _digest(content[_DIGEST:]):
        return None
    scores: dict[str, Answers] = {}
    with np.load(io.BytesIO(content[_DIGEST:])) as arrays:
        for name in (key.removeprefix("values ") for key in arrays if key.startswith("values ")):
            values, ends = arrays[f"values {name}"], arrays.get(f"ends {name}")
            scores[name] = list(values if ends is None else np.split(values, ends[:-1]))
    return scores


def _bound(folder: Path) -> None:
    """Delete what was used longest ago until the rest fits into LIMIT."""
    total = 0
    own = (path for path in folder.glob("*.npz") if _HASHED.fullmatch(path.name))
    for path in sorted(own, key=lambda p: _stamp(p)[0], reverse=True):
        total += _stamp(path)[1]
        if total > LIMIT:
            path.unlink(missing_ok=True)


def _stamp(path: Path) -> tuple[float, int]:
    """When it was used last, and its size; zeros where another process has deleted it."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0.0, 0
    return status.st_mtime, status.st_size


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST).digest()


# Taken on import, when the code is loaded: what is edited later does not run in this process.
_OWN = _package()
