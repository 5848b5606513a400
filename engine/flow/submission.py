"""SMTP submission (RFC 6409, by aiosmtpd) for programs that cannot speak the socket.

The mail is taken as raw RFC 5322; X-Sokutatsu-Sender, -Category, -Topic, -Mailing, -Priority, -Not-Before, -Expires
and -Key say what a submit says, and are removed. 250 comes after the commit, with the recipients' identifiers. Each
RCPT is a recipient of its own; the MAIL FROM address is not used, bounces come to our own return path. Nothing is
relayed for somebody who did not log in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from engine import wire
from engine.flow.submission_fields import read_submit
from engine.flow.users import Entry, Users
from engine.flow.validate import ParsedAddress
from engine.wire import Refusal

log = logging.getLogger(__name__)

RECIPIENTS_LIMIT = 1000
FAILED_LOGINS_LIMIT = 3
PASSING = {"spool_full": "452 4.3.1", "no_credit": "452 4.3.1", "draining": "451 4.3.2", "unavailable": "451 4.3.0"}
"""Refusals that pass, and the reply of RFC 5321 4.2 that makes a client try again."""
_PATH = re.compile(r'<((?:"(?:[^"\\]|\\.)*"|[^<>"\s])*)>\s*(.*)')

Answerer = Callable[[wire.AnyRequest], Awaitable[Mapping[str, object]]]


@dataclass(frozen=True, slots=True)
class SubmissionSettings:
    host: str
    port: int
    hostname: str
    size_limit: int = 10 * 1024 * 1024
    connections: int = 100
    tls: ssl.SSLContext | None = None
    is_tls_implicit: bool = False
    """TLS from the first byte (RFC 8314); else STARTTLS, and no login before it when there is a context."""
    timeout: float = 300.0


class Counts:
    __slots__ = ("connections", "connections_refused", "faults", "logins_failed", "messages", "messages_refused")

    def __init__(self) -> None:
        self.connections = 0
        self.connections_refused = 0
        self.faults = 0
        self.logins_failed = 0
        self.messages = 0
        self.messages_refused = 0


class Submission:
    """Owns the listener and its connections."""

    def __init__(
        self, settings: SubmissionSettings, users: Users, answer: Answerer, address: Callable[[str], ParsedAddress]
    ) -> None:
        self.counts = Counts()
        self.settings = settings
        self.users = users
        self.answer = answer
        self.address = address
        self.connections: set[SubmissionConnection] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that we listen on, also when any was asked for."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Raises OSError when the port is taken."""
        # aiosmtpd logs every command with its addresses at INFO, and its own deprecation at each login
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        settings = self.settings
        implicit = settings.tls if settings.is_tls_implicit else None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SubmissionConnection(self), settings.host, settings.port, ssl=implicit
        )

    async def close(self, patience: float = 5.0) -> None:
        """New mails are refused by accept while it drains; a commit under way may still be told."""
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await asyncio.gather(*(connection.idle.wait() for connection in self.connections))
        for connection in list(self.connections):
            connection.end()

    async def submit(self, user: Entry, recipients: list[str], content: bytes) -> str:
        """The reply to the end of DATA."""
        try:
            request = read_submit(user, recipients, content)
            told = await self.answer(request)
        except Refusal as refusal:
            self.counts.messages_refused += 1
            return _reply(PASSING.get(refusal.code, "554 5.6.0"), f"{refusal.code}: {refusal.text}")
        return self._told(told)

    def _told(self, told: Mapping[str, Any]) -> str:
        accepted, first = told["accepted"], told["first"]
        refused = wire.decode_refused(told["refused"])
        if not accepted:
            self.counts.messages_refused += 1
            return _reply("554 5.6.0", f"{refused[0][1]}: {refused[0][2]}")
        self.counts.messages += 1
        last = f"-{first + accepted - 1:016x}" if accepted > 1 else ""
        partly = f"; refused {len(refused)}, the first: {refused[0][2]}" if refused else ""
        return _reply("250 2.0.0", f"Accepted {accepted}: {first:016x}{last}{partly}")


def _reply(code: str, text: str) -> str:
    """One line of printable ASCII, within RFC 5321 4.5.3.1.5. Of findings in two languages the English remains."""
    english = re.sub(r" / [^\]]*[^\] -~][^\]]*", "", text)
    return f"{code} {re.sub('[^ -~]+', '?', english)[:450]}"


