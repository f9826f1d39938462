"""EfficientNet-Lite0's weights, against the network that they are of."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from polymodal.modalities._package import unpickled
from polymodal.modalities.image.forms.pretrained import IMAGE, Pretrained
from polymodal.modalities.image.packages.efficientnet_lite0 import FILE, EfficientnetLite0
from polymodal.nn import pretrained
from polymodal.table.media import Media

if importlib.util.find_spec(EfficientnetLite0.module) is None:
    pytest.skip(f"{EfficientnetLite0.pip} is not installed", allow_module_level=True)

# Strides of its 16 blocks (Tan and Le 2019, table 1).
STRIDES = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("lite")
    EfficientnetLite0().convert(source(), folder)
    return str(folder)


def source() -> Path:
    spec = importlib.util.find_spec(EfficientnetLite0.module)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def original(w: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The network as TensorFlow pads, without squeeze and excitation."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        a = (w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *a, eps=1e-3)

    def convolve(x: torch.Tensor, name: str, stride: int = 1, groups: int = 1) -> torch.Tensor:
        weight = w[f"{name}.weight"]
        outside = max((-(-x.shape[-1] // stride) - 1) * stride + weight.shape[-1] - x.shape[-1], 0)
        before, after = outside // 2, outside - outside // 2
        padded = F.pad(x, (before, after, before, after))
        return F.conv2d(padded, weight, stride=stride, groups=groups)

    x = F.relu6(norm(convolve(x, "_conv_stem", 2), "_bn0"))
    for i, stride in enumerate(STRIDES):
        block, y = f"_blocks.{i}.", x
        if f"{block}_expand_conv.weight" in w:
            y = F.relu6(norm(convolve(y, f"{block}_expand_conv"), f"{block}_bn0"))
        y = convolve(y, f"{block}_depthwise_conv", stride, y.shape[1])
        y = norm(
            convolve(F.relu6(norm(y, f"{block}_bn1")), f"{block}_project_conv"), f"{block}_bn2"
        )
        x = x + y if y.shape == x.shape else y
    return F.relu6(norm(convolve(x, "_conv_head"), "_bn1"))


@torch.no_grad()
def test_it_is_the_same_network(path: str) -> None:
    pictures = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ours = pretrained.hidden(pretrained.load(path, IMAGE), pixel_values=pictures)
    theirs = original(unpickled(source() / FILE), pictures).flatten(2).transpose(1, 2)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert ours.shape == (1, 49, pretrained.width(path, IMAGE)) == (1, 49, 1280)


def test_it_knows_a_flower_and_a_palace(path: str) -> None:
    """Two photographs, by the network's own last layer: class 985 is a daisy, 698 a palace."""
    from sklearn.datasets import load_sample_images

    photographs: list[Any] = load_sample_images().images
    cells = [Media("a photograph", values=np.asarray(one)) for one in photographs]
    outputs = np.concatenate(Pretrained(path=path).encode_many(cells))
    last = unpickled(source() / FILE)
    scores = outputs @ last["_fc.weight"].numpy().T + last["_fc.bias"].numpy()
    palace, flower = np.argsort(-scores, 1)[:, :5]
    assert 698 in palace and flower[0] == 985
