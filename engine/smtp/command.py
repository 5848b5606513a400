"""Command lines and the payload's transparency (RFC 5321 4.1.1 and 4.5.2): the only maker of what we write.

Nothing that comes from outside (address, EHLO name) can end a line, add a parameter or a command: control
characters, stray angle brackets and spaces, non-ASCII without SMTPUTF8 and lines that are too long raise
CommandError. A payload with a bare CR, a bare LF or a NUL is refused, since receivers differ in what they take for
an end of data (SMTP smuggling, CVE-2023-51764 and its kin).
"""

from __future__ import annotations

import re

from engine.smtp.reply import shown

DATA = b"DATA\r\n"
RSET = b"RSET\r\n"
QUIT = b"QUIT\r\n"
DOT = b".\r\n"
EIGHTBIT = " BODY=8BITMIME"
"""Parameter of MAIL (RFC 6152)."""

MAX_PATH = 254
"""RFC 5321 4.5.3.1.3 with erratum 1690: 256 octets, the angle brackets included."""
MAX_LINE = 512
"""RFC 5321 4.5.3.1.4. MAIL gets what its parameters add (26 + 17 + 10 octets)."""

_QUOTED_LOCAL_PART = re.compile(r'"(?:[^"\\]|\\.)*"@[^ <>"]+')
_PLAIN_PATHS = re.compile(r"[!-;=?-~]{0,254}>[!-;=?-~]{1,254}")
"""Printable ASCII without space and angle brackets."""
_EHLO_NAME = re.compile(r"[A-Za-z0-9.\-]+|\[[A-Za-z0-9.:\-]+\]")


class CommandError(ValueError):
    """The argument cannot be written into a command line."""


def ehlo(name: str) -> bytes:
    """Takes a domain name or an address literal such as [192.0.2.1]."""
    if len(name) > 255 or _EHLO_NAME.fullmatch(name) is None:
        raise CommandError(f"EHLO name {shown(name)} is neither a host name nor an address literal in brackets")
    return b"EHLO %b\r\n" % name.encode("ascii")


def mail_from(reverse_path: str, *, size: int | None = None, eightbit: bool = False, utf8: bool = False) -> bytes:
    """`size` in bytes (RFC 1870); None where the server does not offer SIZE. The null path is ""."""
    line = b"MAIL FROM:<%b>" % (_path(reverse_path, "reverse-path", utf8=utf8) if reverse_path else b"")
    if size is not None:
        line += b" SIZE=%d" % size
    if eightbit:
        line += EIGHTBIT.encode("ascii")
    if utf8:
        line += b" SMTPUTF8"
    return line + b"\r\n"


def rcpt_to(address: str, *, utf8: bool = False) -> bytes:
    return b"RCPT TO:<%b>\r\n" % _path(address, "forward-path", utf8=utf8)


def group(reverse_path: str, forward_path: str, parameters: str = "") -> bytes:
    """MAIL, RCPT and DATA in one piece, for pipelining: what the three functions give, at a third of their cost.

    `parameters` are ours: " SIZE=1024", EIGHTBIT. Plain ASCII paths only; the rest must go the long way, and
    does: CommandError here means no more than that.
    """
    if _PLAIN_PATHS.fullmatch(f"{reverse_path}>{forward_path}") is None:
        raise CommandError("not two plain paths")
    return f"MAIL FROM:<{reverse_path}>{parameters}\r\nRCPT TO:<{forward_path}>\r\nDATA\r\n".encode("ascii")


def _path(address: str, what: str, *, utf8: bool) -> bytes:
    if not (address.isascii() or utf8):
        raise CommandError(f"{what} {shown(address)} is not ASCII and SMTPUTF8 is not in use")
    if not address.isprintable():
        raise CommandError(f"{what} {shown(address)} holds a control character")
    if (" " in address or "<" in address or ">" in address) and _QUOTED_LOCAL_PART.fullmatch(address) is None:
        raise CommandError(f"{what} {shown(address)} holds a space or an angle bracket outside of quotes")
    path = address.encode()
    if not 0 < len(path) <= MAX_PATH:
        raise CommandError(f"{what} {shown(address)} is {len(path)} bytes long, allowed are 1 to {MAX_PATH}")
    return path


def transparency(payload: bytes) -> bytes:
    """The message as it stands between DATA and the final dot: dots at line starts doubled (RFC 5321 4.5.2).

    The payload ends in CRLF. Raises CommandError for bare CR, bare LF, NUL, a missing last CRLF.
    """
    if not payload.endswith(b"\r\n"):
        raise CommandError(f"the payload does not end in CRLF but in {shown(payload[-8:])}")
    breaks = payload.count(b"\r\n")
    if payload.count(b"\n") != breaks or payload.count(b"\r") != breaks:
        raise CommandError("the payload holds a CR or LF that is not part of a CRLF")
    if b"\0" in payload:
        raise CommandError("the payload holds a NUL")
    if b"\r\n." in payload:
        payload = payload.replace(b"\r\n.", b"\r\n..")
    return b"." + payload if payload.startswith(b".") else payload
