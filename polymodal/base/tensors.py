"""Weights on disk with the hash of what was written: a changed byte is found on reading."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from polymodal.base.files import damaged, whole
from polymodal.base.sealed import SEAL

if TYPE_CHECKING:
    from torch import Tensor


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors as safetensors; those that share storage are written apart."""
    from safetensors.torch import save_file

    own = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    described = dict(metadata or {})
    with whole(path) as temporary:
        save_file(own, temporary, metadata={**described, SEAL: hashed(own, described)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata that `write_tensors` wrote; UserError if they are others."""
    from safetensors import safe_open

    try:
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path.name}")
        with safe_open(path, "pt") as file:
            described = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if described.pop(SEAL, None) != hashed(tensors, described):
            raise ValueError("its content is not the one that was written")
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise damaged(path, error) from error
    return tensors, described


def hashed(tensors: Mapping[str, Tensor], described: Mapping[str, str]) -> str:
    """A hash of metadata and of names, types, shapes and contents of tensors on the CPU."""
    import torch

    found = blake2b(repr(sorted(described.items())).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        # A copy, for a tensor of one number may have strides that `view` refuses.
        flat = tensor.flatten().clone(memory_format=torch.contiguous_format)
        found.update(flat.view(torch.uint8).numpy().data)
    return found.hexdigest()
