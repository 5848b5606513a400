"""The ledger of a configuration without its engine: for fast imports when it is stopped, and to read at any time.

Lines that share everything but address and time (one form, one source) go in as one bulk; the others by themselves.
The rules are the socket's. It refuses to open a ledger that an engine has open.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

from engine.cli.recipients import FileError
from engine.config import Settings, read_configuration
from suppression import Basis, Consent, Covers, EventError, LedgerFailed, LedgerRefused, SecretError, Suppression
from suppression.consents import RECORDED, Record, RecordConsents, Told, check_record, encode_record, shortfall
from suppression.events import check
from suppression.exchange import Fault, Line, consent_fields, seconds
from suppression.forms import Form
from suppression.hashed import MatchHashed
from suppression.view import LedgerView

CHUNK = 1_000_000
"""Lines in one transaction: each rewrites the pages of the ledger's index, whatever it brings. With a million, ten
million take 132 s instead of 160 (a quarter of a million), and 1.3 GB instead of 0.75.
"""
WORTH_A_BULK = 500
"""Lines of one kind below which a bulk costs more than it saves."""


class Reporting(Protocol):
    recorded: int
    notes: list[str]

    def refuse(self, number: int, address: str, reason: str) -> None: ...


def ledger_of(command: Callable[[], int]) -> int:
    """Exit code 2 for what is wrong with files, with one line."""
    try:
        return command()
    except (FileError, LedgerRefused, SecretError, LedgerFailed, OSError, ValueError) as error:
        print(f"sokutatsu: {error}", file=sys.stderr)
        return 2


def settings_of(args: argparse.Namespace) -> Settings:
    """Raises FileError."""
    settings = read_configuration(args.config)
    if isinstance(settings, list):
        raise FileError("\n".join(settings))
    sender = getattr(args, "sender", None)
    if sender is not None and sender not in settings.senders:
        raise FileError(f"--sender {sender[:40]!a}: is not in {args.config}; there are {', '.join(settings.senders)}")
    return settings


def viewed(args: argparse.Namespace) -> LedgerView:
    """Raises FileError, LedgerRefused, SecretError."""
    settings = settings_of(args).suppression
    return LedgerView(settings.folder, settings.secret_file)


@dataclass(slots=True)
class _Kind:
    """What some lines share: made and checked once."""

    consent: Consent
    record: Record
    form: Form | None
    fault: str | None
    """What is wrong with all of them."""
    lacking: str | None = None
    numbers: list[int] = field(default_factory=list)
    rows: list[tuple[str, float]] = field(default_factory=list)


def import_offline(
    args: argparse.Namespace,
    lines: Iterator[Line | Fault],
    shared: tuple[tuple[str, str], ...],
    report: Reporting,
    show: Callable[[], None],
) -> None:
    """Raises FileError."""
    settings = settings_of(args)
    try:
        suppression = Suppression.open(settings.suppression)
        with LedgerView(settings.suppression.folder, settings.suppression.secret_file) as view:
            forms = {sha256.hex(): form for sha256, form in view.forms(args.sender)}
        before = suppression.epoch
        try:
            importing = _Importing(suppression, args.sender, shared, forms, report, keep=args.norec)
            with _without_collector():
                while batch := list(islice(lines, CHUNK)):
                    importing.take(batch)
                    show()
            _match(suppression, before, report)
        finally:
            suppression.close()
    except (LedgerRefused, SecretError, LedgerFailed) as error:
        raise FileError(str(error)) from None


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """A million lines are a million tuples in no cycle, and looking through them again and again takes an eighth of the
    time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _match(suppression: Suppression, before: int, report: Reporting) -> None:
    """Refusals known by hash, against what came in. Nothing is sent meanwhile: the engine is stopped."""
    matching = MatchHashed(before, time.time())
    found = 0
    while matching.after is not None:
        suppression.perform_now(matching)
        found += matching.matched
    if found:
        report.notes.append(f"{found:,} of them had refused before, on a list of hashes: recorded as opt-outs")


