"""Keys, a sender, a mailing and a verifier for the tests of engine/mail."""

from __future__ import annotations

import base64
import dataclasses
import email
import email.policy
from email.message import EmailMessage

import dkim
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from engine.mail.compose import Compiled, Draft, Facts, date_text, make_message_id
from engine.mail.identity import SenderIdentity, cancel_url
from engine.signer.settings import KeyInfo

NOW = 1_700_000_000.5
RSA = KeyInfo(0, "example.jp", "r2026", "rsa-sha256", 256, "")
ED = KeyInfo(1, "example.jp", "e2026", "ed25519-sha256", 64, "")
_RSA_KEY = rsa.generate_private_key(65537, 2048)
_ED_KEY = ed25519.Ed25519PrivateKey.generate()

SHOP = SenderIdentity(
    name="shop",
    from_address="news@example.jp",
    from_display="速達ショップ",
    domain="example.jp",
    return_path_domain="b.example.jp",
    message_id_domain="example.jp",
    unsubscribe_url="https://u.example.jp/u/{token}?a=1&b=2",
    feedback_id=("spring", "sokutatsu"),
)
PLAIN_SHOP = dataclasses.replace(SHOP, unsubscribe_url="", feedback_id=(), from_display="")
TOKEN = "0123456789abcdef0123456789abcdef"


def dns(name: bytes, timeout: int = 5) -> bytes:
    if name.startswith(b"r2026."):
        form, public = serialization.PublicFormat.SubjectPublicKeyInfo, _RSA_KEY.public_key()
        der = public.public_bytes(serialization.Encoding.DER, form)
        return b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)
    raw = _ED_KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw)


def sign(key: KeyInfo, digest: bytes) -> bytes:
    if key is RSA:
        return _RSA_KEY.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    return _ED_KEY.sign(digest)


def facts(
    fields: dict[str, str], *, number: int = 7, address: str = "taro@example.com", sender: SenderIdentity = SHOP
) -> Facts:
    return Facts(
        recipient_id=number,
        address=address,
        fields=fields,
        date_text=date_text(NOW),
        cancel_url=cancel_url(sender, TOKEN),
        message_id=make_message_id(number, sender.message_id_domain),
    )


def finish(draft: Draft, keys: tuple[KeyInfo, ...] = (RSA, ED)) -> bytes:
    return draft.finish([(key, sign(key, draft.digest(key, NOW))) for key in keys])


def unstuffed(payload: bytes) -> bytes:
    """As the receiver has it (RFC 5321 4.5.2)."""
    lines = payload.split(b"\r\n")
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)


def received(payload: bytes) -> EmailMessage:
    """What a receiver makes of it: transport rules hold, every signature verifies."""
    assert payload.endswith(b"\r\n")
    assert b"\0" not in payload
    assert payload.count(b"\r\n") == payload.count(b"\r") == payload.count(b"\n")
    assert not any(line == b"." or len(line) > 998 for line in payload.split(b"\r\n"))
    message = unstuffed(payload)
    for index in range(payload.count(b"\r\nDKIM-Signature:") + payload.startswith(b"DKIM-Signature:")):
        assert dkim.DKIM(message).verify(index, dnsfunc=dns)
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    return parsed


def mail(
    compiled: Compiled, fields: dict[str, str], sender: SenderIdentity = SHOP, address: str = "taro@example.com"
) -> EmailMessage:
    return received(finish(compiled.compose(facts(fields, sender=sender, address=address))))


def content(parsed: EmailMessage, subtype: str) -> str:
    part = parsed.get_body((subtype,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n").removesuffix("\n")
