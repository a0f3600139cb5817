"""Rules over facts: what is wrong, how sure that is, whom it hits, and whether it is over.

Each rule is asked of each *episode*: an enrollment, a start of CES, lines of CES and CA that belong to no enrollment
for sure, a clock, or the whole bundle (:mod:`capflog.asking`). What was said becomes one finding for each rule. An
enrollment that CES never answered bears the cause of CES's last start before it, if that failed.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from capflog.advance import Advance, step_named
from capflog.asking import SURENESS, Asking, Episode, Spoken, asked_for
from capflog.clock_facts import compared, likewise, words_of
from capflog.clock_log import each_once
from capflog.facts import Facts, ordered, when
from capflog.model import Clock, Evidence, Finding, NotChecked, Verdict
from capflog.patterns import PatternTooSlowError
from capflog.rows import NONE
from capflog.rulebook import PARAMETERS, SEVERITIES
from capflog.unchecked import not_checked
from capflog.world import History

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from capflog.rulebook import Rule, Rulebook
    from capflog.starts import Start
    from capflog.steps import Columns
    from capflog.story import Story
    from capflog.table import Table

#: How many lines of evidence a finding carries; their number is told besides.
EVIDENCE_KEPT = 12

#: What CAPF is told where CES did not answer it at all (libEST client: read timeout, no connection, no TLS).
UNANSWERED = frozenset({"EST_ERR_SSL_READ", "EST_ERR_IP_CONNECT", "EST_ERR_SSL_CONNECT"})

#: What may be read out of a log into a command of a rule's text: no sign that a shell acts upon.
_SAFE = re.compile(r"[\w.:/,@%+=-]+(?: [\w.:/,@%+=-]+)*")


@dataclass(slots=True)
class Diagnosis:
    """Findings with the causes of each enrollment and start (by their positions in what was given)."""

    findings: list[Finding]
    causes_of_stories: dict[int, list[str]]
    """Of the enrollments that failed."""
    causes_of_starts: list[list[str]]
    cause_rows: dict[int, np.ndarray]
    """Of enrollments with a cause outside of them, a failed start: the rows that prove it, one array for each start."""
    reached: np.ndarray
    """The last step of each enrollment that succeeded (:meth:`capflog.advance.Advance.reached`)."""
    advance: Advance
    verdict: Verdict
    not_checked: list[NotChecked]
    """The rules that could not be asked, for the logs that they need are lacking."""


def diagnose(
    columns: Columns,
    facts: Facts,
    stories: Sequence[Story],
    starts: Sequence[Start],
    strays: Sequence[np.ndarray],
    rulebook: Rulebook,
    clocks: Sequence[Clock] = (),
    sources: Collection[str] = (),
) -> Diagnosis:
    """Ask every rule of every episode; ``clocks``: all of the report; ``sources``: the logs that there are."""
    rules = list(rulebook.rules.values())
    advance = Advance(columns, facts.table)
    reached = advance.reached(stories)
    asking = Asking(
        columns,
        facts,
        stories,
        starts,
        strays,
        compared(clocks),
        rules,
        lambda number: step_named(int(reached[number])),
        sources,
        History(columns, facts.table, starts, [condition for rule in rules for condition in rule.every_condition]),
    )
    served = _Served(facts.table, stories, starts)
    inherited = _inherit(asking, stories, starts, served)
    findings = _findings(columns, facts, stories, asking.spoken, inherited, served, asking.failed)
    findings += [_failed(rulebook.rules[name], why) for name, why in sorted(asking.failed.items())]
    causes = {
        number: _causes(inherited.get(number) or asking.spoken.get(number))
        for number, story in enumerate(stories)
        if story.outcome == "failed"
    }
    of_starts = [
        _causes(asking.spoken.get(number)) if start.ok is False else []
        for number, start in enumerate(starts, len(stories))
    ]
    proofs = {
        id(start): np.concatenate([one.rows for one in start.spoken if one.severity == "error"])
        for start in inherited.values()
    }
    rows = {number: proofs[id(start)] for number, start in inherited.items()}
    verdict = _verdict(stories, starts, served, causes, of_starts, findings)
    return Diagnosis(findings, causes, of_starts, rows, reached, advance, verdict, not_checked(rules, sources))


def _failed(rule: Rule, why: str) -> Finding:
    """Tell of a rule that could not be asked."""
    return Finding(
        rule="rule-failed",
        title=f"The rule {rule.id} could not be asked",
        severity="warning",
        confidence="certain",
        devices=[],
        scope="service",
        first=None,
        last=None,
        occurrences=1,
        resolved=False,
        evidence=[],
        evidence_total=0,
        explanation=f"It was stopped: {why}. Whether its cause is there is not known; all other rules were asked.",
        remedy=["Mend the rule: capflog rules lint DIR, with its folder, names patterns for which no bound is proven."],
        verify=["capflog rules test DIR runs its cases."],
        alternatives=[],
        references=[],
    )


def _causes(episode: Episode | None) -> list[str]:
    """Name the rules that explain a failure, most likely first."""
    return [] if episode is None else [one.rule.id for one in episode.spoken if one.severity == "error"]


class _Served:
    """When CES is known to have served whom, and the bounds of its starts."""

    def __init__(self, table: Table, stories: Sequence[Story], starts: Sequence[Start]) -> None:
        issued = [story for story in stories if story.outcome == "issued"]
        self.begins = sorted(story.begin for story in issued)
        self.last_of: dict[str | None, int] = {}
        for story in issued:
            self.last_of[story.device] = max(self.last_of.get(story.device, NONE), story.begin)
        self.starts = starts
        self.bounds = [_bounds(table, start) for start in starts]
        self.place = {id(start): place for place, start in enumerate(starts)}


def _bounds(table: Table, start: Start) -> tuple[int | None, int | None]:
    """Give the earliest and the latest time of a start, as far as they are known."""
    rows = np.asarray(start.rows, dtype=np.int64)
    lows, highs = table.earliest[rows], table.latest[rows]
    lows, highs = lows[lows != NONE], highs[highs != NONE]
    return (int(lows.min()) if len(lows) else None, int(highs.max()) if len(highs) else None)


def _inherit(asking: Asking, stories: Sequence[Story], starts: Sequence[Start], served: _Served) -> dict[int, Episode]:
    """Find, for each enrollment that CES never answered, the start of CES before it, where that one failed.

    A start of which no time is known is taken for the one before, if no other start is known to stand between.
    """
    every = [(low, place) for place, (low, _) in enumerate(served.bounds)]
    timed = sorted(((low, place) for low, place in every if low is not None), key=lambda pair: pair[0])
    untimed = [place for low, place in every if low is None]
    lows = [low for low, _ in timed]
    inherited: dict[int, Episode] = {}
    for number, story in enumerate(stories):
        if story.outcome != "failed" or story.error not in UNANSWERED:
            continue
        own = asking.spoken.get(number)
        if own is not None and any(not s.rule.last_resort and s.severity == "error" for s in own.spoken):
            continue
        if number in asking.at_work:
            # CES was at work for it, and says itself what failed.
            continue
        before = bisect_right(lows, story.begin)
        since, last = timed[before - 1] if before else (NONE, untimed[-1] if untimed else None)
        if last is None or starts[last].ok is not False:
            continue
        episode = asking.spoken.get(len(stories) + last)
        if episode is None or not any(s.severity == "error" for s in episode.spoken):
            continue
        place = bisect_left(served.begins, story.begin)
        if since == NONE or not place or served.begins[place - 1] <= since:
            # CES that has had a certificate issued since then has got over its start.
            inherited[number] = episode
    return inherited


@dataclass(slots=True)
class _Gathered:
    """What one rule said on all episodes."""

    rule: Rule
    spoken: list[Spoken] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    proofs: list[np.ndarray] = field(default_factory=list)
    """Rows of the episodes themselves: the times of inherited causes are not the enrollment's."""
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Every row that proves it, once, in the order of time."""

    def stories(self) -> Iterator[Story]:
        """Give the enrollments that it was said on."""
        for one, episode in zip(self.spoken, self.episodes, strict=True):
            yield from (story for story in (episode.story, *one.among) if story is not None)

    def devices(self, table: Table) -> set[str]:
        """Name the devices that it hits: those of the enrollments, and those that lines of the bundle's proof name."""
        found = {story.device for story in self.stories() if story.device is not None}
        if any(episode.whole for episode in self.episodes):
            codes = table.device[self.rows]
            found |= {table.devices[code] for code in codes[codes >= 0].tolist()}
        return found

    def span(self, table: Table) -> tuple[int | None, int | None]:
        """Give the first and the last time of what it was said on; of clocks' steps, those of the steps."""
        if asked_for([self.rule], "step"):
            steps = [step.time for e in self.episodes if e.clock is not None for step in e.clock.steps]
            if steps:
                return round(min(steps).timestamp() * 1000), round(max(steps).timestamp() * 1000)
        times = [t for story in self.stories() for t in (story.begin, story.end)]
        rows = np.concatenate(self.proofs) if self.proofs else np.zeros(0, dtype=np.int64)
        known = table.time[rows]
        known = np.where(known == NONE, table.earliest[rows], known)
        known = known[known != NONE]
        if len(known):
            times += [int(known.min()), int(known.max())]
        return (min(times), max(times)) if times else (None, None)


