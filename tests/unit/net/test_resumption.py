"""Which sessions are kept, for how long, and that a context never gives one host another's."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from engine.net.resumption import MOST, SECONDS, ResumingContext, resuming

AUTHORITY = trustme.CA()
SERVER = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
AUTHORITY.issue_cert("a.example", "b.example").configure_cert(SERVER)


class Stage:
    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        AUTHORITY.cert_pem.write_to_path(folder / "ca.pem")
        self.context: ResumingContext = resuming(str(folder / "ca.pem"), lambda: self.now)

    def talk(self, host: str) -> bool:
        """Whether a session was taken up; its own is kept."""
        inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self.context.wrap_bio(inward, outward, server_hostname=host)
        server = SERVER.wrap_bio(outward, inward, server_side=True)
        waiting = [client, server]
        while waiting:
            for side in list(waiting):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                waiting.remove(side)
        server.write(b"250 ok\r\n")
        client.read(100)
        self.context.keep(host, client.session)
        return bool(client.session_reused)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_host_has_its_own_session_until_it_is_forgotten(stage: Stage) -> None:
    assert [stage.talk("a.example"), stage.talk("a.example"), stage.talk("b.example")] == [False, True, False]
    assert (stage.context.forget("a.example"), stage.context.forget("a.example")) == (True, False)
    assert [stage.talk("a.example"), stage.talk("b.example")] == [False, True]


def test_the_hour_is_that_of_the_first_handshake(stage: Stage) -> None:
    assert not stage.talk("a.example")
    stage.now = SECONDS - 1
    assert stage.talk("a.example")
    stage.now = SECONDS
    assert not stage.talk("a.example")
    assert stage.talk("a.example")


def test_sessions_are_bounded_and_none_is_not_kept(stage: Stage) -> None:
    stage.talk("a.example")
    session, _ = stage.context.sessions["a.example"]
    for n in range(MOST + 5):
        stage.context.keep(f"{n}.example", session)
    stage.context.keep("none.example", None)
    assert len(stage.context.sessions) == MOST
    assert "none.example" not in stage.context.sessions


def test_it_verifies_as_the_default_does(stage: Stage) -> None:
    model = ssl.create_default_context()
    for context in (stage.context, resuming()):
        assert (context.verify_mode, context.check_hostname) == (model.verify_mode, model.check_hostname)
        assert context.verify_flags == model.verify_flags
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLCertVerificationError):
        Stage.talk(stage, "c.example")
