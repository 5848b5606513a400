"""Verifies the signatures of kept messages with dkimpy (RFC 6376, 8463): `python -m bench verify FOLDER KEYS.json`.

The keys are a table {"selector._domainkey.domain": "v=DKIM1; …"}; nothing is looked up on the network. Each
signature of a message is verified by itself. What a receiver would hold against the message besides is reported
too: bare LF or CR, NUL, lines over 998 bytes, 8-bit bytes in the header.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dkim

_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_SIGNATURE = re.compile(rb"^dkim-signature:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one message."""

    signatures: int
    valid: int
    problems: tuple[str, ...]

    @property
    def good(self) -> bool:
        return self.signatures > 0 and self.valid == self.signatures and not self.problems


@dataclass(slots=True)
class Verification:
    """Of all messages."""

    messages: int = 0
    good: int = 0
    signatures: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, verdict: Verdict) -> None:
        self.messages += 1
        self.good += verdict.good
        self.signatures += verdict.valid
        self.problems += [f"{name}: {problem}" for problem in verdict.problems]


def verify_message(message: bytes, keys: Mapping[str, str]) -> Verdict:
    """`keys` by name without the final dot. A signature that does not verify is a problem with its reason."""
    problems = list(_flaws(message))
    header = message.partition(b"\r\n\r\n")[0]
    count = len(_SIGNATURE.findall(header))
    if not count:
        problems.append("no DKIM-Signature")

    def look_up(name: bytes | str, timeout: int = 5) -> bytes | None:
        assert timeout >= 0
        text = name.decode("ascii") if isinstance(name, bytes) else name
        record = keys.get(text.rstrip(".").lower())
        if record is None:
            problems.append(f"no key for {text[:80]!a}")
        return record.encode("ascii") if record is not None else None

    valid = 0
    for index in range(count):
        try:
            good = dkim.DKIM(message).verify(idx=index, dnsfunc=look_up)
        except dkim.DKIMException as error:
            problems.append(f"signature {index}: {error}")
            continue
        valid += good
        if not good:
            problems.append(f"signature {index} is wrong")
    return Verdict(count, valid, tuple(problems))


def _flaws(message: bytes) -> Iterable[str]:
    if _BARE.search(message):
        yield "bare CR or LF"
    if b"\0" in message:
        yield "NUL"
    if max(map(len, message.split(b"\r\n"))) > 998:
        yield "line over 998 bytes (RFC 5322 2.1.1)"
    if not message.partition(b"\r\n\r\n")[0].isascii():
        yield "8-bit bytes in the header"


def verify_folder(folder: Path, keys: Mapping[str, str]) -> Verification:
    """All *.eml files, as the sink writes its sample."""
    names = {name.rstrip(".").lower(): record for name, record in keys.items()}
    verification = Verification()
    for path in sorted(folder.glob("*.eml")):
        verification.add(path.name, verify_message(path.read_bytes(), names))
    return verification


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench verify", description=__doc__)
    parser.add_argument("folder", type=Path, help="the sink's --samples")
    parser.add_argument("keys", type=Path, help='JSON: {"selector._domainkey.domain": "v=DKIM1; …"}')
    arguments = parser.parse_args(words)
    found = verify_folder(arguments.folder, json.loads(arguments.keys.read_text()))
    for problem in found.problems:
        print(problem)
    print(json.dumps({"messages": found.messages, "good": found.good, "signatures": found.signatures}))
    return 0 if found.messages and found.good == found.messages else 1


if __name__ == "__main__":
    sys.exit(main())
