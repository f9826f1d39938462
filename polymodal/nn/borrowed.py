"""Tokenizers of pretrained decoders, and what prepares pictures for those that look at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.nn.manner import Manner, Rule
from polymodal.nn.processors import explained, tokenizer, vision_language
from polymodal.nn.tokens import Look, Tokens, part

Array = np.ndarray[Any, Any]

# Words around a picture in a conversation, to see what the model puts between.
BEFORE, BEHIND = "[[before]]", "[[behind]]"
# What a processor makes of a text.
OF_TEXTS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")


class Borrowed(Tokens):
    """A pretrained model's tokenizer, with the end that the model was taught.

    Args:
        path: folder, package of weights or hub id.
        count: pieces that the model tells apart.
        limit: of a text's pieces; what is longer is cut.
        own: the tokenizer, where it is open already.

    Raises:
        UserError: it has no tokenizer, or one without an end.
    """

    def __init__(self, path: str, count: int, limit: int, own: Any = None) -> None:
        self.tokenizer = tokenizer(path) if own is None else own
        self.count, self.limit = count, limit
        self.template = self.tokenizer.chat_template
        end = self.tokenizer.eos_token_id
        if end is None or end >= count:
            raise UserError(
                f"The tokenizer in '{path}' has no piece that ends a text",
                expected=f"an eos_token among the {count:,} pieces of its model",
                got=f"eos_token {self.tokenizer.eos_token!r}",
                do="name it in tokenizer_config.json as the model was taught it",
            )
        if (most := max(self._plain().values(), default=0)) >= count:
            raise UserError(
                f"The tokenizer in '{path}' knows pieces that its model does not",
                expected=f"numbers below {count:,}, as vocab_size in config.json says",
                got=f"the number {most:,}",
                do="take the tokenizer that the model was trained with",
            )
        self.end, self.mark = int(end), str(self.tokenizer.eos_token)
        # What the tokenizer puts before a text by itself, if it does.
        ids = self.tokenizer.encode("a", add_special_tokens=True)
        self._bos = self.tokenizer.bos_token_id
        marks = self._bos is not None and len(ids) > 1 and ids[0] == self._bos
        self._first = str(self.tokenizer.bos_token) if marks else None

    def _plain(self) -> dict[str, int]:
        """Its pieces without marks that somebody has added, which no text needs."""
        found: dict[str, int] = self.tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)
        return found

    def numbers(self, text: str) -> Array:
        found = self.tokenizer.encode(text, add_special_tokens=False)
        whole = [*found, self.end] if len(found) < self.limit else found[: self.limit]
        return np.array(whole, np.int64)

    def prompt(self, text: str, begins: bool) -> Array:
        # A conversation's template writes the marks itself.
        marked = begins and self._first is not None and not text.startswith(self._first)
        found = self.tokenizer.encode(text, add_special_tokens=False)
        return np.array([self._bos, *found] if marked else found, np.int64)

    def spoken(self, messages: Sequence[Mapping[str, Any]]) -> str | None:
        from jinja2 import TemplateError

        if self.template is None:
            return None
        try:
            found = self.tokenizer.apply_chat_template(
                list(messages),
                chat_template=self.template,
                tokenize=False,
                add_generation_prompt=True,
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise UserError(
                "The decoder's own template refuses a conversation",
                got=f"{error}; roles {', '.join(one['role'] for one in messages)}"[:300],
                do="write conversations in the roles and the order that it was taught",
            ) from error
        return str(found)

    def text(self, numbers: Sequence[int] | Array) -> str:
        kept = [int(number) for number in numbers if number >= 0]
        found = self.tokenizer.decode(
            kept, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(found)

    def rule(self, manner: Manner) -> Rule | None:
        from polymodal.nn import rules

        return rules.borrowed(self.tokenizer, self.count, self.end, manner)


class Sighted(Borrowed):
    """A vision-language model's tokenizer, and what prepares pictures for it.

    Args:
        path, count, limit: as of `Borrowed`.

    Raises:
        UserError: as `Borrowed`; or it has no processor, or one that is told of no piece for
            pictures.
    """

    def __init__(self, path: str, count: int, limit: int) -> None:
        self.processor = vision_language(path)
        super().__init__(path, count, limit, self.processor.tokenizer)
        self.template = getattr(self.processor, "chat_template", None) or self.template
        self.sign = str(self.processor.image_token)
        self.seat = int(self.processor.image_token_id)
        self.picture = self.sign
        # Marks around a picture, where the model was taught them, stand in its conversations.
        parts = [part(BEFORE), part(None), part(BEHIND)]
        spoken = self.spoken([{"role": "user", "content": parts}]) or ""
        between = spoken.partition(BEFORE)[2].partition(BEHIND)[0].strip()
        self.picture = between if between.count(self.sign) == 1 else self.sign

    def look(self, pixels: Array) -> Look:
        """See `Tokens`.

        Raises:
            UserError: the model takes no such picture.
        """
        from PIL import Image

        size = f"{pixels.shape[1]} x {pixels.shape[0]} pixels"
        with explained(f"The model takes no picture of {size}", "leave it out, or crop it"):
            made = self.processor(
                text=[self.sign],
                images=[[Image.fromarray(pixels)]],
                return_text_replacement_offsets=True,
                return_tensors="pt",
            )
            ((put,),) = made.pop("text_replacement_offsets")
        inputs = {name: value for name, value in made.items() if name not in OF_TEXTS}
        return Look(self.picture.replace(self.sign, put["replacement"]), inputs)
