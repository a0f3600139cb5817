"""Any bytes as a file of settings."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from capflog.commands.settings import BY_NAME, Settings, SettingsError
from capflog.commands.settings_files import read
from tests.fuzz.mutating import must

WORDS = (
    *(f"\n{name} = ".encode() for name in BY_NAME), b"[tool.capflog]\n", b"[[ignore]]\n", b"true", b"[", b"]", b'"""',
    b"'''",
    b"inf", b"nan", b"-1", b"1e999", b"2027-01-31", b"2027-01-31T00:00:00Z", b"9999999999999999999", b"\\ud800",
    b"\xed\xb3\xa9",
    b"\x00", b"\xef\xbb\xbf", b"{a=", b"[[[[[[[[[[[[", b"~nobody/", b"\\u0000",
)  # fmt: skip


def seeds() -> list[bytes]:
    """Make a file of each key, and some of many."""
    excuse = '[[ignore]]\nrule = "ca-*"\nreason = "known"\nuntil = 2027-01-31\ndevices = ["SEP*"]\n'
    made = [f"{name} = {value}\n" for name in BY_NAME for value in ("true", "3", '"x"', '["x", "y"]')]
    made += [excuse, f"[tool.capflog]\n{made[0]}", f'tz = "-05:00"\nfail-on = ["error"]\n{excuse}', ""]
    return [text.encode() for text in made]


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="capflog-fuzz-")


def once(data: bytes) -> None:
    """Read it as either file: it says something, nothing, or what is wrong; to be shown it can be read in any case."""
    for name in ("capflog.toml", "pyproject.toml"):
        path = Path(_folder().name) / name
        path.write_bytes(data)
        for own in (True, False):
            try:
                read(Settings(), path, own=own)
            except SettingsError as error:
                must(str(path) in str(error))
            read(Settings(), path, own=own, lenient=True)
