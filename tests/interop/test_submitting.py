"""Other people's programs hand us mail by SMTP: swaks in every way it can log in, and a Postfix that relays through us."""

from __future__ import annotations

import email
import email.policy
import smtplib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest

from bench.processes import free_port
from engine.flow.users import entry_line
from tests.integration.running import Running
from tests.interop.conftest import Certificates
from tests.interop.peers.place import Peer
from tests.interop.peers.postfix import postfix
from tests.interop.rig import Keys, engine

RELAYING = """
virtual_mailbox_domains =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [localhost]:{port}
smtp_host_lookup = native
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = inline:{{ {{ [localhost]:{port} = shop:right }} }}
smtp_sasl_security_options = noanonymous
smtp_tls_security_level = secure
smtp_tls_wrappermode = {wrapped}
smtp_tls_CAfile = {authority}
"""


@dataclass(frozen=True, slots=True)
class Ours:
    running: Running
    port: int
    is_implicit: bool


@pytest.fixture(scope="module")
def peer(place: Path) -> Iterator[Peer]:
    with postfix(place / "submitted") as running:
        yield running


@pytest.fixture(scope="module", params=["starttls", "implicit"])
def ours(
    request: pytest.FixtureRequest, place: Path, keys: Keys, peer: Peer, certificates: Certificates
) -> Iterator[Ours]:
    folder, port = place / f"submission-{request.param}", free_port()
    folder.mkdir()
    (folder / "users").touch(0o600)
    (folder / "users").write_text(entry_line("shop", "right", ("shop",), cost=16) + "\n")
    more = f"""[submission]
listen = "127.0.0.1:{port}"
users = "users"
certificate = "{certificates.certificate}"
key = "{certificates.key}"
implicit_tls = {str(request.param == "implicit").lower()}
"""
    with engine(folder, keys, {"*": f"127.0.0.1:{peer.port}"}, more=more) as running:
        yield Ours(running, port, request.param == "implicit")


def swaks(port: int, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = ["swaks", "--server", "localhost", "--port", str(port), "--from", "news@shop.example", "--helo", "x"]
    command += ["--timeout", "10s", "--header", "X-Sokutatsu-Category: TX", *words]
    return subprocess.run(command, check=False, capture_output=True, timeout=60)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks(ours: Ours, peer: Peer, mechanism: str) -> None:
    before = len(peer.stored())
    tls = "--tls-on-connect" if ours.is_implicit else "--tls"
    login = ["--auth", mechanism, "--auth-user", "shop", "--auth-password"]
    to = f"{mechanism}.{len(tls)}"
    body = f"速達 {to}\\n.\\n..two\\n"
    wrong = swaks(ours.port, tls, *login, "wrong", "--to", f"no.{to}@peer.example")
    assert wrong.returncode == 28, wrong.stdout
    sent = swaks(
        ours.port, tls, *login, "right", "--to", f"a.{to}@peer.example,b.{to}@peer.example", "--body", body,
        "--header", "Subject: swaks", "--add-header", "MIME-Version: 1.0",
        "--add-header", "Content-Type: text/plain; charset=utf-8", "--add-header", "Content-Transfer-Encoding: 8bit",
    )  # fmt: skip
    assert sent.returncode == 0, sent.stdout
    copies = [copy for copy in peer.await_copies(before + 2) if to in copy.recipient]
    assert sorted(copy.recipient for copy in copies) == [f"a.{to}@peer.example", f"b.{to}@peer.example"]
    for copy in copies:
        assert copy.body.startswith(f"速達 {to}\r\n.\r\n..two\r\n".encode())
        assert b"Sokutatsu" not in copy.message


def test_a_password_is_not_taken_in_plain_text(ours: Ours) -> None:
    done = swaks(ours.port, "--auth", "PLAIN", "--auth-user", "shop", "--auth-password", "right", "--to", "a@b.example")
    assert done.returncode != 0
    assert b"AUTH PLAIN" not in done.stdout.replace(b"250-AUTH PLAIN", b"")


def test_a_postfix_relays_through_us(place: Path, ours: Ours, peer: Peer, certificates: Certificates) -> None:
    """What a web server has in front of its programs: a Postfix of its own that logs in at ours."""
    before = len(peer.stored())
    wrapped = "yes" if ours.is_implicit else "no"
    more = RELAYING.format(port=ours.port, authority=certificates.authority, wrapped=wrapped)
    mail = EmailMessage()
    mail["From"], mail["To"] = "news@shop.example", "r0@peer.example"
    mail["Subject"], mail["X-Sokutatsu-Category"] = "発送のお知らせ", "TX"
    mail.set_content("発送いたしました。\n.\n..two\n")
    to = [f"r{n}.{wrapped}@peer.example" for n in range(10)]
    with postfix(place / f"relay-{wrapped}", more=more) as relay:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as program:
            program.send_message(mail, "news@shop.example", to)
        peer.await_copies(before + len(to))
    found = [copy for copy in peer.copies() if copy.recipient in to]
    assert sorted(copy.recipient for copy in found) == to
    for copy in found:
        text = email.message_from_bytes(copy.message, policy=email.policy.default)
        assert text.get_content().replace("\r\n", "\n") == "発送いたしました。\n.\n..two\n"
        assert text["Subject"] == "発送のお知らせ"
