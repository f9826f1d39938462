"""The checks of a fit without the fit."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from polymodal.checks import check as checks
from polymodal.models import build
from polymodal.prepared.cache import default_folder
from polymodal.report.console import Show
from polymodal.table import infer
from polymodal.table.read import read
from polymodal.table.typed import Stated, typed


def check(
    train: Any,
    target: str | Sequence[str] = (),
    *,
    valid: Any = None,
    test: Any = None,
    kinds: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    group: str | None = None,
    max_bad_rows: int = 0,
    decimal: Mapping[str, str] | None = None,
    date: Mapping[str, str] | None = None,
    missing: Mapping[str, Sequence[str]] | None = None,
    encoding: str | None = None,
    show: Show | None = None,
) -> checks.Report:
    """Look at a table before a fit: what each column is taken for, and what may be wrong.

    Args:
        train: any source that `polymodal.table.read.read` takes.
        target: column or columns to predict.
        valid, test: tables that must not share rows, media or groups with it.
        kinds, drop, group, max_bad_rows, decimal, date, missing, encoding: as `fit` takes them.
        show: where the columns and findings are shown; by default standard error, and nowhere
            with `Show.silent()`.

    Returns:
        The findings; `raise_for_errors` raises what a fit would.
    """
    read_cached = partial(read, cache=default_folder(), encoding=encoding)
    show = show or Show(sys.stderr)
    table = read_cached(train)
    targets = [target] if isinstance(target, str) else list(target)
    stated = Stated(decimal or {}, date or {}, missing or {})
    schema = infer.infer(table, targets, dict(kinds or {}), list(drop), group, stated=stated)
    table = typed(schema, table)
    show.schema(schema, table)
    valid, test = (
        None if source is None else typed(schema, read_cached(source)) for source in (valid, test)
    )
    # A fit decodes every cell itself, and tells of each that is bad.
    forms = build.media_forms(schema)
    report = checks.check(table, schema, valid, test, forms=forms, max_bad_rows=max_bad_rows)
    show.findings(report)
    return report
