"""Recipients: the identifier as text, the domain of an address."""

from engine.mail.envelope import Batch, Priority, Recipient, recipient_text


def test_recipient() -> None:
    batch = Batch(1, "shop", "TX", "", "m", 1, Priority.BULK, 0.0, 0, 0)
    assert Recipient(1, batch, '"a@b"@example.jp', {}).domain == "example.jp"
    assert Priority.TRANSACTIONAL < Priority.BULK


def test_text() -> None:
    assert recipient_text(0) == "0" * 16
    assert recipient_text(0xABC << 48 | 0x1F) == "0abc00000000001f"
