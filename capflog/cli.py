"""The program: its commands, and how a call of it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from capflog import __version__
from capflog.commands.base import Commands
from capflog.commands.console import OK, UNUSABLE, say
from capflog.commands.this_call import keep
from capflog.stopping import stopped

#: The commands in the order in which one meets them: where each is, which is loaded when it is called, and what it is.
COMMANDS = {
    "analyze": ("analyze:analyze", "What is wrong, why, and what to do."),
    "devices": ("devices:devices", "How each phone fared."),
    "timeline": ("timeline:timeline", "One phone's way through all logs, on one clock."),
    "check": ("check:check", "The analysis as a gate: exit status 1 where it fails."),
    "diff": ("diff:diff", "What differs between two bundles."),
    "export": ("export:export", "The events, for log platforms and databases."),
    "sql": ("sql:sql", "A question in SQL."),
    "inspect": ("inspect:inspect", "What each member of a bundle is."),
    "explain": ("explain:explain", "What a code means here, and what to do."),
    "rules": ("rules:rules", "Every rule; tests of rules, your own too."),
    "rule": ("rules:rule", "One rule: its cause, how it is recognised, what to do."),
    "config": ("config:config", "The settings, and where each is from."),
    "schema": ("schema:schema", "JSON Schemas of what capflog prints and reads."),
    "completion": ("completion:completion", "Print what a shell needs to complete capflog's words."),
    "help": ("help:help_of", "Show how a command is called."),
}

#: Under which titles help lists them.
SECTIONS = {
    "What is wrong": ("analyze", "devices", "timeline", "diff"),
    "In a pipeline": ("check",),
    "For other programs": ("export", "sql", "schema"),
    "What it knows": ("explain", "rules", "rule"),
    "What it reads, and how": ("inspect", "config", "completion", "help"),
}


@click.group(
    "capflog",
    cls=Commands,
    lazy=COMMANDS,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done; 1 'check' or 'diff --exit-code' found something, 'rules test' or 'rules lint' a wrong "
    "rule; 2 something could not be read or written, or a wrong call.",
)
@click.version_option(__version__, prog_name="capflog", message="%(prog)s %(version)s")
@click.option(
    "--config",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="CAPFLOG_CONFIG",
    help="Take settings from this file alone.",
)
@click.option("--no-config", is_flag=True, envvar="CAPFLOG_NO_CONFIG", help="Take settings from no file.")
@click.pass_context
def cli(context: click.Context, file: Path | None, no_config: bool) -> None:
    """Find out why Cisco IP phones do not get their certificates (CAPF Online CA).

    BUNDLE is a zip or tar, a folder, a log file, or - for standard input; several are read as one. What a file is, its
    content says: CAPF trace, CiscoRA log, NGINX error.log, IIS W3C log, HTTP.sys error log.

    \b
      capflog analyze bundle.zip         what is wrong, why, and what to do
      capflog devices bundle.zip         how each phone fared
      capflog timeline SEP74A02FC0A675   one phone's way through all logs
      capflog check bundle.zip           the same analysis as a gate in CI
      capflog explain EST_ERR_AUTH_FAIL  what a code means here
    """
    keep(context, file, without=no_config)


def main() -> NoReturn:
    """Run the command line; a failure ends in one line on standard error, never in a traceback."""
    _have_a_home()
    for stream in (sys.stdout, sys.stderr):
        # Text that the terminal's encoding lacks is escaped, not raised.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        say("interrupted")
        status = 130
    except click.exceptions.Exit as done:
        status = done.exit_code
    except SystemExit:
        status = OK  # click ends so where nobody reads help any more (| head), which is no error anywhere else
    except MemoryError:
        say("there is not enough memory for this bundle")
        status = UNUSABLE
    except Exception as error:
        if os.environ.get("CAPFLOG_DEBUG") or stopped():
            raise
        say(f"a fault of capflog's own: {type(error).__name__}: {error} (CAPFLOG_DEBUG=1 shows where)")
        status = UNUSABLE
    sys.exit(status if isinstance(status, int) else OK)


def _have_a_home() -> None:
    """Name a home that cannot be to a user without one (a container's, a service's): what looks into it goes on."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.devnull
