"""The commands that speak to a running engine over its socket: enqueue, cancel, suppress, restore-address.

`sokutatsu enqueue` may be run again after any failure: its key comes from the message, the file and the mailing's
name, so what the engine already has is answered and not mailed twice. Exit codes: 0 all taken, 1 some lines refused,
2 a file or an argument is wrong, 3 the engine cannot now or did not answer.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from engine.cli.recipients import (
    ADDRESS_COLUMNS,
    Columns,
    Fault,
    FileError,
    read_message,
    read_recipients,
    seconds,
)
from engine.cli.speaking import add_json, add_socket, guarded, tell
from engine.client import Client, Recipient, Submitted, Terms

SHOWN_FAULTS = 20
ENQUEUE = """\
The message is a TOML or JSON map of subject, text, html (one of the two or
both) and headers, or a whole RFC 5322 message (.eml). {{name}} stands for the
column "name" of the recipients, %cancelurl% for the reader's opt-out address:

  subject = "{{name}}様 秋の感謝祭"
  text = \"\"\"
  {{name}} 様 ...
  配信停止: %cancelurl%
  \"\"\"

Recipients, CSV with the names of the columns first, or JSON lines:

  address,name
  taro@example.jp,山田太郎

  {"address": "taro@example.jp", "name": "山田太郎"}

