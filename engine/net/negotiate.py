"""Opens a connection: connect, greeting, EHLO, STARTTLS, AUTH by aiosmtplib, then hands the transport to Connection.

RFC 5321 4.1.4 and 4.3.1, RFC 3207, RFC 4954. Whatever the server does is a value (`Refused`); only our own bugs
raise. aiosmtplib throws away bytes that nobody asked for, and reads replies loosely; so a tap between transport and
aiosmtplib holds every reply to our grammar and aborts when a server speaks out of turn, above all before the TLS
handshake (command injection, RFC 3207 6 and CVE-2011-0411). What was learnt in plain text is forgotten after it.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import cast

import aiosmtplib

from engine.buckets import PHASE_BOUNDS, Buckets
from engine.net.certificate import failure_of, presented
from engine.net.connection import Connection, Timeouts
from engine.net.resolver import ClientCertificate, Credentials, Target, TlsMode
from engine.net.resumption import ResumingContext, resuming
from engine.net.tap import Tap
from engine.net.trace import Note
from engine.smtp import command
from engine.smtp.event import Phase
from engine.smtp.extensions import Extensions, parse_extensions
from engine.smtp.reply import Reply, ReplyError, make_reply, shown

AUTH_REPLIES = 6
"""At most: aiosmtplib tries three mechanisms of up to two replies."""
IP_BIND_ADDRESS_NO_PORT = 24
"""linux/in.h: the port is chosen at connect, so that 64k ports serve each destination."""
LOCAL_ERRORS = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM)
)


@dataclass(frozen=True, slots=True)
class TlsContexts:
    """Built once and shared: loading the trust store costs tens of milliseconds."""

    verified: ResumingContext
    unverified: ResumingContext
    cafile: str | None = None
    clients: dict[ClientCertificate, TlsContexts] = field(default_factory=dict)
    """The same two for each certificate that a smart host wants of us."""

    @staticmethod
    def load(cafile: str | None = None) -> TlsContexts:
        """`cafile`: PEM file of the authorities to trust in Required; None: those of the system. Raises OSError."""
        verified, unverified = resuming(cafile), resuming(cafile)
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        _keep_read_buffers_on_the_heap()
        return TlsContexts(verified, unverified, cafile)

    def add_client(self, client: ClientCertificate) -> None:
        """Raises OSError (ssl.SSLError too) for files that are none or do not belong together."""
        own = TlsContexts.load(self.cafile)
        for context in (own.verified, own.unverified):
            context.load_cert_chain(client.certificate, client.key or None)
        self.clients[client] = own

    def inherit(self, old: TlsContexts) -> None:
        """Clients that are not named any more, for what is being opened with them."""
        for client, own in old.clients.items():
            self.clients.setdefault(client, own)

    def of(self, mode: TlsMode, client: ClientCertificate | None = None) -> ResumingContext:
        own = self.clients[client] if client else self
        return own.verified if mode is TlsMode.REQUIRED else own.unverified

    def forget(self, target: Target, mode: TlsMode) -> bool:
        """The session with this host; whether there was one."""
        return self.of(mode, target.client).forget(target.host)


def _keep_read_buffers_on_the_heap() -> None:
    """Uvloop asks OpenSSL for 256 KiB at each read and gives back what was not filled: with glibc that is mmap, page
    faults, mremap and munmap, a quarter of the cost of a message over TLS (85 -> 65 microseconds where measured).
    Freeing a larger block once makes glibc keep such sizes on its heap from then on (mallopt(3), dynamic threshold).
    """
    bytearray(1 << 20)


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds of what succeeded."""

    connect: Buckets = field(default_factory=lambda: Buckets(PHASE_BOUNDS))
    negotiate: Buckets = field(default_factory=lambda: Buckets(PHASE_BOUNDS))
    """From the greeting to the end of EHLO, STARTTLS and AUTH."""


@dataclass(frozen=True, slots=True)
class Refused:
    """No connection: the server's reply, or what broke."""

    phase: Phase
    reply: Reply | None
    error: str
    """Empty if the reply says it."""
    tls_failed: bool = False
    """TLS was offered or demanded and could not be had: with Opportunistic, plain text may be tried."""
    is_local: bool = False
    """Our own shortage (file descriptors, ports, memory): no fault of the site."""
    tls_result: str = ""
    """RFC 8460 4.3, when it is TLS that failed."""


Check = Callable[[Sequence[bytes]], str]
"""Of the certificates sent (DER, the server's own first): why they will not do, or nothing."""


