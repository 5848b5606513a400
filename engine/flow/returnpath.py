"""The return path: an SMTP server (aiosmtpd) to which what we sent comes back, and refusals by mail.

Takes mail for the return-path domains of the senders, for addresses that are for refusing and for feedback loops, and
for nobody else. A VERP address with a wrong MAC is refused at RCPT, where it costs the one who made it up and nobody
else: this server never writes a mail, so there is no backscatter and no loop. 250 comes when journal and ledger are on
disk. Connections, mails a client and bytes are bounded. An MTA in front may hand over to it (RFC 5321).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP, Envelope, Session

from engine.flow.feedback import Arrival
from engine.flow.smtpd import Connection, Listener
from engine.mail.verp import Verp, read_verp
from engine.policy.throttle import Rate, Throttle
from engine.spool.port import SpoolFailed
from suppression import LedgerFailed

log = logging.getLogger(__name__)

RECIPIENTS_LIMIT = 10
LINE_LIMIT = 65_536
"""Octets. RFC 5321 4.5.3.1.6 has 1000, the originals that come back have what they like."""
CLIENTS_REMEMBERED = 4096
CLIENT_SHARE = 4
"""One client may have a fourth of the connections."""

Take = Callable[[Arrival, bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ReturnPathSettings:
    host: str
    port: int
    hostname: str
    optout_addresses: frozenset[str] = frozenset()
    """Lower case."""
    addresses: frozenset[str] = frozenset()
    """For feedback loops; lower case."""
    size_limit: int = 4 * 1024 * 1024
    connections: int = 50
    rate: Rate = field(default_factory=lambda: Rate(600, 60, 600))
    """Mails of one client."""
    timeout: float = 60.0
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Directory:
    """Whom we take mail for."""

    domains: Mapping[str, tuple[str, ...]]
    """Return-path domain -> senders that use it."""
    homes: Mapping[str, tuple[str, ...]]
    """Domain of From or signature, or a whole address -> senders: to whom an address for refusing belongs."""
    settings: ReturnPathSettings
    verp_secret: bytes

    def arrival(self, address: str, peer: str) -> Arrival | str:
        """Or the reply that refuses it."""
        local, at, domain = address.lower().rpartition("@")
        plain = f"{local.partition('+')[0]}@{domain}"
        for known in (f"{local}@{domain}", plain):
            if known in self.settings.optout_addresses:
                return Arrival(address, self._senders(known, domain), is_optout_address=True, peer=peer)
            if known in self.settings.addresses:
                return Arrival(address, (), peer=peer)
        if not at or domain not in self.domains:
            return "550 5.7.1 Not a domain of ours: we relay for nobody"
        verp = read_verp(local, self.verp_secret)
        if verp is None:
            return "550 5.1.1 No such address: nothing was sent from it"
        return Arrival(address, self.domains[domain], verp, peer=peer)

    def _senders(self, address: str, domain: str) -> tuple[str, ...]:
        own = self.homes.get(address)
        return own or tuple(dict.fromkeys(self.domains.get(domain, ()) + self.homes.get(domain, ())))

    def verp(self, address: str) -> tuple[Verp, tuple[str, ...]] | None:
        """Of an envelope sender that a report quotes."""
        local, _, domain = address.lower().rpartition("@")
        verp = read_verp(local, self.verp_secret) if domain in self.domains else None
        return (verp, self.domains[domain]) if verp else None


class Counts:
    __slots__ = ("connections", "connections_refused", "faults", "messages", "recipients_refused", "throttled")

    def __init__(self) -> None:
        self.connections = 0
        self.connections_refused = 0
        self.faults = 0
        self.messages = 0
        self.recipients_refused = 0
        self.throttled = 0


class ReturnPath(Listener[ReturnPathSettings, Counts]):
    def __init__(self, directory: Directory, take: Take, clock: Callable[[], float]) -> None:
        super().__init__(directory.settings, Counts())
        self.directory = directory
        self.take = take
        self._clock = clock
        self._clients: OrderedDict[str, Throttle] = OrderedDict()

    async def start(self) -> None:
        """Raises OSError when the port is taken."""
        await self.listen(lambda: ReturnConnection(self))

    def has_room(self, connection: Connection) -> bool:
        """One client does not take the room of all."""
        assert isinstance(connection, ReturnConnection)
        own = sum(
            isinstance(other, ReturnConnection) and other.client == connection.client
            for other in self.connections - {connection}
        )
        return super().has_room(connection) and own < max(1, self.settings.connections // CLIENT_SHARE)

    def admits(self, client: str) -> bool:
        """Within its rate. The clients that were silent longest are forgotten first."""
        throttle = self._clients.pop(client, None) or Throttle(self.settings.rate)
        self._clients[client] = throttle
        if len(self._clients) > CLIENTS_REMEMBERED:
            self._clients.popitem(last=False)
        return throttle.take(self._clock()) == 0.0


def client_of(peer: object) -> str:
    """Whose rate it counts against: an IPv4 address, or the /64 that one holder of IPv6 has."""
    address = str(peer[0]) if isinstance(peer, tuple) and peer else "?"
    return ":".join(address.split(":")[:4]) if ":" in address and "." not in address else address


class _Hooks:
    """aiosmtpd's callbacks of one connection. Its names."""

    def __init__(self, owner: ReturnPath, connection: ReturnConnection) -> None:
        self._owner = owner
        self._connection = connection
        self._arrivals: list[Arrival] = []

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Nobody logs in here: AUTH without a mechanism, which aiosmtpd would offer under TLS, confuses clients."""
        session.host_name = hostname
        return [line for line in responses if not line.startswith("250-AUTH")]

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._arrivals = []
        if not self._owner.admits(self._connection.client):
            self._owner.counts.throttled += 1
            return "451 4.7.1 Too many mails from your address: try again later"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if len(self._arrivals) >= RECIPIENTS_LIMIT:
            return f"452 4.5.3 Too many recipients: at most {RECIPIENTS_LIMIT} a mail"
        found = self._owner.directory.arrival(address, self._connection.address)
        if isinstance(found, str):
            self._owner.counts.recipients_refused += 1
            return found
        self._arrivals.append(found)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        arrivals, self._arrivals = self._arrivals, []
        content = envelope.original_content or b""
        self._connection.idle.clear()
        try:
            for arrival in arrivals:
                await self._owner.take(arrival, content)
        except (LedgerFailed, SpoolFailed):
            self._owner.counts.faults += 1
            return "451 4.3.0 The engine's disk failed: try again later"
        finally:
            self._connection.idle.set()
        self._owner.counts.messages += 1
        return "250 2.0.0 Taken"

    async def handle_exception(self, error: Exception) -> str:
        """A fault of ours, or of aiosmtpd, which a stranger can make stumble. It is logged and counted and does not
        stop the engine: nothing was promised, the client tries again.
        """
        self._owner.counts.faults += 1
        log.error("return path: a command failed", exc_info=error)
        return "451 4.3.0 A fault of the engine: see its log"


class ReturnConnection(Connection):
    line_length_limit = LINE_LIMIT

    def __init__(self, owner: ReturnPath) -> None:
        self.client = ""
        self.address = ""
        hooks = _Hooks(owner, self)
        super().__init__(owner, hooks, tls_context=owner.settings.tls, auth_exclude_mechanism=["LOGIN", "PLAIN"])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self.client = client_of(peer)
        self.address = str(peer[0]) if isinstance(peer, tuple) and peer else "?"
        super().connection_made(transport)

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """The null path of RFC 5321 4.5.5 becomes a text that aiosmtpd does not take for none."""
        path, rest = super()._getaddr(arg)
        return ("<>" if path == "" else path), rest
