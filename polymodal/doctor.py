"""What this machine has for the work, what each lack means, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

PACKAGE = "polymodal"
# What a fit of a small table needs: its data, torch and a few models.
MEMORY, DISK = 2 * 2**30, 2 * 2**30
# Sets of instructions as Linux calls them, the strongest first, and what they are worth.
INSTRUCTIONS = {
    "amx_bf16": ("AMX", "networks train fastest in bf16, int8 models answer fastest"),
    "avx512_bf16": ("AVX-512 with bf16", "networks may train faster in bf16 than in float32"),
    "avx512_vnni": ("AVX-512 with VNNI", "bf16 gains nothing, int8 models answer faster"),
    "avx_vnni": ("AVX2 with VNNI", "bf16 gains nothing, int8 models answer faster"),
    "avx512f": ("AVX-512", "float32 at full width; neither bf16 nor int8 gains anything"),
    "avx2": ("AVX2", "float32 at half the width of AVX-512; neither bf16 nor int8 gains anything"),
}
# What the package's extras are for.
EXTRAS = {
    "cagrad": "`balance: jacobian_descent` with the rule of CAGrad",
    "captions": "BLEU and chrF of captions",
    "constrained": "texts kept to patterns and JSON schemas",
    "datasets": "tables from `datasets` of Hugging Face",
    "efficientnet": "pretrained model of photographs",
    "excel": "tables from workbooks of Excel",
    "faiss": "fast search among millions of rows",
    "minilm": "pretrained model of English sentences",
    "mlflow": "`fit --track mlflow`",
    "multilingual": "pretrained model of sentences in many languages",
    "onnx": "`polymodal export`: a folder that predicts without PyTorch",
    "peft": "`tuning: lora`",
    "pretrained": "pretrained models of all kinds at once",
    "serve": "`polymodal serve`",
    "smollm2": "what opens a pretrained model that writes",
    "speech": "pretrained model of speech",
    "tensorboard": "`fit --track tensorboard`",
    "torchjd": "`balance: jacobian_descent`",
    "url": "tables behind addresses",
    "wandb": "`fit --track wandb`",
}
# Whoever changes the code itself needs these, nobody else.
DEVELOPERS = "dev"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what it is.
        state: "ok"; "lacking": something is slower or left out; "broken": nothing works.
        found: what is there, in words.
        means: what follows for the work; "" where nothing does.
        do: the command that mends it; "" where there is nothing to mend, or no command does.
    """

    name: str
    state: str
    found: str
    means: str = ""
    do: str = ""


