"""What rules are asked of a clock, and the words that their text may put for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

from capflog.conditions import CLOCK

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Sequence

    from capflog.model import Clock, ClockStep

#: Logs of the CA's server, which has one clock.
_OF_CA = frozenset({"iis", "httperr"})

#: So many steps of a clock are told.
_STEPS_TOLD = 3

#: A clock that differs by less is in step. (s)
_IN_STEP = 0.05


def compared(clocks: Iterable[Clock]) -> list[Clock]:
    """Give the clocks that are held against the reference, each once: a server's two logs are of one clock."""
    found: dict[Any, Clock] = {}
    for clock in clocks:
        if clock.quality == "reference":
            continue
        log = "iis" if clock.source in _OF_CA else clock.source
        key = (log, clock.whose, clock.offset_seconds, clock.zone_error_seconds, clock.quality, *clock.steps)
        before = found.get(key)
        found[key] = clock if before is None else replace(before, proof=[*before.proof, *clock.proof])
    return list(found.values())


def clock_fact(clock: Clock) -> dict[str, Any]:
    """Make the fact that conditions know as ``clock``; what is not known of it, or is nothing, is absent.

    ``offset`` is what remains when the zone's error is taken off; ``side`` and ``zone_side`` say whether it is ahead of
    the reference or behind it. Where the bound allows either, there is no ``side``. Amounts are absolute.
    """
    rest, bound = remaining(clock), clock.uncertainty_seconds
    fact: dict[str, Any] = {"kind": CLOCK, "at": None, "source": clock.source, "quality": clock.quality}
    if clock.whose:
        fact["whose"] = clock.whose
    if bound is not None:
        fact["bound"] = _number(bound)
    if rest is not None:
        fact["offset"] = _number(rest)
        if abs(rest) > (bound or 0):
            fact["side"] = _side(rest)
    if clock.zone_error_seconds:
        fact["zone_error"] = _number(clock.zone_error_seconds)
        fact["zone_side"] = _side(clock.zone_error_seconds)
    if clock.steps:
        fact["step"] = max(_number(step.after - step.before) for step in clock.steps)
    if clock.drift_ppm is not None:
        fact["drift"] = _number(clock.drift_ppm)
    return fact


def remaining(clock: Clock) -> float | None:
    """Give the offset without the zone's error, in seconds; None where it is not known."""
    return None if clock.offset_seconds is None else round(clock.offset_seconds - clock.zone_error_seconds, 3)


def words_of(clock: Clock, safe: re.Pattern[str] | None = None) -> dict[str, str]:
    """Give the words for a rule's text, by the names of :data:`capflog.rulebook.GIVEN_OF_CLOCKS`.

    ``safe``: whose clock it is, which a bundle may say in its own words, is told only if they are of this pattern.
    """
    fact = clock_fact(clock)
    named = clock if safe is None or safe.fullmatch(clock.whose) else replace(clock, whose="")
    return {
        "whose": _whose(named),
        "offset": span(fact["offset"]) if "offset" in fact else "an amount that is not known",
        "side": fact.get("side", "ahead or behind"),
        "bound": span(fact["bound"]) if "bound" in fact else "an amount that is not known",
        "zone_error": _difference(clock.zone_error_seconds),
        "step": _steps(clock.steps) or "no step",
        "drift": _drift(clock.drift_ppm),
    }


def likewise(clocks: Sequence[Clock]) -> str:
    """Say of which other clocks a finding is, and how far they are off; "" where there are none."""
    told = []
    for clock in clocks:
        rest = remaining(clock)
        parts = [] if rest is None else [_difference(rest)]
        parts += [f"{_difference(clock.zone_error_seconds)} by its zone"] if clock.zone_error_seconds else []
        parts += [f"set {_steps(clock.steps)}"] if clock.steps else []
        told.append(f"{_whose(clock)} ({'; '.join(parts)})")
    return f" So it is with {', '.join(told)}." if told else ""


def span(amount: float) -> str:
    """Say a time span, given in seconds: ``0.35 s``, ``3.2 s``, ``2 min 3 s``, ``5 h 0 min``, ``3 d 4 h``."""
    amount = abs(amount)
    if amount < 0.995:
        return f"{amount:.2f} s"
    if amount < 59.95:
        return f"{amount:.1f} s"
    minutes, rest = divmod(round(amount), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _number(amount: float) -> float:
    """Give an amount without its sign, to the millisecond; a whole number as such, so that it is written like one."""
    rounded = round(abs(amount), 3)
    return int(rounded) if rounded == int(rounded) else rounded


def _side(amount: float) -> str:
    return "ahead" if amount > 0 else "behind"


def _difference(amount: float) -> str:
    return f"{span(amount)} {_side(amount)}" if abs(amount) >= _IN_STEP else "in step"


def _whose(clock: Clock) -> str:
    name = f" {clock.whose}" if clock.whose else ""
    return f"the CA's server{name} (IIS)" if clock.source in _OF_CA else f"the CUCM node{name}"


def _steps(steps: Sequence[ClockStep]) -> str:
    told = [
        f"by {step.time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC from {_difference(step.before)} to "
        f"{_difference(step.after)}"
        for step in steps[:_STEPS_TOLD]
    ]
    more = len(steps) - _STEPS_TOLD
    return ", then ".join(told) + (f", and {more:,} times more" if more > 0 else "")


def _drift(ppm: float | None) -> str:
    """Say how a clock runs against the reference: a million microseconds are a second, a day has 86,400 of them."""
    if ppm is None:
        return "not measured"
    return f"{'gains' if ppm > 0 else 'loses'} {span(ppm * 0.0864)} a day"
