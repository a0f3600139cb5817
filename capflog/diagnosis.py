"""Rules over facts: what is wrong, how sure that is, whom it hits, and whether it is over.

Each rule is asked of each *episode*: an enrollment, a start of CES, or lines of CES and CA that belong to no
enrollment for sure. The most specific rule speaks; those that it supersedes are silent, and a rule of last resort
speaks only where no other error does. An enrollment that CES never answered bears the cause of CES's last start before
it, if that failed.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from capflog.events import VALUES
from capflog.model import Confidence, Evidence, Finding, Verdict
from capflog.rulebook import PARAMETERS
from capflog.steps import Columns, in_order, last_step, steps_done
from capflog.table import NONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np

    from capflog.rulebook import Rule, Rulebook
    from capflog.starts import Start
    from capflog.story import Story
    from capflog.table import Table

#: How many lines of evidence a finding carries; their number is told besides.
EVIDENCE_KEPT = 12

#: What CAPF is told where CES did not answer it at all (libEST client: read timeout, no connection, no TLS).
UNANSWERED = frozenset({"EST_ERR_SSL_READ", "EST_ERR_IP_CONNECT", "EST_ERR_SSL_CONNECT"})

_SURENESS: tuple[Confidence, ...] = ("possible", "likely", "certain")


#: What may be read out of a log into a command of a rule's text: no sign that a shell acts upon.
_SAFE = re.compile(r"[\w.:/,@%+=-]+(?: [\w.:/,@%+=-]+)*")


@dataclass(slots=True)
class Spoken:
    """One rule that spoke on one episode, and the rows that prove it."""

    rule: Rule
    rows: list[int]
    confidence: Confidence
    alternatives: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Episode:
    """What the rules are asked of: rows in the order of time and a fact about the whole of it."""

    rows: list[int]
    fact: dict[str, Any] | None
    story: Story | None = None
    start: Start | None = None
    likely: frozenset[int] = frozenset()
    spoken: list[Spoken] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether it is an enrollment or a start that failed."""
        if self.story is not None:
            return self.story.outcome == "failed"
        return self.start is not None and self.start.ok is False


@dataclass(slots=True)
class Diagnosis:
    """Findings with the causes of each enrollment and start (by their positions in what was given)."""

    findings: list[Finding]
    causes_of_stories: list[list[str]]
    causes_of_starts: list[list[str]]
    cause_rows: list[list[int]]
    """For each enrollment: rows outside of it that prove its cause (of a failed start)."""
    verdict: Verdict


class Facts:
    """Makes the facts that conditions ask about out of the table's rows, each once."""

    def __init__(self, table: Table, columns: Columns) -> None:
        self._columns = columns
        self._table = table
        self._kept: dict[int, dict[str, Any]] = {}
        self._numbers = [name for name, (dtype, _) in VALUES.items() if dtype == "Int64"]
        self._words = [name for name, (dtype, _) in VALUES.items() if dtype == "category"]

    def of(self, row: int) -> dict[str, Any]:
        """Give the fact of a row; values that it does not bear are absent."""
        fact = self._kept.get(row)
        if fact is None:
            columns = self._columns
            at = int(columns.time[row])
            fact = {"kind": columns.kind[row], "at": None if at == NONE else at, "row": row}
            fact["source"], fact["raw"] = columns.source[row], self._table.text(row)
            for name in (*self._words, "device", "session", "level"):
                # An empty error buffer of libcurl's is no text: "return code 60 ()".
                if text := columns.text_of(name, row):
                    fact[name] = text
            for name in self._numbers:
                number = columns.integer(name, row)
                if number is not None:
                    fact[name] = number
            if fact["kind"].startswith("est."):
                error, _ = columns.est_error(row)
                if error is not None:
                    fact["error"] = error
            self._kept[row] = fact
        return fact

    def text(self, row: int) -> str:
        """Give the row's line as logged."""
        return self._table.text(row)

    def member(self, row: int) -> str:
        """Give the member that holds the row."""
        return self._table.member_of(row)


