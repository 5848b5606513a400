"""What the bench must know of the engine: its configuration, its key, its suppression ledger, its command.

Everything that changes when the engine's configuration changes stands in `engine_configuration`. The engine runs
with its defaults for durability: nothing here makes it faster than what a user gets, but the limits towards the
receiving site are opened, since the sink is nobody's mailbox.
"""

from __future__ import annotations

import base64
import importlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SENDER = "bench"
SENDER_DOMAIN = "news.bench.example"
SELECTOR = "bench1"
TOPIC = "newsletter"
REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Place:
    """Where one engine of the bench lives."""

    folder: Path

    @property
    def configuration(self) -> Path:
        return self.folder / "sokutatsu.toml"

    @property
    def socket(self) -> Path:
        return self.folder / "socket" / "sokutatsu.sock"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def key(self) -> Path:
        return self.folder / "dkim.pem"


def engine_command(place: Place) -> list[str]:
    return [sys.executable, "-m", "engine", "run", "--config", str(place.configuration)]


def engine_configuration(
    place: Place,
    *,
    routes: Sequence[tuple[str, str]],
    admin: str,
    tls: bool,
    connections: int,
    deliveries_per_connection: int,
    retry_seconds: float,
    signer: str,
    mx: tuple[int, int] | None = None,
) -> str:
    """The text of sokutatsu.toml. `routes`: (domain or "*", host:port); `admin`: host:port; `mx`: ports of the
    DNS server and of the receivers.
    """
    tls_mode = "RequiredInsecure" if tls else "Disabled"
    lines = [
        "[engine]",
        f'state = "{place.state}"',
        'ehlo_name = "bench.example"',
        "[socket]",
        f'path = "{place.socket}"',
        "[admin]",
        f'listen = "{admin}"',
        "[signer]",
        f'backend = "{signer}"',
        # The list of the bench stands for one that was mailed before, though the last-sent store is empty.
        "[guard]",
        "canary = 0",
        # And its storm of opt-outs is to be endured, not ended by pausing the mailing.
        "optout_share = 0.0",
        "[preflight]",
        'mode = "off"',
        f"[senders.{SENDER}]",
        'legal_name = "株式会社速達ベンチ"',
        f'address = "速達ベンチ商店 <shop@{SENDER_DOMAIN}>"',
        f'unsubscribe_url = "https://{SENDER_DOMAIN}/u/{{token}}"',
        f"[senders.{SENDER}.profile]",
        'postal_address = "〒100-0013 東京都千代田区霞が関2-1-2"',
        'phone = "03-0000-0000"',
        f"[[senders.{SENDER}.dkim]]",
        f'selector = "{SELECTOR}"',
        f'key = "{place.key}"',
        "[routes]",
        *(
            f'"{domain}" = "{to}"' if not tls else f'"{domain}" = {{ to = "{to}", tls = "{tls_mode}" }}'
            for domain, to in routes
        ),
        *(() if mx is None else _resolver(*mx)),
        "[shaping.default]",
        f"connection_limit = {connections}",
        f"initial_connection_limit = {connections}",
        f"max_deliveries_per_connection = {deliveries_per_connection}",
        'max_message_rate = "unlimited"',
        'max_connection_rate = "unlimited"',
        f'enable_tls = "{tls_mode}"',
        f"retry_interval = {retry_seconds}",
        f"max_retry_interval = {retry_seconds * 4}",
    ]
    return "\n".join(lines) + "\n"


def _resolver(dns: int, port: int) -> tuple[str, ...]:
    return "[resolver]", f'servers = ["127.0.0.1:{dns}"]', f"port = {port}", 'allow_networks = ["127.0.0.0/8"]'


def make_key(path: Path) -> dict[str, str]:
    """Writes an RSA-2048 key (mode 0600); its DNS record by name, as bench/verify.py takes it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.touch(0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    record = f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"
    return {f"{SELECTOR}._domainkey.{SENDER_DOMAIN}": record}


def fill_suppression(
    place: Place, consenting: Iterable[str], opted_out: Iterable[str], entries: int, known: int
) -> int:
    """Records consents and refusals in the ledger of an engine that does not run, and fills it up from `known` to
    `entries` with addresses that nobody mails. Returns how many were recorded.
    """
    law: Any = importlib.import_module("suppression")  # loads numpy: not for the sink
    place.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    suppression = law.Suppression.open(
        law.SuppressionSettings(place.state / "suppression", place.state / "suppression.secret")
    )
    try:
        others = (f"filler{number}@filler.example" for number in range(max(0, entries - known)))
        rows = ((address, 1.7e9) for address in chain(consenting, others))
        consents = suppression.load(law.Consent("", 0.0, "bench", SENDER, evidence="bench"), rows)
        refusals = suppression.load(
            law.OptOut("", 0.0, "bench", law.Scope.SENDER, SENDER), ((address, 1.75e9) for address in opted_out)
        )
    finally:
        suppression.close()
    return int(consents.recorded + refusals.recorded)
