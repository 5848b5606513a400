"""Every conversation of tests/dialogues, twice: fed straight into a Session, and played by a socket to a Connection."""

from __future__ import annotations

import asyncio
import fnmatch
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from engine.net.connection import Connection
from engine.net.negotiate import Refused, TlsContexts, open_connection
from engine.net.resolver import Target, TlsMode
from engine.smtp.command import transparency
from engine.smtp.event import Closed, Event, Finished, Phase, Returned, Transaction
from engine.smtp.extensions import parse_extensions
from engine.smtp.reply import Reply
from engine.smtp.session import Session
from tests.fakes.remote import (
    ACTIONS,
    CLOSE,
    RESET,
    Dialogue,
    Remote,
    expected_bytes,
    fits,
    payload_of,
    read_dialogue,
    server_bytes,
)

FOLDER = Path(__file__).parent / "dialogues"
DIALOGUES = {path.stem: read_dialogue(path) for path in sorted(FOLDER.glob("*.smtp"))}
IN_SESSION = [name for name, dialogue in DIALOGUES.items() if not dialogue.expected[0].startswith("refused")]
CONTEXTS = TlsContexts.load()
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def transactions(dialogue: Dialogue) -> deque[Transaction]:
    # The files show payloads as they are on the wire, so with their dots doubled already.
    return deque(
        Transaction(
            "sender@us.example",
            recipient,
            payload_of(recipient),
            eightbit="8bit" in dialogue.words,
            utf8=not recipient.isascii(),
            context=None,
        )
        for recipient in dialogue.send
    )


def shown(event: Event) -> list[str]:
    if isinstance(event, Finished):
        return [f"{event.transaction.recipient} {event.phase.name} {event.reply.code}"]
    if isinstance(event, Returned):
        return [f"{event.transaction.recipient} returned"]
    lines = [f"{transaction.recipient} {phase.name} unresolved" for transaction, phase in event.unresolved]
    why = event.error if event.reply is None else str(event.reply.code)
    return [*lines, f"closed {'idle' if event.phase is None else event.phase.name} {why}"]


def assert_outcomes(dialogue: Dialogue, outcomes: list[str]) -> None:
    same = len(outcomes) == len(dialogue.expected) and all(map(fnmatch.fnmatchcase, outcomes, dialogue.expected))
    assert same, (outcomes, dialogue.expected)


class SessionPlayer:
    def __init__(self, dialogue: Dialogue) -> None:
        self.dialogue = dialogue
        self.session = Session(parse_extensions(dialogue.ehlo_text()))
        self.waiting = transactions(dialogue)
        self.outcomes: list[str] = []
        self.written = b""

    def advance(self, events: list[Event]) -> None:
        self.outcomes += [line for event in events for line in shown(event)]
        self.waiting.extendleft(event.transaction for event in events if isinstance(event, Returned))
        while self.session.wants_next and self.waiting:
            refused = self.session.begin(self.waiting.popleft())
            if refused is not None:
                self.outcomes += shown(refused)
        if self.session.wants_next and "quit" in self.dialogue.words:
            self.session.quit()
        self.written += b"".join(self.session.data_to_send())

    def play(self) -> None:
        heard = b""
        self.advance([])
        for side, line in [*self.dialogue.steps[self.dialogue.after_ehlo :], ("C", "")]:
            if side == "S" and line not in ACTIONS:
                heard += server_bytes(line)
                continue
            if heard:
                self.advance(self.session.receive_data(heard))
                heard = b""
            if line in {CLOSE, RESET}:
                self.advance(self.session.receive_eof())
            elif side == "C" and line:
                self.hear(line)
        assert not self.written, f"the client went on: {self.written!r}"

    def hear(self, line: str) -> None:
        lines = self.written.split(b"\r\n")
        count = expected_bytes(line).count(b"\r\n")
        written = b"".join(part + b"\r\n" for part in lines[:count])
        assert fits(written, line), f"expected {line!r}, the client wrote {self.written!r}"
        self.written = b"\r\n".join(lines[count:])


@pytest.mark.parametrize("name", IN_SESSION)
def test_session(name: str) -> None:
    player = SessionPlayer(DIALOGUES[name])
    player.play()
    assert_outcomes(player.dialogue, player.outcomes)


class Sender:
    """The connection's owner."""

    def __init__(self, dialogue: Dialogue) -> None:
        self.dialogue = dialogue
        self.waiting = transactions(dialogue)
        self.outcomes: list[str] = []
        self.complete = asyncio.Event()

    def note(self, event: Event) -> None:
        self.outcomes += shown(event)
        if len(self.outcomes) >= len(self.dialogue.expected):
            self.complete.set()

    def next_transaction(self, connection: Connection) -> Transaction | None:
        if self.waiting:
            return self.waiting.popleft()
        if "quit" in self.dialogue.words:
            connection.quit()
        return None

    def finished(self, connection: Connection, transaction: Transaction, phase: Phase, reply: Reply) -> None:
        self.note(Finished(transaction, phase, reply))

    def returned(self, connection: Connection, transaction: Transaction) -> None:
        self.waiting.appendleft(transaction)
        self.note(Returned(transaction))

    def closed(self, connection: Connection, closed: Closed) -> None:
        self.note(closed)


async def play_connection(dialogue: Dialogue) -> list[str]:
    async with Remote(dialogue) as remote:
        mode = TlsMode.REQUIRED_INSECURE if "tls" in dialogue.words else TlsMode.DISABLED
        target = Target("localhost", remote.port, "127.0.0.1", mode)
        opened = await open_connection(target, ehlo_name="us.example", tls=mode, contexts=CONTEXTS)
        if isinstance(opened, Refused):
            assert remote.faults == []
            return [f"refused {opened.phase.name} {opened.error if opened.reply is None else opened.reply.code}"]
        sender = Sender(dialogue)
        opened.attach(sender)
        opened.kick()
        async with asyncio.timeout(5):
            await sender.complete.wait()
        outcomes = list(sender.outcomes)
        opened.abort()
    assert remote.faults == []
    return outcomes


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", DIALOGUES)
def test_connection(name: str, loop: str) -> None:
    factory: Callable[[], asyncio.AbstractEventLoop] = LOOPS[loop]
    with asyncio.Runner(loop_factory=factory) as runner:
        outcomes = runner.run(play_connection(DIALOGUES[name]))
    assert_outcomes(DIALOGUES[name], outcomes)


def test_payload_is_transparent() -> None:
    """The payload of the dialogues has passed transparency: its dot line is doubled."""
    assert transparency(payload_of("a@x.example").replace(b"\r\n..", b"\r\n.")) == payload_of("a@x.example")


def test_the_folder_is_read() -> None:
    assert len(DIALOGUES) >= 30
