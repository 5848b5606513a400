"""A server that writes one reply line too many, at each position: nobody counts as delivered who was refused, nor the
other way round.

With pipelining a stray 250 shifts all that follows, so that the refusal of one message would be read as the
acceptance of the last (RFC 2920 3.1). Each server here is correct but for one line, before or
behind the reply to one command; it accepts messages to yes@ and refuses those to no@, and it knows which.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
from pathlib import Path

from tests.integration.running import Hostile, engine, impatient, terms

EACH = 4
STRAYS = {"250": b"250 2.0.0 one more\r\n", "354": b"354 go on\r\n", "554": b"554 5.0.0 no\r\n"}
POSITIONS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot", "RSET", "QUIT")
_RECIPIENT = re.compile(rb"RCPT TO:<([^>]*)>", re.IGNORECASE)


class Muddled:
    """One server: which line it puts before or behind what, and what it really did."""

    def __init__(self, position: str, *, before: bool, pipelining: bool, stray: str) -> None:
        self.position, self.before, self.stray = position, before, STRAYS[stray]
        self.accepted: set[str] = set()
        self.refused: set[str] = set()
        self.server = Hostile(self.converse, self.reply("greeting", b"220 mx ESMTP\r\n"), pipelining=pipelining)
        self.server.ehlo = self.reply("EHLO", self.server.ehlo)

    @property
    def name(self) -> str:
        way = "pipelined" if b"PIPELINING" in self.server.ehlo else "lockstep"
        where = "before" if self.before else "behind"
        return f"{self.stray[:3].decode()}-{where}-{self.position.lower()}-{way}.example"

    def reply(self, position: str, reply: bytes) -> bytes:
        if position != self.position:
            return reply
        return self.stray + reply if self.before else reply + self.stray

    def converse(self, _server: Hostile, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            recipient = ""
            for line in lines:
                verb = line[:4].upper().decode("ascii", "replace")
                if found := _RECIPIENT.match(line):
                    recipient = found[1].decode()
                connection.sendall(self.reply(verb, b"354 go\r\n" if verb == "DATA" else b"250 2.0.0 ok\r\n"))
                if verb == "DATA":
                    # Until the dot; who leaves before it has sent nothing.
                    if b".\r\n" not in iter(lines.readline, b""):
                        return
                    connection.sendall(self.reply("dot", self.verdict(recipient)))
                if verb == "QUIT":
                    return

    def verdict(self, recipient: str) -> bytes:
        if recipient.startswith("yes"):
            self.accepted.add(recipient)
            return b"250 2.0.0 queued\r\n"
        self.refused.add(recipient)
        return b"554 5.7.1 refused\r\n"


def test_a_line_too_many_delivers_and_refuses_nobody_falsely(tmp_path: Path) -> None:
    servers = [
        Muddled(position, before=before, pipelining=pipelining, stray=stray)
        for position, before, pipelining, stray in itertools.product(POSITIONS, (True, False), (True, False), STRAYS)
    ]
    with contextlib.ExitStack() as stack:
        for muddled in servers:
            stack.enter_context(muddled.server)
        routes = {muddled.name: f"127.0.0.1:{muddled.server.port}" for muddled in servers}
        shaping = {"connection_limit": 1, "initial_connection_limit": 1}
        more = "\n".join(impatient(muddled.server.port, 3) for muddled in servers)
        running = stack.enter_context(engine(tmp_path, routes, shaping=shaping, more=more, stop=3))
        with running.client() as client:
            people = [f"{word}{n}" for n in range(EACH) for word in ("yes", "no")]
            client.submit([f"{one}@{muddled.name}" for muddled in servers for one in people], terms("muddled"))
            running.until(lambda: all(muddled.server.connections for muddled in servers), "all tried", 30)
            running.until(lambda: running.status()["in_flight"] == 0, "quiet", 30)
            client.cancel("shop", "muddled")
        running.settled(30)
        assert running.stop() == 0
        assert "Traceback" not in running.log.read_text("utf-8")
        accepted = set().union(*(muddled.accepted for muddled in servers))
        refused = set().union(*(muddled.refused for muddled in servers))
        ends = {kind: {r.recipient for r in running.journal() if r.type == kind} for kind in ("Delivery", "Bounce")}
        assert ends["Delivery"]
        assert ends["Bounce"]
        assert ends["Delivery"] <= accepted
        believed = {recipient for recipient in ends["Bounce"] if "@554-" not in recipient}
        assert believed <= refused, "a refusal too many refuses, and nobody can tell"
        assert {one for one in accepted if "-quit-" in one} <= ends["Delivery"], "what came before it counts"
        doubtful = {record.recipient for record in running.journal() if record.in_doubt}
        assert accepted - ends["Delivery"] - ends["Bounce"] <= doubtful, "not believed, and known to be in doubt"
