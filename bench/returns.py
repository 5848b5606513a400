"""`python -m bench returns`: how well returned messages are understood, against labels made by others.

A row of the labels is one message: {"file", "expected": [{"reason", "hard", …} one a recipient]}. Reasons are
Sisimai's words; docs/returns.md publishes which of our classes each of them stands for. Prints five figures
(recognised, hard or not, reason, recipient, false bounces on vacation notices) and what was taken for what.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.unseen import Unseen, family
from engine.flow.returning import load_reader
from engine.returns import AutoReply, Bounce, Delayed, Feedback, OptOutMail, Reader, Return, Returned, read_returned

MEANS: dict[str, tuple[str, ...]] = {
    "authfailure": ("auth",),
    "badreputation": ("reputation",),
    "blocked": ("block",),
    "contenterror": ("content",),
    "exceedlimit": ("size",),
    "expired": ("network",),
    "failedstarttls": ("tls",),
    "filtered": ("filtered",),
    "hasmoved": ("unknown_user",),
    "hostunknown": ("unknown_host",),
    "mailboxfull": ("mailbox_full",),
    "mailererror": ("system",),
    "mesgtoobig": ("size",),
    "networkerror": ("network",),
    "norelaying": ("relay",),
    "notaccept": ("unknown_host",),
    "notcompliantrfc": ("content",),
    "onhold": ("other",),
    "policyviolation": ("policy",),
    "ratelimited": ("rate",),
    "rejected": ("sender",),
    "requireptr": ("auth",),
    "securityerror": ("policy",),
    "spamdetected": ("content",),
    "speeding": ("rate",),
    "suppressed": ("policy",),
    "suspend": ("inactive_user",),
    "syntaxerror": ("protocol",),
    "systemerror": ("system",),
    "systemfull": ("system",),
    "toomanyconn": ("connections", "too_many_recipients"),
    "undefined": ("other",),
    "userunknown": ("unknown_user",),
    "virusdetected": ("content",),
}
"""Sisimai's reason -> our class, as docs/returns.md publishes it."""


@dataclass(slots=True)
class Score:
    messages: int = 0
    rows: int = 0
    bounce_rows: int = 0
    recognised: int = 0
    hard: int = 0
    reason: int = 0
    named: int = 0
    recipient: int = 0
    vacations: int = 0
    false_bounces: int = 0
    crashes: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    misses: list[str] = field(default_factory=list)


def read_rows(labels: Path, half: str) -> Iterator[dict[str, Any]]:
    """`half`: "", or even or odd lines."""
    for number, line in enumerate(labels.read_text(encoding="utf-8").splitlines()):
        if not half or half == ("odd" if number % 2 else "even"):
            yield json.loads(line)


def measure(rows: Iterator[dict[str, Any]], messages: Path, reader: Reader, score: Score | None = None) -> Score:
    """`score`: what to add to."""
    score = score or Score()
    for row in rows:
        raw = (messages / row["file"]).read_bytes()
        score.messages += 1
        started = time.process_time()
        try:
            found = read_returned(raw, reader)
        except Exception as error:  # noqa: BLE001 - counting crashes is what this is for
            score.crashes += 1
            score.misses.append(f"{row['file']}: CRASH {error!r}")
            continue
        took = time.process_time() - started
        score.seconds += took
        score.slowest = max(score.slowest, took)
        _compare(row, found, raw, score)
    return score


def _compare(row: dict[str, Any], found: Returned, raw: bytes, score: Score) -> None:
    rest = list(found.says)
    for expected in row["expected"]:
        told = _closest(expected, rest)
        if told is not None:
            rest.remove(told)
        _count(row["file"], expected, told, raw, score)


def _closest(expected: dict[str, Any], rest: Sequence[Return]) -> Return | None:
    """Rows have no names: of the values that are left, one that fits, else the first."""
    wanted = MEANS.get(expected["reason"], ())
    return next((told for told in rest if getattr(told, "bounce_class", None) in wanted), rest[0] if rest else None)


def _count(file: str, expected: dict[str, Any], told: Return | None, raw: bytes, score: Score) -> None:
    reason, kind = expected["reason"], type(told).__name__
    score.rows += 1
    if reason == "vacation":
        score.vacations += 1
        score.false_bounces += isinstance(told, Bounce)
        recognised = isinstance(told, AutoReply)
    elif reason == "feedback":
        recognised = isinstance(told, Feedback | OptOutMail)
    else:
        recognised = isinstance(told, Bounce | Delayed)
    score.recognised += recognised
    got = str(told.bounce_class) if isinstance(told, Bounce | Delayed) else kind
    is_hard = isinstance(told, Bounce) and told.hard
    right_hard = recognised and is_hard == expected["hard"]
    right = recognised and (reason not in MEANS or got in MEANS[reason])
    score.hard += right_hard
    score.reason += right
    if isinstance(told, Bounce | Delayed | Feedback):
        score.named += b"@" in raw
        score.recipient += bool(told.recipient)
    if not right or not right_hard:
        score.confusion[reason, got] += 1
        text = getattr(told, "diagnostic", "")[:150]
        wanted = f"{reason} ({'hard' if expected['hard'] else 'soft'}, {expected.get('dsn')})"
        score.misses.append(f"{file}: {wanted} -> {got} {'hard' if is_hard else 'soft'}: {text!a}")


def report(score: Score, *, misses: bool) -> None:
    def share(part: int, whole: int) -> str:
        return f"{part}/{whole} = {100 * part / whole:.1f} %" if whole else "none"

    print(f"messages    {score.messages}, rows {score.rows}, crashes {score.crashes}")
    print(f"recognised  {share(score.recognised, score.rows)}")
    print(f"hard or not {share(score.hard, score.rows)}")
    print(f"reason      {share(score.reason, score.rows)}")
    print(f"recipient   {share(score.recipient, score.named)}")
    print(f"vacation    {score.vacations}, of which taken for bounces: {score.false_bounces}")
    each = 1000 * score.seconds / max(1, score.messages)
    print(f"time        {each:.2f} ms a message, slowest {1000 * score.slowest:.1f} ms")
    for (reason, got), number in score.confusion.most_common():
        print(f"  {number:3} {reason} -> {got}")
    if misses:
        print("\n".join(score.misses))


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench returns", description=__doc__)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--messages", type=Path, required=True, help="folder of the files that the labels name")
    parser.add_argument("--half", choices=["", "even", "odd"], default="", help="only every second line")
    parser.add_argument(
        "--unseen",
        choices=["family", "message"],
        nargs="?",
        const="family",
        help="each family of messages, or each message, without the words that only it has",
    )
    parser.add_argument("--strict", action="store_true", help="unseen: also without words that are published")
    parser.add_argument("--misses", action="store_true", help="each row that was not understood")
    arguments = parser.parse_args(words)
    rows = read_rows(arguments.labels, arguments.half)
    if arguments.unseen:
        group = family if arguments.unseen == "family" else str
        unseen = Unseen(rows, arguments.messages, group, strict=arguments.strict)
        score = Score()
        for name, own in unseen.rows.items():
            measure(iter(own), arguments.messages, unseen.reader(name), score)
    else:
        score = measure(rows, arguments.messages, load_reader())
    report(score, misses=arguments.misses)
    return 1 if score.crashes else 0
