"""`consents`, `optouts`: whole lists of consents and refusals, in and out of the ledger.

Import goes to a running engine over its socket, ten thousand lines a request and a transaction, each answered when it
is durable and in force; with --offline, when the engine is stopped, straight into the ledger. A line that is refused
is written to a report with its reason, and the others go. It may be run again: the same fact twice changes nothing.
Export reads the ledger beside the engine. Exit codes: 0 all taken, 1 some lines refused, 2 a file or an argument is
wrong, 3 the engine cannot now or did not answer.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from engine.cli.listscore import notes_of, refuse_low, scored
from engine.cli.offline import import_offline, viewed
from engine.cli.recipients import FileError
from engine.cli.speaking import tell
from engine.client import Client
from suppression.exchange import (
    CONSENT_COLUMNS,
    OPT_OUT_COLUMNS,
    Fault,
    FileRefused,
    Line,
    consent_fields,
    hash_of,
    read_lines,
    seconds,
    write_csv,
    write_json,
)
from suppression.hashed import key_fault
from suppression.view import Told, hashed

BATCH = 10_000
SHOWN_FAULTS = 20
EXPORT_COLUMNS = (*CONSENT_COLUMNS, "sender", "event", "at_jst", "recorded_at", "asked_at", "doi_ip", "doi_user_agent")
REFUSAL_COLUMNS = (*OPT_OUT_COLUMNS, "kind", "event", "at_jst", "recorded_at")


@dataclass(slots=True)
class Report:
    """What became of the lines. All refused ones stand only in the file that was asked for."""

    file: Path
    into: Any = None
    recorded: int = 0
    refused: int = 0
    notes: list[str] = field(default_factory=list)
    """Said at the end."""
    first: list[tuple[int, str]] = field(default_factory=list)

    def refuse(self, number: int, address: str, reason: str) -> None:
        self.refused += 1
        if len(self.first) < SHOWN_FAULTS:
            self.first.append((number, reason))
        if self.into is not None:
            self.into.writerow((number, address.encode("utf-8", "backslashreplace").decode(), reason))

    def tell(self, what: str, seconds_taken: float, args: argparse.Namespace) -> int:
        for number, reason in self.first:
            print(f"{self.file}:{number}: {reason}", file=sys.stderr)
        if self.refused > len(self.first):
            where = f"all are in {args.refused}" if args.refused else "--refused FILE writes them all"
            print(f"... and {self.refused - len(self.first):,} more refused lines; {where}", file=sys.stderr)
        for note in self.notes:
            print(note, file=sys.stderr)
        rate = self.recorded / max(seconds_taken, 0.001)
        text = f"{self.recorded:,} {what} recorded, {self.refused:,} refused, {seconds_taken:.1f} s, {rate:,.0f}/s"
        counts = {"recorded": self.recorded, "refused": self.refused, "seconds": round(seconds_taken, 3)}
        tell(args, {**counts, "notes": self.notes}, text)
        return 1 if self.refused else 0


@contextmanager
def reported(args: argparse.Namespace) -> Iterator[Report]:
    if args.refused is None:
        yield Report(args.file)
        return
    with args.refused.open("w", encoding="utf-8", newline="") as refused:
        writer = csv.writer(refused)
        writer.writerow(("line", "address", "reason"))
        yield Report(args.file, writer)


@contextmanager
def opened(path: Path, encoding: str) -> Iterator[TextIO]:
    try:
        with path.open(encoding=encoding, errors="surrogateescape", newline="") as stream:
            yield stream
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    except LookupError:
        raise FileError(f"{encoding} is no encoding: use utf-8, cp932 or another of Python's") from None
    except FileRefused as error:
        raise FileError(f"{path}: {error}") from None


@contextmanager
def progressing(stream: TextIO, report: Report) -> Iterator[Callable[[], None]]:
    """A bar over the bytes of the file; the callable brings it up to date."""
    console = Console(stderr=True)
    counts = (TextColumn("{task.fields[taken]:,} recorded"), TextColumn("{task.fields[refused]:,} refused"))
    columns = (BarColumn(), TaskProgressColumn(), *counts, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("import", total=Path(stream.name).stat().st_size or 1, taken=0, refused=0)
        yield lambda: progress.update(
            bar, completed=stream.buffer.tell(), taken=report.recorded, refused=report.refused
        )


def _lines(args: argparse.Namespace, stream: TextIO, columns: Sequence[str], needed: Sequence[str]) -> Iterator[Any]:
    json_lines = args.file.suffix.lower() in {".jsonl", ".ndjson"}
    return read_lines(stream, json_lines=json_lines, columns=columns, needed=needed)


def shared_fields(args: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """Of --set. Raises FileError."""
    found = []
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals or name not in CONSENT_COLUMNS or name == "address":
            raise FileError(
                f"--set {text[:80]!a}: write COLUMN=VALUE, with a column of {', '.join(CONSENT_COLUMNS[1:])}"
            )
        found.append((name, value))
    return tuple(found)


def consent_record(line: Line, shared: tuple[tuple[str, str], ...]) -> dict[str, Any] | Fault:
    """As the request takes it. The line's own word goes before what all share."""
    common = dict(shared)
    fields: Mapping[str, Any]
    try:
        fields = {**consent_fields(shared), **consent_fields(line.rest)}
        at = seconds(line.at or common.get("at", ""))
    except ValueError as error:
        text = str(error)
        return Fault(line.number, text if text[:1] != "'" else f"at: {text}", line.address)
    if not fields.get("source"):
        return Fault(line.number, "source: missing; say where the consent was given", line.address)
    return {**fields, "address": line.address, "at": at}