class _Hooks:
    """aiosmtpd's callbacks of one connection. Its names."""

    def __init__(self, submission: Submission, connection: SubmissionConnection) -> None:
        self._submission = submission
        self._connection = connection
        self._failed = 0

    async def auth_PLAIN(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802 - aiosmtpd's name
        return await self._verify(await server.auth_PLAIN(server, args))

    async def auth_LOGIN(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802 - aiosmtpd's name
        return await self._verify(await server.auth_LOGIN(server, args))

    async def _verify(self, result: AuthResult) -> AuthResult:
        given: object = result.auth_data
        if not isinstance(given, LoginPassword):
            return result
        entry = await self._submission.users.verify(given.login, given.password)
        if entry is not None:
            return AuthResult(success=True, auth_data=entry)
        self._failed += 1
        self._submission.counts.logins_failed += 1
        if self._failed < FAILED_LOGINS_LIMIT:
            return AuthResult(success=False, handled=False)
        await self._connection.push("421 4.7.0 Too many failed logins")
        self._connection.end()
        return AuthResult(success=False, handled=True)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= RECIPIENTS_LIMIT:
            return f"452 4.5.3 Too many recipients: at most {RECIPIENTS_LIMIT} a mail"
        try:
            self._submission.address(address)
        except ValueError as error:
            return _reply("501 5.1.3", str(error))
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        user: object = session.auth_data
        assert isinstance(user, Entry)
        assert envelope.original_content is not None
        self._connection.idle.clear()
        try:
            return await self._submission.submit(user, envelope.rcpt_tos, envelope.original_content)
        finally:
            self._connection.idle.set()

    async def handle_exception(self, error: Exception) -> str:
        """A fault of ours, or of aiosmtpd, which a stranger can make stumble (VRFY with bytes that are no text). It is
        logged and counted and does not stop the engine: nothing was promised, the client tries again.
        """
        self._submission.counts.faults += 1
        log.error("SMTP submission: a command failed", exc_info=error)
        return "451 4.3.0 A fault of the engine: see its log"


def _credentials(_s: SMTP, _session: Session, _envelope: Envelope, _name: str, given: LoginPassword) -> AuthResult:
    """Hands them to _Hooks._verify, which may await."""
    return AuthResult(success=False, handled=False, auth_data=given)


class SubmissionConnection(SMTP):
    def __init__(self, submission: Submission) -> None:
        settings = submission.settings
        tls = None if settings.is_tls_implicit else settings.tls
        self._submission = submission
        self._unaccounted = 0
        self.idle = asyncio.Event()
        """Clear while a commit is under way."""
        self.idle.set()
        super().__init__(
            _Hooks(submission, self),
            data_size_limit=settings.size_limit,
            enable_SMTPUTF8=True,
            hostname=settings.hostname,
            ident="Sokutatsu",
            tls_context=tls,
            require_starttls=tls is not None,
            auth_require_tls=tls is not None,
            authenticator=_credentials,
            timeout=settings.timeout,
            loop=asyncio.get_running_loop(),
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._submission.connections - {self}) >= self._submission.settings.connections:
            self._submission.counts.connections_refused += 1
            cast("asyncio.WriteTransport", transport).write(b"421 4.7.0 Too many connections\r\n")
            transport.close()
            return
        self._submission.connections.add(self)
        self._submission.counts.connections += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._submission.connections:
            self._submission.connections.discard(self)
            super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """A line without end would be collected without bound by aiosmtpd: nobody sends twice the limit in one mail."""
        self._unaccounted += len(data)
        if self._unaccounted > 2 * self._submission.settings.size_limit + (1 << 20):
            self.end()
            return
        super().data_received(data)

    def _set_post_data_state(self) -> None:
        self._unaccounted = 0
        super()._set_post_data_state()  # type: ignore[no-untyped-call]

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """`<path>` and what follows; whether it is an address is engine/mail's to say (docomo's `a..b` is one)."""
        match = _PATH.fullmatch(arg)
        return (match[1], match[2]) if match else (None, None)

    def end(self) -> None:
        if self.transport is not None:
            self.transport.close()
