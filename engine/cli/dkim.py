"""`sokutatsu dkim`: make a key, verify a message, check that DNS and key agree (RFC 6376, RFC 8463).

`check` is the self-check before a sender goes live: it signs a probe with the key file and lets dkimpy, written by
others, verify it against the record that DNS really gives. Keys are read as strictly as the engine reads them, written
with mode 0600 and never over an existing file. Exit codes: 0 all is well, 1 it is not, 2 the command cannot be done.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dkim
import dns.exception
import dns.resolver

from engine.cli.speaking import add_json, tell
from engine.net.resolver import is_address
from engine.signer.backend import OpensslBackend
from engine.signer.keys import (
    KeyFileError,
    PrivateKey,
    algorithm_of,
    dns_record,
    generate_key,
    key_pem,
    public_text,
    read_key,
)

STRING_LIMIT = 255
"""Bytes of one character-string in a TXT record (RFC 1035 3.3)."""
RECORD_LIMIT = 8192
MESSAGE_LIMIT = 64 << 20
DNS_SECONDS = 5.0
SIGNATURES_LIMIT = 20
DKIMPY_ERRORS = (dkim.DKIMException, ValueError, TypeError, LookupError)
"""Its own, and those of its parsers that it lets pass on hostile input."""
LABELS = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*", re.IGNORECASE)


class DkimFault(Exception):  # noqa: N818 - said to the operator in one line, nothing to trace
    """Why it is not well."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `dkim` and its three commands; each leaves `run`, called with the arguments, which returns the exit code."""
    commands = subparsers.add_parser("dkim", help="DKIM keys and signatures").add_subparsers(required=True)
    keygen = commands.add_parser("keygen", help="write a new key and print its DNS record")
    keygen.add_argument("domain", type=_name, help="signing domain, d=")
    keygen.add_argument("--selector", type=_name, required=True, help="s=, the first label of the DNS name")
    keygen.add_argument("--algorithm", choices=("rsa", "ed25519"), default="rsa", help="default: rsa, of 2048 bits")
    keygen.add_argument("--out", type=Path, required=True, metavar="FILE", help="PEM, mode 0600; must not exist")
    keygen.set_defaults(run=run_keygen)
    verify = commands.add_parser("verify", help="verify every signature of a message")
    verify.add_argument("file", type=Path, help="RFC 5322 message; - is the standard input")
    verify.add_argument("--nameserver", type=_server, metavar="ADDRESS[:PORT]", help="ask this one")
    verify.set_defaults(run=run_verify)
    check = commands.add_parser("check", help="compare a key with its DNS record and verify a probe")
    check.add_argument("domain", type=_name)
    check.add_argument("--selector", type=_name, required=True)
    check.add_argument("--key", type=Path, required=True, metavar="FILE", help="private key in PEM form")
    check.add_argument("--nameserver", type=_server, metavar="ADDRESS[:PORT]", help="ask this one")
    check.set_defaults(run=run_check)
    for one in (keygen, verify, check):
        add_json(one)


def _name(text: str) -> str:
    if len(text) > 253 or not LABELS.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{ascii(text)[:80]} is no DNS name; write international names as xn--...")
    return text.lower()


def _server(text: str) -> tuple[str, int]:
    """ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT."""
    host, colon, port = text.rpartition(":")
    if is_address(text) or not (colon and port.isascii() and port.isdigit() and int(port) < 65536):
        host, port = text, "53"
    host = host.removeprefix("[").removesuffix("]")
    if not is_address(host):
        raise argparse.ArgumentTypeError(f"{ascii(text)[:80]} is no address; write 192.0.2.1, 192.0.2.1:53 or [::1]:53")
    return host, int(port)


def run_keygen(arguments: argparse.Namespace) -> int:
    key = generate_key(arguments.algorithm)
    try:
        _write_new(arguments.out, key_pem(key))
    except OSError as error:
        return _failed(f"{arguments.out}: {error.strerror}; --out must name a new file in a folder that you may write")
    name = f"{arguments.selector}._domainkey.{arguments.domain}"
    record = dns_record(key)
    told = {"file": str(arguments.out), "name": name, "record": record, "algorithm": algorithm_of(key)}
    remark = f"# key written to {arguments.out} (mode 0600); publish this record, then: sokutatsu dkim check"
    tell(arguments, told, remark, zone_line(name, record))
    return 0


