"""`evidence`: everything that is recorded of one address, as JSON and as a page to print; or of one sender, as lines.

特定電子メール法 28条, 施行規則4条1項: shown on demand. Ledger and journal are read beside the engine, the journal as a
stream: however long it is, only what concerns the address is kept. Exit codes: 0 written, 1 nothing is known of this
address, 2 a file or an argument is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.progress import track

from engine.cli.offline import settings_of, viewed
from engine.cli.recipients import FileError
from engine.cli.speaking import tell
from engine.journal import RECORD_DECODER, Record, read_lines, segments
from suppression.evidence import Dossier, Needle, file_stem, gather, last_sent, told_form
from suppression.evidence_page import page
from suppression.view import LedgerView, Told, instant, jst_day

MOST_SENDS = 10_000
"""Records of the journal for one address; of more the newest are kept."""


def run_evidence(args: argparse.Namespace) -> int:
    settings = settings_of(args)
    names = {name: sender.legal_name for name, sender in settings.senders.items()}
    if args.address is None and args.sender is None:
        raise FileError("say an address, or --sender")
    args.out.mkdir(mode=0o700, parents=True, exist_ok=True)
    with viewed(args) as view:
        if args.address is None:
            return _of_sender(args, view, settings.journal.folder)
        return _of_address(args, view, settings.journal.folder, names)


def _of_address(args: argparse.Namespace, view: LedgerView, journal: Path, names: dict[str, str]) -> int:
    dossier = gather(view, args.address, args.sender or "", names, time.time())
    needle = Needle(args.address)
    kept: deque[tuple[float, Told]] = deque(maxlen=MOST_SENDS)
    found = 0
    for record in _records(journal, needle.may_be_in):
        if needle.is_address(record.recipient) and args.sender in (None, record.legal_sender):
            kept.append((record.timestamp, told_record(record)))
            found += 1
    dossier.sends = [told for _, told in sorted(kept, key=lambda one: one[0])]
    dossier.sends_cut = found > len(kept)
    dossier.last_sent = last_sent(dossier.sends)
    stem = args.out / file_stem(args.address)
    _write(dossier, stem)
    known = dossier.consents or dossier.refusals or dossier.mailbox or dossier.signups or dossier.sends
    files = [f"{stem}.json", f"{stem}.html"]
    tell(args, {"files": files, "known": bool(known)}, *files)
    if not known:
        print(f"sokutatsu: nothing is recorded of {args.address[:80]!a}; the files say so", file=sys.stderr)
    return 0 if known else 1


def _write(dossier: Dossier, stem: Path) -> None:
    whole = json.dumps(dossier.as_json(), ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace") + b"\n"
    _private(stem.with_name(stem.name + ".json"), whole)
    text = page(dossier, hashlib.sha256(whole).hexdigest())
    _private(stem.with_name(stem.name + ".html"), text.encode("utf-8", "backslashreplace"))


def _private(path: Path, content: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(content)


def _of_sender(args: argparse.Namespace, view: LedgerView, journal: Path) -> int:
    stem = "".join(letter if letter.isalnum() else "_" for letter in args.sender)
    path = args.out / f"evidence-{stem}.jsonl"
    path.touch(0o600)
    count = 0
    with path.open("w", encoding="utf-8", errors="backslashreplace") as into:
        for told in _parts(args, view, journal):
            into.write(json.dumps(told, ensure_ascii=False) + "\n")
            count += 1
    tell(args, {"files": [str(path)], "lines": count}, f"{count:,} lines in {path}")
    return 0 if count else 1


def _parts(args: argparse.Namespace, view: LedgerView, journal: Path) -> Iterator[Told]:
    for sha256, form in view.forms(args.sender):
        for whole in view.form(sha256, form.sender):
            yield {"part": "form", **told_form(whole)}
    for told in view.consents(args.sender, args.since, args.until):
        yield {"part": "consent", **told}
    for told in view.opt_outs(args.sender, args.since, args.until):
        yield {"part": "refusal", **told}
    needle = json.dumps(args.sender, ensure_ascii=False).encode()
    for record in _records(journal, lambda line: needle in line):
        if record.legal_sender == args.sender and args.since <= record.timestamp < args.until:
            yield {"part": "send", **told_record(record), "recipient": record.recipient}


def _records(journal: Path, may_be: Callable[[bytes], bool]) -> Iterator[Record]:
    """Records of recipients, oldest first. A torn segment gives what is whole before the tear."""
    found = segments(journal) if journal.is_dir() else []
    shown = track(found, "journal", transient=True, disable=not sys.stderr.isatty())
    for segment in shown:
        for line in read_lines(segment):
            if may_be(line):
                record = RECORD_DECODER.decode(line)
                if record.recipient:
                    yield record


def told_record(record: Record) -> Told:
    at = round(record.timestamp * 1e6)
    told: Told = {"type": record.type, "at": instant(at), "at_jst": jst_day(at), "id": record.id}
    names = ("legal_sender", "category", "topic", "mailing", "basis", "reason", "epoch", "in_doubt", "recipient")
    told |= {name: value for name in names if (value := getattr(record, name)) not in ("", False)}
    if record.response is not None:
        told["reply"] = f"{record.response.code} {record.response.content}"
    if record.peer_address is not None:
        told["peer"] = f"{record.peer_address.name} {record.peer_address.addr}"
    more = ("sender", "site", "egress_source", "tls_protocol_version", "tls_cipher", "size", "num_attempts", "nodeid")
    return told | {f"wire_{name}": value for name in more if (value := getattr(record, name)) not in ("", 0)}
