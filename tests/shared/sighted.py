"""Tiny vision-language models of random weights, as people save them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

KINDS = ["llava", "idefics3", "smolvlm", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"]
MARKS = ["<pad>", "</s>", "<s>"]
# What stands for a picture: its own piece, and pieces around it or its parts.
LLAVA = ["<image>"]
TILES = [f"<row_{i + 1}_col_{j + 1}>" for i in range(6) for j in range(6)]
IDEFICS = ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *TILES]
ROLES, MEDIA = ["vision_start", "vision_end"], ["image", "video"]
QWEN = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
TALK = (
    "<s>{% for one in messages %}{{ one['role'] }}: {% for part in one['content'] %}"
    "{{ part['text'] if part['type'] == 'text' else IMAGE }}{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 24,
    "max_position_embeddings": 256,
    "vocab_size": 384,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "head_dim": 8,
}
SEES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def tokenizer(marks: list[str]) -> Any:
    """Pieces of bytes, with a beginning that it writes by itself."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE({sign: i for i, sign in enumerate(MARKS + signs)}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens([AddedToken(mark, special=True) for mark in MARKS + marks])
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", MARKS.index("<s>"))]
    )
    names = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, padding_side="left", **names)


def saved(folder: Path, kind: str = "llava", tied: bool = False, **more: Any) -> str:
    """A model's folder, with its processor."""
    import transformers

    torch.manual_seed(0)
    model, processor = globals()[f"_{kind.removesuffix('_vl')}"](transformers, tied, more)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return str(folder)


def _llava(lib: Any, tied: bool, more: dict[str, Any]) -> tuple[Any, Any]:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    own = tokenizer(LLAVA)
    config = lib.LlavaConfig(
        vision_config=lib.CLIPVisionConfig(**SEES, image_size=16, patch_size=8),
        text_config=lib.LlamaConfig(**{**TEXT, **more}),
        image_token_id=own.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
        vision_feature_layer=-2,
        tie_word_embeddings=tied,
    )
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=16)
    processor = lib.LlavaProcessor(
        pictures,
        own,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TALK.replace("IMAGE", "'<image>'"),
    )
    return lib.LlavaForConditionalGeneration(config), processor


# How models that see a picture and its parts are shown it.
CUT: dict[str, Any] = {
    "size": {"longest_edge": 32},
    "max_image_size": {"longest_edge": 16},
    "do_image_splitting": True,
}


def _cut(lib: Any, own: Any, tied: bool, more: dict[str, Any]) -> dict[str, Any]:
    """The configuration of such a model, with a tokenizer of its `own`."""
    return {
        "vision_config": {**SEES, "intermediate_size": 24, "image_size": 16, "patch_size": 4},
        "text_config": lib.LlamaConfig(**{**TEXT, **more}),
        "image_token_id": own.convert_tokens_to_ids("<image>"),
        "scale_factor": 2,
        "pad_token_id": 0,
        "tie_word_embeddings": tied,
    }


def _idefics3(lib: Any, tied: bool, more: dict[str, Any]) -> tuple[Any, Any]:
    from transformers.models.idefics3.image_processing_pil_idefics3 import (
        Idefics3ImageProcessorPil,
    )

    own = tokenizer(IDEFICS)
    config = lib.Idefics3Config(**_cut(lib, own, tied, more))
    pictures = Idefics3ImageProcessorPil(**CUT)
    template = TALK.replace("IMAGE", "'<image>'")
    processor = lib.Idefics3Processor(pictures, own, image_seq_len=4, chat_template=template)
    return lib.Idefics3ForConditionalGeneration(config), processor


def _smolvlm(lib: Any, tied: bool, more: dict[str, Any]) -> tuple[Any, Any]:
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    own = tokenizer(IDEFICS)
    config = lib.SmolVLMConfig(**_cut(lib, own, tied, more))
    pictures = SmolVLMImageProcessorPil(**CUT)
    own.chat_template = TALK.replace("IMAGE", "'<image>'")
    settings = {"processor_class": "SmolVLMProcessor", "image_seq_len": 4}
    return lib.SmolVLMForConditionalGeneration(config), Apart(own, pictures, settings)


def _qwen(lib: Any, name: str, tied: bool, more: dict[str, Any]) -> tuple[Any, Any]:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    own = tokenizer(QWEN)
    marks = {f"{mark}_token_id": own.convert_tokens_to_ids(f"<|{mark}|>") for mark in ROLES}
    marks |= {f"{kind}_token_id": own.convert_tokens_to_ids(f"<|{kind}_pad|>") for kind in MEDIA}
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 2, 1]}
    config = getattr(lib, f"{name}Config")(
        text_config={**TEXT, "rope_parameters": rope, **more.pop("text", {})},
        vision_config={"patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2, **more},
        tie_word_embeddings=tied,
        **marks,
    )
    own.chat_template = TALK.replace("IMAGE", "'<|vision_start|><|image_pad|><|vision_end|>'")
    size = {"shortest_edge": 64, "longest_edge": 1024}
    sizes = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
    processor = Apart(own, Qwen2VLImageProcessorPil(size=size, **sizes))
    return getattr(lib, f"{name}ForConditionalGeneration")(config), processor


class Apart:
    """A tokenizer and what prepares pictures, saved one beside the other, as they lie in hubs."""

    def __init__(self, tokenizer: Any, pictures: Any, settings: Any = None) -> None:
        self.tokenizer, self.pictures, self.settings = tokenizer, pictures, settings

    def save_pretrained(self, folder: Path) -> None:
        self.pictures.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        if self.settings is not None:
            (folder / "processor_config.json").write_text(json.dumps(self.settings))


def _qwen2(lib: Any, tied: bool, more: dict[str, Any]) -> tuple[Any, Any]:
    sees = {"depth": 2, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 2}
    return _qwen(lib, "Qwen2VL", tied, {**sees, "text": more})


def _qwen2_5(lib: Any, tied: bool, more: dict[str, Any]) -> tuple[Any, Any]:
    sees = {"depth": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24}
    sees |= {"out_hidden_size": 16, "window_size": 16, "fullatt_block_indexes": [1]}
    return _qwen(lib, "Qwen2_5_VL", tied, {**sees, "text": more})


def _qwen3(lib: Any, tied: bool, more: dict[str, Any]) -> tuple[Any, Any]:
    sees = {"depth": 3, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24}
    sees |= {"out_hidden_size": 16, "deepstack_visual_indexes": [0, 1]}
    sees |= {"num_position_embeddings": 64}
    return _qwen(lib, "Qwen3VL", tied, {**sees, "text": more})
