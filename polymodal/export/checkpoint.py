"""A run that writes as a checkpoint of Transformers: a language model, or LLaVA."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from polymodal.base.errors import UserError
from polymodal.base.files import whole, write_text
from polymodal.contract.batch import Tokens
from polymodal.modalities.text.forms.pieces import MARKS, MASK, PAD, SEP
from polymodal.nn import processors
from polymodal.nn.borrowed import Borrowed
from polymodal.nn.held import Held
from polymodal.run.run import Run
from polymodal.run.scored import versions
from polymodal.table import chat
from polymodal.table.schema import FUSED
from polymodal.tasks._templated import Templated
from polymodal.tasks._written import Trained, Writer

# What is exported to, and the piece that a picture's tokens stand for.
NAME, IMAGE = "transformers", "<image>"
# How a conversation is written where the decoder was not taught to read them.
PLAIN = (
    "{% for one in messages %}{{ one['role'] }}: {% if one['content'] is string %}"
    "{{ one['content'] }}{% else %}{% for part in one['content'] %}"
    "{{ part['text'] if part['type'] == 'text' else '<image>' }}{% endfor %}{% endif %}\n"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


@dataclass(frozen=True)
class Found:
    """What of a run goes along.

    Attributes:
        task, writer: what writes.
        picture: the modality whose tokens are read, and the model that sees it; None without.
        form: of the pictures.
    """

    task: Templated
    writer: Writer
    picture: tuple[str, nn.Module] | None
    form: Any


def checkpoint(run: Run, out: Path) -> str:
    """Write a folder that `transformers` opens without this package, and write texts by.

    A run that reads texts alone becomes a language model of its decoder's architecture; one that
    reads a picture beside them `LlavaForConditionalGeneration`, "Visual Instruction Tuning" (Liu et
    al. 2023), with its processor. The texts have to be read by a template.

    Args:
        out: a new folder.

    Raises:
        UserError: the run writes nothing, or is of another shape.

    Returns:
        What was written, in words.
    """
    if out.exists():
        raise UserError(
            f"'{out}' is there already", expected="a new folder", do="give another `out`"
        )
    found = _found(run)
    tokenizer, image = _tokenizer(found)
    language = _language(found, tokenizer, image)
    with whole(out) as folder:
        if found.picture is None:
            language.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            what = type(language).__name__
        else:
            model = _llava(found, language, image)
            model.save_pretrained(folder)
            _processor(found, tokenizer, model.config).save_pretrained(folder)
            what = type(model).__name__
        write_text(folder / "README.md", _card(run, found, what))
    return f"{out}: {what}, which transformers opens by itself"


def _found(run: Run) -> Found:
    tasks = [one for one in run.tasks.values() if isinstance(one, Templated)]
    if len(tasks) != 1 or len(run.tasks) != 1:
        raise _unfit("its targets are " + ", ".join(run.tasks), "one target, which is written")
    (task,) = tasks
    shares = run.weights[FUSED][task.name]
    member = run.members.get(max(shares, key=lambda name: shares[name]))
    if member is None or task.placed is None:
        raise _unfit("nothing is read by a template", "a template of texts and one picture")
    module: Any = member.module
    writer = module.heads[0]
    assert isinstance(writer, Writer) and writer.reader is not None
    if writer.reader.sees:
        raise _unfit(
            "its decoder looks at pictures by itself",
            "a decoder of texts; a vision-language model that is held frozen is its own folder",
        )
    read = sorted(writer.reader.media)
    if not read:
        return Found(task, writer, None, None)
    encoder = module.encoders[module.names.index(read[0])] if len(read) == 1 else None
    plain = isinstance(writer.project[0], nn.Identity)
    tower = getattr(encoder, "tuned", None)
    bare = isinstance(getattr(tower, "project", None), nn.Identity)
    if tower is None or not (plain and bare and _kept(module) and _ends_bare(tower)):
        raise _unfit(
            f"it reads {', '.join(read)} by {type(encoder).__name__}, the projector"
            f" {'plain' if plain else 'normed'} and the fusion {type(module.fusion).__name__}",
            "one picture by the encoder {name: pretrained, plain: true} as wide as the model, of"
            " the kind of CLIP, form: {path: ..., tune: true}, projector: plain, fusion: sum",
        )
    return Found(task, writer, (read[0], tower), run.forms[member.forms[read[0]]])


def _kept(module: Any) -> bool:
    """Whether the fusion hands tokens on as they come."""
    width = module.heads[0].project[1].in_features
    tokens = {
        name: Tokens(torch.randn(2, 3, width), torch.ones(2, 3, dtype=torch.bool))
        for name in module.names
    }
    with torch.no_grad():
        after = module.fusion(tokens).tokens
    return all(torch.equal(after[name].values, own.values) for name, own in tokens.items())


def _ends_bare(tower: Any) -> bool:
    """Whether a vision model's last layer is its output, as LLaVA reads it: CLIP's is, ViT and
    SigLIP normalise it."""
    model: Any = tower.backbone.model
    side = getattr(model.config, "image_size", None)
    if not isinstance(side, int):
        return False
    with torch.no_grad():
        found = model(pixel_values=torch.randn(1, 3, side, side), output_hidden_states=True)
    return torch.equal(found.hidden_states[-1], found.last_hidden_state)


def _unfit(got: str, expected: str) -> UserError:
    return UserError(
        "The run has no shape that transformers knows",
        expected=expected,
        got=got,
        do="fit one of that shape, or export it otherwise",
    )


def _tokenizer(found: Found) -> tuple[Any, int | None]:
    """The decoder's tokenizer, and the piece that stands for a picture's tokens."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    own = found.writer.tokens
    tokenizer: Any
    if isinstance(own, Trained):
        described = json.loads(own.pieces.tokenizer.to_str())
        names = described["model"]["vocab"]
        # No text has this mark, so it may stand for pictures.
        names[IMAGE] = names.pop(MARKS[MASK])
        marks: dict[str, Any] = {"eos_token": MARKS[SEP], "pad_token": MARKS[PAD]}
        if found.picture is not None:
            marks |= {"additional_special_tokens": [IMAGE]}
        fast: Any = PreTrainedTokenizerFast
        tokenizer = fast(tokenizer_object=Tokenizer.from_str(json.dumps(described)), **marks)
    else:
        assert isinstance(own, Borrowed)
        tokenizer = copy.deepcopy(own.tokenizer)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        if found.picture is not None:
            tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    if tokenizer.chat_template is None and _talks(found):
        tokenizer.chat_template = PLAIN
    image = None if found.picture is None else int(tokenizer.convert_tokens_to_ids(IMAGE))
    return tokenizer, image


