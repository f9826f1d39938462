"""What a held vision-language model sees in pictures, as bytes that can be kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

from polymodal.base.devices import device
from polymodal.nn import checkpoint, vision
from polymodal.nn.borrowed import Sighted
from polymodal.nn.tokens import Look

Array = np.ndarray[Any, Any]

# Bytes that say how many others follow, before whatever a batch fills them up with.
HEAD = 8
# What the tensors of a look are called: its text, what its model has seen, and the inputs.
SAID, SEEN, INPUT = "said", "seen", "input."
# The libraries that prepare a picture and compute what is seen in it.
LIBRARIES = ("transformers", "torch", "pillow", "torchvision", "tokenizers")


class Looker:
    """A vision-language model that looks at pictures and is not trained on.

    Args:
        path: as of `decoder: vision_language`.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def __deepcopy__(self, memo: dict[int, Any]) -> Looker:
        """The same: it is only read."""
        return self

    @cached_property
    def digest(self) -> str:
        """A hash of the model's files."""
        return checkpoint.digest(self.path, weights=True)

    @property
    def fingerprint(self) -> str:
        """Equal where the same is seen: it depends on what the files hold, and on libraries."""
        described = [self.digest, *map(_version, LIBRARIES)]
        return hashlib.blake2b(json.dumps(described).encode(), digest_size=16).hexdigest()

    @cached_property
    def tokens(self) -> Sighted:
        return vision.tokenised(self.path, 1)

    @cached_property
    def sight(self) -> vision.Sight:
        found = vision.held(self.path, self.digest)
        return found.to(device()).requires_grad_(False).eval()

    def open(self) -> None:
        """Have all of it ready; UserError as `vision.opened`."""
        for name in ("tokens", "sight"):
            getattr(self, name)

    @torch.inference_mode()
    def see(self, pictures: Sequence[Array]) -> list[Array]:
        """Pictures `(height, width, 3)` as bytes `(n,)` of what is seen in them.

        Raises:
            UserError: the model takes no such picture.
        """
        from safetensors.torch import save

        looks = [self.tokens.look(one) for one in pictures]
        found = []
        for look, seen in zip(looks, self.sight(looks), strict=True):
            kept = {n: value for n, value in look.inputs.items() if n in self.sight.places}
            tensors = {INPUT + name: value.contiguous() for name, value in kept.items()}
            tensors[SAID] = torch.frombuffer(bytearray(look.text.encode()), dtype=torch.uint8)
            tensors[SEEN] = seen.float().cpu().contiguous()
            data = np.frombuffer(save(tensors), np.uint8)
            found.append(np.concatenate([np.array([len(data)], "<u8").view(np.uint8), data]))
        return found


def _version(library: str) -> str | None:
    """None where it is not installed: not all are needed."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def told(array: Array) -> Look:
    """The look that bytes `(n,)` of `Looker.see` hold, whatever follows them."""
    from safetensors.torch import load

    (size,) = np.ascontiguousarray(array[:HEAD]).view("<u8").tolist()
    tensors = load(array[HEAD : HEAD + size].tobytes())
    text = bytes(tensors[SAID].tolist()).decode()
    inputs = {n.removeprefix(INPUT): t for n, t in tensors.items() if n.startswith(INPUT)}
    return Look(text, inputs, tensors[SEEN])
