"""`python -m bench floor`: what this machine can do at most, whoever writes the queue.

Each part is measured alone, in the same minute, in CPU time per message: one RSA-2048 signature, a bare pipelined
session with a constant message that was signed before, and the sink that takes it. Floor = cores / their sum. The
parts do not run at the same time as they would in a pipeline, so the floor is a bound from above.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib
import os
import ssl
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dkim
import uvloop
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from bench.bare import send_bare
from bench.configuration import SELECTOR, SENDER_DOMAIN, make_key
from bench.processes import children, cpu_seconds, machine, usage
from bench.result import show
from bench.rig import running_sink

BATCH = 32
OUTSTANDING = 8
CONNECTIONS = 20


def constant_message(key: Path, size: int = 4096) -> bytes:
    """About `size` bytes with CRLF, signed by dkimpy. No line begins with a dot."""
    header = (
        f"From: Bench <shop@{SENDER_DOMAIN}>\r\nTo: person@d0.bench.example\r\nSubject: floor\r\n"
        f"Date: Mon, 01 Jan 2024 00:00:00 +0900\r\nMessage-ID: <floor@{SENDER_DOMAIN}>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    ).encode()
    line = b"5a2j56+A44Gu5p6c54mp44CB54S844GN44Gf44Gm44Gu44OR44Oz44CB55Sj5Zyw55u06YCB44Gu\r\n"
    signature = 600
    body = line * max(1, (size - len(header) - signature) // len(line))
    signed = dkim.sign(
        header + body,
        SELECTOR.encode(),
        SENDER_DOMAIN.encode(),
        key.read_bytes(),
        canonicalize=(b"relaxed", b"relaxed"),
    )
    return bytes(signed) + header + body


def signing_alone(seconds: float = 2.0) -> float:
    """CPU µs of one signature by `cryptography`, one thread."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    digest = hashlib.sha256(b"floor").digest()
    count = 0
    before = time.process_time()
    while (spent := time.process_time() - before) < seconds:
        key.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
        count += 1
    return spent / count * 1e6


async def signing_by_the_engine(key: Path, seconds: float) -> dict[str, Any]:
    """The engine's signer process with the backend it chooses here: CPU µs per signature of the worker."""
    client_face: Any = importlib.import_module("engine.signer.client")
    settings_face: Any = importlib.import_module("engine.signer.settings")
    file = settings_face.KeyFile(SENDER_DOMAIN, SELECTOR, key)
    client = client_face.SignerClient(settings_face.SignerSettings((file,), workers=1))
    known = set(children(os.getpid()))
    await client.start()
    try:
        worker = next(pid for pid in children(os.getpid()) if pid not in known)
        before, ours = cpu_seconds(worker), time.process_time()
        count = await _sign(client, seconds)
        spent, ours = cpu_seconds(worker) - before, time.process_time() - ours
    finally:
        await client.close()
    return {"backend": client.backend, "us": spent / count * 1e6, "asking_us": ours / count * 1e6}


async def _sign(client: Any, seconds: float) -> int:
    digests = [(0, hashlib.sha256(b"%d" % number).digest()) for number in range(BATCH)]
    end = time.monotonic() + seconds
    count = 0

    async def keep_asking() -> None:
        nonlocal count
        while time.monotonic() < end:
            signatures = await client.sign(digests, urgent=False)
            count += len(signatures)  # not in one line: += would read count before it awaits

    await asyncio.gather(*(keep_asking() for _ in range(OUTSTANDING)))
    return count


def session_and_sink(folder: Path, payload: bytes, *, messages: int, tls: bool) -> dict[str, float]:
    """CPU µs per message of both ends, and messages/s of the two together."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    words = ["--self-signed"] * tls
    with running_sink(folder, "tls" if tls else "plain", words, 120) as sink:
        address = ("127.0.0.1", sink.ports[0])
        before = usage(None, sink.child)
        result = uvloop.run(
            send_bare(address, payload, messages=messages, connections=CONNECTIONS, tls=context if tls else None)
        )
        spent = usage(None, sink.child).since(before)
        assert sink.counts()["received"] == messages
    return {
        "session_us": result.cpu_seconds / messages * 1e6,
        "sink_us": spent["sink"] / messages * 1e6,
        "rate": messages / result.seconds,
    }


def measure(*, messages: int, seconds: float, size: int) -> dict[str, Any]:
    """All parts, one after the other."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-floor-") as name:
        folder = Path(name)
        key = folder / "key.pem"
        make_key(key)
        payload = constant_message(key, size)
        figures["cryptography_us"] = signing_alone(seconds)
        signer = uvloop.run(signing_by_the_engine(key, seconds))
        figures |= {f"signer_{name}": value for name, value in signer.items()}
        plain = session_and_sink(folder, payload, messages=messages, tls=False)
        tls = session_and_sink(folder, payload, messages=messages // 2, tls=True)
    figures |= plain | {f"tls_{name}": value for name, value in tls.items()}
    cores = machine()["cores"]
    wire = plain["session_us"] + plain["sink_us"]
    figures["floor"] = cores * 1e6 / (signer["us"] + wire)
    figures["floor_with_cryptography"] = cores * 1e6 / (figures["cryptography_us"] + wire)
    figures["conditions"] = {"wire_bytes": len(payload), "connections": CONNECTIONS, **machine()}
    return {name: round(value, 1) if isinstance(value, float) else value for name, value in figures.items()}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench floor", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=2.0, help="of signing, for each signer")
    parser.add_argument("--size", type=int, default=4096)
    arguments = parser.parse_args(words)
    show("floor", measure(messages=arguments.messages, seconds=arguments.seconds, size=arguments.size))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