def _findings(
    columns: Columns,
    facts: Facts,
    stories: Sequence[Story],
    spoken: Mapping[int, Episode],
    inherited: Mapping[int, Episode],
    served: _Served,
    failed: dict[str, str],
) -> list[Finding]:
    """Gather what was said into one finding for each rule, most important first.

    ``failed`` is told of the rules whose names could not be read out of the lines: their texts have other words.
    """
    gathered: dict[str, _Gathered] = {}

    def add(one: Spoken, episode: Episode, *, own: bool) -> None:
        entry = gathered.setdefault(one.rule.id, _Gathered(one.rule))
        entry.spoken.append(one)
        entry.episodes.append(episode)
        if own:
            entry.proofs.append(one.rows)

    for number in sorted({*spoken, *inherited}):
        episode = spoken.get(number) or Episode(stories[number])
        for one in inherited[number].spoken if number in inherited else ():
            if one.severity == "error":
                add(one, episode, own=False)
        for one in episode.spoken:
            if number not in inherited or one.severity != "error":
                add(one, episode, own=True)
    for entry in gathered.values():
        rows = each_once(np.concatenate([one.rows for one in entry.spoken]))
        entry.rows = np.array(ordered(columns, facts.table, rows.tolist()), dtype=np.int64)
    readings = _Readings(facts.table, list(gathered.values()))
    failed.update(readings.failed)
    parameters = _Parameters(columns, facts.table)
    findings = [_finding(facts, entry, readings, parameters, served) for entry in gathered.values()]
    facts.table.forget_texts()
    last_resorts = {entry.rule.id for entry in gathered.values() if entry.rule.last_resort}
    findings.sort(
        key=lambda f: (
            SEVERITIES.index(f.severity),
            f.resolved,
            f.rule in last_resorts,
            -SURENESS.index(f.confidence),
            -f.occurrences,
            f.rule,
        )
    )
    return findings


