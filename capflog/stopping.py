"""Ctrl-C and SIGTERM: a run ends at once, in one line, and what it holds is given back on the way out.

This is loaded before anything else, so that a Ctrl-C while the large libraries load is no traceback either.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

#: How many signals it takes to leave without cleaning up. The second one is most often the same impatient finger.
PRESSES = 3


class Stopped(BaseException):
    """A signal asked the program to end. (Not a KeyboardInterrupt: click would put an empty line before ours.)"""


class _State:
    number = 0
    times = 0


def _stop(number: int, _: FrameType | None) -> None:
    _State.number = _State.number or number
    _State.times += 1
    if _State.times == 1:
        raise Stopped
    if _State.times >= PRESSES:
        end()


def _unraised(unraisable: sys.UnraisableHookArgs) -> None:
    """Ask again in a moment where the exception came up in a finalizer, which swallows it; all else is told as ever."""
    if unraisable.exc_type is Stopped:
        _State.times = 0
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, _stop)
            signal.setitimer(signal.ITIMER_REAL, 0.01)
    elif not stopped():
        sys.__unraisablehook__(unraisable)


def listen() -> None:
    """Raise Stopped in the main thread when SIGINT or SIGTERM comes; one that is ignored (nohup) stays so."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _unraised


def open_streams() -> None:
    """Have what is said to a stream that was closed before go nowhere: Python has none then."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115  (as long as the program)


def settle() -> None:
    """From now on a signal raises nothing any more and ends the program where it stands."""
    _State.times = PRESSES


def stopped() -> bool:
    """Say whether a signal came: then every exception is its consequence."""
    return _State.number != 0


def end() -> NoReturn:
    """Say that it was interrupted and leave, with the exit status that shells give (130, 143).

    Nothing more is run: to take down millions of objects would last, and nothing depends on it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with suppress(Exception):
        word = "interrupted" if _State.number == signal.SIGINT else "terminated"
        start = "\r" if sys.stderr.isatty() else ""  # where a terminal shows ^C
        sys.stderr.write(f"{start}capflog: {word}\n")
        sys.stderr.flush()
    os._exit(128 + _State.number)


def leave(asked: SystemExit) -> NoReturn:
    """Leave with the status that was asked for, when all that was said has been written.

    What the program still holds goes with it: to take a large table down item by item takes half a second.
    """
    status = 0 if asked.code is None else asked.code
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        # Nobody reads any more, or the stream is closed: Python itself knows what to say.
        raise asked from None
    if not isinstance(status, int):
        raise asked
    if "multiprocessing" in sys.modules:
        from multiprocessing import active_children  # noqa: PLC0415  (only where it was used)

        # Those that have ended are taken leave of: else what they cost is nobody's.
        active_children()
    os._exit(status)
