"""What several tests share: tiny random Hugging Face checkpoints, and Ctrl-C in a training."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

# A busy machine is no defect of what is tested.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

CORPUS = [
    "the quick brown fox jumps over the lazy dog",
    "Anna sees the red house in London, and Bob does not!",
    "a small tokenizer needs small words: one two three four five six seven",
    "http://example.com @anna #fun 2024",
]


# Of these some tests take most of a minute; a folder stays together, for what its tests share.
LONG = ("test_types.py", "serve", "test_docs.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest begin first: the other process has enough to do meanwhile, and at the end only
    short ones are left, so that neither waits for the other."""

    def turn(item: pytest.Item) -> int:
        return next((i for i, name in enumerate(LONG) if name in item.path.parts), len(LONG))

    items.sort(key=turn)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_kept_in_the_home_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What another process or an earlier state of the package has cached is no part of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def cells_are_read_by_no_model_that_happens_to_be_installed() -> Iterator[None]:
    """Fits in tests take seconds; who wants such a model names it, or says what is installed."""
    from polymodal.contract.kind import Kind

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kind, "installed", lambda room: ())
        yield


@pytest.fixture(scope="session", autouse=True)
def no_kernels_are_compared() -> Iterator[None]:
    """Networks in tests make few steps: to find the fastest kernels would take most of the time.

    They run on one thread, too: two for the same core, where tests run side by side, wait for each
    other.
    """
    from polymodal.train import kernels

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_rivals", lambda *_: iter(()))
        patch.setattr(kernels, "_cores", lambda: 1)
        patch.setattr(kernels, "_shortest", partial(kernels._shortest, count=1))
        yield


@pytest.fixture(scope="session", autouse=True)
def evaluations_draw_no_neighbours() -> Iterator[None]:
    """Each evaluation of a network would look for t-SNE's picture for seconds."""
    from polymodal.metrics import alignment

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment, "tsne", alignment.pca)
        yield


@pytest.fixture
def ctrl_c_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has the n-th step of training from now on interrupted, as Ctrl-C does; once."""
    from polymodal.train.loop import Loop

    original = Loop._step

    def arm(wanted: int) -> None:
        steps = 0

        def counted(self: Loop, rows: Any) -> float:
            nonlocal steps
            steps += 1
            if steps == wanted:
                os.kill(os.getpid(), signal.SIGINT)
            return original(self, rows)

        monkeypatch.setattr(Loop, "_step", counted)

    return arm


@pytest.fixture(scope="session")
def bert_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of width 16 with an uncased WordPiece tokenizer, 64 positions."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=True)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=160, special_tokens=marks, show_progress=False)
    )
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=160,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def gpt2_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A GPT-2 of width 16 with a byte-level tokenizer that adds no marks of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("gpt2")
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        bos_token_id=0,
        eos_token_id=0,
    )
    GPT2Model(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def vit_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ViT of width 16 for pictures of 16 x 16 pixels in patches of 8."""
    from transformers import ViTConfig, ViTModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=8,
    )
    ViTModel(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def resnet_path(tmp_path_factory: pytest.TempPathFactory, vit_path: str) -> str:
    """A ResNet whose last feature map has 16 channels, with the ViT's processor."""
    from transformers import ResNetConfig, ResNetModel

    folder = tmp_path_factory.mktemp("resnet")
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(folder)
    processor = (Path(vit_path) / "preprocessor_config.json").read_text()
    (folder / "preprocessor_config.json").write_text(processor)
    return str(folder)


@pytest.fixture(scope="session")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str], str]:
    """`checkpoint(name)`: the folder of a tiny random model of width 16, written when asked for."""
    written: dict[str, str] = {}

    def find(name: str) -> str:
        if name in ("bert", "gpt2", "vit", "resnet"):
            return str(request.getfixturevalue(f"{name}_path"))
        if name not in written:
            folder = tmp_path_factory.mktemp(name)
            torch.manual_seed(0)
            model, processor = TINY[name]()
            model.eval().save_pretrained(folder)
            if processor is not None:
                processor.save_pretrained(folder)
            written[name] = str(folder)
        return written[name]

    return find


SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
PIXELS: dict[str, Any] = {"image_size": 16, "patch_size": 8}
WAVES: dict[str, Any] = {
    **SMALL,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 4),
    "conv_stride": (5, 4),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}


def _dinov2() -> tuple[Any, Any]:
    from transformers import Dinov2Config, Dinov2Model
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

    processor = BitImageProcessorPil(
        size={"shortest_edge": 18}, crop_size={"height": 16, "width": 16}
    )
    return Dinov2Model(Dinov2Config(**SMALL, **PIXELS)), processor


def _siglip() -> tuple[Any, Any]:
    from transformers import SiglipConfig, SiglipModel
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    text = SMALL | {"vocab_size": 160, "max_position_embeddings": 32}
    config = SiglipConfig(text_config=text, vision_config=SMALL | PIXELS)
    return SiglipModel(config), SiglipImageProcessorPil(size={"height": 16, "width": 16})


def _clip() -> tuple[Any, Any]:
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    text = SMALL | {"vocab_size": 160, "max_position_embeddings": 32, "eos_token_id": 3}
    config = CLIPConfig(text_config=text, vision_config=SMALL | PIXELS)
    sizes = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    return CLIPModel(config), CLIPImageProcessorPil(**sizes)


def _wav2vec2() -> tuple[Any, Any]:
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    return Wav2Vec2Model(Wav2Vec2Config(**WAVES)), Wav2Vec2FeatureExtractor(sampling_rate=1000)


def _hubert() -> tuple[Any, Any]:
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    return HubertModel(HubertConfig(**WAVES)), Wav2Vec2FeatureExtractor(sampling_rate=1000)


def _whisper() -> tuple[Any, Any]:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    config = WhisperConfig(
        vocab_size=32,
        num_mel_bins=8,
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=50,
        max_target_positions=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    extractor = WhisperFeatureExtractor(feature_size=8, sampling_rate=16_000, chunk_length=1)
    return WhisperModel(config), extractor


def _ast() -> tuple[Any, Any]:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

    sizes = {"num_mel_bins": 8, "max_length": 64}
    strides = {"patch_size": 4, "frequency_stride": 4, "time_stride": 4}
    model = ASTModel(ASTConfig(**SMALL, **sizes, **strides))
    return model, ASTFeatureExtractor(**sizes)


def _videomae() -> tuple[Any, Any]:
    from transformers import VideoMAEConfig, VideoMAEModel

    config = VideoMAEConfig(**SMALL, **PIXELS, num_frames=4, tubelet_size=2)
    return VideoMAEModel(config), _clips()


def _timesformer() -> tuple[Any, Any]:
    from transformers import TimesformerConfig, TimesformerModel

    return TimesformerModel(TimesformerConfig(**SMALL, **PIXELS, num_frames=4)), _clips()


def _clips() -> Any:
    from transformers.models.videomae.image_processing_pil_videomae import (
        VideoMAEImageProcessorPil,
    )

    return VideoMAEImageProcessorPil(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )


def _patchtst() -> tuple[Any, Any]:
    from transformers import PatchTSTConfig, PatchTSTModel

    config = PatchTSTConfig(
        num_input_channels=3,
        context_length=16,
        patch_length=4,
        patch_stride=4,
        d_model=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=32,
        do_mask_input=True,
        random_mask_ratio=0.5,
    )
    return PatchTSTModel(config), None


TINY: dict[str, Callable[[], tuple[Any, Any]]] = {
    "dinov2": _dinov2,
    "siglip": _siglip,
    "clip": _clip,
    "wav2vec2": _wav2vec2,
    "hubert": _hubert,
    "whisper": _whisper,
    "ast": _ast,
    "videomae": _videomae,
    "timesformer": _timesformer,
    "patchtst": _patchtst,
}
