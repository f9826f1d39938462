"""What is to be done once somebody imports a module, and never if nobody does."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


def after(module: str, call: Callable[[], None]) -> None:
    """Call once a module is imported: now, if it is already."""
    if module in sys.modules:
        call()
    else:
        sys.meta_path.insert(0, _Finder(module, call))


class _Finder:
    """Finds nothing itself: it watches how the others find one module, once."""

    def __init__(self, module: str, call: Callable[[], None]) -> None:
        self._module, self._call = module, call

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self._module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute, call = spec.loader.exec_module, self._call

            def executed(module: ModuleType) -> None:
                execute(module)
                call()

            setattr(spec.loader, "exec_module", executed)  # noqa: B010
        return spec
