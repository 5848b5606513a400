"""Whatever stands in a merge field, a template or a raw message: the header has the same fields, the body the same
structure, nothing but CRLF ends a line, and verifiers written by others accept both signatures.
"""

from __future__ import annotations

import base64
import email
import email.policy
import html
from email.message import EmailMessage

import dkim
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.mail.address import AddressError, parse_address
from engine.mail.compose import Compiled, Facts, date_text, make_message_id
from engine.mail.identity import SenderIdentity, cancel_url
from engine.mail.message import MessageError, decode_message
from engine.mail.slots import check_fields
from engine.mail.template import compile_message
from engine.signer.settings import KeyInfo

NOW = 1_700_000_000
RSA = KeyInfo(0, "example.jp", "r", "rsa-sha256", 256, "")
ED = KeyInfo(1, "example.jp", "e", "ed25519-sha256", 64, "")
RSA_KEY = rsa.generate_private_key(65537, 2048)
ED_KEY = ed25519.Ed25519PrivateKey.generate()
RECORDS = {
    b"r": b"v=DKIM1; k=rsa; p="
    + base64.b64encode(
        RSA_KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    ),
    b"e": b"v=DKIM1; k=ed25519; p="
    + base64.b64encode(ED_KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)),
}
SHOP = SenderIdentity(
    name="shop",
    from_address="news@example.jp",
    from_display="速達ショップ",
    domain="example.jp",
    return_path_domain="b.example.jp",
    message_id_domain="example.jp",
    unsubscribe_url="https://u.example.jp/{token}?a=1&b=2",
    feedback_id=("spring", "sokutatsu"),
)
JAPANESE = "いつもご利用いただき、まことにありがとうございます。\n" * 3
ENGLISH = "Thank you for shopping with us; this is what we have for you this month.\n" * 3

# Far more line ends, specials and encoded-word look-alikes than chance would give.
NASTY = st.sampled_from(
    [
        "\r\n",
        "\n",
        "\r",
        "\0",
        "\r\nBcc: x@example.com",
        ".",
        "\r\n.\r\n",
        "=?utf-8?q?=0d=0a?=",
        "  ",
        "\t",
        " ",
        "<",
        "&",
        "'",
        '"',
        "=",
        "--=_",
        "\x85",
        "\u2028",
        "\ud800",
        "\u3000",
        "{{a}}",
        "%cancelurl%",
        "From ",
    ]
)
VALUES = st.lists(st.one_of(st.text(max_size=40), NASTY), max_size=6).map("".join)


