"""``capflog completion``: what a shell needs to complete capflog's commands, options and names."""

from __future__ import annotations

import click

from capflog.commands.base import COMPLETE, Command
from capflog.commands.console import put


@click.command(
    cls=Command,
    examples=(
        ("capflog completion bash > ~/.local/share/bash-completion/completions/capflog", ""),
        ("capflog completion fish > ~/.config/fish/completions/capflog.fish", ""),
        ('eval "$(capflog completion bash)"', "of this shell alone"),
    ),
)
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish", "powershell"]))
def completion(shell: str) -> None:
    """Print the script by which SHELL completes commands, options, rules, codes, and devices analyzed last.

    SHELL is bash, zsh, fish or powershell.

    \b
    bash, in ~/.bashrc (or as an example below has it, where the
    package bash-completion is):
      eval "$(capflog completion bash)"
    \b
    zsh, in ~/.zshrc behind compinit, or as _capflog in a folder of $fpath:
      eval "$(capflog completion zsh)"
    \b
    fish, in a file that it reads by itself:
      capflog completion fish > ~/.config/fish/completions/capflog.fish
    \b
    PowerShell, in the file that $PROFILE names:
      capflog completion powershell | Out-String | Invoke-Expression
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    from capflog.commands import shells  # noqa: F401, PLC0415  (click finds it)

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this version of click knows nothing of {shell}")
    put(kind(click.Command("capflog"), {}, "capflog", COMPLETE).source())
