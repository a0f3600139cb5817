"""The shells' side of completion. Loaded, it makes capflog's own bash script the one that click hands out.

Click's joins words that bash cut at ``:`` and ``=`` (``curl:60``, ``--format=json``) wrongly and wants bash 4.4, which
macOS does not have.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

_BASH = """\
%(complete_func)s() {
    local answer kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case "$kind" in
            plain) COMPREPLY+=("$value") ;;
            file | dir)
                compopt -o filenames 2>/dev/null
                while IFS= read -r value; do
                    COMPREPLY+=("$value")
                done < <(compgen "-${kind:0:1}" -- "$2")
                ;;
        esac
    done < <(COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_BREAKS="$COMP_WORDBREAKS" \
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}

complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Completion in bash, of the line up to the cursor."""

    name: ClassVar[str] = "bash"
    source_template: ClassVar[str] = _BASH

    _begun = ""

    @staticmethod
    def _check_version() -> None:
        """Any bash will do."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Give the words before the cursor, without the program's, and what is begun of the one at it."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)[1:]
        self._begun = words.pop() if words and not line[-1:].isspace() else ""
        return words, self._begun

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Write one as the script reads it, without what stands before the last sign at which bash cuts words."""
        value = str(item.value)
        option, equals, begun = self._begun.partition("=")
        cut = begun if equals and option.startswith("-") else self._begun
        ends = [
            place for place, sign in enumerate(cut, 1) if sign in ":=" and sign in os.environ.get("COMP_BREAKS", "")
        ]
        return f"{item.type},{value[ends[-1] :] if ends else value}"


add_completion_class(Bash)
