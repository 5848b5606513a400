"""A fast receiving server: `python -m bench.sink --listen 127.0.0.1:2525`, or `start_sink()` in a test.

The server is bench/server.py; here is its command line. It prints one JSON line when it listens, answers `counts`,
`flush`, `reset` and `quit` on its control socket, prints its counts at SIGUSR1 and at the end. It listens on
loopback only, and is a measuring instrument: never put it where mail from strangers arrives.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import ipaddress
import json
import signal
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench.certificate import self_signed
from bench.faults import FaultError, Share
from bench.receipts import Ledger
from bench.receiver import Personality
from bench.server import Sink, SinkSettings, start_sink

__all__ = ["Ledger", "Personality", "Sink", "SinkSettings", "start_sink"]


async def serve_control(sink: Sink, path: Path) -> asyncio.Server:
    """A line in, a line of JSON out. The socket's folder guards it."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(_obey(sink, line.strip().decode("ascii", "replace"))).encode() + b"\n")
            await writer.drain()
        writer.close()

    path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, before anything is served
    return await asyncio.start_unix_server(converse, path)


def _obey(sink: Sink, word: str) -> dict[str, object]:
    if word == "flush":
        sink.ledger.flush()
    elif word == "reset":
        sink.ledger.reset()
    elif word == "quit":
        sink.stopped.set()
    elif word != "counts":
        return {"error": f"unknown word {word[:80]!a}: expected counts, flush, reset or quit"}
    return sink.ledger.counts() | {"open_connections": len(sink.connections)}


async def _serve(settings: SinkSettings, ledger: Ledger, arguments: argparse.Namespace) -> None:
    sink = await start_sink(settings, ledger)
    control = await serve_control(sink, arguments.control) if arguments.control else None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, sink.stopped.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: print(json.dumps(_obey(sink, "flush")), flush=True))
    print(json.dumps({"listening": [f"{host}:{port}" for host, port in sink.addresses]}), flush=True)
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    try:
        await asyncio.wait_for(sink.stopped.wait(), arguments.seconds or None)
    except TimeoutError:
        print("time is up", file=sys.stderr)
    await sink.close()
    if control is not None:
        control.close()
        arguments.control.unlink(missing_ok=True)
    with contextlib.suppress(BrokenPipeError):  # whoever started us may be gone
        print(json.dumps(ledger.counts()), flush=True)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    try:
        loopback, number = ipaddress.ip_address(host).is_loopback, int(port)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]!a} is not IP:PORT") from error
    if not loopback:
        raise argparse.ArgumentTypeError(f"{text[:80]!a}: the sink listens on loopback only")
    return host, number


def _share(text: str) -> Share:
    try:
        return Share.parse(text)
    except FaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.sink", description=__doc__)
    add = parser.add_argument
    add("--listen", type=_address, action="append", metavar="IP:PORT", help="repeatable; port 0 = any free one")
    add("--tls", nargs=2, type=Path, metavar=("CERT", "KEY"), help="offer STARTTLS")
    add("--self-signed", action="store_true", help="offer STARTTLS with a certificate made for this run")
    add("--write-ca", type=Path, metavar="FILE", help="write the self-signed certificate for clients that verify")
    add("--no-pipelining", action="store_true")
    add("--no-8bitmime", action="store_true")
    add("--no-smtputf8", action="store_true")
    add("--size", type=int, default=Personality().size, help="largest message in bytes")
    add("--go-ahead-for-nobody", action="store_true", help="354 to DATA without an accepted recipient")
    add("--latency", type=float, default=0.0, metavar="MS", help="milliseconds before each write")
    add("--share", type=_share, action="append", default=[], metavar="FAULT=FRACTION", help="for example 451=0.05")
    add("--refuse-connections", type=int, default=0, metavar="N", help="421 to the first N connections")
    add("--drop-at", choices=("connect", "ehlo", "starttls"), default="", help="disconnect everybody there")
    add("--receipts", type=Path, metavar="FILE", help="one JSON line a message")
    add("--inspect-every", type=int, default=1, metavar="N", help="hash every n-th, look there for bare LF")
    add("--sample", type=int, default=0, metavar="N", help="keep so many messages")
    add("--samples", type=Path, metavar="FOLDER", help="where the sample goes")
    add("--control", type=Path, metavar="SOCKET", help="Unix socket: counts, flush, reset, quit")
    add("--seconds", type=float, default=0.0, help="stop by itself after so long")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(words)
    context = None
    if arguments.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*arguments.tls)
    elif arguments.self_signed:
        context = self_signed(arguments.write_ca)
    personality = Personality(
        pipelining=not arguments.no_pipelining,
        eightbit=not arguments.no_8bitmime,
        utf8=not arguments.no_smtputf8,
        size=arguments.size,
        go_ahead_for_nobody=arguments.go_ahead_for_nobody,
    )
    settings = SinkSettings(
        tuple(arguments.listen or [("127.0.0.1", 2525)]),
        personality,
        context,
        arguments.latency / 1000,
        tuple(arguments.share),
        arguments.refuse_connections,
        arguments.drop_at,
    )
    ledger = Ledger(
        arguments.receipts,
        sample=arguments.sample,
        samples=arguments.samples,
        inspect_every=max(1, arguments.inspect_every),
    )
    uvloop.run(_serve(settings, ledger, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
