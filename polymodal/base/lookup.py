"""From a component's name to its class: `fusion/gated.py` holds `Gated` and is `fusion: gated`.

Folders are listed without importing them; nothing registers itself. A recipe may also name a
class of the user's own as `path/to/my_file.py:MyFusion`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from polymodal.base.errors import UserError
from polymodal.base.hints import called, example

ROOT = Path(__file__).parent.parent
ABOVE = "choose one of the names above"
# How like two names are, from 0 to 1, that may be meant for each other.
NEAR = 0.66
# What the file of a built-in component, and each part of its folder, may be called.
BUILTIN = re.compile(r"[a-z][a-z0-9_]*")
# The user's own files that were executed, by module names that hold a hash of the content.
_users: dict[str, ModuleType] = {}
# What code with a mistake in it raises.
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
# The folders whose files may be executed; None: any.
_ALLOWED: ContextVar[tuple[Path, ...] | None] = ContextVar("allowed", default=None)


def names(folder: str) -> list[str]:
    """Component names in a folder such as "fusion", sorted; imports none of them."""
    return sorted(
        file.removesuffix(".py")
        for place in places(folder)
        if os.path.isdir(place)
        for file in os.listdir(place)
        if file.endswith(".py") and not file.startswith("_")
    )


def folders(folder: str) -> list[str]:
    """Names of the folders in a folder such as "modalities", sorted; imports none of them."""
    return sorted(
        inner.name
        for place in places(folder)
        for inner in Path(place).iterdir()
        if inner.is_dir() and not inner.name.startswith(("_", "."))
    )


def places(folder: str) -> tuple[str, ...]:
    """The folders on disk that a folder of the package stands for: one, unless its top package's
    `__path__` was extended."""
    if not all(BUILTIN.fullmatch(part) for part in folder.split("/")):
        raise UserError(
            f"'{folder[:80]}' is no folder of components",
            expected="lower-case letters, digits and underscores, parted by slashes",
        )
    top, _, rest = folder.partition("/")
    package = importlib.import_module(f"polymodal.{top}")
    return tuple(os.path.join(path, rest) if rest else path for path in package.__path__)


def find(folder: str, name: str) -> type[Any]:
    """The class that `name` means in `folder`.

    Args:
        folder: for example "fusion" or "modalities/text/encoders".
        name: a file's name without ".py", or "file.py:Class" for a user's own file.
    """
    if (file := own(name)) is not None:
        return _find_in_file(*file)
    known = names(folder)
    if name not in known:
        raise UserError(
            f"There is no {folder} called '{name}'",
            expected=f"one of {', '.join(known)}; or my_file.py:MyClass",
            got=repr(name),
            do=meant(name, known, ABOVE),
        )
    module = importlib.import_module("polymodal." + folder.replace("/", ".") + "." + name)
    found = getattr(module, class_name(name))
    assert isinstance(found, type)
    return found


def own(name: str) -> tuple[str, str] | None:
    """The file and the class of a name such as "my_file.py:MyClass"; None for any other name.

    The only reader of such names: what it does not take is looked for among the built-in ones.
    """
    file, colon, cls = name.rpartition(":")
    stem = re.split(r"[/\\]", file)[-1].removesuffix(".py")
    is_file = file.endswith(".py") and bool(stem.strip(".")) and file.isprintable()
    return (file, cls) if colon and is_file and cls.isidentifier() else None


@contextmanager
def only_in(*folders: Path) -> Iterator[None]:
    """Inside, no file of the user's own is executed but those that lie in these folders."""
    token = _ALLOWED.set(tuple(folder.resolve() for folder in folders))
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def build(folder: str, spec: str | Mapping[str, Any], *context: Any, **inner: Any) -> Any:
    """Build the component that a recipe describes.

    Args:
        folder: where to look.
        spec: a name, or a mapping with "name" and the component's keyword options.
        context: positional arguments that the caller, not the recipe, supplies.
        inner: keyword arguments that the caller supplies.
    """
    described: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = str(described.pop("name"))
    cls = find(folder, name)
    check_options(cls, name, described)
    for key, default in options(cls).items():
        if default is inspect.Parameter.empty and key not in {**described, **inner}:
            raise UserError(
                f"'{name}' is not told its option '{key}'",
                expected=_signature(cls, name),
                got=f"{described}" if described else "no options",
                do=f"write {{name: {name}, {key}: ...}}",
            )
    try:
        return cls(*context, **described, **inner)
    except UserError:
        raise
    except Exception as error:
        if (file := own(name)) is not None:
            raise UserError(
                f"'{name}' cannot be built",
                expected=f"a class for {folder} that takes ({_taken(context, inner)}) and, by "
                "keyword only, its options",
                got=_told(error, file[0]),
                do="mend its constructor; docs/components.md has an example of each kind",
            ) from error
        if not described or not isinstance(
            error, ValueError | ArithmeticError | AssertionError | RuntimeError
        ):
            raise
        raise UserError(
            f"'{name}' cannot be built with these options",
            expected=f"such as {_signature(cls, name)}",
            got=f"{described} ({error})",
            do="change the recipe",
        ) from error