def episodes_of(
    columns: Columns, stories: Sequence[Story], starts: Sequence[Start], strays: Sequence[np.ndarray]
) -> list[Episode]:
    """Make the episodes: enrollments first, then starts, then what belongs to none."""
    episodes = []
    for story in stories:
        fact: dict[str, Any] = {"kind": "enrollment", "at": story.begin, "outcome": story.outcome}
        if story.error is not None:
            fact["error"] = story.error
        if story.device is not None:
            fact["device"] = story.device
        if story.answered is not None:
            fact["waited"] = (story.answered - story.begin) / 1000
        rows = story.order.tolist()
        fact["reached"] = last_step(columns, steps_done(columns, rows), issued=story.outcome == "issued")
        episodes.append(Episode(rows, fact, story=story, likely=story.likely))
    for start in starts:
        outcome = {True: "ok", False: "failed", None: "unknown"}[start.ok]
        fact = {"kind": "start", "at": None, "outcome": outcome}
        episodes.append(Episode(start.rows, fact, start=start))
    episodes += [Episode(in_order(columns, rows), None) for rows in strays]
    return episodes


def diagnose(
    columns: Columns,
    facts: Facts,
    stories: Sequence[Story],
    starts: Sequence[Start],
    strays: Sequence[np.ndarray],
    rulebook: Rulebook,
) -> Diagnosis:
    """Ask every rule of every episode."""
    episodes = episodes_of(columns, stories, starts, strays)
    rules = list(rulebook.rules.values())
    for episode in episodes:
        _ask(episode, facts, columns, rules)
    of_stories = episodes[: len(stories)]
    of_starts = episodes[len(stories) : len(stories) + len(starts)]
    inherited = _inherit(columns, of_stories, of_starts)
    findings = _findings(columns, facts, episodes, inherited)
    causes = [_causes(e, inherited.get(i)) for i, e in enumerate(of_stories)]
    rows = [[row for s in inherited[i].spoken for row in s.rows] if i in inherited else [] for i in range(len(stories))]
    verdict = _verdict(columns, of_stories, of_starts, inherited, findings)
    return Diagnosis(findings, causes, [_causes(e, None) for e in of_starts], rows, verdict)


def _ask(episode: Episode, facts: Facts, columns: Columns, rules: Sequence[Rule]) -> None:
    """Let the rules speak on one episode."""
    kinds = {columns.kind[row] for row in episode.rows}
    if episode.fact is not None:
        kinds.add(episode.fact["kind"])
    asked: list[dict[str, Any]] | None = None
    spoken: list[Spoken] = []
    for rule in rules:
        for condition, sure in ((rule.condition, "certain"), (rule.likely_condition, "likely")):
            if condition is None or (condition.mentioned and kinds.isdisjoint(condition.mentioned)):
                continue
            if asked is None:
                asked = [facts.of(row) for row in episode.rows]
                if episode.fact is not None:
                    asked.append(episode.fact)
            match = condition.match(asked)
            if match is None:
                continue
            rows = [fact["row"] for fact in match if "row" in fact]
            confidence: Confidence = "likely" if sure == "likely" or rule.status == "inferred" else "certain"
            if rows and all(row in episode.likely for row in rows):
                confidence = "likely"
            before = spoken[-1] if spoken and spoken[-1].rule is rule else None
            if before is None:
                spoken.append(Spoken(rule, rows, confidence))
            else:
                before.rows += [row for row in rows if row not in before.rows]
    firm = {s.rule.id for s in spoken if s.rule.severity == "error" and not s.rule.last_resort}
    spoken = [s for s in spoken if not (s.rule.last_resort and firm)]
    silenced = {name for s in spoken for name in s.rule.supersedes}
    spoken = [s for s in spoken if s.rule.id not in silenced]
    for one in spoken:
        one.alternatives = [
            other.rule.id
            for other in spoken
            if other is not one and other.rule.id in one.rule.alternatives and set(other.rows) & set(one.rows)
        ]
        if one.alternatives:
            one.confidence = "possible"
    for one in spoken:
        shown = [row for row in episode.rows if columns.kind[row] in one.rule.show]
        one.rows = in_order(columns, {*one.rows, *shown})
        if not one.rows and one.rule.last_resort and episode.rows:
            one.rows = episode.rows[-1:]
    episode.spoken = sorted(spoken, key=lambda s: (-_SURENESS.index(s.confidence), s.rule.last_resort, s.rule.id))