async def open_connection(
    target: Target,
    *,
    ehlo_name: str,
    tls: TlsMode,
    contexts: TlsContexts,
    timeouts: Timeouts | None = None,
    credentials: Credentials | None = None,
    source_address: str | None = None,
    pipelining: bool = True,
    durations: Durations | None = None,
    check: Check | None = None,
    trace: Note | None = None,
) -> Connection | Refused:
    """`check`: what is asked of the certificates beside what `tls` asks; only with a mode that requires TLS.

    Bounded by the timeouts of its phases. Cancelled: the socket is closed. Raises CommandError for a bad name.
    """
    command.ehlo(ehlo_name)
    timeouts = timeouts or Timeouts()
    durations = durations or Durations()
    time = asyncio.get_running_loop().time
    began = time()
    if trace is not None:
        trace("*", f"connecting to {target.host} [{target.address}]:{target.port}")
    opened = await _open_socket(target, source_address, timeouts.connect)
    if isinstance(opened, Refused):
        return _noted(opened, trace)
    connected = time()
    durations.connect.observe(connected - began)
    dialogue = _Dialogue(
        opened,
        target,
        ehlo_name=ehlo_name,
        tls=tls,
        contexts=contexts,
        timeouts=timeouts,
        credentials=credentials,
        check=check,
        trace=trace,
    )
    agreed: Extensions | Refused | None = None
    try:
        agreed = await _cancellable(dialogue.run())
    finally:
        if not isinstance(agreed, Extensions):
            dialogue.abort()
    if isinstance(agreed, Refused):
        return _noted(agreed, trace)
    durations.negotiate.observe(time() - connected)
    return Connection(
        dialogue.transport(),
        agreed,
        peer=(target.host, target.address),
        tls=dialogue.tls_name(),
        session_id=os.urandom(8).hex(),
        timeouts=timeouts,
        pipelining=pipelining,
        trace=trace,
    )


def _noted(refused: Refused, trace: Note | None) -> Refused:
    if trace is not None:
        trace("end", f"no session ({refused.phase.name}): {refused.reply or refused.error}")
    return refused


async def _cancellable(run: Coroutine[None, None, Extensions | Refused]) -> Extensions | Refused:
    """asyncio.wait_for of Python 3.11, which aiosmtplib uses, swallows a cancellation that comes together with the
    result (CPython issue 81839), and the dialogue would go on for minutes. So it is told until it listens.
    """
    running = asyncio.create_task(run)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            running.cancel()
            await asyncio.sleep(0)
        raise


async def _open_socket(target: Target, source_address: str | None, timeout: float) -> socket.socket | Refused:  # noqa: ASYNC109 - the refusal names the seconds
    sock: socket.socket | None = None
    connected = False
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in target.address else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if source_address is not None:
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source_address, 0))
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_connect(sock, (target.address, target.port))
        connected = True
    except TimeoutError as error:
        # The kernel's own ETIMEDOUT is a TimeoutError too.
        text = os.strerror(error.errno) if error.errno else f"no connection within {timeout:g} seconds"
        return Refused(Phase.CONNECT, None, text)
    except OSError as error:
        text = os.strerror(error.errno) if error.errno else str(error)
        return Refused(Phase.CONNECT, None, text, is_local=error.errno in LOCAL_ERRORS)
    finally:
        if sock is not None and not connected:
            sock.close()
    return sock