def import_by_old_name(args: argparse.Namespace) -> int:
    print("sokutatsu: `consent import` is called `consents import` now; the old name will go", file=sys.stderr)
    return import_consents(args)


def import_consents(args: argparse.Namespace) -> int:
    shared, began = shared_fields(args), time.monotonic()
    needed = ("address",) if "at" in dict(shared) else ("address", "at")
    with opened(args.file, args.encoding) as stream, reported(args) as report, progressing(stream, report) as show:
        whose = (args.config, args.sender)
        found = scored(args.file, args.encoding, CONSENT_COLUMNS, dict(shared).get("at", ""), whose)
        refuse_low(found, args.min_score)
        report.notes += notes_of(found)
        lines = _lines(args, stream, CONSENT_COLUMNS, needed)
        if args.offline:
            import_offline(args, lines, shared, report, show)
        else:
            fields = {"sender": args.sender, "incomplete": "norec" if args.norec else "refuse"}
            with Client(args.socket, patience=args.patience) as client:
                _send(client, ("consent", fields), lines, report, (lambda line: consent_record(line, shared), show))
    return report.tell("consents", time.monotonic() - began, args)


def _send(
    client: Client,
    request: tuple[str, Mapping[str, Any]],
    lines: Iterator[Line | Fault],
    report: Report,
    how: tuple[Callable[[Line], dict[str, Any] | Fault], Callable[[], None]],
) -> None:
    (kind, fields), (record_of, show) = request, how
    while batch := list(islice(lines, BATCH)):
        records: list[dict[str, Any]] = []
        sources: list[Line] = []
        for line in batch:
            record = line if isinstance(line, Fault) else record_of(line)
            if isinstance(record, Fault):
                report.refuse(record.number, record.address, record.reason)
            elif isinstance(line, Line):
                records.append(record)
                sources.append(line)
        if records:
            told = client.call(kind, {**fields, "records": records})
            report.recorded += told["recorded"]
            for index, code, text in told["refused"]:
                report.refuse(sources[index].number, sources[index].address, f"{code}: {text}")
        show()