def _causes(episode: Episode, inherited: Episode | None) -> list[str]:
    """Name the rules that explain a failure, most likely first; empty where it did not fail."""
    if not episode.failed:
        return []
    source = inherited if inherited is not None else episode
    return [s.rule.id for s in source.spoken if s.rule.severity == "error"]


def _bounds(columns: Columns, start: Start) -> tuple[int | None, int | None]:
    """Give the earliest and the latest time of a start, as far as they are known."""
    lows = [int(columns.earliest[row]) for row in start.rows if columns.earliest[row] != NONE]
    highs = [int(columns.latest[row]) for row in start.rows if columns.latest[row] != NONE]
    return (min(lows) if lows else None, max(highs) if highs else None)


def _inherit(columns: Columns, of_stories: Sequence[Episode], of_starts: Sequence[Episode]) -> dict[int, Episode]:
    """Find, for each enrollment that CES never answered, the start of CES before it, where that one failed.

    A start of which no time is known is taken for the one before, if no other start is known to stand between.
    """
    timed, untimed = [], []
    for episode in of_starts:
        assert episode.start is not None
        low, _ = _bounds(columns, episode.start)
        if low is None:
            untimed.append(episode)
        else:
            timed.append((low, episode))
    timed.sort(key=lambda pair: pair[0])
    issued = sorted(e.story.begin for e in of_stories if e.story is not None and e.story.outcome == "issued")
    inherited: dict[int, Episode] = {}
    for i, episode in enumerate(of_stories):
        story = episode.story
        if story is None or story.outcome != "failed" or story.error not in UNANSWERED:
            continue
        if any(not s.rule.last_resort and s.rule.severity == "error" for s in episode.spoken):
            continue
        if any(columns.kind[row] == "curl.failed" for row in episode.rows):
            # CES was at work for it, and says itself what failed.
            continue
        before = [(low, e) for low, e in timed if low <= story.begin]
        since, last = before[-1] if before else (NONE, untimed[-1] if untimed else None)
        if last is None or not last.failed or not any(s.rule.severity == "error" for s in last.spoken):
            continue
        place = bisect_left(issued, story.begin)
        if since == NONE or not place or issued[place - 1] <= since:
            # CES that has had a certificate issued since then has got over its start.
            inherited[i] = last
    return inherited


@dataclass(slots=True)
class _Gathered:
    """What one rule said on all episodes."""

    rule: Rule
    spoken: list[Spoken] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    devices: set[str] = field(default_factory=set)
    times: list[int] = field(default_factory=list)