def _write_new(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, 0o600)
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)


def zone_line(name: str, record: str) -> str:
    """As it goes into a zone file: strings of at most 255 bytes, which readers join without a space."""
    strings = [f'"{record[at : at + STRING_LIMIT]}"' for at in range(0, len(record), STRING_LIMIT)]
    return f"{name}. IN TXT ( {' '.join(strings)} )"


def run_verify(arguments: argparse.Namespace) -> int:
    try:
        message = _read_message(arguments.file)
    except OSError as error:
        return _failed(f"{arguments.file}: {error.strerror}")
    if len(message) > MESSAGE_LIMIT:
        return _failed(f"{arguments.file}: larger than {MESSAGE_LIMIT} bytes")
    verdicts = list(verify_message(message, lambda name: fetch_record(name, arguments.nameserver)))
    lines = [f"{'pass' if passed else 'fail'} {text}" for passed, text in verdicts]
    told = [{"passed": passed, "text": text} for passed, text in verdicts]
    tell(arguments, {"signatures": told}, *(lines or ["fail no DKIM-Signature in the header"]))
    return 0 if verdicts and all(passed for passed, _ in verdicts) else 1


def _read_message(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read(MESSAGE_LIMIT + 1)
    with file.open("rb") as stream:
        return stream.read(MESSAGE_LIMIT + 1)


def verify_message(message: bytes, fetch: Callable[[str], bytes]) -> Iterator[tuple[bool, str]]:
    """(passed, what and why) for each signature, by dkimpy. `fetch` gives the record at a name or raises DkimFault."""
    try:
        count = sum(name.lower() == b"dkim-signature" for name, _ in dkim.DKIM(message, logger=Remarks()).headers)
    except dkim.DKIMException as error:
        yield False, f"the message cannot be read ({_shown(error)})"
        return
    for number in range(min(count, SIGNATURES_LIMIT)):
        yield _verify_one(message, number, fetch)


class Remarks:
    """Stands where dkimpy wants a logger, and keeps what it would only log: why a record is no key."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = ""

    def debug(self, text: str) -> None:
        """Nobody reads it."""

    def error(self, text: str) -> None:
        self.last = text


def _verify_one(message: bytes, number: int, fetch: Callable[[str], bytes]) -> tuple[bool, str]:
    remarks = Remarks()
    verifier = dkim.DKIM(message, logger=remarks)
    try:
        passed = bool(verifier.verify(idx=number, dnsfunc=lambda name, **_: fetch(name.decode("ascii"))))
        reason = "" if passed else f" ({_shown(remarks.last) or 'the signature does not fit header or key'})"
    except (*DKIMPY_ERRORS, DkimFault) as error:
        passed, reason = False, f" ({_shown(error)})"
    fields = verifier.signature_fields or {}
    tags = " ".join(f"{tag}={_shown(fields.get(tag.encode(), b'?').decode('ascii', 'replace'))}" for tag in "dsa")
    return passed, tags + reason


def run_check(arguments: argparse.Namespace) -> int:
    try:
        key = read_key(arguments.key)
    except KeyFileError as error:
        return _failed(str(error))
    name = f"{arguments.selector}._domainkey.{arguments.domain}"
    try:
        record = fetch_record(name, arguments.nameserver)
        compare(record, key)
        verify_probe(key, arguments.domain, arguments.selector, record)
    except DkimFault as fault:
        told = {"passed": False, "name": name, "text": str(fault), "expected": dns_record(key)}
        tell(arguments, told, f"fail {name}: {fault}", f"     expected {dns_record(key)}")
        return 1
    text = "the record fits the key, and dkimpy verified a probe signed with it"
    tell(arguments, {"passed": True, "name": name, "text": text}, f"pass {name}: {text}")
    return 0


def fetch_record(name: str, nameserver: tuple[str, int] | None = None) -> bytes:
    """The one TXT record at `name`, strings joined. Raises DkimFault."""
    resolver = dns.resolver.Resolver(configure=nameserver is None)
    if nameserver is not None:
        resolver.nameservers, resolver.port = [nameserver[0]], nameserver[1]
    try:
        answer = resolver.resolve(name, "TXT", lifetime=DNS_SECONDS, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        raise DkimFault("DNS has no TXT record there; publish it") from None
    except dns.exception.DNSException as error:
        raise DkimFault(
            f"DNS gave no answer ({_shown(error)}); try again, or name a server with --nameserver"
        ) from None
    records = [b"".join(record.strings) for record in answer]
    if len(records) > 1:
        # RFC 6376 3.6.2.2: with several, what a verifier does is undefined.
        raise DkimFault(f"DNS has {len(records)} TXT records there; leave one")
    if len(records[0]) > RECORD_LIMIT:
        raise DkimFault(f"the record has {len(records[0])} bytes; a key's record has less than {RECORD_LIMIT}")
    return records[0]


def compare(record: bytes, key: PrivateKey) -> None:
    """Raises DkimFault at the first tag with which a verifier would refuse our signatures (RFC 6376 3.6.1)."""
    tags = {}
    for part in record.decode("ascii", "replace").split(";"):
        tag, _, value = part.partition("=")
        tags[tag.strip()] = "".join(value.split())
    kind = algorithm_of(key).partition("-")[0]
    if tags.get("v", "DKIM1") != "DKIM1":
        raise DkimFault(f"v={_shown(tags['v'])} is not DKIM1")
    if tags.get("k", "rsa") != kind:
        raise DkimFault(f"k={_shown(tags.get('k', 'rsa'))}, but the key is {kind}")
    if "h" in tags and "sha256" not in tags["h"].split(":"):
        raise DkimFault(f"h={_shown(tags['h'])} does not allow sha256")
    if "s" in tags and not {"*", "email"} & set(tags["s"].split(":")):
        raise DkimFault(f"s={_shown(tags['s'])} does not allow email")
    if not tags.get("p"):
        raise DkimFault("p= is empty: the key is revoked")
    if tags["p"] != public_text(key):
        raise DkimFault("p= is another key than the file's")
    if "y" in tags.get("t", "").split(":"):
        raise DkimFault("t=y says that the domain only tests DKIM; remove it")


def verify_probe(key: PrivateKey, domain: str, selector: str, record: bytes) -> None:
    """Raises DkimFault when dkimpy does not accept our signature with that record."""
    remarks = Remarks()
    try:
        passed = dkim.DKIM(probe(key, domain, selector), logger=remarks).verify(dnsfunc=lambda *_, **__: record)
    except DKIMPY_ERRORS as error:
        raise DkimFault(f"dkimpy cannot verify a probe ({_shown(error)})") from None
    if not passed:
        raise DkimFault(f"dkimpy refuses a probe signed with the key ({_shown(remarks.last)})")


def probe(key: PrivateKey, domain: str, selector: str) -> bytes:
    """A small signed message whose lines are their own relaxed canonical form but for the case of the names."""
    body = b"probe\r\n"
    body_hash = base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")
    fields = [("From", f"probe@{domain}"), ("Subject", "sokutatsu dkim check")]
    signature = f"v=1; a={algorithm_of(key)}; c=relaxed/relaxed; d={domain}; s={selector};"
    signature += f" h=From:Subject; bh={body_hash}; b="
    hashed = "".join(f"{name.lower()}:{value}\r\n" for name, value in fields) + f"dkim-signature:{signature}"
    signed = OpensslBackend([key]).sign_one(0, hashlib.sha256(hashed.encode("ascii")).digest())
    fields.insert(0, ("DKIM-Signature", signature + base64.b64encode(signed).decode("ascii")))
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode("ascii") + b"\r\n" + body


def _shown(value: object) -> str:
    return ascii(" ".join(str(value).split()))[1:-1][:120]


def _failed(text: str) -> int:
    print(f"sokutatsu dkim: {text}", file=sys.stderr)
    return 2
