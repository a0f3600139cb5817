"""Compiled code: numba makes it of Python functions when they are first called, and keeps it for the next run."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from inspect import isfunction
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from platformdirs import user_cache_dir

from capflog.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

#: From so many bytes of text on it is worth while to load compiled code (0.5 s), and to compile it where that has not
#: been done: that takes some 10 s, but once, and whoever has one such bundle has others.
LOADED_FROM, COMPILED_FROM = 4 << 20, 32 << 20


#: The file by which numba finds what it kept of the one function that all runs need.
_KEPT = f"lookup.look-*.py{sys.version_info.major}{sys.version_info.minor}.nbi"


def compiled(function: F) -> F:
    """Have a function compiled; what it calls must be compiled, too, and stand in the same module."""
    from numba import njit  # noqa: PLC0415  (270 ms: only who uses compiled code)

    try:
        made: Any = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        # There is no folder in which it could be kept.
        made = njit(nogil=True, error_model="numpy")(function)
    return cast("F", made)


def fast(module: ModuleType) -> ModuleType:
    """Give a module of plain functions over arrays with all of them compiled; as it is where there is no compiler.

    It is loaded once more under another name, so that who has few items goes on with the plain one.
    """
    if module.__name__ not in _FAST:
        _FAST[module.__name__] = _compiled_module(module) or module
    return _FAST[module.__name__]


_FAST: dict[str, ModuleType] = {}


def _compiled_module(module: ModuleType) -> ModuleType | None:
    if find_spec("numba") is None or module.__spec__ is None or module.__spec__.origin is None:
        return None
    spec = spec_from_file_location(f"{module.__name__}_compiled", module.__spec__.origin)
    if spec is None or spec.loader is None:
        return None
    made = module_from_spec(spec)
    # (What numba keeps names its module.)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    # Some functions have another way that only compiled code goes fast.
    for name, other in getattr(made, "COMPILED", {}).items():
        setattr(made, name, getattr(made, other))
    try:
        for name, function in list(vars(made).items()):
            if isfunction(function) and function.__module__ == made.__name__:
                setattr(made, name, compiled(function))
    except (ImportError, OSError):
        return None
    return made


def worthwhile_from() -> float:
    """Say from how many bytes of text on compiled code is faster, all told; infinity: there is no compiler."""
    if find_spec("numba") is None:
        return float("inf")
    return LOADED_FROM if is_at_hand() else COMPILED_FROM


def made_ready(progress: Progress = SILENT) -> bool:
    """Load compiled code, or have it compiled; False: that cannot be done here.

    A compiler that does not know this Python or numpy says so when it is imported, one that has no room to keep what it
    made when it is first used.
    """
    if not is_at_hand():
        progress.stage("compiling what reads the lines (once; it is kept)", lasting=True)
    try:
        from capflog.scanning import prepare  # noqa: PLC0415  (500 ms: only who uses compiled code)

        prepare()
    except (ImportError, OSError):
        return False
    return True


def is_at_hand() -> bool:
    """Tell whether the code was compiled before: it is loaded already, or kept where numba keeps such things.

    That is beside the module or, where nothing can be written there, in a folder of the user's (numba's manual, "Notes
    on Caching").
    """
    if "capflog.lookup" in sys.modules:
        return True
    module = Path(__file__).with_name("lookup.py")
    elsewhere = Path(os.environ.get("NUMBA_CACHE_DIR") or user_cache_dir("numba", appauthor=False))
    folders = (module.with_name("__pycache__"), *elsewhere.glob(f"{module.parent.name}_*"))
    kept = chain.from_iterable(folder.glob(_KEPT) for folder in folders)
    return any(file.stat().st_mtime >= module.stat().st_mtime for file in kept)