def _findings(
    columns: Columns, facts: Facts, episodes: Sequence[Episode], inherited: Mapping[int, Episode]
) -> list[Finding]:
    """Gather what was said into one finding for each rule, most important first."""
    gathered: dict[str, _Gathered] = {}

    def add(spoken: Spoken, episode: Episode, rows: Iterable[int]) -> None:
        entry = gathered.setdefault(spoken.rule.id, _Gathered(spoken.rule))
        entry.spoken.append(spoken)
        entry.episodes.append(episode)
        if episode.story is not None:
            entry.times += [episode.story.begin, episode.story.end]
            if episode.story.device is not None:
                entry.devices.add(episode.story.device)
        for row in rows:
            entry.times += [int(t[row]) for t in (columns.time, columns.earliest) if t[row] != NONE][:1]

    for i, episode in enumerate(episodes):
        if i in inherited:
            for spoken in inherited[i].spoken:
                if spoken.rule.severity == "error":
                    add(spoken, episode, ())
        for spoken in episode.spoken:
            if i not in inherited or spoken.rule.severity != "error":
                add(spoken, episode, spoken.rows)
    findings = [_finding(columns, facts, entry, episodes) for entry in gathered.values()]
    last_resorts = {entry.rule.id for entry in gathered.values() if entry.rule.last_resort}
    severity = ("error", "warning", "info")
    findings.sort(
        key=lambda f: (
            severity.index(f.severity),
            f.resolved,
            f.rule in last_resorts,
            -_SURENESS.index(f.confidence),
            -f.occurrences,
            f.rule,
        )
    )
    return findings


def _finding(columns: Columns, facts: Facts, entry: _Gathered, episodes: Sequence[Episode]) -> Finding:
    rule = entry.rule
    rows = list(dict.fromkeys(row for spoken in entry.spoken for row in spoken.rows))
    rows = in_order(columns, rows)
    devices = sorted(entry.devices)
    first, last = (min(entry.times), max(entry.times)) if entry.times else (None, None)
    confidence = max((s.confidence for s in entry.spoken), key=_SURENESS.index)
    scope: Literal["device", "devices", "service"] = "service"
    if rule.scope == "device":
        scope = "devices" if len(devices) > 1 else "device"
    alternatives = list(dict.fromkeys(name for s in entry.spoken for name in s.alternatives))
    texts = [facts.text(row) for row in rows]
    told = _parameters(columns, last) | {"told": _told(entry)}
    explanation = _filled(rule.explanation, told | _readings(rule, texts, safe=False))
    safe = told | _readings(rule, texts, safe=True)
    rest = [_filled(text, safe) for text in (*rule.remedy, *rule.verify)]
    return Finding(
        rule=rule.id,
        title=rule.title,
        severity=rule.severity,
        confidence=confidence,
        devices=devices,
        scope=scope,
        first=when(first),
        last=when(last),
        occurrences=len(entry.episodes),
        resolved=_resolved(columns, entry, last, episodes),
        evidence=[evidence(columns, facts, row) for row in rows[:EVIDENCE_KEPT]],
        evidence_total=len(rows),
        explanation=explanation,
        remedy=rest[: len(rule.remedy)],
        verify=rest[len(rule.remedy) :],
        alternatives=alternatives,
        references=rule.references,
    )


def when(ms: int | None) -> Any:
    """Make an aware datetime of ms since 1970 UTC; None of None."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415

    return None if ms is None or ms == NONE else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def evidence(columns: Columns, facts: Facts, row: int) -> Evidence:
    """Show a row as evidence."""
    return Evidence(
        facts.member(row),
        int(columns.line[row]),
        facts.text(row),
        when(int(columns.time[row])),
        str(columns.source[row]),
    )


def _told(entry: _Gathered) -> str:
    """Say what CAPF was told of the enrollments: the names of the errors."""
    errors = sorted({e.story.error for e in entry.episodes if e.story is not None and e.story.error is not None})
    return ", ".join(errors) if errors else "not told by these logs"


def _parameters(columns: Columns, until: int | None) -> dict[str, str]:
    """Give CAPF's service parameters as it read them last before ``until``, by name; for a rule's text."""
    told = dict.fromkeys(PARAMETERS, "not told by these logs")
    for row in in_order(columns, columns.table.rows_of("capf.param")):
        name, value = columns.text_of("parameter", row), columns.text_of("value", row)
        early = until is None or columns.time[row] == NONE or columns.time[row] <= until
        if name in told and value and early and _SAFE.fullmatch(value):
            told[name] = value
    return told


def _readings(rule: Rule, lines: Sequence[str], *, safe: bool) -> dict[str, str]:
    """Read what a rule's text names out of the evidence: the most frequent reading, or the rule's other words.

    ``safe``: for text that somebody pastes into a shell, where a log cannot put a command of its own.
    """
    readings = {}
    for name, reading in rule.read.items():
        found = Counter(
            group for line in lines for match in reading.pattern.finditer(line) for group in match.groups() if group
        )
        fit = [value for value, _ in found.most_common() if not safe or _SAFE.fullmatch(value)]
        readings[name] = fit[0] if fit else reading.otherwise
    return readings


def _filled(text: str, readings: Mapping[str, str]) -> str:
    """Put what was read into a rule's text, once: what a log says is no text of ours to fill."""
    return re.sub(r"\{(\w+)\}", lambda name: readings.get(name[1], name[0]), text)