class _Importing:
    def __init__(
        self,
        suppression: Suppression,
        sender: str,
        shared: tuple[tuple[str, str], ...],
        forms: Mapping[str, Form],
        report: Reporting,
        *,
        keep: bool,
    ) -> None:
        self._suppression = suppression
        self._sender = sender
        self._shared = shared
        self._common_at = dict(shared).get("at", "")
        self._forms = forms
        self._report = report
        self._keep = keep

    def take(self, batch: Sequence[Line | Fault]) -> None:
        kinds: dict[tuple[tuple[str, str], ...], _Kind] = {}
        refuse = self._report.refuse
        now = time.time()
        for line in batch:
            if isinstance(line, Fault):
                refuse(line.number, line.address, line.reason)
                continue
            kind = kinds.get(line.rest)
            if kind is None:
                kind = kinds[line.rest] = self._kind(line.rest, now)
            fault, at = self._fault(kind, line)
            if fault is None:
                kind.numbers.append(line.number)
                kind.rows.append((line.address, at))
            else:
                refuse(line.number, line.address, fault)
        self._record(list(kinds.values()), now)

    def _fault(self, kind: _Kind, line: Line) -> tuple[str | None, float]:
        if kind.fault is not None:
            return kind.fault, 0.0
        try:
            at = float(seconds(line.at or self._common_at))
        except ValueError as error:
            return f"at: {error}", 0.0
        if kind.form is None:
            return kind.lacking, at
        consent = replace(kind.consent, at=at)
        return (None if self._keep else shortfall(consent, kind.record, kind.form)), at

    def _kind(self, rest: tuple[tuple[str, str], ...], now: float) -> _Kind:
        """Checked as far as it is the same for all; a form's window is each line's own."""
        nobody = Consent("", 0.0, "", self._sender)
        try:
            fields = {**consent_fields(self._shared), **consent_fields(rest)}
            fields.pop("at", None)
            consent, record = _read(fields, self._sender)
            check(consent, now)
            check_record(record)
        except ValueError as error:
            return _Kind(nobody, Record(), None, str(error))
        form = self._forms.get(record.form)
        if record.form and form is None:
            return _Kind(consent, record, None, shortfall(consent, record, None))
        lacking = None if form else shortfall(consent, record, None)
        if lacking and self._keep and consent.basis in RECORDED:
            consent, lacking = replace(consent, basis=Basis.OPTIN_NOREC), None
        return _Kind(consent, record, form, None, lacking)

    def _record(self, kinds: Sequence[_Kind], now: float) -> None:
        singles: dict[int, list[Told]] = defaultdict(list)
        for kind in kinds:
            if len(kind.rows) >= WORTH_A_BULK and not (self._keep and kind.form):
                self._bulk(kind)
                continue
            identities = self._suppression.identify(address for address, _ in kind.rows)
            for number, (address, at), identity in zip(kind.numbers, kind.rows, identities, strict=True):
                consent = replace(kind.consent, address=address, at=at)
                self._single(singles[0], Told(number, consent, kind.record, identity), now)
        if singles[0]:
            act = RecordConsents(singles[0], now, keep_incomplete=self._keep)
            self._suppression.perform_now(act)
            refused = {number for number, _ in act.refused}
            addresses = {told.index: told.consent.address for told in singles[0] if told.index in refused}
            for number, reason in act.refused:
                self._report.refuse(number, addresses[number], reason)
            self._report.recorded += len(singles[0]) - len(refused)

    def _single(self, into: list[Told], told: Told, now: float) -> None:
        fault = "" if told.identity else "address: cannot be an address; correct it"
        try:
            check(told.consent, now)
        except EventError as error:
            fault = str(error)
        if fault:
            self._report.refuse(told.index, told.consent.address, fault)
        else:
            into.append(told)

    def _bulk(self, kind: _Kind) -> None:
        event = replace(kind.consent, evidence=encode_record(kind.record))
        imported = self._suppression.load(event, kind.rows)
        self._report.recorded += imported.recorded
        for position, address, reason in imported.refused:
            self._report.refuse(kind.numbers[position], address, reason)
        unnamed = imported.refused_count - len(imported.refused)
        if unnamed:
            self._report.notes.append(f"{unnamed:,} more lines near line {kind.numbers[-1]} were refused unnamed")


def _read(fields: Mapping[str, Any], sender: str) -> tuple[Consent, Record]:
    """Raises EventError."""
    covers = Covers(0)
    for name in fields.get("covers") or ["AD"]:
        if name not in Covers.__members__:
            raise EventError(f"covers: {name[:40]!a} is not one of {', '.join(Covers.__members__)}")
        covers |= Covers[name]
    basis = fields.get("basis", "OPTIN_REC")
    if basis not in Basis.__members__:
        raise EventError(f"basis: {basis[:40]!a} is not one of {', '.join(Basis.__members__)}")
    consent = Consent("", 0.0, fields.get("source", ""), sender, Basis[basis], covers, tuple(fields.get("topics", ())))
    own = {name: value for name, value in fields.items() if name not in ("source", "basis", "covers", "topics")}
    if "form" in own:
        own["form"] = own["form"].hex()
    own["third_parties"] = tuple(own.get("third_parties", ()))
    return consent, Record(**own)
