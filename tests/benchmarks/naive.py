"""What capflog is compared with: a loop over the lines of a zip's members that tries one regex after the other.

``python -m tests.benchmarks.naive BUNDLE.zip`` counts what each regex found, as most scripts for such logs begin.
"""

from __future__ import annotations

import io
import re
import sys
import zipfile
from collections import Counter

PATTERNS = {
    name: re.compile(pattern)
    for name, pattern in {
        "mode": r"^(\d\d:\d\d:\d\d\.\d{3}) \|\s+debug (\d+):(\S+?):CA Mode is (\w+)",
        "call": r"^(\d\d:\d\d:\d\d\.\d{3}) \|\s+debug (\d+):(\S+?):Calling enrollCertUsingEST\(\)",
        "result": r"^(\d\d:\d\d:\d\d\.\d{3}) \|\s+debug (\d+):(\S+?):Enrollment rv = (\d+) \((\w+)\)",
        "return": r"^(\d\d:\d\d:\d\d\.\d{3}) \|\s+debug (\d+):(\S+?):Return value from enrollCertUsingEST\(\) : (\d+)",
        "message": r"^(\d\d:\d\d:\d\d\.\d{3}) \|\s+debug MsgType : (\w+)",
        "device": r"^(\d\d:\d\d:\d\d\.\d{3}) \|\s+Select\((\S+)\) (.*)",
        "status": r"^(\d\d:\d\d:\d\d\.\d{3}) \|\s+SetOperationStatus\((.*?)\):(\d+) (.*)",
        "access": r"^\*\*\*EST \[INFO\]\[log_access:\d+\]--> (\S+) \[(.*?)\] \"(\w+) (\S+) .*?\" (\d+) (\d+)",
        "error": r"^\*\*\*EST \[(?:WARNING|ERROR)\]\[(\w+):\d+\]--> (.*)",
        "curl": r"^(\S+ \S+) \[(\w+)\] (\d+)#\d+: \*(\d+) (\w+): (.*return code (\d+).*)",
        "page": r"^(\S+ \S+) \[(\w+)\] (\d+)#\d+: \*(\d+) (\w+): Secure connection .* URL (\S+)",
        "request": r"^(\S+ \S+) (\S+) (GET|POST) (/certsrv\S*) (\S+) (\d+) (\S+) (\S+) .* (\d+) (\d+) (\d+) (\d+)$",
    }.items()
}


def main() -> None:
    """Count what the regexes find."""
    found: Counter[str] = Counter()
    with zipfile.ZipFile(sys.argv[1]) as bundle:
        for name in bundle.namelist():
            with bundle.open(name) as member:
                for line in io.TextIOWrapper(member, encoding="utf-8", errors="replace"):
                    for kind, pattern in PATTERNS.items():
                        if pattern.search(line):
                            found[kind] += 1
                            break
    for kind, count in found.items():
        sys.stdout.write(f"{kind} {count}\n")


if __name__ == "__main__":
    main()
