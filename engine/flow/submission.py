"""SMTP submission (RFC 6409, by aiosmtpd) for programs that cannot speak the socket.

The mail is taken as raw RFC 5322; X-Sokutatsu-Sender, -Category, -Topic, -Mailing, -Priority, -Not-Before, -Expires
and -Key say what a submit says, and are removed. 250 comes after the commit, with the recipients' identifiers. Each
RCPT is a recipient of its own; the MAIL FROM address is not used, bounces come to our own return path. Nothing is
relayed for somebody who did not log in.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from engine import wire
from engine.flow.smtpd import Connection, Listener
from engine.flow.submission_fields import read_submit
from engine.flow.users import Entry, Users
from engine.flow.validate import ParsedAddress
from engine.wire import Refusal

log = logging.getLogger(__name__)

RECIPIENTS_LIMIT = 1000
FAILED_LOGINS_LIMIT = 3
PASSING = {"spool_full": "452 4.3.1", "no_credit": "452 4.3.1", "draining": "451 4.3.2", "unavailable": "451 4.3.0"}
"""Refusals that pass, and the reply of RFC 5321 4.2 that makes a client try again."""

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


class Submission(Listener[SubmissionSettings, Counts]):
    """New mails are refused by accept while it drains."""

    def __init__(
        self, settings: SubmissionSettings, users: Users, answer: Answerer, address: Callable[[str], ParsedAddress]
    ) -> None:
        super().__init__(settings, Counts())
        self.users = users
        self.answer = answer
        self.address = address

    async def start(self) -> None:
        """Raises OSError when the port is taken."""
        settings = self.settings
        await self.listen(lambda: SubmissionConnection(self), settings.tls if settings.is_tls_implicit else None)

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


class SubmissionConnection(Connection):
    def __init__(self, submission: Submission) -> None:
        settings = submission.settings
        tls = None if settings.is_tls_implicit else settings.tls
        super().__init__(
            submission,
            _Hooks(submission, self),
            tls_context=tls,
            require_starttls=tls is not None,
            auth_require_tls=tls is not None,
            authenticator=_credentials,
        )