def _finding(facts: Facts, entry: _Gathered, readings: _Readings, parameters: _Parameters, served: _Served) -> Finding:
    rule = entry.rule
    devices = sorted(entry.devices(facts.table))
    first, last = entry.span(facts.table)
    confidence = max((s.confidence for s in entry.spoken), key=SURENESS.index)
    scope: Literal["device", "devices", "service"] = "service"
    if rule.scope == "device":
        scope = "devices" if len(devices) > 1 else "device"
    alternatives = list(dict.fromkeys(name for s in entry.spoken for name in s.alternatives))
    clocks = _clocks(entry)
    told = parameters.until(last) | {"told": _told(entry)}
    words, safe_words = ({}, {}) if not clocks else (words_of(clocks[0]), words_of(clocks[0], safe=_SAFE))
    explanation = _filled(rule.explanation, told | words | readings.of(rule, safe=False)) + likewise(clocks[1:])
    safe = told | safe_words | readings.of(rule, safe=True)
    rest = [_filled(text, safe) for text in (*rule.remedy, *rule.verify)]
    return Finding(
        rule=rule.id,
        title=rule.title,
        severity=min((s.severity for s in entry.spoken), key=SEVERITIES.index),
        confidence=confidence,
        devices=devices,
        scope=scope,
        first=when(first),
        last=when(last),
        occurrences=len(entry.episodes),
        resolved=_resolved(entry, last, served, facts.table),
        evidence=[_evidence(facts, row) for row in entry.rows[:EVIDENCE_KEPT].tolist()],
        evidence_total=len(entry.rows),
        explanation=explanation,
        remedy=rest[: len(rule.remedy)],
        verify=rest[len(rule.remedy) :],
        alternatives=alternatives,
        references=rule.references,
    )


