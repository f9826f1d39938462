"""Commands that tell what there is. Heavy imports happen inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from polymodal.base.say import say


def list_components(
    folder: Annotated[
        str | None, typer.Argument(help="Of one folder only, such as fusion or text/encoders.")
    ] = None,
) -> None:
    """Every component that there is, with its options."""
    from polymodal.base.lookup import catalogue, unknown

    found = catalogue()
    if folder is not None:
        wanted = folder.strip("/")
        found = [one for one in found if f"/{wanted}/" in f"/{one[0]}/"]
        if not found:
            parts = dict.fromkeys(
                part for one in catalogue() for part in (one[0], *one[0].split("/"))
            )
            raise unknown(f"There are no components in '{folder}'", wanted, list(parts))
    for folder, name, options in found:
        say(f"{folder + ': ' + name:<32} {options}")


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete what is kept.")] = False,
) -> None:
    """What is decoded and measured once for all fits: where it is kept, and how large it is."""
    from polymodal.prepared import cache as kept

    folder = kept.default_folder()
    files = kept.kept(folder)
    size = sum(path.stat().st_size for path in files) / 2**20
    if clear:
        kept.clear(folder)
    say(f"{folder}: {size:,.1f} MB in {len(files):,} files{' deleted' if clear else ''}")


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """What this machine has, what each lack means and the command that mends it; 2 if not ready."""
    from polymodal.doctor import examine

    found = examine()
    say(json.dumps(found.to_json(), indent=1) if as_json else found.text())
    if not found.ready:
        raise typer.Exit(2)


def plan(recipe: Annotated[Path, typer.Argument(help="A recipe.yaml.")]) -> None:
    """What a recipe's networks take: parameters, memory and FLOPs; nothing is trained."""
    from polymodal.contract.resolve import ready
    from polymodal.fitting.sizes import HALF, WHOLE, sizes

    for size in sizes(ready(recipe)):
        say(f"{size.name}: {size.numbers:,} parameters")
        for name, count in size.parts.items():
            say(f"  {name:<30} {count:>20,}")
        weights = ", ".join(f"{size.numbers * b / 1e9:,.3f} GB at {b} bytes" for b in (WHOLE, HALF))
        say(f"  memory: {weights} a parameter; training {size.training / 1e9:,.3f} GB, and batches")
        for name, work in size.decoders.items():
            whole = work.operations(work.context) / 1e9
            kept = work.kept * HALF / 1e3
            say(
                f"  {name}: {whole:,.3f} GFLOPs per token of training (forward and backward, at "
                f"the full context of {work.context:,}); KV cache {kept:,.1f} kB per token at "
                f"{HALF} bytes"
            )
