"""The real engine against foreign servers: its configuration, and a mailing of all shapes that mail has.

`Mail` is what is submitted together with what must be found in the copy that arrived. Raw messages keep their octets, so
their body is compared octet for octet; of templates the decoded text is compared.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

from bench.processes import free_port
from engine.client import Terms
from engine.signer.keys import dns_record, generate_key, key_pem
from tests.integration.running import SHAPING, Running
from tests.interop.peers.place import Copy

DOMAIN = "shop.example"
RAW = f"From: News <news@{DOMAIN}>\r\nTo: reader@peer.example\r\nSubject: {{subject}}\r\n"


@dataclass(frozen=True, slots=True)
class Keys:
    """Of the sender: RSA and Ed25519."""

    pem: Mapping[str, bytes]
    records: Mapping[str, str]

    @staticmethod
    def make() -> Keys:
        made = {"rsa": generate_key("rsa"), "ed": generate_key("ed25519")}
        return Keys({name: key_pem(key) for name, key in made.items()}, {n: dns_record(k) for n, k in made.items()})

    def zone(self) -> list[str]:
        """Lines for the zone of DOMAIN's parent."""
        label = DOMAIN.partition(".")[0]
        texts = {
            name: " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))
            for name, text in self.records.items()
        }
        return [f"{name}._domainkey.{label} TXT {text}" for name, text in texts.items()]


def configuration(
    routes: Mapping[str, str | tuple[str, str]],
    admin: int,
    *,
    tls: str = "Opportunistic",
    shaping: Mapping[str, object],
    more: str,
) -> str:
    limits = "\n".join(f"{key} = {value}" for key, value in {**SHAPING, "enable_tls": f'"{tls}"', **shaping}.items())
    places = {domain: (to, tls) if isinstance(to, str) else to for domain, to in routes.items()}
    routed = "\n".join(f'"{domain}" = {{ to = "{to}", tls = "{mode}" }}' for domain, (to, mode) in places.items())
    keys = "\n".join(f'[[senders.shop.dkim]]\nselector = "{name}"\nkey = "{name}.pem"' for name in ("rsa", "ed"))
    return f"""[engine]
state = "state"
ehlo_name = "out.{DOMAIN}"
stop_seconds = 10.0
[signer]
workers = 1
[admin]
listen = "127.0.0.1:{admin}"
[senders.shop]
legal_name = "x"
address = "news@{DOMAIN}"
unsubscribe_url = "https://{DOMAIN}/u/{{token}}"
{keys}
[preflight]
mode = "off"
[routes]
{routed}
[shaping.default]
{limits}
{more}
"""


@contextlib.contextmanager
def engine(
    folder: Path,
    keys: Keys,
    routes: Mapping[str, str | tuple[str, str]],
    *,
    tls: str = "Opportunistic",
    shaping: Mapping[str, object] | None = None,
    more: str = "",
) -> Iterator[Running]:
    """`routes`: domain -> host:port, or that and the TLS mode."""
    folder.mkdir(exist_ok=True, parents=True)
    admin = free_port()
    text = configuration(routes, admin, tls=tls, shaping=shaping or {}, more=more)
    (folder / "sokutatsu.toml").write_text(text, "utf-8")
    for name, pem in keys.pem.items():
        (folder / f"{name}.pem").touch(0o600)
        (folder / f"{name}.pem").write_bytes(pem)
    running = Running(folder, admin)
    with running.stack:
        running.start()
        yield running


def terms(message: Mapping[str, Any], mailing: str) -> Terms:
    return Terms(sender="shop", category="TX", mailing=mailing, message=message)


@dataclass(frozen=True, slots=True)
class Mail:
    name: str
    """Of the mailing and of the recipients."""
    message: Mapping[str, Any]
    fields: Mapping[str, str] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    """Must be found in its decoded parts."""
    utf8_address: bool = False

    def recipients(self, domain: str, count: int) -> list[tuple[str, Mapping[str, str]]]:
        local = "読者" if self.utf8_address else "reader"
        return [(f"{local}.{self.name}.{number}@{domain}", self.fields) for number in range(count)]

    def check(self, copy: Copy) -> None:
        """The body is what was submitted, octet for octet where it was given in octets."""
        if "raw" in self.message:
            assert copy.body == self.message["raw"].partition(b"\r\n\r\n")[2], self.name
        parsed = cast("EmailMessage", email.message_from_bytes(copy.message, policy=email.policy.default))
        parts = [part for part in parsed.walk() if part.get_content_maintype() == "text"]
        found = "\n".join(part.get_content() for part in parts).replace("\r\n", "\n")
        for text in self.texts:
            assert text in found, (self.name, text, found[:1000])


def raw(subject: str, body: bytes, header: str = "") -> dict[str, bytes]:
    return {"raw": (RAW.format(subject=subject) + header + "\r\n").encode() + body}


EIGHT_BIT = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
ISO_2022 = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-2022-jp\r\nContent-Transfer-Encoding: 7bit\r\n"
JAPANESE = "速達のお知らせ、いつもありがとうございます。髙橋様 ㈱ ① 〜\n"
DOTS = b".\r\n..\r\n.leading\r\n...\r\n .\r\n. \r\nQUIT\r\n.\r\n\r\n.\r\n"
LONG = b"".join(b"%d " % n + b"x" * (996 - len(b"%d" % n)) + b"\r\n" for n in (1, 22, 333)) + b"." * 998 + b"\r\n"
MAILS = (
    Mail("plain", {"subject": "Hello", "text": "Dear {{name}},\n.\n..dots\n\nBye\n"}, {"name": "A"}, texts=(
        "Dear A,\n.\n..dots\n\nBye\n",
    )),
    Mail("japanese", {
        "subject": "{{name}} 様 秋のお知らせ" * 3, "text": JAPANESE + "{{name}} 様\n%cancelurl%\n",
        "html": "<p>{{name}} 様</p><p>" + JAPANESE * 20 + "</p>", "headers": {"List-ID": "<news.shop.example>"},
    }, {"name": "山田 <太郎> & 花子"}, texts=("山田 <太郎> & 花子 様", "山田 &lt;太郎&gt; &amp; 花子 様", JAPANESE * 20)),
    Mail("eight-bit", raw("8", (JAPANESE * 5).replace("\n", "\r\n").encode(), EIGHT_BIT), texts=(JAPANESE,)),
    Mail("jis", raw("JIS", "配信停止はこちら\r\n".encode("iso-2022-jp") * 40, ISO_2022), texts=("配信停止はこちら",)),
    Mail("dots", raw("dots", DOTS)),
    Mail("long", raw("long lines", LONG)),
    Mail("spaces", raw("spaces", b"one  two \t \r\n\t\r\n   \r\n\r\n\r\n", "X-Fold: a\r\n\tb \r\n  c\r\n")),
    Mail("empty", raw("empty", b"")),
    Mail("megabyte", raw("1 MB", (b"A" * 76 + b"\r\n") * 13_500, EIGHT_BIT.replace("8bit", "base64"))),
)  # fmt: skip
UTF8 = Mail("utf8", raw("件名も宛先も UTF-8", JAPANESE.replace("\n", "\r\n").encode(), EIGHT_BIT), utf8_address=True)