def _talks(found: Found) -> bool:
    assert found.task.placed is not None
    return chat.KIND in found.task.placed.kinds.values()


def _language(found: Found, tokenizer: Any, image: int | None) -> Any:
    """The decoder with its output layer."""
    from transformers import AutoModelForCausalLM

    decoder = found.writer.decoder
    output = getattr(decoder, "output", None)
    config = copy.deepcopy(decoder.model.config)
    config.tie_word_embeddings = output is None
    config.eos_token_id, config.pad_token_id = found.writer.tokens.end, tokenizer.pad_token_id
    model: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    model.base_model.load_state_dict(decoder.model.state_dict())
    if output is None:
        model.tie_weights()
    else:
        layer = output.inner if isinstance(output, Held) else output
        model.get_output_embeddings().load_state_dict(layer.state_dict())
    if image is not None and image >= decoder.vocabulary:
        model.resize_token_embeddings(image + 1, mean_resizing=False)
        with torch.no_grad():
            model.get_input_embeddings().weight[decoder.vocabulary :] = 0
    model.generation_config.eos_token_id = found.writer.tokens.end
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    if image is not None:
        # The run's decoder cannot write it.
        model.generation_config.suppress_tokens = [image]
    return model.eval()


def _llava(found: Found, language: Any, image: int | None) -> Any:
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    assert image is not None and found.picture is not None and found.writer.reader is not None
    name, tower = found.picture
    seen: Any = tower.backbone
    config = LlavaConfig(
        vision_config=seen.model.config,
        text_config=language.config,
        image_token_index=image,
        projector_hidden_act="gelu",
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=language.config.tie_word_embeddings,
    )
    model: Any = LlavaForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(seen.model.state_dict(), strict=False)
    model.model.language_model.load_state_dict(language.base_model.state_dict())
    model.lm_head.load_state_dict(language.get_output_embeddings().state_dict())
    projector, own = model.model.multi_modal_projector, found.writer.project
    projector.linear_1.load_state_dict(own[1].state_dict())
    projector.linear_2.load_state_dict(own[3].state_dict())
    with torch.no_grad():
        # What tells the modality apart is added to each of its tokens.
        projector.linear_2.bias += found.writer.whose[found.writer.reader.numbers[name]]
    model.generation_config = language.generation_config
    return model.eval()


def _processor(found: Found, tokenizer: Any, config: Any) -> Any:
    from transformers import LlavaProcessor

    vision = config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    assert found.picture is not None
    form: Any = found.form
    side = vision.image_size
    with torch.no_grad():
        tokens = found.picture[1](torch.zeros(1, side, side, 3)).shape[1]
    made: Any = LlavaProcessor
    return made(
        processors.image_processor(form.path),
        tokenizer,
        patch_size=vision.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=tokens - patches,
        chat_template=tokenizer.chat_template,
        image_token=IMAGE,
    )


def _card(run: Run, found: Found, what: str) -> str:
    """What it is, and how it is asked."""
    template = found.task.placed
    assert template is not None
    media = {} if found.picture is None else {found.picture[0]: IMAGE}
    prompt = "".join(
        words + (media.get(name, f"{{{name}}}") if name else "") for words, name in template.parts
    )
    how = "`tokenizer.apply_chat_template(messages, add_generation_prompt=True)`"
    asked = how if _talks(found) else f"the prompt\n\n```\n{prompt}\n```\n\nwith cells in braces"
    ids = "`add_special_tokens=False`" if _talks(found) else "the tokenizer's own marks"
    opened = "AutoModelForCausalLM" if found.picture is None else "AutoModelForImageTextToText"
    return (
        f"---\nlibrary_name: transformers\ntags: [polymodal]\n---\n\n# {found.task.name}\n\n"
        f"A `{what}` that writes '{found.task.name}', made by Polymodal {versions()['polymodal']}."
        f" Open it with `{opened}.from_pretrained`, ask by {asked}, and {ids}.\n"
    )
