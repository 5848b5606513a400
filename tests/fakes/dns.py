"""An authoritative DNS server of our own on loopback, UDP and TCP, that can be told to misbehave.

Zones are a mapping of name -> {type: [text of the record]}; whatever else is asked is NXDOMAIN, or NODATA below a name
that exists. It can run inside a test's loop (`serving`) or as a process with a file of names (`python -m
tests.fakes.dns`). `faults` turns answers for a name into something else; see Fault.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Zone = Mapping[str, Mapping[str, list[str]]]

FAULTS = (
    "servfail", "bogus", "refused", "formerr", "silent", "wrong_id", "wrong_question", "garbage", "cut", "truncate",
    "no_soa", "no_edns",
)  # fmt: skip


@dataclass
class DnsServer:
    zone: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    """Name, or "*", -> one of FAULTS."""
    ttl: int = 300
    negative_ttl: int = 60
    authentic: bool = False
    """Sets AD, as a validating resolver does."""
    insecure: set[str] = field(default_factory=set)
    """Names without it all the same."""
    seconds: float = 0.0
    """Before each answer."""
    raw: Callable[[bytes], bytes | None] | None = None
    """In place of everything: the whole response to these bytes."""
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_tcp: int = 0
    most_at_once: int = 0
    port: int = 0
    _under_way: int = 0

    def answer(self, wire: bytes, *, tcp: bool) -> bytes | None:  # noqa: PLR0911 - a table of faults
        if self.raw is not None:
            return self.raw(wire)
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        self.by_tcp += tcp
        fault = self.faults.get(f"{name} {kind}") or self.faults.get(name) or self.faults.get("*", "")
        if fault == "silent":
            return None
        if fault == "garbage":
            return wire[:2] + b"\x80" + b"\xff" * 40
        response = dns.message.make_response(query, recursion_available=True)
        if fault == "no_edns" and query.edns >= 0:
            fault = "formerr"
        if fault in ("servfail", "bogus"):
            response.set_rcode(dns.rcode.SERVFAIL)
            if fault == "bogus":
                response.use_edns(0, options=[dns.edns.EDEOption(6, "bad signature")])
            return response.to_wire()
        if fault in ("refused", "formerr"):
            response.set_rcode(dns.rcode.from_text(fault))
            return response.to_wire()
        self._fill(response, name, kind, with_soa=fault != "no_soa")
        if self.authentic and name not in self.insecure:
            response.flags |= dns.flags.AD
        if fault == "wrong_id":
            response.id ^= 1
        if fault == "wrong_question":
            response.question = [dns.rrset.RRset(dns.name.from_text("other.example"), 1, question.rdtype)]
        whole = response.to_wire(max_size=65535)
        if not tcp and (fault == "truncate" or len(whole) > 1232):
            response.answer.clear()
            response.flags |= dns.flags.TC
            return response.to_wire()
        return whole[: len(whole) - 7] if fault == "cut" else whole

    def _fill(self, response: dns.message.Message, name: str, kind: str, *, with_soa: bool) -> None:
        for _ in range(20):
            found = self.zone.get(name)
            alias = (found or {}).get("CNAME")
            if not alias or kind == "CNAME":
                break
            response.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", "CNAME", *alias))
            name = alias[0].rstrip(".").lower()
        if found is None and not any(known.endswith("." + name) for known in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if found and kind in found:
            response.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", kind, *found[kind]))
        elif with_soa:
            soa = f"ns.example. root.example. 1 7200 900 86400 {self.negative_ttl}"
            response.authority.append(dns.rrset.from_text("example.", 3600, "IN", "SOA", soa))

    async def respond(self, wire: bytes, *, tcp: bool) -> bytes | None:
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            if self.seconds:
                await asyncio.sleep(self.seconds)
            return self.answer(wire, tcp=tcp)
        finally:
            self._under_way -= 1


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._running: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        running = asyncio.ensure_future(self._respond(data, addr))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _respond(self, data: bytes, addr: tuple[str, int]) -> None:
        found = await self._server.respond(data, tcp=False)
        if found is not None and not self._transport.is_closing():
            self._transport.sendto(found, addr)


@contextlib.asynccontextmanager
async def serving(server: DnsServer, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[DnsServer]:
    """UDP and TCP on the same port, which is then in server.port."""

    talks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        current = cast("asyncio.Task[None]", asyncio.current_task())
        talks.add(current)
        current.add_done_callback(talks.discard)
        with contextlib.closing(writer), contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            found = await server.respond(wire, tcp=True)
            if found is not None:
                writer.write(len(found).to_bytes(2, "big") + found)
                await writer.drain()

    listening = await asyncio.start_server(converse, host, port)
    server.port = int(listening.sockets[0].getsockname()[1])
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Udp(server), local_addr=(host, server.port)
    )
    try:
        yield server
    finally:
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks)
        transport.close()
        listening.close()
        await listening.wait_closed()


async def _serve(server: DnsServer, port: int) -> None:
    async with serving(server, port=port):
        print(json.dumps({"port": server.port}), flush=True)
        await asyncio.sleep(900)


def main() -> None:
    """Serves for a quarter of an hour at most. The zone is JSON: {"zone": {...}, "faults": {...}}."""
    parser = argparse.ArgumentParser("python -m tests.fakes.dns")
    parser.add_argument("zone", type=Path)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    table = json.loads(arguments.zone.read_text("utf-8"))
    server = DnsServer(table.get("zone", {}), table.get("faults", {}))
    asyncio.run(_serve(server, arguments.port))


if __name__ == "__main__":
    main()
