"""DNS as outside: Knot serves and signs the zones, unbound validates and answers at an address of its own, port 53.

Port 53, because programs that read resolv.conf can name no other. The address is one of 127.0.0.0/8 that this process
has for itself. `example.` and `secure.` are signed; `plain.` is not; `bogus.` is signed, and unbound expects another
key, so that all of it is bogus. Nothing is asked outside.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode

from bench.processes import Child, free_port
from tests.interop.peers.place import await_port, server, shared

WRONG_ANCHOR = "3600 IN DS 4711 13 2 " + "ab" * 32
ZONES = ("example", "plain", "bogus")
KNOT = """
server:
  listen: {address}@{port}
  rundir: {folder}/run
database:
  storage: {folder}/db
log:
  - target: stderr
    any: info
policy:
  - id: signed
    algorithm: ecdsap256sha256
    single-type-signing: on
template:
  - id: default
    storage: {folder}
    file: "%s.zone"
    zonefile-sync: -1
    zonefile-load: difference
    journal-content: none
zone:
{zones}
"""
UNBOUND = """
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  do-daemonize: no
  use-syslog: no
  verbosity: 1
  val-log-level: 2
  interface: {address}
  port: 53
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  do-ip6: no
  module-config: "validator iterator"
  cache-max-negative-ttl: 1
  local-zone: "." refuse
{zones}
{anchors}
remote-control:
  control-enable: no
{stubs}
"""


@dataclass(frozen=True, slots=True)
class Names:
    resolver: str
    """Address of the validating resolver, port 53."""
    folder: Path
    child: Child

    def answer(self, name: str, kind: str) -> tuple[bool, int, list[str]]:
        """AD, the code of the answer, the data."""
        query = dns.message.make_query(name, kind, want_dnssec=True)
        answer = dns.query.udp(query, self.resolver, 5)
        data = [str(record) for rrset in answer.answer if rrset.rdtype == query.question[0].rdtype for record in rrset]
        return bool(answer.flags & dns.flags.AD), answer.rcode(), data


def own_address() -> str:
    """One of 127.0.0.0/8 that only this process uses."""
    return f"127.53.{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250 + 1}"


@contextlib.contextmanager
def names(folder: Path, records: Mapping[str, Sequence[str]]) -> Iterator[Names]:
    """`records`: zone -> lines with names relative to it."""
    shared(folder, "run", "db")
    address, port = own_address(), free_port()
    for zone in ZONES:
        lines = [f"$ORIGIN {zone}.", "$TTL 60", "@ SOA ns hostmaster 1 3600 600 86400 1", "@ NS ns", f"ns A {address}"]
        (folder / f"{zone}.zone").write_text("\n".join([*lines, *records.get(zone, ())]) + "\n")
    configuration = folder / "knot.conf"
    zones = "\n".join(
        f"  - domain: {zone}\n" + ("" if zone == "plain" else "    dnssec-signing: on\n    dnssec-policy: signed")
        for zone in ZONES
    )
    configuration.write_text(KNOT.format(folder=folder, address=address, port=port, zones=zones))
    with server("knotd", ["knotd", "-c", str(configuration)], folder, (address, port)):
        (folder / "unbound.conf").write_text(_unbound(folder, address, port, configuration))
        with server("unbound", ["unbound", "-d", "-c", str(folder / "unbound.conf")], folder, (address, 53)) as child:
            await_port(child, (address, 53))
            yield Names(address, folder, child)


def _unbound(folder: Path, address: str, port: int, knot: Path) -> str:
    command = ["keymgr", "-c", str(knot), "example.", "ds"]
    ds = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.splitlines()
    anchors = [line for line in ds if " 13 2 " in line] + [f"bogus. {WRONG_ANCHOR}"]
    return UNBOUND.format(
        folder=folder,
        address=address,
        zones="\n".join(f'  local-zone: "{zone}." transparent' for zone in ZONES),
        anchors="\n".join(f'  trust-anchor: "{anchor}"' for anchor in anchors),
        stubs="\n".join(f"stub-zone:\n  name: {zone}.\n  stub-addr: {address}@{port}" for zone in ZONES),
    )