def _evidence(facts: Facts, row: int) -> Evidence:
    """Show a row as evidence."""
    table = facts.table
    return Evidence(
        table.member_of(row), int(table.line[row]), facts.text(row), when(int(table.time[row])), table.source_of(row)
    )


def _told(entry: _Gathered) -> str:
    """Say what CAPF was told of the enrollments: the names of the errors."""
    errors = sorted({e.story.error for e in entry.episodes if e.story is not None and e.story.error is not None})
    return ", ".join(errors) if errors else "not told by these logs"


def _clocks(entry: _Gathered) -> list[Clock]:
    """Give the clocks that a finding is of: first those of the highest severity, of these the one that is off most."""
    found = [(one, e.clock) for one, e in zip(entry.spoken, entry.episodes, strict=True) if e.clock is not None]
    found.sort(key=lambda pair: (SEVERITIES.index(pair[0].severity), -abs(pair[1].offset_seconds or 0)))
    return [clock for _, clock in found]


class _Parameters:
    """CAPF's service parameters as it read them, for a rule's text."""

    def __init__(self, columns: Columns, table: Table) -> None:
        rows = table.rows_of("capf.param")
        names, words = table.codes("parameter", rows)
        wanted = [code for code, word in enumerate(words) if word in PARAMETERS]
        self._told: list[tuple[int, str, str]] = []
        for row in ordered(columns, table, rows[np.isin(names, wanted)].tolist()):
            name, value = table.word("parameter", row), table.word("value", row)
            if name is not None and value and _SAFE.fullmatch(value):
                self._told.append((int(table.time[row]), name, value))

    def until(self, last: int | None) -> dict[str, str]:
        """Give them as they were read last before a time, by name."""
        told = dict.fromkeys(PARAMETERS, "not told by these logs")
        told |= {name: value for at, name, value in self._told if last is None or at == NONE or at <= last}
        return told


def _frequent(counts: Mapping[str, int], first: Mapping[str, tuple[int, int]]) -> Callable[[str], Any]:
    return lambda group: (-counts[group], first[group])


class _Tally:
    """What one rule's names were read as: how often, and where first."""

    def __init__(self, entry: _Gathered, rows: np.ndarray) -> None:
        self.rule = entry.rule
        self.failed = ""
        # Where each of the rows stands in the order of time; -1: it is none of the rule's.
        self._places = np.full(len(rows), -1, dtype=np.int32)
        self._places[np.searchsorted(rows, entry.rows)] = np.arange(len(entry.rows))
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in entry.rule.read}
        self._first: dict[str, dict[str, tuple[int, int]]] = {name: {} for name in entry.rule.read}

    def take(self, at: int, line: str) -> None:
        """Read a line, that of the row that stands ``at`` this place of the rows."""
        place = int(self._places[at])
        if place < 0 or self.failed:
            return
        for name, reading in self.rule.read.items():
            counts, first = self._counts[name], self._first[name]
            try:
                groups = list(reading.pattern.groups_in(line))
            except PatternTooSlowError as error:
                self.failed = str(error)
                return
            for number, group in enumerate(groups):
                counts[group] += 1
                if group not in first or (place, number) < first[group]:
                    first[group] = (place, number)

    def readings(self) -> dict[str, list[str]]:
        """Give the readings of each name, the most frequent first; of equals the one that was logged first."""
        return {name: sorted(counts, key=_frequent(counts, self._first[name])) for name, counts in self._counts.items()}


