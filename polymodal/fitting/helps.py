"""Which pretrained models help whom: in the plan's rounds, and its experts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from polymodal.base import lookup
from polymodal.contract.beside import BESIDE
from polymodal.contract.kind import Weights


def experts(
    kinds_: Mapping[str, str], rounds: Sequence[Mapping[str, Weights]], rows: int
) -> Iterator[tuple[str, list[str], dict[str, Weights]]]:
    """What experts read of some modalities, without pretrained models and with those of each round.

    Args:
        kinds_: modality -> its kind.
        rows: for training.

    Yields:
        The expert, the modalities that it reads, and the models that help it there.
    """
    able = [n for n, one in kinds_.items() if BESIDE in lookup.names(f"modalities/{one}/forms")]
    helps = [{n: one for n, one in read.items() if n in able} for read in rounds]
    for expert in lookup.names("models/experts"):
        cls = lookup.find("models/experts", expert)
        if rows < cls.least:
            continue
        for read in [{}, *helps] if cls.with_and_without or not any(helps) else helps:
            readable = cls.suited(kinds_, read)
            mine = {name: read[name] for name in readable if name in read}
            fuses = len(readable) > 1 or len(kinds_) == 1
            if readable and fuses and (mine or not read):
                yield expert, readable, mine


def rounds(backbones: Mapping[str, Sequence[Weights]]) -> list[dict[str, Weights]]:
    """The pretrained models in turn: in every round one a modality, the last it has if no more."""
    count = max((len(own) for own in backbones.values()), default=0)
    return [
        {name: own[min(i, len(own) - 1)] for name, own in backbones.items()} for i in range(count)
    ]


def called(read: Mapping[str, Weights]) -> list[str]:
    """What models are called, each once."""
    return list(dict.fromkeys(one.name for one in read.values()))