It may be run again after any failure: nobody is mailed twice.
Exit codes: 0 all taken, 1 some lines refused, 2 a file or an argument is
wrong, 3 the engine cannot now or did not answer."""


def register(subparsers: Any) -> None:
    """Adds the commands to an argparse subparsers object; each sets `run`, which takes the arguments."""
    raw = argparse.RawDescriptionHelpFormatter
    _register_enqueue(
        subparsers.add_parser("enqueue", help="hand a mailing to the engine", epilog=ENQUEUE, formatter_class=raw)
    )
    cancel = subparsers.add_parser("cancel", help="stop a mailing, or one recipient of it")
    add_socket(cancel, run_cancel)
    add_json(cancel)
    cancel.add_argument("--sender", required=True, help="NAME of a [senders.NAME] in the configuration")
    cancel.add_argument("--mailing", required=True, help="as enqueue named it; nothing of it starts any more")
    cancel.add_argument("--anyway", action="store_true", help="also when no such mailing is known yet")
    cancel.add_argument("--address", help="only this recipient of the mailing")
    cancel.add_argument("--recipient", metavar="ID", help="only this one, by the id that journal and Message-ID show")
    restore = subparsers.add_parser("restore-address", help="lift a hard bounce that was wrong")
    add_socket(restore, run_restore_address)
    add_json(restore)
    restore.add_argument("address", help="that was suppressed as unknown")
    restore.add_argument("--evidence", required=True, help="who says that the mailbox exists, and how it is known")
    suppress = subparsers.add_parser("suppress", help="record an opt-out, at once")
    add_socket(suppress, run_suppress)
    add_json(suppress)
    suppress.add_argument("address", help="of the person who refuses")
    suppress.add_argument("--sender", help="only mail of this sender")
    suppress.add_argument("--topic", help="only this topic of the sender")
    suppress.add_argument(
        "--agency", metavar="NAME", help="refused of this agency, whose mail was not said: all clients"
    )
    suppress.add_argument("--channel", default="manual", help="where it came from (default: manual)")


def _register_enqueue(parser: argparse.ArgumentParser) -> None:
    add_socket(parser, run_enqueue)
    add_json(parser)
    parser.add_argument("--sender", required=True, help="NAME of a [senders.NAME] in the configuration")
    parser.add_argument("--category", required=True, help="AD, AD_MO, TX_AD, OTHER_AD, FREE_AD, CONFIRM, TX or NP")
    parser.add_argument("--mailing", required=True, help="identifier, to cancel and to count by")
    parser.add_argument("--topic", default="", help="what a reader can opt out of within the sender")
    parser.add_argument(
        "--priority", choices=("bulk", "transactional"), default="bulk", help="transactional overtakes bulk everywhere"
    )
    parser.add_argument(
        "--override", choices=("UNKNOWN_USER", "FICT_SUSPECT"), help="TX only: goes although the mailbox stands so"
    )
    parser.add_argument("--not-before", type=seconds, metavar="TIME", help="ISO 8601 or Unix seconds")
    parser.add_argument("--expires", type=seconds, metavar="TIME", help="default: what the configuration says")
    parser.add_argument("--message", required=True, type=Path, metavar="FILE", help=".json, .toml or .eml")
    parser.add_argument("--recipients", required=True, type=Path, metavar="FILE", help=".csv or .jsonl")
    parser.add_argument("--address-column", metavar="NAME", help=f"default: {', '.join(ADDRESS_COLUMNS)}")
    parser.add_argument(
        "--region-column", metavar="NAME", help="with each recipient's region, such as EU or DE (empty: none)"
    )
    parser.add_argument("--encoding", default="utf-8-sig", help="of the recipients, such as cp932 (default: UTF-8)")
    parser.add_argument("--key", help="up to 48 characters; default: from message, recipients and mailing")
    parser.add_argument("--refused", type=Path, metavar="FILE", help="write all refused lines here, as CSV")


@dataclass(slots=True)
class _Report:
    """What became of the lines. Holds all refused ones only in the file that was asked for."""

    into: Any = None
    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    first: list[tuple[int, str, str]] = field(default_factory=list)

    def refuse(self, number: int, code: str, text: str) -> None:
        self.refused += 1
        if len(self.first) < SHOWN_FAULTS:
            self.first.append((number, code, text))
        if self.into is not None:
            self.into.writerow((number, code, text))


@contextmanager
def _refused_file(path: Path | None) -> Iterator[_Report]:
    if path is None:
        yield _Report()
        return
    with path.open("w", encoding="utf-8", newline="") as refused:
        yield _Report(csv.writer(refused))


def run_enqueue(args: argparse.Namespace) -> int:
    return guarded(args, lambda: _enqueue(args))


def _enqueue(args: argparse.Namespace) -> int:
    message = read_message(args.message)
    key = args.key or _file_key(args)
    began = time.monotonic()
    with _opened(args.recipients, args.encoding) as stream, Client(args.socket, patience=args.patience) as client:
        stored = client.put_message(message)
        terms = Terms(
            sender=args.sender,
            category=args.category,
            topic=args.topic,
            mailing=args.mailing,
            message=stored.message,
            priority=args.priority,
            not_before=args.not_before,
            expires=args.expires,
            override=args.override,
        )
        columns = Columns(args.address_column, args.region_column)
        lines = read_recipients(args.recipients, stream, stored.fields, columns)
        with _refused_file(args.refused) as report:
            numbers = array("Q")  # line number of each recipient, to name the refused ones by
            submits = client.submit_many(_good(lines, numbers, report), terms, key=key)
            _submit_all(submits, numbers, report, stream)
    _tell(report, args, time.monotonic() - began)
    return 1 if report.refused else 0


def _submit_all(submits: Iterator[Submitted], numbers: array[int], report: _Report, stream: TextIO) -> None:
    with _progress(stream) as (progress, bar):
        for submitted in submits:
            _count(submitted, numbers, report)
            progress.update(bar, completed=stream.buffer.tell(), taken=report.accepted, refused=report.refused)


def _good(lines: Iterator[Any], numbers: array[int], report: _Report) -> Iterator[Recipient]:
    for line in lines:
        if isinstance(line, Fault):
            report.refuse(line.number, "bad_line", line.reason)
        else:
            numbers.append(line.number)
            yield line.address, line.fields, {"region": line.region} if line.region else {}


def _count(submitted: Submitted, numbers: array[int], report: _Report) -> None:
    report.accepted += submitted.accepted
    report.repeated += submitted.accepted if submitted.repeated else 0
    for refused in submitted.refused:
        report.refuse(numbers[refused.index], refused.code, refused.text)


class _progress:  # noqa: N801 - used as a function
    """A bar over the bytes of the file, whose number is known before that of the lines."""

    def __init__(self, stream: TextIO) -> None:
        self._size = Path(stream.name).stat().st_size
        columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[taken]:,} accepted"))
        more = (TextColumn("{task.fields[refused]:,} refused"), TimeRemainingColumn())
        console = Console(stderr=True)
        # Gone at the end: what stays is the sum, or why there is none.
        self._progress = Progress(*columns, *more, console=console, transient=True, disable=not console.is_terminal)

    def __enter__(self) -> tuple[Progress, Any]:
        self._progress.start()
        return self._progress, self._progress.add_task("enqueue", total=self._size, taken=0, refused=0)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _tell(report: _Report, args: argparse.Namespace, elapsed: float) -> None:
    for number, code, text in report.first:
        print(f"{args.recipients}:{number}: {code}: {text}", file=sys.stderr)
    if report.refused > len(report.first):
        where = f"all are in {args.refused}" if args.refused else "--refused FILE writes them all"
        print(f"... and {report.refused - len(report.first):,} more refused lines; {where}", file=sys.stderr)
    rate = (report.accepted - report.repeated) / max(elapsed, 0.001)
    already = f" ({report.repeated:,} of them already earlier)" if report.repeated else ""
    text = f"{report.accepted:,} accepted{already}, {report.refused:,} refused, {elapsed:.1f} s, {rate:,.0f}/s"
    counts = {name: getattr(report, name) for name in ("accepted", "repeated", "refused")}
    tell(args, {**counts, "seconds": round(elapsed, 3)}, text)


def _file_key(args: argparse.Namespace) -> str:
    """The same files under the same name are the same mailing, whenever the command runs."""
    whole = hashlib.sha256()
    for name in (args.sender, args.category, args.topic, args.mailing, args.priority, args.not_before, args.expires):
        whole.update(f"{name}\0".encode())
    for name in filter(None, (args.region_column, args.override)):
        whole.update(f"and {name}\0".encode())
    whole.update(hashlib.sha256(args.message.read_bytes()).digest())
    try:
        with args.recipients.open("rb") as content:
            whole.update(hashlib.file_digest(content, "sha256").digest())
    except OSError as error:
        raise FileError(f"{args.recipients}: {error.strerror}") from None
    return whole.hexdigest()[:40]


def _opened(path: Path, encoding: str) -> TextIO:
    try:
        return path.open(encoding=encoding, newline="")
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    except LookupError:
        raise FileError(f"{encoding} is no encoding: use utf-8, cp932 or another of Python's") from None


def run_cancel(args: argparse.Namespace) -> int:
    def cancel() -> int:
        with Client(args.socket, patience=args.patience) as client:
            if not (args.anyway or client.status(args.sender, args.mailing)["mailings"]):
                text = "correct the name, or say --anyway to keep one from going that is still to come"
                raise FileError(f"no mailing {args.mailing[:80]!a} of sender {args.sender[:80]!a} is known: {text}")
            fields = {"sender": args.sender, "mailing": args.mailing, "address": args.address}
            told = client.call("cancel", {**fields, "recipient": args.recipient})
        if "batches" in told:
            text = f"{told['batches']} submits of {args.mailing} were open; later ones will not go either"
            tell(args, told, f"cancelled: {text}")
            return 0
        text = f"{told['cancelled']} of {told['found']} waiting for {args.address or args.recipient}"
        tell(args, told, f"cancelled: {text}")
        if not told["found"]:
            raise FileError("nobody waits there by that name: never in this mailing, or mailed already")
        return 0 if told["found"] == told["cancelled"] else 1

    return guarded(args, cancel)


def run_suppress(args: argparse.Namespace) -> int:
    def suppress() -> int:
        with Client(args.socket, patience=args.patience) as client:
            names = ("address", "sender", "agency", "topic", "channel")
            given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
            told = client.call("suppress", given)
        whose = f" of {args.sender}" if args.sender else f" of any client of {args.agency}" if args.agency else ""
        what = f", topic {args.topic}" if args.topic else ""
        text = f"{args.address} gets no more advertising{whose}{what}; what is no advertising (TX) still goes"
        tell(args, {"address": args.address, **told}, f"suppressed: {text}")
        return 0

    return guarded(args, suppress)


def run_restore_address(args: argparse.Namespace) -> int:
    def restore() -> int:
        with Client(args.socket, patience=args.patience) as client:
            told = client.call("restore_address", {"address": args.address, "evidence": args.evidence})
        text = f"{args.address} counts as reachable again; refusals and consents are as they were"
        tell(args, {"address": args.address, **told}, f"restored: {text}")
        return 0

    return guarded(args, restore)
