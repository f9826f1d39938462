"""A row's cells as the bytes of one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

from polymodal.base.spelling import is_missing, prose
from polymodal.modalities._spelled import SpelledForm


@final
class Spelled(SpelledForm):
    """UTF-8 `(bytes,)`, uint8, of `{"column": "its cell in one spelling"}` without missing cells.

    Args:
        columns: `{"name", "kind"}` of each column.
    """

    kind = "table"
    # Half an object says nothing.
    limit: ClassVar[int] = 1 << 30

    def __init__(self, *, columns: Sequence[Mapping[str, str]]) -> None:
        self.columns = [{"name": c["name"], "kind": c["kind"]} for c in columns]

    def text(self, cell: Mapping[str, Any]) -> str:
        names = [column["name"] for column in self.columns]
        said = {name: prose(cell[name]) for name in names if not is_missing(cell.get(name))}
        return json.dumps(said, ensure_ascii=False)