def payload_of(compiled: Compiled, fields: dict[str, str], address: str = "taro@example.com") -> bytes:
    facts = Facts(7, address, fields, date_text(NOW), cancel_url(SHOP, "t0"), make_message_id(7, "example.jp"))
    draft = compiled.compose(facts)
    rsa_signature = RSA_KEY.sign(draft.digest(RSA, NOW), padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    return draft.finish([(RSA, rsa_signature), (ED, ED_KEY.sign(draft.digest(ED, NOW)))])


def received(payload: bytes) -> EmailMessage:
    assert payload.endswith(b"\r\n")
    assert b"\0" not in payload
    assert payload.count(b"\r\n") == payload.count(b"\r") == payload.count(b"\n")
    lines = payload.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert b"." not in lines
    message = b"\r\n".join(line.removeprefix(b".") for line in lines)
    for index in (0, 1):
        assert dkim.DKIM(message).verify(index, dnsfunc=lambda name, timeout=5: RECORDS[name[:1]])
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    return parsed


def shape(parsed: EmailMessage) -> list[object]:
    return [parsed.keys(), [(part.get_content_type(), part.keys(), part.defects) for part in parsed.walk()]]


def text_of(parsed: EmailMessage, subtype: str) -> str:
    part = parsed.get_body((subtype,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n").removesuffix("\n")


TEMPLATES = [
    {"text": "{{a}}様\n" + JAPANESE + "{{b}}\n%cancelurl%", "html": "<p title='{{a}}'>{{b}}</p>" + JAPANESE},
    {"text": "Dear {{a}},\n" + ENGLISH + "{{b}}", "html": "<p>" + ENGLISH + "{{a}}{{b}}</p>"},
    {"text": "{{a}}\n{{b}}\n"},
    {"text": "Dear {{a}}{{b}}\n" + ENGLISH},
]
COMPILED = [
    compile_message(
        decode_message({"subject": subject, "headers": {"X-Who": "{{b}}", "Comments": "{{a}} {{b}}"}, **body}), SHOP
    )
    for body in TEMPLATES
    for subject in ("{{a}}様へ", "Hello {{a}}")
]
SHAPES = [shape(received(payload_of(compiled, {"a": "Taro", "b": "1"}))) for compiled in COMPILED]


@settings(max_examples=60, deadline=None)
@given(which=st.integers(0, len(COMPILED) - 1), a=VALUES, b=VALUES)
def test_no_value_changes_the_shape_of_a_mail(which: int, a: str, b: str) -> None:
    fields = {"a": a, "b": b}
    parsed = received(payload_of(COMPILED[which], fields))
    assert shape(parsed) == SHAPES[which]
    if check_fields(COMPILED[which].use, fields) is None:
        assert (
            str(parsed["Subject"]).strip()
            == ("{{a}}様へ" if which % 2 == 0 else "Hello {{a}}").replace("{{a}}", a).strip()
        )
        assert text_of(parsed, "plain").rstrip("\n") == expected_text(which, a, b).rstrip("\n")


def expected_text(which: int, a: str, b: str) -> str:
    pieces = TEMPLATES[which // 2]["text"].replace("%cancelurl%", cancel_url(SHOP, "t0")).split("{{a}}")
    return a.join(piece.replace("{{b}}", b) for piece in pieces)


LITERALS = st.lists(
    st.one_of(
        st.sampled_from(["{{a}}", JAPANESE, ENGLISH, "\n", "  ", ".", "\n.\n", "=", " \n", "\t"]), st.text(max_size=30)
    ),
    max_size=8,
).map("".join)


@settings(max_examples=100, deadline=None)
@given(subject=LITERALS, text=LITERALS, markup=LITERALS, value=st.text(max_size=60))
def test_no_template_makes_a_mail_that_does_not_verify(subject: str, text: str, markup: str, value: str) -> None:
    try:
        spec = decode_message({"subject": subject, "text": text, "html": markup})
    except MessageError:
        return
    compiled = compile_message(spec, SHOP)
    fields = dict.fromkeys(compiled.use.names, value)
    if check_fields(compiled.use, fields) is not None:
        return
    parsed = received(payload_of(compiled, fields))
    for subtype, template, escape in (("plain", spec.text, str), ("html", spec.html, html.escape)):
        if template:
            merged = escape(value.replace("\r\n", "\n").replace("\r", "\n")).join(template.split("{{a}}"))
            assert text_of(parsed, subtype).rstrip("\n") == merged.rstrip("\n")


RAW_PIECES = st.sampled_from(
    [
        b"From: a@example.jp\r\n",
        b"Subject: x\r\n",
        b"\r\n",
        b" ",
        b"\r",
        b"\n",
        b".",
        b"\r\n.\r\n",
        b"Date:\r\n",
        b"X: y\r\n",
        b"\xe5\xb1\xb1",
        b"  \t",
        b"To: b@example.jp\r\n",
        b"List-Id: <a.b>\r\n",
    ]
)


@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(st.one_of(RAW_PIECES, st.binary(max_size=20)), max_size=10), whole=st.booleans())
def test_a_raw_message_is_refused_or_verifies(pieces: list[bytes], whole: bool) -> None:
    start = b"From: Shop <news@example.jp>\r\nSubject: s\r\n\r\n" if whole else b"From: news@example.jp\r\n"
    try:
        compiled = compile_message(decode_message({"raw": start + b"".join(pieces)}), SHOP)
    except MessageError:
        return
    received(payload_of(compiled, {}))


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.text(max_size=30),
        st.tuples(VALUES, VALUES).map("@".join),
        VALUES.map(lambda text: f"{text}@example.com"),
        VALUES.map(lambda text: f'"{text}"@example.com'),
    )
)
def test_an_accepted_address_can_stand_anywhere(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert address.wire.isprintable()
    assert not set(address.wire) & set(" <>,\r\n") or address.wire.startswith('"')
    assert parse_address(address.wire) == address._replace(text=address.wire)
    assert (
        str(received(payload_of(COMPILED[0], {"a": "", "b": ""}, address.wire))["To"].addresses[0].domain)
        == address.domain
    )
