"""Records: each fact under its own name."""

from __future__ import annotations

from engine.flow.report import record_of, response_of, wire_of
from engine.journal import EnhancedCode, Peer, Record, Response
from engine.mail.envelope import Batch, Priority, Recipient
from engine.smtp.reply import Reply


def recipient() -> Recipient:
    batch = Batch(7, "shop", "AD", "news", "aki", 1, Priority.BULK, 1000.5, 0, 2000)
    return Recipient(0xABC, batch, "taro@example.jp", {}, attempts=3, epoch=42, basis="C1_OPTIN")


def test_every_fact_stands_under_its_name() -> None:
    record = record_of(
        "Bounce",
        recipient(),
        1234.5,
        "n1",
        "mx.example.jp:25",
        "b+1@bounce.example.jp",
        response_of(Reply(550, "5.1.1", "no such user"), "RCPT"),
        wire_of(("mx.example.jp", "192.0.2.1"), "TLSv1.3/TLS_AES_256_GCM_SHA384", "s1"),
        "out1",
        bounce_class="unknown_user",
        reason="why",
        size=4096,
        in_doubt=True,
    )
    assert record == Record(
        type="Bounce",
        id="0000000000000abc",
        timestamp=1234.5,
        sender="b+1@bounce.example.jp",
        recipient="taro@example.jp",
        queue="aki:shop@example.jp",
        site="mx.example.jp:25",
        size=4096,
        response=Response(550, EnhancedCode(5, 1, 1), "no such user", "RCPT TO"),
        peer_address=Peer("mx.example.jp", "192.0.2.1"),
        created=1000.5,
        num_attempts=3,
        bounce_classification="unknown_user",
        egress_source="out1",
        nodeid="n1",
        session_id="s1",
        tls_cipher="TLS_AES_256_GCM_SHA384",
        tls_protocol_version="TLSv1.3",
        in_doubt=True,
        legal_sender="shop",
        category="AD",
        topic="news",
        mailing="aki",
        basis="C1_OPTIN",
        reason="why",
        epoch=42,
    )


def test_without_a_connection_nothing_of_one_is_told() -> None:
    record = record_of("Suppressed", recipient(), 1.0, "n1", reason="OPTOUT_ALL")
    assert record.peer_address is None
    assert (record.session_id, record.tls_cipher, record.response) == ("", "", None)


def test_plain_connections_have_no_tls() -> None:
    wire = wire_of(("mx", "192.0.2.1"), "", "s2")
    assert (wire.tls_cipher, wire.tls_protocol_version) == ("", "")