def import_opt_outs(args: argparse.Namespace) -> int:
    began = time.monotonic()
    if args.topic and args.everywhere:
        raise FileError("--topic belongs to --sender: a topic is one of a sender's")
    key = _key_of(args.key_file) if args.key_file else b""
    with opened(args.file, args.encoding) as stream, reported(args) as report, progressing(stream, report) as show:
        lines = _lines(args, stream, OPT_OUT_COLUMNS, ("address",))
        fields: dict[str, Any] = {"channel": args.channel, "match": False}
        fields |= {"sender": args.sender} if args.sender else {}
        fields |= {"hmac_key": key} if key else {}
        hashes: list[dict[str, Any]] = []
        with Client(args.socket, patience=args.patience) as client:
            how = (lambda line: _opt_out_record(line, args, hashes), show)
            _send(client, ("suppress_many", fields), lines, report, how)
            if hashes:  # again, and now compared with the consents that there are
                client.call("suppress_many", {**fields, "match": True, "records": hashes[:1]})
    return report.tell("opt-outs", time.monotonic() - began, args)


def _opt_out_record(line: Line, args: argparse.Namespace, hashes: list[dict[str, Any]]) -> dict[str, Any] | Fault:
    record: dict[str, Any] = {name: value for name, value in line.rest if name != "sender"}
    own = dict(line.rest).get("sender", "")
    if own and own != args.sender:
        return Fault(
            line.number, f"sender: the line says {own[:40]!a}; import each sender's list by itself", line.address
        )
    if args.topic:
        record.setdefault("topic", args.topic)
    if line.at:
        try:
            record["at"] = seconds(line.at)
        except ValueError as error:
            return Fault(line.number, f"at: {error}", line.address)
    try:
        found = hash_of(line.address)
    except ValueError as error:
        return Fault(line.number, str(error), line.address)
    if found is None:
        return {**record, "address": line.address}
    if found.is_keyed and args.key_file is None:
        return Fault(
            line.number, "an HMAC needs its key: --key-file FILE, the secret that both sides know", line.address
        )
    record["hmac_sha256" if found.is_keyed else "sha256"] = found.digest
    hashes[:] = hashes or [record]
    return record


def _key_of(path: Path) -> bytes:
    """Raises FileError."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    fault = key_fault(key)
    if fault is not None:
        raise FileError(f"{path}: {fault}")
    return key


def export_consents(args: argparse.Namespace) -> int:
    with viewed(args) as view:
        rows = ({**told, "topics": told["topic"]} for told in view.consents(args.sender) if told["address"] is not None)
        return _export(args, EXPORT_COLUMNS, rows)


def export_opt_outs(args: argparse.Namespace) -> int:
    if args.hash == "hmac" and args.key_file is None:
        raise FileError("--hash hmac needs --key-file FILE, the secret that both sides know")
    key = _key_of(args.key_file) if args.hash == "hmac" else None
    with viewed(args) as view:
        told = view.opt_outs(args.sender, in_force=args.in_force or args.hash is not None)
        rows = (_refusal(one, args.hash is not None, key) for one in told if one["address"] is not None)
        return _export(args, REFUSAL_COLUMNS, rows)


def _refusal(told: Told, is_hashed: bool, key: bytes | None) -> Told:
    if is_hashed:
        keep = ("at", "sender", "topic")
        return {"address": hashed(told["address"], key), **{name: told[name] for name in keep}}
    return {**told, "channel": told["source"]}


def _export(args: argparse.Namespace, columns: Sequence[str], rows: Iterator[Told]) -> int:
    if args.out is None:
        if args.json:
            write_json(sys.stdout, rows)
        else:
            write_csv(sys.stdout, columns, rows)
        return 0
    args.out.touch(0o600)
    with args.out.open("w", encoding="utf-8", newline="") as into:
        is_json = args.out.suffix.lower() in {".jsonl", ".ndjson"}
        count = write_json(into, rows) if is_json else write_csv(into, columns, rows)
    print(f"{count:,} lines in {args.out}", file=sys.stderr)
    if args.json:
        tell(args, {"file": str(args.out), "lines": count})
    return 0
