"""docs/protocol.md against a real server: what it says is sent is sent, and what it says comes back comes back.

The exchanges run in the document's order on one connection, so the page is one session; its JSON lines are checked
against its bytes, so that neither can be wrong alone.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import get_args

import msgpack
import pytest

from engine import wire
from suppression import Suppression, SuppressionSettings
from tests.fakes.accepting import NOW, Sender, open_door, served

TEXT = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text("utf-8")
EXCHANGES = [block.splitlines() for block in re.findall(r"```exchange\n(.*?)```", TEXT, re.DOTALL)]


def _bytes(lines: list[str], mark: str) -> bytes:
    taken, text = False, ""
    for line in lines:
        taken = line.startswith(mark) or (taken and line.startswith("  "))
        text += line[2:] + " " if taken else ""
    return bytes.fromhex(text)


def _said(lines: list[str]) -> list[str]:
    """The JSON lines, whole again, with binary as the text h'..'."""
    told: list[str] = []
    for line in lines:
        if line.startswith("#   "):
            told[-1] += " " + line[4:]
        elif line.startswith("# "):
            told.append(line[2:])
    return [
        re.sub(r"h'([0-9a-f ]*)'", lambda found: json.dumps(f"h'{found[1].replace(' ', '')}'"), one) for one in told
    ]


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return f"h'{value.hex()}'"
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def test_every_request_has_an_exchange() -> None:
    sent = {msgpack.unpackb(_bytes(lines, "> ")[4:])["type"] for lines in EXCHANGES[:-1]}
    assert sent == {request.__struct_config__.tag for request in get_args(wire.AnyRequest)}


@pytest.mark.parametrize("lines", EXCHANGES[:-1], ids=range(len(EXCHANGES) - 1))
def test_the_json_says_what_the_bytes_say(lines: list[str]) -> None:
    request, answer = map(json.loads, _said(lines))
    assert _plain(msgpack.unpackb(_bytes(lines, "> ")[4:])) == request
    assert _plain(msgpack.unpackb(_bytes(lines, "< ")[4:])) == answer


def test_the_session_of_the_page(tmp_path: Path) -> None:
    async def scenario() -> None:
        ledger = Suppression.open(SuppressionSettings(tmp_path / "ledger", tmp_path / "secret"), clock=lambda: NOW)
        senders = {"shop": Sender(frozenset({"AD", "TX", "CONFIRM"}))}
        async with open_door(tmp_path, served(ledger, senders)):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s.sock")
            for lines in EXCHANGES:
                writer.write(_bytes(lines, "> "))
                expected = _bytes(lines, "< ")
                async with asyncio.timeout(60):
                    assert await reader.readexactly(len(expected)) == expected
            assert await reader.read() == b""
            writer.close()
        ledger.close()

    asyncio.run(scenario())


def test_every_code_that_the_page_names_is_one_of_ours_and_every_one_of_ours_is_named() -> None:
    sources = (Path(wire.__file__).parent / "flow").glob("*.py")
    code = "".join(source.read_text("utf-8") for source in [*sources, Path(wire.__file__)])
    ours = set(re.findall(r'Refusal\(\s*"(\w+)"', code)) | {"bad_address", "bad_field", "role_account"}
    assert ours == {name for name in ours if f"`{name}`" in TEXT}