class _Dialogue:
    """The lock-step part of one session. `phase` is where it is, for the refusal."""

    def __init__(
        self,
        sock: socket.socket,
        target: Target,
        *,
        ehlo_name: str,
        tls: TlsMode,
        contexts: TlsContexts,
        timeouts: Timeouts,
        credentials: Credentials | None,
        check: Check | None,
        trace: Note | None,
    ) -> None:
        self._sock = sock
        self._target = target
        self._tls = tls
        self._context = contexts.of(tls, target.client)
        self._check = check
        self._seconds = timeouts.by_phase()
        self._credentials = credentials
        self._trace = trace
        self._greeting = ehlo_name
        self._phase = Phase.GREETING
        self._tap: Tap | None = None
        self._is_tls = False
        self._smtp = aiosmtplib.SMTP(hostname=target.host, local_hostname=ehlo_name, start_tls=False)

    def transport(self) -> asyncio.Transport:
        assert self._tap is not None
        return self._tap.transport

    def tls_name(self) -> str:
        if not self._is_tls:
            return ""
        name, version, _ = self.transport().get_extra_info("cipher")
        return f"{version}/{name}"

    def abort(self) -> None:
        transport = self._tap.transport if self._tap is not None else self._smtp.transport
        if transport is not None:
            cast("asyncio.Transport", transport).abort()
        else:
            self._sock.close()

    async def run(self) -> Extensions | Refused:
        try:
            return await self._negotiate()
        except aiosmtplib.SMTPTimeoutError:
            return self._refused(f"no reply within {self._seconds[self._phase]:g} seconds")
        except aiosmtplib.SMTPResponseException as error:
            if not 200 <= error.code < 600:
                return self._refused(f"not a reply: {shown(error.message)}")
            reply = make_reply(error.code, error.message)
            is_tls = self._phase is Phase.STARTTLS
            return Refused(self._phase, reply, "", is_tls, tls_result="starttls-not-supported" if is_tls else "")
        except (aiosmtplib.SMTPException, OSError, ReplyError) as error:
            # aiosmtplib wraps what happened; the cause says it better.
            return self._refused(str(error.__cause__ or error)[:200] or repr(error), failure_of(error))

    def _refused(self, error: str, result: str = "validation-failure") -> Refused:
        is_tls = self._phase is Phase.STARTTLS
        if self._tap is not None and self._tap.error:
            # Not tls_failed: a server that was tampered with is no reason to go on in plain text.
            return Refused(self._phase, None, self._tap.error, tls_result=result if is_tls else "")
        return Refused(self._phase, None, error, is_tls, tls_result=result if is_tls else "")

    async def _negotiate(self) -> Extensions | Refused:
        banner = await self._smtp.connect(sock=self._sock, timeout=self._seconds[Phase.GREETING])
        if self._trace is not None:
            self._trace("<", f"{banner.code} {banner.message}")
        assert self._smtp.protocol is not None
        if self._smtp.protocol._buffer:  # noqa: SLF001 - what came behind the greeting, before there was a tap
            return self._refused("the server speaks out of turn behind its greeting")
        self._tap = Tap(self._smtp, self._trace)
        extensions = await self._ehlo()
        if self._tls is not TlsMode.DISABLED:
            if extensions.starttls:
                await self._starttls()
                # Before anything else is said: not even our name goes to a server that is not the one.
                wrong = self._check(self._presented()) if self._check is not None else ""
                if wrong:
                    return Refused(Phase.STARTTLS, None, wrong, tls_failed=True, tls_result="validation-failure")
                extensions = await self._ehlo()
                self._context.keep(self._target.host, self.transport().get_extra_info("ssl_object").session)
            elif self._tls.is_required:
                text = "TLS is required and STARTTLS is not offered"
                return Refused(Phase.STARTTLS, None, text, tls_failed=True, tls_result="starttls-not-supported")
        if self._credentials is not None:
            return await self._login(extensions, self._credentials)
        return extensions

    async def _ehlo(self) -> Extensions:
        """EHLO, or HELO where it is not known (RFC 5321 3.2)."""
        self._ask(Phase.EHLO)
        try:
            response = await self._smtp.ehlo(timeout=self._seconds[Phase.EHLO])
        except aiosmtplib.SMTPHeloError as error:
            if error.code not in (500, 501, 502, 504, 550):
                raise
            self._ask(Phase.EHLO)
            await self._smtp.helo(timeout=self._seconds[Phase.EHLO])
            return Extensions()
        return parse_extensions(response.message)

    def _presented(self) -> Sequence[bytes]:
        return presented(self.transport().get_extra_info("ssl_object"))

    async def _starttls(self) -> None:
        self._ask(Phase.STARTTLS)
        await self._smtp.starttls(
            server_hostname=self._target.host, tls_context=self._context, timeout=self._seconds[Phase.STARTTLS]
        )
        self._is_tls = True
        self._tap = Tap(self._smtp, self._trace)
        if self._trace is not None:
            self._trace("*", f"TLS: {self.tls_name()}")

    async def _login(self, extensions: Extensions, credentials: Credentials) -> Extensions | Refused:
        self._ask(Phase.AUTH, AUTH_REPLIES)
        if not (self._is_tls or _is_loopback(self._target.address)):
            return self._refused("the password is not sent in plain text: set the route's TLS mode to Required")
        await self._smtp.login(credentials.username, credentials.password, timeout=self._seconds[Phase.AUTH])
        return extensions

    def _ask(self, phase: Phase, replies: int = 1) -> None:
        assert self._tap is not None
        self._phase = phase
        self._tap.expected = replies
        if self._trace is not None:
            self._trace(">", f"{phase.name} {self._greeting}" if phase is Phase.EHLO else phase.name)
            # The exchange of a login is nobody's to see: challenges, too.
            self._tap.trace = None if phase is Phase.AUTH else self._trace


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