@contextmanager
def blaming(named: Callable[[], Collection[str]]) -> Iterator[None]:
    """Errors inside are those of the user's own components, if there are any among the named.

    Raises:
        UserError: instead of what a component with a wrong signature or a fault of its own raises.
    """
    try:
        yield
    except _FAULTS as error:
        files = [found[0] for name in named() if (found := own(name)) is not None]
        if not files:
            raise
        raise UserError(
            f"A component of your own fails: {', '.join(files)}",
            expected="the constructor, the methods and the answers that its kind of component has",
            got=_told(error, *files),
            do="compare it with the example of its kind in docs/components.md",
        ) from error


def name_of(cls: type[Any]) -> str:
    """What a recipe calls a class: the inverse of `find`."""
    if cls.__module__.startswith("polymodal."):
        return cls.__module__.rpartition(".")[2]
    return f"{file_of(cls)}:{cls.__name__}"


def file_of(cls: type[Any]) -> str:
    """The file that defines a class; the user's own are no importable modules."""
    user = _users.get(cls.__module__)
    return inspect.getfile(cls) if user is None else str(user.__file__)


def options(cls: type[Any]) -> dict[str, Any]:
    """A component's options (its constructor's keyword-only parameters) and their defaults."""
    return dict(_options(cls))  # type: ignore[arg-type]


@cache
def _options(cls: type[Any]) -> dict[str, Any]:
    parameters = inspect.signature(cls.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def chosen(component: Any) -> dict[str, Any]:
    """The options that a component was built with."""
    return {name: getattr(component, name) for name in options(type(component))}


def check_options(
    cls: type[Any], name: str, given: Mapping[str, Any], mend: str = "change the recipe"
) -> None:
    """Fail on an option that the component does not have, on a value of the wrong type or NaN.

    Args:
        mend: what to do about such a value; in it "{key}" is the option, and "{example}" a value
            that it takes, in JSON.
    """
    # Whoever builds components without a check need not have it.
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    finite = ConfigDict(allow_inf_nan=False)
    known, types = options(cls), get_type_hints(cls.__init__)
    for key, value in given.items():
        if key not in known:
            raise UserError(
                f"'{name}' has no option '{key}'",
                expected=_signature(cls, name),
                got=f"{key}={value!r}",
                do=meant(key, known, ABOVE),
            )
        try:
            TypeAdapter(types.get(key, Any), config=finite).validate_python(value, strict=True)
        except ValidationError as error:
            shown = example(types[key], value)
            raise UserError(
                f"The option '{key}' of '{name}' has the wrong type",
                expected=f"{called(types[key])}, as in {_signature(cls, name)}",
                got=f"{key}={value!r}",
                do=mend.replace("{key}", key).replace("{example}", json.dumps(shown)),
            ) from error


def _taken(context: Collection[Any], inner: Collection[str]) -> str:
    return ", ".join([*(type(one).__name__ for one in context), *(f"{k}=" for k in inner)])


def _told(error: BaseException, *files: str) -> str:
    """An error in a user's own file: its words, and the line of that file that it came from."""
    known = {os.path.realpath(file) for file in files}
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if os.path.realpath(f.filename) in known]
    place = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {error}"[:300] + place


