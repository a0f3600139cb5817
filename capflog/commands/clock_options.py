"""The options that tell of clocks: zones, the day of the trace, whether IIS is shifted, the zone of what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from capflog.commands.completing import known_zones
from capflog.commands.console import stop
from capflog.commands.settings import Words
from capflog.commands.this_call import is_typed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capflog.told import Told
    from capflog.zones import Zone

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Clocks:
    """What a call says of clocks: what the logs do not tell, and the zone in which text shows times (None: the node's).

    ``given``: the options of the call itself that are of no use without a bundle.
    """

    told: Told
    display: Zone | None
    given: tuple[str, ...] = ()


def clock_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that tell of clocks; the command has what they tell as ``clocks``, read before anything else."""

    @wraps(command)
    def called(
        tz: tuple[str, ...],
        iis_tz: str | None,
        date: tuple[str, ...],
        no_align: bool,
        display_tz: str | None,
        **more: Any,
    ) -> Any:
        return command(**more, clocks=_clocks(tz, iis_tz, date, display_tz, align=not no_align))

    for option in (
        click.option(
            "--display-tz",
            metavar="ZONE",
            shell_complete=known_zones,
            help="Show times in this zone; JSON is in UTC whatever it says.",
        ),
        click.option("--no-align", is_flag=True, help="Show times of IIS as its clock has them; its offset is told."),
        click.option(
            "--date",
            metavar="[PART=]DATE",
            type=Words(),
            multiple=True,
            help="The day on which CAPF's trace begins: 2019-03-05, 5 Mar 2019. PART as for --tz.",
        ),
        click.option(
            "--iis-tz",
            metavar="ZONE",
            shell_complete=known_zones,
            help="The zone of IIS's stamps, where they are not in UTC.",
        ),
        click.option(
            "--tz",
            metavar="[PART=]ZONE",
            shell_complete=known_zones,
            type=Words(),
            multiple=True,
            help="The CUCM node's zone: America/New_York, -05:00. With PART, of the members whose path holds that; "
            "may be given several times.",
        ),
    ):
        called = option(called)
    return called


def ask_clock(key: str, value: Any) -> None:
    """Read what is set of one of these options, ``key`` its name without dashes; end with one line where it cannot be.

    ``value``: as click gives it, of an option that may be given several times a tuple.
    """
    if key == "tz":
        _by_part("--tz", value, _zone)
    elif key == "date":
        from capflog.told import read_date  # noqa: PLC0415

        _by_part("--date", value, read_date)
    elif key in ("iis-tz", "display-tz"):
        _read(f"--{key}", value, value, _zone)


def _clocks(
    tz: Sequence[str], iis_tz: str | None, date: Sequence[str], display_tz: str | None, *, align: bool
) -> Clocks:
    from capflog.told import Told, read_date  # noqa: PLC0415

    names = (("--tz", tz), ("--iis-tz", iis_tz), ("--date", date), ("--no-align", not align))
    # What is set for good is no reason not to answer: it was told when the bundle was analyzed, or may have been.
    given = tuple(name for name, value in names if value and is_typed(name))
    told = Told(
        zones=_by_part("--tz", tz, _zone),
        dates=_by_part("--date", date, read_date),
        iis_zone=None if iis_tz is None else _read("--iis-tz", iis_tz, iis_tz, _zone),
        align=align,
    )
    return Clocks(told, None if display_tz is None else _read("--display-tz", display_tz, display_tz, _zone), given)


def _zone(text: str) -> Zone:
    from capflog.zones import read_zone  # noqa: PLC0415  (not needed by most calls)

    return read_zone(text)


def _by_part(option: str, values: Sequence[str], read: Callable[[str], _T]) -> tuple[tuple[str, _T], ...]:
    """Read the values of an option that may be of a part of the members: ``PART=VALUE``, or ``VALUE`` for all."""
    found: dict[str, _T] = {}
    for value in values:
        part, equals, text = value.rpartition("=")
        if equals and not part:
            stop(f"{option} {value}: before = a part of the members' path is wanted")
        one = _read(option, value, text, read)
        if found.setdefault(part, one) != one:
            stop(f"{option} {value}: another was given {f'for {part}' if part else 'too'}")
    return tuple(found.items())


def _read(option: str, value: str, text: str, read: Callable[[str], _T]) -> _T:
    try:
        return read(text)
    except ValueError as error:
        stop(f"{option} {value}: {error}")
