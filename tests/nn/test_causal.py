"""Pretrained decoders: parity with transformers, what is frozen, what a run keeps of them."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.fusion.sum import Sum
from polymodal.modalities.table.encoders.mlp import Mlp
from polymodal.modalities.table.forms.cells import Cells
from polymodal.models.model import Model
from polymodal.nn.decoder import Prompt
from polymodal.train.learned import learned

WORDS = ["red", "blue", "cross", "square", "a", "one", ".", " "]
KINDS = ["llama", "gpt2", "qwen3"]


def saved(folder, kind: str = "llama", tied: bool = True, end: str = "</s>", **more) -> str:
    """A tiny language model of random weights with a tokenizer of words, as people save one."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    size |= {"vocab_size": 32, "max_position_embeddings": 64, "tie_word_embeddings": tied}
    wide = {**size, "intermediate_size": 24, "num_key_value_heads": 1}
    model = {
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**size, resid_pdrop=0.5)),
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**wide, **more)),
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**wide, head_dim=8)),
    }[kind]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    vocabulary = {word: i for i, word in enumerate(["<unk>", "</s>", *WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = {"unk_token": "<unk>"} | ({"eos_token": end} if end else {})
    PreTrainedTokenizerFast(tokenizer_object=raw, **marks).save_pretrained(folder)
    return str(folder)


def decoder(path: str, **options):
    spec = {"name": "pretrained", "path": path, **options}
    return lookup.build("nn/decoders", spec, 32, False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_those_of_transformers(kind, tied, tmp_path):
    from transformers import AutoModelForCausalLM

    path = saved(tmp_path, kind, tied)
    theirs = AutoModelForCausalLM.from_pretrained(path).eval()
    given = torch.randint(0, 32, (2, 9))
    wanted = theirs(input_ids=given).logits
    for learns in (False, True):
        ours = decoder(path, learns=learns).eval()
        mask = torch.ones(2, 9, dtype=torch.bool)
        found = ours.logits(ours.states(Prompt(ours.embed(given), mask)))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_a_frozen_one_neither_learns_nor_is_saved(tmp_path):
    frozen, free = (decoder(saved(tmp_path), learns=learns) for learns in (False, True))
    assert not list(frozen.parameters()) and not frozen.state_dict()
    assert sum(p.numel() for p in free.parameters()) == frozen.backbone.held > 0
    assert copy.deepcopy(frozen).model is frozen.model
    vectors = torch.randn(2, 4, 16, requires_grad=True)
    ids = torch.randint(0, 32, (2, 3))
    mask = torch.ones(2, 4, dtype=torch.bool)
    frozen.train()
    first, second = (frozen.taught(Prompt(vectors, mask), ids, mask[:, :3]) for _ in range(2))
    assert torch.equal(first, second)  # no dropout
    first.sum().backward()
    assert vectors.grad is not None and (vectors.grad != 0).any()
    assert all(p.grad is None for p in frozen.model.parameters())


def test_its_tokenizer_is_its_own(tmp_path):
    tokens = lookup.find("nn/decoders", "pretrained").tokens(4, {"path": saved(tmp_path)})
    ids = tokens.numbers("a red cross")
    assert ids.tolist() == [6, 2, 4, 1] and tokens.count == 32
    assert tokens.text(ids) == "a red cross"
    assert tokens.numbers("a red cross . one").tolist() == [6, 2, 4, 8]


def test_a_tokenizer_without_an_end_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no piece that ends a text"):
        lookup.find("nn/decoders", "pretrained").tokens(4, {"path": saved(tmp_path, end="")})


def test_a_model_that_does_more_is_an_error(tmp_path):
    """Granite scales its logits, which layers and output layer alone do not say."""
    from transformers import GraniteConfig, GraniteForCausalLM

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 32}
    more = {"intermediate_size": 24, "num_key_value_heads": 2, "logits_scaling": 7.0}
    GraniteForCausalLM(GraniteConfig(**size, **more)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="does more than its layers"):
        decoder(str(tmp_path))


def test_it_has_no_cross_attention(tmp_path):
    spec = {"name": "pretrained", "path": saved(tmp_path)}
    with pytest.raises(UserError, match="no cross-attention"):
        lookup.build("tasks", {"name": "generate", "decoder": spec, "reading": "attention"}, "y")


def test_a_task_with_a_frozen_decoder_is_restored_and_refuses_another(tmp_path):
    path = saved(tmp_path)
    spec = {"name": "generate", "decoder": {"name": "pretrained", "path": path}}
    task = lookup.build("tasks", spec, "said")
    task.fit(["a red cross", "one blue square .", None])
    again = lookup.build("tasks", spec, "said")
    again.state = json.loads(json.dumps(task.state))
    head = again.heads(8, [], 0.0, {"photo": None})
    assert sum(p.numel() for p in head.parameters()) < head.decoder.backbone.held
    form = Cells(columns=[{"name": "size", "kind": "number"}])
    form.fit([{"size": 1.0}, {"size": 2.0}])
    encoders, fusion = {"photo": Mlp(form, 8)}, Sum(["photo"], 8)
    told = learned(Model(encoders, fusion, {"said": again}, 8))
    assert told.frozen == head.decoder.backbone.held
    assert told.still == [f"{told.frozen:,} numbers of said"]
    assert again.encode(["a red cross"])[0].tolist() == [-1, 6, 2, 4, 1]
    with torch.device("meta"):
        assert sum(p.numel() for p in again.planned().parameters()) == head.decoder.backbone.held
    saved(tmp_path, "qwen3")
    with pytest.raises(UserError, match="is another than it was learned with"):
        again.heads(8, [], 0.0, {"photo": None})


@pytest.mark.parametrize("learns", [False, True])
def test_what_is_projected_begins_as_loud_as_its_own_pieces(learns, tmp_path):
    """Whatever their scale; and what is planned has none."""
    path = saved(tmp_path, tied=False)
    spec = {"name": "pretrained", "path": path, "learns": learns}
    task = lookup.build("tasks", {"name": "generate", "decoder": spec}, "said")
    task.fit(["a red cross", "one blue square .", None])
    for scale in (0.1, 10.0):
        made = decoder(path, learns=learns)
        with torch.no_grad():
            made.pieces.mul_(scale)
        task._decoder = lambda pieces, made=made: made
        head = task.heads(8, [], 0.0, {"photo": None})
        said = head.project(torch.randn(500, 8))
        wanted = made.pieces.square().mean().sqrt()
        torch.testing.assert_close(said.square().mean().sqrt(), wanted, atol=0, rtol=0.15)
        if not learns:
            made.pieces.div_(scale)


def quantised(file) -> dict[str, torch.Tensor]:
    """A tiny Llama as llama.cpp keeps one, in float32, with a tokenizer of bytes."""
    import gguf

    width, feed, layers, heads, pieces = 32, 64, 2, 2, 260
    draw = torch.Generator().manual_seed(0)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(feed)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(pieces)
    signs = [chr(n) if 33 <= n < 127 else chr(256 + n) for n in range(256)]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<s>", "</s>", "<unk>", *signs, "ab"])
    writer.add_token_types([3, 3, 3] + [1] * 257)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    shapes = {"token_embd": (pieces, width), "output": (pieces, width), "output_norm": (width,)}
    for i in range(layers):
        shapes |= {f"blk.{i}.attn_{n}": (width, width) for n in ("q", "k", "v", "output")}
        shapes |= {f"blk.{i}.ffn_{n}": (feed, width) for n in ("gate", "up")}
        shapes |= {f"blk.{i}.ffn_down": (width, feed)}
        shapes |= {f"blk.{i}.{n}_norm": (width,) for n in ("attn", "ffn")}
    found = {}
    for name, shape in shapes.items():
        found[name] = 0.2 * torch.randn(shape, generator=draw) + (len(shape) == 1)
        writer.add_tensor(f"{name}.weight", found[name].numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return found


def test_a_gguf_file_is_a_decoder_with_its_tokenizer(tmp_path):
    pytest.importorskip("gguf")
    weights = quantised(tmp_path / "tiny.gguf")
    path = str(tmp_path / "tiny.gguf")
    own = decoder(path)
    assert own.vocabulary == 260 and own.context == 64 and own.output is not None
    torch.testing.assert_close(own.model.embed_tokens.weight, weights["token_embd"])
    given = torch.randint(0, 260, (1, 7))
    states = own.states(Prompt(own.embed(given), torch.ones(1, 7, dtype=torch.bool)))
    torch.testing.assert_close(own.logits(states), states @ weights["output"].T)
    tokens = own.tokens(16, {"path": path})
    numbers = tokens.numbers("cat")
    assert tokens.text(numbers) == "cat" and numbers[-1] == tokens.end == 1
    before = own.digest({"path": path})
    (tmp_path / "tiny.gguf").write_bytes((tmp_path / "tiny.gguf").read_bytes() + b"0")
    assert own.digest({"path": path}) != before


@pytest.mark.parametrize("content", [None, b"no such thing"])
def test_what_is_no_gguf_is_said(tmp_path, content):
    path = tmp_path / "bad.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="is no GGUF file"):
        decoder(str(path))