def _signature(cls: type[Any], name: str) -> str:
    return f"{name}({_shown(cls) or 'no options'})"


def _shown(cls: type[Any]) -> str:
    """A component's options with their defaults; those that must be given have none."""
    given = options(cls).items()
    return ", ".join(k if v is inspect.Parameter.empty else f"{k}={v!r}" for k, v in given)


def catalogue() -> list[tuple[str, str, str]]:
    """Every component as (folder, name, options), for `polymodal list` and the docs."""
    found = []
    kinds = folders("modalities")
    listed = [
        *(f"modalities/{kind}/forms" for kind in kinds),
        *(f"modalities/{kind}/encoders" for kind in kinds),
        "align",
        "fusion",
        "tasks",
        "nn/decoders",
        "models/experts",
        "tuning",
        "train/balance",
        "reason/strategies",
        *(f"modalities/{kind}/corruptions" for kind in kinds),
    ]
    for folder in listed:
        for name in names(folder):
            found.append((folder, name, _shown(find(folder, name))))
    for kind in kinds:
        folder = f"modalities/{kind}"
        if "augment" in names(folder):
            found.append((folder, "augment", _shown(find(folder, "augment"))))
    return found


def class_name(name: str) -> str:
    """The class that a file must export: "cross_attention" -> "CrossAttention"."""
    return "".join(part.capitalize() for part in name.split("_"))


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that `name` is nearly spelled like, or None.

    Capitals and what joins words do not count.
    """
    plain = {re.sub(r"[\W_]+", "", one).casefold() or one: one for one in reversed(list(known))}
    asked = re.sub(r"[\W_]+", "", name).casefold() or name
    close = difflib.get_close_matches(asked, list(plain), n=1, cutoff=NEAR)
    return plain[close[0]] if close else None


def meant(name: str, known: Collection[str], otherwise: str = "") -> str:
    """What to do about a name that is not known: the nearest, or `otherwise` if none is near."""
    match = nearest(name, known)
    return f"did you mean '{match}'?" if match else otherwise


def unknown(what: str, name: str, known: Collection[str], otherwise: str = "") -> UserError:
    """The error that happened (`what`) because `name` is none of the known names."""
    return UserError(what, expected=f"one of {', '.join(known)}", do=meant(name, known, otherwise))


def _find_in_file(file: str, cls: str) -> type[Any]:
    path, allowed = Path(file), _ALLOWED.get()
    if allowed is not None and path.resolve().parent not in allowed:
        raise UserError(
            f"The file '{file}' may not be executed here",
            expected="a component that is built in, or that was brought and is trusted",
            got=f"{file}:{cls}",
        )
    if not path.is_file():
        raise UserError(
            f"The file '{file}' named by '{file}:{cls}' does not exist",
            expected="an existing Python file, as my_file.py:MyClass",
            do=f"check the path; it is relative to {Path.cwd()}",
        )
    module = _executed(path.resolve())
    found = getattr(module, cls, None)
    if not isinstance(found, type):
        classes = [k for k, v in vars(module).items() if isinstance(v, type)]
        raise UserError(
            f"'{file}' has no class '{cls}'",
            expected=f"one of {', '.join(classes) or 'its classes (it has none)'}",
            do=meant(cls, classes, ABOVE),
        )
    return found


def _executed(path: Path) -> ModuleType:
    """The file as a module, executed once for as long as it does not change."""
    source = path.read_bytes()
    digest = blake2b(str(path).encode() + b"\0" + source, digest_size=16).hexdigest()
    name = f"polymodal_user_{path.stem}_{digest}"
    if name in _users:
        return _users[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while they are made. Later it must not be found there:
    # what worker processes cannot import is sent to them by value.
    sys.modules[name] = module
    try:
        # Not by the loader, which may take bytecode of another content of the same second.
        exec(compile(source, path, "exec"), vars(module))
    except Exception as error:
        raise UserError(
            f"The file '{path}' cannot be executed",
            expected="a Python file with a component in it, whose imports are installed",
            got=_told(error, str(path)),
            do=f"mend it: python {path}",
        ) from error
    finally:
        del sys.modules[name]
    _users[name] = module
    return module
