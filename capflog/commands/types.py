"""What an option may have beyond click's own kinds of values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from typing import NoReturn


class Percent(click.types.FloatParamType):
    """A share in percent, from 0 to 100, with or without its sign: ``95``, ``95%``."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it; infinity and what is no number are none."""
        text = str(value).strip()
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            self._refuse(text, param, ctx)
        if math.isnan(number) or not 0 <= number <= 100:
            self._refuse(text, param, ctx)
        return number

    def _refuse(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> NoReturn:
        self.fail(f"{text} is no share in percent, from 0 to 100", param, ctx)