@dataclass(frozen=True)
class Examination:
    """All that was looked at."""

    findings: list[Finding]

    @property
    def ready(self) -> bool:
        """Whether a fit, a prediction and a report work here."""
        return all(one.state != "broken" for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        return {"ready": self.ready, "findings": [asdict(one) for one in self.findings]}

    def text(self) -> str:
        """For a terminal: a line each, and under it what it means and what to do."""
        lines = []
        for one in self.findings:
            lines.append(f"{one.name:<26} {one.state:<8} {one.found}")
            lines += [f"{'':<35} {text}" for text in (one.means, one.do) if text]
        broken = [one.name for one in self.findings if one.state == "broken"]
        ready = "Ready." if self.ready else f"Not ready: {', '.join(broken)}."
        return "\n".join([*lines, "", ready])


def examine(seconds: float = 3.0) -> Examination:
    """Look at everything.

    Args:
        seconds: that the hub has to answer.
    """
    first = [one for look in (_python, _requirements, _torch) for one in look()]
    if first[-1].state == "broken" or len(first) > 2:
        # What follows imports what is broken.
        return Examination(first)
    looks = (_cpu, _accelerators, _memory, _disk, _cache, _extras, _backbones)
    return Examination([*first, *(one for look in looks for one in look()), _hub(seconds)])


def _python() -> Iterator[Finding]:
    wanted = next(iter(importlib.metadata.metadata(PACKAGE).get_all("Requires-Python") or ()), "")
    version, where = platform.python_version(), sys.executable
    suits = SpecifierSet(wanted).contains(version, prereleases=True)
    if suits:
        yield Finding("python", "ok", f"{version} ({where})")
    else:
        means = f"{PACKAGE} needs {wanted}"
        yield Finding("python", "broken", f"{version} ({where})", means, "python3.12 -m venv .venv")


def _requirements() -> Iterator[Finding]:
    """The packages without which nothing works."""
    for one in _wanted(""):
        wrong = _wrong(one)
        if wrong:
            means = "parts of the package cannot be imported"
            plain = f"{one.name}{one.specifier}"
            yield Finding(one.name, "broken", wrong, means, f"pip install '{plain}'")


def _torch() -> Iterator[Finding]:
    try:
        import torch

        one = torch.ones(2, 2)
        if not bool((one @ one == 2).all()):
            raise ArithmeticError("a product of two matrices is wrong")
    # A library built for another processor or system fails in ways of its own.
    except Exception as error:
        means, do = "no model can be computed", "pip install --force-reinstall torch"
        yield Finding("torch", "broken", f"{type(error).__name__}: {error}"[:200], means, do)
        return
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    yield Finding("torch", "ok", f"{torch.__version__}, {threads}")


def _cpu() -> Iterator[Finding]:
    machine = platform.machine()
    flags = _flags()
    known = next((name for name in INSTRUCTIONS if name in flags), None)
    if known is not None:
        what, worth = INSTRUCTIONS[known]
        means = f"{worth}; a fit times its kernels and takes the faster"
        yield Finding("cpu", "ok", f"{machine}, {what}", means)
    elif machine in ("x86_64", "AMD64") and flags:
        means = "everything works, several times slower than on a processor of the last ten years"
        yield Finding("cpu", "lacking", f"{machine} without AVX2", means)
    else:
        means = "what its instructions are worth is not known here; a fit times its kernels"
        yield Finding("cpu", "ok", machine, means)


def _accelerators() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            known = torch.cuda.get_device_properties(i)
            means = "" if i == 0 else "one is used: the first"
            what = f"{known.name}, {_size(known.total_memory)}"
            yield Finding("accelerator", "ok", what, means)
        return
    built = torch.version.cuda is not None
    means = "networks train on the CPU; large pretrained ones are out of a short budget's reach"
    found = "none" + (": this torch is built for CUDA, and finds no device" if built else "")
    if not built and Path("/proc/driver/nvidia").exists():
        found = "one that this torch cannot use: it is built for CPUs"
        yield Finding("accelerator", "lacking", found, means, "pip install --upgrade torch")
    else:
        yield Finding("accelerator", "ok", found, means)


def _memory() -> Iterator[Finding]:
    free, total = _free_memory()
    if total is None:
        return
    found = f"{_size(free)} free of {_size(total)}" if free is not None else _size(total)
    if (total if free is None else free) < MEMORY:
        means = f"under {_size(MEMORY)} a fit may be killed in the middle"
        yield Finding("memory", "lacking", found, means, "end other programs")
    else:
        yield Finding("memory", "ok", found)


def _disk() -> Iterator[Finding]:
    for name, folder in (("disk", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        found = f"{_size(free)} free ({folder})"
        if free < DISK:
            means = f"under {_size(DISK)} runs and what is decoded may not find room"
            yield Finding(name, "lacking", found, means, f"{PACKAGE} cache --clear")
        else:
            yield Finding(name, "ok", found)


def _cache() -> Iterator[Finding]:
    from polymodal.prepared import cache

    folder = cache.default_folder()
    if cache.usable_folder() is None:
        means = "a fit cannot keep what it decodes, and is refused"
        do = "export POLYMODAL_CACHE=/a/folder/that/can/be/written"
        yield Finding("cache", "broken", f"{folder} cannot be written", means, do)
        return
    size = sum(path.stat().st_size for path in cache.kept(folder))
    yield Finding("cache", "ok", f"{folder}, {_size(size)} kept")


def _extras() -> Iterator[Finding]:
    for extra in importlib.metadata.metadata(PACKAGE).get_all("Provides-Extra") or ():
        if extra == DEVELOPERS:
            continue
        wrong = [text for one in _wanted(extra) if (text := _wrong(one))]
        name = f"extra {extra}"
        if wrong:
            do = f"pip install '{PACKAGE}[{extra}]'"
            means = f"without it no {EXTRAS[extra]}"
            yield Finding(name, "lacking", "; ".join(wrong), means, do)
        else:
            yield Finding(name, "ok", "installed")


def _backbones() -> Iterator[Finding]:
    """Pretrained models, by the kind of column that they read."""
    from polymodal.base import lookup
    from polymodal.contract.kind import kinds
    from polymodal.nn import checkpoint

    for name, place in checkpoint.packages().items():
        package = lookup.find(place, name)()
        one, label = package.weights(), f"{place.split('/')[1]}: {package.title}"
        if one.path:
            yield Finding(label, "ok", f"{one.package}, {one.licence}", f"knows {one.knows}")
        else:
            means = f"would know {one.knows}"
            yield Finding(label, "lacking", "not installed", means, package.command())
    for name, room in kinds().items():
        for one in room.hub:
            if checkpoint.cached(one.path):
                where = f"{one.path} in the hub's cache, {one.licence}"
                yield Finding(f"{name}: {one.name}", "ok", where, f"knows {one.knows}")


def _hub(seconds: float) -> Finding:
    """Being offline is no fault: nothing but a model that is named by a hub id needs the hub."""
    from huggingface_hub import constants

    means = "models that a recipe names by a hub id are had from its cache, or not at all"
    if constants.HF_HUB_OFFLINE:
        return Finding("hub", "ok", "not asked: HF_HUB_OFFLINE is set", means)
    place = constants.ENDPOINT
    try:
        with urllib.request.urlopen(urllib.request.Request(place, method="HEAD"), timeout=seconds):
            return Finding("hub", "ok", f"{place} answers")
    except urllib.error.HTTPError:
        return Finding("hub", "ok", f"{place} answers")
    except (OSError, ValueError):
        return Finding("hub", "ok", f"{place} does not answer within {seconds:g} s", means)


def _wanted(extra: str) -> list[Requirement]:
    """What the package requires here for an extra, or "" always; those of extras within it too."""
    found = []
    for text in importlib.metadata.requires(PACKAGE) or ():
        one = Requirement(text)
        always = one.marker is None or one.marker.evaluate({"extra": ""})
        if always if not extra else (not always and _applies(one, extra)):
            inner = one.name.lower() == PACKAGE
            found += [r for name in sorted(one.extras) for r in _wanted(name)] if inner else [one]
    return found


def _applies(one: Requirement, extra: str) -> bool:
    return one.marker is not None and one.marker.evaluate({"extra": extra})


def _wrong(one: Requirement) -> str:
    """What is wrong with a package that is wanted; "" if nothing is."""
    try:
        version = importlib.metadata.version(one.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{one.name} is not installed"
    if not one.specifier.contains(version, prereleases=True):
        return f"{one.name} {version} is not {one.specifier}"
    for extra in sorted(one.extras):
        for text in importlib.metadata.requires(one.name) or ():
            try:
                inner = Requirement(text)
            except InvalidRequirement:  # of packages older than the rules for them
                continue
            here = inner.marker is None or inner.marker.evaluate({"extra": ""})
            if not here and _applies(inner, extra) and (wrong := _wrong(inner)):
                return wrong
    return ""


def _flags() -> set[str]:
    """What Linux says of the processor; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split()[2:]) for line in lines if line.startswith("flags")), set())


def _free_memory() -> tuple[int | None, int | None]:
    """Bytes that a process may still take, and of all; None where the system does not say."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None, None
    free = None
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if "MemAvailable" in line)
        group = Path("/sys/fs/cgroup")
        most = (group / "memory.max").read_text().strip()
        if most != "max":  # a container's own limit
            total = min(total, int(most))
            free = min(free, int(most) - int((group / "memory.current").read_text()))
    except (OSError, ValueError, StopIteration):
        pass
    return free, total


def _size(number: float) -> str:
    return f"{number / 2**30:,.1f} GiB" if number >= 2**29 else f"{number / 2**20:,.0f} MiB"
