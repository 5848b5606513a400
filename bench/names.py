"""A fast DNS server for the bench: `python -m bench.names --domains 100000 --sites 200`, on loopback.

It makes its answers instead of keeping them: domain n has two MX hosts, those of site n modulo sites; each host has
one address of 127.0.0.0/8. Everything else does not exist. It prints one JSON line when it listens. A server that
reads zones would be the slowest part of the run, and what is measured is the engine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import struct
import sys
from collections.abc import Sequence
from typing import cast

import uvloop

from bench.mailing import DOMAIN

HOSTS = "sites.example"
TTL = 3600
_DOMAIN = re.compile(rf"d(\d{{1,9}})\.{re.escape(DOMAIN)}")
_HOST = re.compile(rf"mx[12]\.s(\d{{1,9}})\.{re.escape(HOSTS)}")
_A, _SOA, _MX = 1, 6, 15


def place_of(site: int) -> str:
    """The address that its sink listens on."""
    return f"127.0.{2 + site // 250}.{1 + site % 250}"


def _wire(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\0"


class Names:
    def __init__(self, domains: int, sites: int) -> None:
        self._domains = domains
        self._sites = sites

    def answer(self, query: bytes) -> bytes:
        """Raises what malformed queries make: only the engine asks here."""
        at, labels = 12, []
        while size := query[at]:
            labels.append(query[at + 1 : at + 1 + size])
            at += 1 + size
        name = b".".join(labels).decode("ascii").lower()
        (kind,) = struct.unpack_from("!H", query, at + 1)
        asked = query[12 : at + 5]
        records, exists = self._records(name, kind)
        authority = b"" if records else _SOA_RECORD
        flags = 0x8180 | (0 if exists else 3)
        head = query[:2] + struct.pack("!5H", flags, 1, len(records), 0 if records else 1, 0)
        return b"".join((head, asked, *records, authority))

    def _records(self, name: str, kind: int) -> tuple[list[bytes], bool]:
        if found := _DOMAIN.fullmatch(name):
            number = int(found[1])
            hosts = [_MX_HOSTS % (turn, number % self._sites) for turn in (1, 2)] if kind == _MX else []
            return [_record(_MX, struct.pack("!H", 10 * n) + _wire(host)) for n, host in enumerate(hosts, 1)], (
                number < self._domains
            )
        if found := _HOST.fullmatch(name):
            place = bytes(map(int, place_of(int(found[1])).split(".")))
            return ([_record(_A, place)] if kind == _A else []), True
        return [], False


_MX_HOSTS = f"mx%d.s%d.{HOSTS}"


def _record(kind: int, data: bytes) -> bytes:
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, TTL, len(data)) + data


_SOA_DATA = b"\0\0" + struct.pack("!5I", 1, 3600, 600, 86400, TTL)
_SOA_RECORD = _wire("example") + struct.pack("!HHIH", _SOA, 1, TTL, len(_SOA_DATA)) + _SOA_DATA


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, names: Names) -> None:
        self._names = names
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(self._names.answer(data), addr)


async def _serve(names: Names, port: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(names), local_addr=("127.0.0.1", port))
    print(json.dumps({"port": transport.get_extra_info("sockname")[1]}), flush=True)
    await asyncio.sleep(seconds)
    transport.close()


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench.names", description=__doc__)
    parser.add_argument("--domains", type=int, required=True)
    parser.add_argument("--sites", type=int, required=True)
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; 0 = any free one")
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop by itself after so long")
    arguments = parser.parse_args(words)
    uvloop.run(_serve(Names(arguments.domains, arguments.sites), arguments.port, arguments.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