def _resolved(columns: Columns, entry: _Gathered, last: int | None, episodes: Sequence[Episode]) -> bool:
    """Tell whether a later success shows that the cause is gone."""
    issued = [e.story for e in episodes if e.story is not None and e.story.outcome == "issued"]
    if last is None:
        # Nothing tells when it was: of starts without a time, a later one in the order of the log stands for later.
        own = [e.start for e in entry.episodes if e.start is not None]
        order = [e.start for e in episodes if e.start is not None]
        place = {id(start): k for k, start in enumerate(order)}
        return bool(own) and any(s.ok for s in order[max(place[id(s)] for s in own) + 1 :])
    if entry.rule.scope == "device":
        ends: dict[str | None, int] = {}
        for story in (e.story for e in entry.episodes if e.story is not None):
            ends[story.device] = max(ends.get(story.device, NONE), story.end)
        successes: dict[str | None, int] = {}
        for story in issued:
            successes[story.device] = max(successes.get(story.device, NONE), story.begin)
        # Of a phone that no log names nothing tells whether a later success is its own.
        return bool(ends) and all(d is not None and successes.get(d, NONE) > end for d, end in ends.items())
    if any(s.begin > last for s in issued):
        return True
    at_start = any(e.start is not None for e in entry.episodes)
    starts = [(_bounds(columns, e.start)[0], e.start.ok) for e in episodes if e.start is not None]
    return at_start and any(low is not None and low > last and ok for low, ok in starts)


def _verdict(
    columns: Columns,
    of_stories: Sequence[Episode],
    of_starts: Sequence[Episode],
    inherited: Mapping[int, Episode],
    findings: Sequence[Finding],
) -> Verdict:
    """Say in one word how it stands (see the contract's ``summary.verdict``)."""
    causes = {id(e): _causes(e, inherited.get(i)) for i, e in enumerate(of_stories)}
    causes |= {id(e): _causes(e, None) for e in of_starts}
    open_ = {f.rule for f in findings if f.severity == "error" and not f.resolved}
    told = [e for e in of_stories if e.story is not None and e.story.outcome != "incomplete"]
    last_story = max(told, key=lambda e: e.story.begin if e.story else 0, default=None)
    clear = [e for e in of_starts if e.start is not None and e.start.ok is not None]

    def at(episode: Episode) -> int:
        assert episode.start is not None
        low, high = _bounds(columns, episode.start)
        return low if low is not None else high if high is not None else NONE

    last_start = max(enumerate(clear), key=lambda pair: (at(pair[1]), pair[0]), default=(0, None))[1]
    last_failed = [e for e in (last_story, last_start) if e is not None and e.failed]
    if last_story is not None and last_start is not None and last_start.failed and not last_story.failed:
        # A failed start before the last success is over.
        begun = at(last_start)
        if begun != NONE and last_story.story is not None and begun < last_story.story.begin:
            last_failed = []
    if any(not causes[id(e)] or open_ & set(causes[id(e)]) for e in last_failed):
        return "failing"
    if any(e.failed for e in (*told, *clear)) or any(f.severity == "error" for f in findings):
        return "degraded"
    good = any(not e.failed for e in (*told, *clear))
    return "healthy" if good else "inconclusive"
