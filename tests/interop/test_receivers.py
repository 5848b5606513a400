"""Our mail at other people's servers: everything arrives once and unchanged, and strangers find the signatures good."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.integration.running import Running
from tests.interop.peers.exim import exim
from tests.interop.peers.haraka import NEEDED, haraka
from tests.interop.peers.names import Names
from tests.interop.peers.opensmtpd import opensmtpd
from tests.interop.peers.place import Copy, Peer
from tests.interop.peers.postfix import postfix
from tests.interop.peers.readers import Rspamd, opendkim, perl
from tests.interop.rig import MAILS, UTF8, Keys, Mail, engine, terms

EACH = 4
"""Recipients of each mail: more than one goes over the same connection."""
Start = Callable[[Path, Names], AbstractContextManager[Peer]]
PEERS: dict[str, tuple[Start, bool]] = {
    "postfix": (lambda folder, _dns: postfix(folder), True),
    # strict_8bitmime finds the UTF-8 address in Postfix's own Received field improper.
    "pedantic-postfix": (lambda folder, _dns: postfix(folder, pedantic=True), False),
    "exim": (lambda folder, dns: exim(folder, dns.resolver), True),
    "opensmtpd": (lambda folder, dns: opensmtpd(folder, dns.resolver), False),
    "haraka": (lambda folder, dns: haraka(folder, dns.resolver), True),
}


def submit(running: Running, mails: tuple[Mail, ...], domain: str) -> list[str]:
    expected = []
    with running.client() as client:
        for mail in mails:
            recipients = mail.recipients(domain, EACH)
            answer = client.submit(recipients, terms(mail.message, mail.name))
            assert answer.accepted == EACH, answer
            expected += [address for address, _ in recipients]
    return expected


def mail_of(mails: tuple[Mail, ...], copy: Copy) -> Mail:
    return next(mail for mail in mails if mail.name == copy.recipient.split(".")[1])


BOTH = {"ALLOW": ["shop.example:s=ed", "shop.example:s=rsa"]}


def are_well_signed(copies: list[Copy], dns: Names, spam: Rspamd, folder: Path) -> None:
    """By opendkim, Mail::DKIM and rspamd."""
    for copy in copies:
        assert opendkim(copy.message, dns.resolver, folder) == "", copy.recipient
        verdicts = perl(copy.message, dns.resolver)
        assert len(verdicts) == 2, verdicts
        assert "rsa-sha256 pass" in verdicts, verdicts
        assert spam.signatures(copy.message) == BOTH, copy.recipient


@pytest.mark.parametrize("pipelining", ["true", "false"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDED if name == "haraka" else ()) for name in PEERS])
def test_every_mail_arrives_once_and_unchanged(
    name: str, pipelining: str, place: Path, dns: Names, keys: Keys, filter_of_spam: Rspamd
) -> None:
    start, is_utf8 = PEERS[name]
    folder = place / f"{name}-{pipelining}"
    mails = (*MAILS, UTF8) if is_utf8 else MAILS
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(start(folder, dns))
        shaping = {"enable_pipelining": pipelining}
        running = stack.enter_context(engine(folder / "engine", keys, {"*": f"127.0.0.1:{peer.port}"}, shaping=shaping))
        expected = submit(running, mails, "peer.example")
        status = running.settled()
        assert status["delivered"] == len(expected), running.journal()
        copies = peer.await_copies(len(expected))
        assert running.stop() == 0
        assert Counter(copy.recipient for copy in copies) == Counter(expected)
        assert running.ends() == {"Delivery": len(expected)}
        for copy in copies:
            mail_of(mails, copy).check(copy)
        once = {mail_of(mails, copy).name: copy for copy in copies}
        are_well_signed(list(once.values()), dns, filter_of_spam, folder)
        if name == "exim":
            log = (folder / "log" / "mainlog").read_text("utf-8", "replace")
            for algorithm in ("rsa-sha256", "ed25519-sha256"):
                good = re.findall(rf"DKIM: d=shop\.example .*a={algorithm} .*\[verification succeeded\]", log)
                assert len(good) == len(expected), log[-3000:]


def test_the_readers_tell_a_changed_message(place: Path, dns: Names, keys: Keys, filter_of_spam: Rspamd) -> None:
    """Otherwise their praise above would say nothing."""
    folder = place / "changed"
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(postfix(folder))
        running = stack.enter_context(engine(folder / "engine", keys, {"*": f"127.0.0.1:{peer.port}"}))
        with running.client() as client:
            client.submit(["reader@peer.example"], terms({"subject": "Hello", "text": "Dear reader\n"}, "m"))
        (copy,) = peer.await_copies(1)
    are_well_signed([copy], dns, filter_of_spam, folder)
    for changed in (copy.message.replace(b"Dear", b"Deer"), copy.message.replace(b"Subject: H", b"Subject: h")):
        assert changed != copy.message
        assert opendkim(changed, dns.resolver, folder) != ""
        assert not any("pass" in verdict for verdict in perl(changed, dns.resolver))
        assert filter_of_spam.signatures(changed) == {"REJECT": BOTH["ALLOW"]}
