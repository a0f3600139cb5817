"""The command ``capflog``, which ``python -m capflog`` is too."""

from __future__ import annotations

from capflog.stopping import Stopped, end, leave, listen, open_streams, settle, stopped


def main() -> None:
    """Run the command line; Ctrl-C ends it in one line, wherever it is."""
    try:
        try:
            listen()
            open_streams()
            from capflog.cli import main as command  # noqa: PLC0415  (what it loads is to be interruptible)

            command()
        finally:
            settle()
            # Whatever came out of it: libraries may make something else of a signal that comes while they load.
            if stopped():
                end()
    except Stopped:
        end()
    except SystemExit as asked:
        leave(asked)


if __name__ == "__main__":
    main()
