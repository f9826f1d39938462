"""A picture is drawn, code by code, by a decoder that has read the other columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.base.tensors import hashed
from polymodal.contract.coded import Coded
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.contract.kind import Kind, of, pictured
from polymodal.contract.metric import Metric
from polymodal.contract.recipe import Member, Modality, Spec, Training, name_of, options_of
from polymodal.contract.task import Answers, Array, Judged, Pass, Task
from polymodal.metrics import pictures, summed
from polymodal.nn.canvas import check_grid
from polymodal.nn.decoder import Decoder
from polymodal.nn.manner import Manner, Text
from polymodal.nn.weights import fill
from polymodal.tasks._coder import ERROR, Coder, Codes, Retell, Retelling, Tokenizer
from polymodal.tasks._costed import Costed
from polymodal.tasks._drawn import ENDLESS, Drawer
from polymodal.tasks._hidden import Hidden
from polymodal.tasks._written import ID, LOG, NATS, PLACES, USUAL, answered
from polymodal.tasks.generate import READS

# What decoding may say of pictures, which are all equally long and keep to no words.
MANNERS = ("beams", "temperature", "top_k", "top_p", "samples", "seed")
# Pictures that the size is chosen by, and the size beyond which none is chosen.
LOOKED_AT, LARGEST = 64, 64
# As likely as they are, rare codes spoil many pictures: of a caption's shapes and colours more are
# right below 1.
TEMPERATURE = 0.5
# Width of the tokenizer's tokens, before they are quantised.
WIDTH = 32
# What the tokenizer's weights are called among the task's, and how often codes come.
CODER, COUNTS = "coder.", "counts"


class Draw(Hidden, Costed, Coded):
    """Cross-entropy of each code of a picture, told by those before it and by the modalities.

    The codes are those of a tokenizer that is trained first, on the training rows' pictures: one a
    patch, row by row. Papers: "Zero-Shot Text-to-Image Generation" (Ramesh et al. 2021, arXiv
    2102.12092); "Finite Scalar Quantization" (Mentzer et al. 2023, arXiv 2309.15505). Pictures
    have no mean: the best model draws alone. Neighbours: `generate` writes texts.

    Args:
        name: the target's column, or of the task, with `column`.
        column: whose pictures are drawn, where other tasks may read them; hidden from this one.
        decoder: a file of `nn/decoders`, with its options.
        reading: "attention" (of decoders that have it: gpt2) or "prefix".
        tokenizer: `size`, `patch`, `quantizer`, `channels`, `depth`, `epochs`, `lr`
            (`tasks._coder.Tokenizer`).
        decoding: how codes are drawn: `temperature`, `top_k`, `top_p`, `samples`, `seed`, or
            `beams` (`nn.manner.Manner`); by default at a temperature of .5. All samples are
            answers, the likeliest first.
    """

    kind: ClassVar[str | None] = pictured()
    reads: ClassVar[tuple[str, ...]] = (pictured(),)
    supports = "how much of it is drawn again"
    chooses: ClassVar[str] = "nats a code"
    lr: ClassVar[float | None] = 1e-3

    def __init__(
        self,
        name: str,
        *,
        column: str | None = None,
        decoder: Spec = "gpt2",
        reading: str = "attention",
        tokenizer: Mapping[str, Any] | None = None,
        decoding: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.column, self.primary = name, column, "log_likelihood"
        self.decoder, self.reading, self.decoding = decoder, reading, decoding
        self.tokenizer = tokenizer
        lookup.check_options(Tokenizer, "tokenizer", tokenizer or {})
        self.settings = own = Tokenizer(**(tokenizer or {}))
        check_grid(own.size or own.patch, own.patch, own.channels, own.depth)
        if own.epochs < 0 or own.lr <= 0:
            what = f"The tokenizer of '{name}' cannot learn so"
            got = f"epochs: {own.epochs}, lr: {own.lr:g}"
            raise UserError(what, expected="epochs of 1 or more (0: by the rows), lr > 0", got=got)
        if reading not in READS:
            what = f"The task '{name}' cannot read by '{reading}'"
            raise UserError(what, expected=f"reading: {' or '.join(READS)}")
        found = lookup.find("nn/decoders", name_of(decoder))
        lookup.check_options(found, name_of(decoder), options_of(decoder))
        if found.knows or (self.crosses and not found.able):
            able = [lookup.find("nn/decoders", n) for n in lookup.names("nn/decoders")]
            fits = [lookup.name_of(d) for d in able if not d.knows and (d.able or not self.crosses)]
            what = f"The decoder '{name_of(decoder)}' cannot draw, reading by {reading}"
            do = "name one of them (`decoder`), or another way (`reading`)"
            raise UserError(what, expected=f"one of {', '.join(fits)}", do=do)
        self._manner()

    @property
    def crosses(self) -> bool:
        return self.reading == READS[1]

    @classmethod
    def labels_of(cls, cells: Sequence[Any]) -> None:
        return None

    def _manner(self) -> Manner:
        given = dict(self.decoding or {})
        lookup.check_options(Manner, "decoding", given)
        if strange := [key for key in given if key not in MANNERS]:
            raise UserError(
                f"`{strange[0]}` says nothing of how '{self.name}' is drawn",
                expected=f"decoding: {', '.join(MANNERS)}",
            )
        longest = self.places if hasattr(self, "_state") else 1
        return Manner(
            **{"temperature": 0.0 if "beams" in given else TEMPERATURE, **given}, longest=longest
        )

    # -- the tokenizer -------------------------------------------------------------------------

    def introduce(
        self, modalities: Mapping[str, Mapping[str, str]], cells: Callable[[str], Sequence[Any]]
    ) -> None:
        self.hide(modalities)

    def fit(self, cells: Sequence[Any], details: Mapping[str, Any] | None = None) -> None:
        """Choose the size by the pictures; learn which numbers are black and white.

        Args:
            cells: present ones, as the form takes them.
        """
        cells, room, own = list(cells), self._room(), self.settings
        cls = lookup.find(f"modalities/{room.name}/forms", str(room.drawn))
        step = max(1, len(cells) // LOOKED_AT)
        options = dict(cls.suggest(islice(cells, 0, None, step), largest=LARGEST))
        size = own.size or max(1, round(options.get("size", LARGEST) / own.patch)) * own.patch
        self.pixels = lookup.build(
            f"modalities/{room.name}/forms", {"name": str(room.drawn), **options, "size": size}
        )
        self.pixels.fit(cells)
        if (left := self.planned().context - self.places) < 1:
            raise UserError(
                f"A picture of '{self.name}' has {self.places:,} codes, too many for the decoder",
                expected="a context of the codes and of what is read before them",
                got=f"{1 - left:,} places too few",
                do="raise `context` of the decoder, or `patch` of the tokenizer",
            )
        self._state = {
            "options": self.pixels.settings,
            "pixels": self.pixels.state,
            "hidden": self.hidden,
            "digest": "",
        }

    @property
    def state(self) -> dict[str, Any]:
        return dict(self._state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._state, room = dict(state), self._room()
        self.pixels = lookup.build(
            f"modalities/{room.name}/forms", {"name": str(room.drawn), **state["options"]}
        )
        self.pixels.state, self.hidden = state["pixels"], state["hidden"]

    @property
    def tensors(self) -> dict[str, Tensor]:
        own = {f"{CODER}{name}": one for name, one in self.coder.state_dict().items()}
        return {**own, COUNTS: self.counts}

    @tensors.setter
    def tensors(self, tensors: Mapping[str, Tensor]) -> None:
        own = {n.removeprefix(CODER): one for n, one in tensors.items() if n.startswith(CODER)}
        coder = self._coder()
        fill(coder, own)
        self._code(coder)
        self._count(tensors[COUNTS])

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""
        return int(self.pixels.settings["size"])

    @property
    def places(self) -> int:
        """Codes of a picture."""
        return (self.size // self.settings.patch) ** 2

    def _room(self) -> Kind:
        return of(pictured())

    def _encoder(self) -> dict[str, Any]:
        own = self.settings
        named = {"name": str(self._room().gridded), "patch": own.patch}
        return {**named, "channels": own.channels, "depth": own.depth}

    def _retell(self) -> Retell:
        return Retell("reconstruction", self.columns[0], self.settings, self.size)

    def tokenizing(self) -> tuple[Member, Task]:
        own, column = self.settings, self.columns[0]
        how = {"epochs": own.epochs} if own.epochs else {}
        modality = Modality(encoder=self._encoder(), form=self.pixels.settings, augment=False)
        member = Member(
            name=f"the codes of '{column}'",
            modalities={column: modality.model_copy(update={"columns": [column]})},
            fusion="sum",
            width=WIDTH,
            training=Training(lr=own.lr, weight_decay=0.0, **how),
        )
        return member, self._retell()

    def _coder(self) -> Coder:
        """The tokenizer with nothing learned."""
        folder = f"modalities/{self._room().name}/encoders"
        encoder = lookup.build(folder, self._encoder(), self.pixels, WIDTH)
        assert isinstance(encoder, Encoder)
        head = self._retell().heads(WIDTH, (), 0.0, {self.columns[0]: self.pixels})
        assert isinstance(head, Retelling)
        return Coder(encoder, head)

    def take(self, encoder: nn.Module, head: nn.Module) -> None:
        assert isinstance(head, Retelling)
        self._code(Coder(encoder, head))

    def _code(self, coder: Coder) -> None:
        self.coder = coder
        digest = hashed({name: one.cpu() for name, one in coder.state_dict().items()}, {})
        self._state["digest"] = digest
        self.form = Codes(self.pixels, coder, digest)

    def counted(self, targets: Answers) -> None:
        codes = np.stack(list(targets))[:, ERROR:]
        counts = np.zeros((self.places, self.coder.count))
        np.add.at(counts, (np.arange(self.places), codes), 1)
        self._count(torch.from_numpy(counts).float())

    def _count(self, counts: Tensor) -> None:
        self.counts = counts
        # Everything may come at every place, though it has not come yet.
        more = counts.numpy().astype(float) + 1 / counts.shape[1]
        self._usual = np.log(more / more.sum(1, keepdims=True))

    # -- what is read, and learned ---------------------------------------------------------------

    def heads(
        self, width: int, views: Sequence[str], dropout: float, forms: Mapping[str, Form]
    ) -> nn.Module:
        return Drawer(
            self._decoder(),
            width,
            len(forms),
            dropout,
            crosses=self.crosses,
            manner=self._manner(),
        )

    def planned(self) -> Decoder:
        with torch.device("meta"):
            return self._decoder()

    def _decoder(self) -> Decoder:
        count = lookup.build("nn/quantizers", self.settings.quantizer).count
        found = lookup.build("nn/decoders", self.decoder, count, self.crosses)
        assert isinstance(found, Decoder)
        return found

    # -- answers ---------------------------------------------------------------------------------

    def answer(self, done: Pass) -> list[Array]:
        """Each row's codes, `(1 + places, 4)` as `_written.answered` has them; those of further
        samples follow, the likeliest first."""
        written: Sequence[Sequence[Text]] = done.output["written"]
        if done.target is None:
            return [_answered(texts) for texts in written]
        nats, places = (each.tolist() for each in self.costs(done))
        usual = self._cost(done.target.data[:, ERROR:].cpu().numpy())
        found = zip(written, nats, places, usual.tolist(), strict=True)
        return [_answered(texts, cost, int(n), u * (n > 0)) for texts, cost, n, u in found]

    def _cost(self, codes: Array) -> Array:
        """What pictures `(n, places)` would cost by how often codes come at each place."""
        return -np.asarray(self._usual[np.arange(self.places), codes].sum(1))

    def constant(self, like: Answers) -> list[Array]:
        """The likeliest code of each place."""
        codes = self._usual.argmax(1)
        text = Text(codes.tolist(), self._usual.max(1).tolist(), False)
        heads = [answer[0] for answer in like]
        costs = [(head[USUAL], int(head[PLACES]), head[USUAL]) for head in heads]
        return [answered(text, ENDLESS, *cost) for cost in costs]

    def decode(self, answers: Answers) -> dict[str, list[Any]]:
        """Each row's picture as an encoded file, and the log-likelihood of its codes; and under
        the name with a number, from 2 on, its further samples."""
        several = [answer[1:, ID].astype(np.int64).reshape(-1, self.places) for answer in answers]
        codes = np.concatenate([np.zeros((0, self.places), np.int64), *several])
        drawn = iter(self.coder.pictures(codes) if len(codes) else ())
        files = [[self.pixels.decode(next(drawn)) for _ in own] for own in several]
        most = max(map(len, several), default=1)
        columns = [[own[i] if i < len(own) else None for own in files] for i in range(most)]
        return {
            self.name: columns[0],
            f"{self.name}.log_likelihood": [float(self._best(a)[:, LOG].sum()) for a in answers],
            **{f"{self.name}.{i}": one for i, one in enumerate(columns[1:], 2)},
        }

    def _best(self, answer: Array) -> Array:
        """The likeliest picture's codes, `(places, 4)`."""
        return answer[1 : 1 + self.places]

    def said(self, answer: Array) -> str:
        own = self._best(answer)
        return f"a picture of {len(own):,} codes, {own[:, LOG].mean():.2f} nats each"

    def truth(self, target: Array) -> str:
        return f"a picture of {len(target) - ERROR:,} codes"

    # -- measuring -------------------------------------------------------------------------------

    def metrics(self, answers: Answers, targets: Answers) -> dict[str, Metric]:
        """Log-likelihood a code and perplexity, where it is known what the targets would cost;
        `metrics.pictures` of what the tokenizer makes of the targets."""
        if not len(targets):
            return {}
        told = np.stack(list(targets))
        heads = np.stack([answer[0] for answer in answers])
        found: dict[str, Metric] = {}
        if heads[:, PLACES].sum():
            found["log_likelihood"] = summed.mean(-heads[:, NATS], heads[:, PLACES])
            found["perplexity"] = summed.perplexity(heads[:, NATS], heads[:, PLACES])
        numbers = np.full(len(told), float(np.prod((self.size, self.size, 3))))
        found["psnr"] = pictures.psnr(told[:, 0].astype(float), numbers)
        return found | pictures.in_use(told[:, ERROR:], self.coder.count)

    def judged(self, answers: Answers, targets: Answers) -> Judged:
        """A picture is right if all its codes are; its loss is nats a code."""
        own = np.stack([self._best(answer)[:, ID] for answer in answers])
        right = (own == np.stack(list(targets))[:, ERROR:]).all(1)
        heads = np.array([answer[0] for answer in answers]).reshape(len(answers), 4)
        return Judged(own, right, heads[:, NATS] / heads[:, PLACES].clip(min=1))

    def support(self, answer: Array, answered: Array) -> float:
        return float((self._best(answer)[:, ID] == self._best(answered)[:, ID]).mean())


def _answered(
    texts: Sequence[Text], nats: float = 0.0, places: int = 0, usual: float = 0.0
) -> Array:
    """A row's samples as one answer; the first says what the target would have cost."""
    first, *others = texts
    more = [answered(one, ENDLESS)[1:] for one in others]
    return np.concatenate([answered(first, ENDLESS, nats, places, usual), *more])
