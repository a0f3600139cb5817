"""Compiled code: numba makes it of Python functions when they are first called, and keeps it for the next run."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

#: From so many bytes of text on it is worth while to load compiled code (0.5 s), and to compile it where that has not
#: been done (some 10 s).
LOADED_FROM, COMPILED_FROM = 4 << 20, 96 << 20


def compiled(function: F) -> F:
    """Have a function compiled; what it calls must be compiled, too, and stand in the same module.

    (A function is compiled anew where its own module has changed, and knows nothing of others.)
    """
    from numba import njit  # noqa: PLC0415  (270 ms: only who uses compiled code)

    try:
        made: Any = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        # There is no folder in which it could be kept.
        made = njit(nogil=True, error_model="numpy")(function)
    return cast("F", made)


def worthwhile_from() -> float:
    """Say from how many bytes of text on compiled code is faster, all told; infinity: there is no compiler."""
    if find_spec("numba") is None:
        return float("inf")
    return LOADED_FROM if is_at_hand() else COMPILED_FROM


def can_compile() -> bool:
    """Tell whether there is a compiler that works: one that does not know this Python or numpy says so on import."""
    try:
        import numba  # noqa: F401, PLC0415  (270 ms: only who uses compiled code)
    except ImportError:
        return False
    return True


def is_at_hand() -> bool:
    """Tell whether the code was compiled before: it is loaded already, or kept beside its module."""
    if "capflog.lookup" in sys.modules:
        return True
    return any(Path(__file__).with_name("__pycache__").glob("lookup.look-*.nbi"))
