"""What the documents say is what the code does."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.journal import Peer, Record, Response
from engine.journal.record import RECORD_TYPES

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "journal.md"


def examples() -> list[bytes]:
    text = DOCUMENT.read_text(encoding="utf-8")
    return [line.encode() for line in text.splitlines() if line.startswith('{"type"')]


def test_the_journal_document_shows_every_type_as_it_is_written() -> None:
    seen = []
    for line in examples():
        found = msgspec.json.decode(line, type=Record, strict=True)
        assert msgspec.json.encode(found) == line, "the example is what the engine writes"
        seen.append(found.type)
    assert sorted(seen) == sorted(RECORD_TYPES)


def test_the_journal_document_names_every_field() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    names = {*Record.__struct_fields__, *Response.__struct_fields__, *Peer.__struct_fields__}
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_the_version_is_one() -> None:
    import tomllib

    from engine import __version__

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__