class _Readings:
    """What the rules' texts name, read out of the evidence.

    The lines are gone through once, in the order of the table; only those that the findings show are kept.
    """

    def __init__(self, table: Table, entries: Sequence[_Gathered]) -> None:
        shown = np.concatenate([np.zeros(0, np.int64), *(entry.rows[:EVIDENCE_KEPT] for entry in entries)])
        asking = [entry for entry in entries if entry.rule.read]
        rows = each_once(np.concatenate([shown, *(entry.rows for entry in asking)]))
        tallies = [_Tally(entry, rows) for entry in asking]
        place_of = {row: at for at, row in enumerate(rows.tolist())}
        # One walk through the bundle serves both.
        for row, line in table.texts_of(rows, keep=frozenset(shown.tolist())):
            for tally in tallies:
                tally.take(place_of[row], line)
        self._found = {tally.rule.id: tally.readings() for tally in tallies}
        self.failed = {tally.rule.id: tally.failed for tally in tallies if tally.failed}

    def of(self, rule: Rule, *, safe: bool) -> dict[str, str]:
        """Give the most frequent reading of each name, or the rule's other words.

        ``safe``: for text that somebody pastes into a shell, where a log cannot put a command of its own.
        """
        readings = {}
        for name, reading in rule.read.items():
            fit = (value for value in self._found[rule.id][name] if not safe or _SAFE.fullmatch(value))
            readings[name] = next(fit, reading.otherwise)
        return readings


def _filled(text: str, readings: Mapping[str, str]) -> str:
    """Put what was read into a rule's text, once: what a log says is no text of ours to fill."""
    return re.sub(r"\{(\w+)\}", lambda name: readings.get(name[1], name[0]), text)


def _resolved(entry: _Gathered, last: int | None, served: _Served, table: Table) -> bool:
    """Tell whether a later success shows that the cause is gone; of clocks, and of what a bundle lacks, none does."""
    if any(e.clock is not None for e in entry.episodes):
        return False
    if any(e.whole for e in entry.episodes):
        devices = entry.devices(table)
        if entry.rule.severity == "info" or not len(entry.rows) or last is None:
            return False
        if entry.rule.scope == "device":
            return bool(devices) and all(served.last_of.get(device, NONE) > last for device in devices)
        return bool(served.begins) and served.begins[-1] > last
    own = [served.place[id(e.start)] for e in entry.episodes if e.start is not None]
    if last is None:
        # Nothing tells when it was: of starts without a time, a later one in the order of the log stands for later.
        return bool(own) and any(start.ok for start in served.starts[max(own) + 1 :])
    if entry.rule.scope == "device":
        ends: dict[str | None, int] = {}
        for story in (e.story for e in entry.episodes if e.story is not None):
            ends[story.device] = max(ends.get(story.device, NONE), story.end)
        # Of a phone that no log names nothing tells whether a later success is its own.
        return bool(ends) and all(d is not None and served.last_of.get(d, NONE) > end for d, end in ends.items())
    if served.begins and served.begins[-1] > last:
        return True
    bounds = zip(served.bounds, served.starts, strict=True)
    return bool(own) and any(low is not None and low > last and start.ok for (low, _), start in bounds)


def _verdict(
    stories: Sequence[Story],
    starts: Sequence[Start],
    served: _Served,
    causes: Mapping[int, list[str]],
    of_starts: Sequence[list[str]],
    findings: Sequence[Finding],
) -> Verdict:
    """Say in one word how it stands (see the contract's ``summary.verdict``)."""
    open_ = {f.rule for f in findings if f.severity == "error" and not f.resolved}
    told = [number for number, story in enumerate(stories) if story.outcome != "incomplete"]
    clear = [place for place, start in enumerate(starts) if start.ok is not None]

    def at(place: int) -> int:
        low, high = served.bounds[place]
        return low if low is not None else high if high is not None else NONE

    last_story = max(told, key=lambda number: stories[number].begin, default=None)
    last_start = max(clear, key=lambda place: (at(place), place), default=None)
    last_failed = []
    if last_story is not None and stories[last_story].outcome == "failed":
        last_failed.append(causes[last_story])
    if last_start is not None and not starts[last_start].ok:
        begun = at(last_start)
        after = last_story is not None and stories[last_story].outcome != "failed"
        # A failed start before the last success is over.
        if not (after and last_story is not None and begun != NONE and begun < stories[last_story].begin):
            last_failed.append(of_starts[last_start])
    if any(not named or open_ & set(named) for named in last_failed):
        return "failing"
    failed = any(stories[n].outcome == "failed" for n in told) or any(not starts[place].ok for place in clear)
    if failed or any(f.severity == "error" for f in findings):
        return "degraded"
    return "healthy" if told or clear else "inconclusive"
