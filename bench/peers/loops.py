"""What people write themselves: a Python loop with aiosmtplib that signs each message, without any queue.

`python -m bench.peers.loops --signer dkimpy` is the loop, one process a core; `measure_loop` starts them and looks at
the sink. Nothing is stored: a crash loses whatever was not yet sent, and a refusal would have to be handled by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import importlib.metadata
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosmtplib
import dkim
import uvloop
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench.configuration import SELECTOR, SENDER_DOMAIN, make_key
from bench.mailing import People
from bench.peers.measure import MB, Amount, arrive, held_against
from bench.peers.sender import body_of, message_to
from bench.processes import busy_seconds, cpu_seconds, noise, resident, started
from bench.rig import running_sink
from bench.verify import verify_folder

CONNECTIONS = 10
Signer = Callable[[bytes], bytes]
_SIGNED = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding")
_SPACES = re.compile(rb"[ \t]+")


@dataclass(frozen=True, slots=True)
class Loop:
    name: str
    title: str
    signer: str
    divisor: int = 1
    """So many times fewer messages: a pure Python signature takes milliseconds."""


LOOPS = (
    Loop("aiosmtplib-cryptography", "aiosmtplib + cryptography", "cryptography"),
    Loop("aiosmtplib-dkimpy", "aiosmtplib + dkimpy", "dkimpy", divisor=10),
)


def dkimpy_signer(pem: bytes) -> Signer:
    """Its whole message, as its documentation shows it."""

    def sign(message: bytes) -> bytes:
        selector, domain = SELECTOR.encode(), SENDER_DOMAIN.encode()
        return bytes(dkim.sign(message, selector, domain, pem, canonicalize=(b"relaxed", b"relaxed"))) + message

    return sign


def cryptography_signer(pem: bytes) -> Signer:
    """RFC 6376 by hand, the key parsed once: the best that a loop can do."""
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)

    def sign(message: bytes) -> bytes:
        header, _, body = message.partition(b"\r\n\r\n")
        digest = base64.b64encode(hashlib.sha256(_relaxed_body(body)).digest()).decode()
        field = f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={SENDER_DOMAIN}; s={SELECTOR}; "
        field += f"h={':'.join(_SIGNED)}; bh={digest}; b="
        fields = dict(line.split(b":", 1) for line in header.split(b"\r\n"))
        relaxed = {name.lower(): _SPACES.sub(b" ", value).strip() for name, value in fields.items()}
        lines = [b"%b:%b\r\n" % (name.encode(), relaxed[name.encode()]) for name in _SIGNED]
        lines.append(b"dkim-signature:" + field.encode())
        signature = base64.b64encode(key.sign(b"".join(lines), padding.PKCS1v15(), hashes.SHA256())).decode()
        return f"DKIM-Signature: {field}{signature}\r\n".encode() + message

    return sign


def _relaxed_body(body: bytes) -> bytes:
    lines = [_SPACES.sub(b" ", line).rstrip() for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


async def run_loop(addresses: Sequence[str], port: int, sign: Signer, body: bytes, identity: str) -> None:
    left = iter(enumerate(addresses))

    async def converse() -> None:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False)
        await client.connect()
        for number, address in left:
            message = sign(message_to(address, f"{identity}-{number}", body))
            await client.sendmail(f"shop@{SENDER_DOMAIN}", [address], message)
        await client.quit()

    await asyncio.gather(*(converse() for _ in range(CONNECTIONS)))


def measure_loop(loop: Loop, amount: Amount, run: Path) -> dict[str, Any]:
    """Blocks. Raises ProcessFailed."""
    keys = make_key(run / "dkim.pem")
    messages = max(amount.messages // loop.divisor, 100)
    with running_sink(run, "sink", [], amount.seconds + 60) as sink, ExitStack() as stack:
        processes = len(os.sched_getaffinity(0))
        machine_before, sink_before = busy_seconds(), cpu_seconds(sink.child.pid)
        children = []
        for part in range(processes):
            command = [
                sys.executable,
                "-m",
                "bench.peers.loops",
                "--signer",
                loop.signer,
                "--key",
                str(run / "dkim.pem"),
            ]
            command += ["--port", str(sink.ports[0]), "--messages", str(messages), "--size", str(amount.size)]
            command += ["--part", str(part), "--parts", str(processes)]
            children.append(stack.enter_context(started(f"loop{part}", command, run / f"loop{part}.log", pipe=True)))
        begun = [child.first_line()["began"] for child in children]
        arrive(sink, messages, lambda: None, lambda: None, amount.seconds)
        memory = sum(resident(child.pid) for child in children)
        spent = sum(child.first_line()["cpu_seconds"] for child in children)
        counts, receipts = sink.flushed(), sink.news()
        received = max(counts["received"], 1)
        spent_sink = cpu_seconds(sink.child.pid) - sink_before
        machine_us = (busy_seconds() - machine_before) / received * 1e6
        took = max(time.time() - min(begun), 1e-9)
        others = noise((busy_seconds() - machine_before - spent - spent_sink) / took)
    began = min(begun)
    verification = verify_folder(sink.samples, keys)
    return {
        "peer": loop.name,
        "title": loop.title,
        "messages": messages,
        "accepted": messages,
        "received": counts["received"],
        "rate": round(counts["received"] / max(counts["last_at"] - began, 1e-9), 1),
        "cpu_us": round(spent / received * 1e6, 1),
        "machine_us": round(machine_us, 1),
        "sink_us": round(spent_sink / received * 1e6, 1),
        "memory_mb": round(memory / MB, 1),
        "wire_bytes": counts["bytes"] // received,
        "durable": "no queue",
        **held_against(messages, messages, receipts),
        "dkim_verified": f"{verification.good} of {verification.messages}",
        "dkim_problems": verification.problems[:3],
        "processes": processes,
        **others,
        "versions": {name: importlib.metadata.version(name) for name in ("aiosmtplib", "dkimpy", "cryptography")},
    }


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench.peers.loops", description=__doc__)
    parser.add_argument("--signer", choices=[loop.signer for loop in LOOPS], required=True)
    parser.add_argument("--key", type=Path, required=True)
    for name in ("--port", "--messages", "--size", "--part", "--parts"):
        parser.add_argument(name, type=int, required=True)
    arguments = parser.parse_args(words)
    pem = arguments.key.read_bytes()
    sign = cryptography_signer(pem) if arguments.signer == "cryptography" else dkimpy_signer(pem)
    people = People(arguments.messages, 20)
    addresses = [people.address(number) for number in range(arguments.part, people.count, arguments.parts)]
    body = body_of(arguments.size)
    print(json.dumps({"began": time.time()}), flush=True)
    before = time.process_time()
    uvloop.run(run_loop(addresses, arguments.port, sign, body, f"loop{arguments.part}"))
    print(json.dumps({"cpu_seconds": time.process_time() - before}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
