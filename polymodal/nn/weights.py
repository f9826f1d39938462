"""Saved weights into a module."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


def fits(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether `fill` can load all of these weights, and has all that the module needs."""
    own = dict(module.named_parameters())
    state = module.state_dict()
    if set(state) != set(tensors):
        return False
    grown = {
        f"{path}.weight" if path else "weight"
        for path, inner in module.named_modules()
        if isinstance(inner, nn.Embedding)
    }
    for name, parameter in own.items():
        found, start = tensors[name].shape, int(name in grown)
        if len(found) != parameter.dim() or found[start:] != parameter.shape[start:]:
            return False
    return True


def fill(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Load weights, giving those whose length was learned from data the length they have.

    These are buffers, and embeddings, which have a vector for each word that was found.
    """
    for name, own in [*module.named_buffers(), *module.named_parameters()]:
        path, _, attribute = name.rpartition(".")
        owner = module.get_submodule(path)
        found = tensors.get(name, own)
        if found.shape == own.shape:
            continue
        if not isinstance(own, nn.Parameter):
            setattr(owner, attribute, found.clone())
        elif isinstance(owner, nn.Embedding) and found.shape[1:] == own.shape[1:]:
            setattr(owner, attribute, nn.Parameter(found.clone(), own.requires_grad))
    module.load_state_dict(dict(tensors))
