"""OpenSMTPD as a receiver: no PIPELINING, no CHUNKING, no SMTPUTF8, the least that a modern server offers.

apt refuses to install it beside Postfix, so it runs in an overlay of the system (apart.sh).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.processes import free_port
from tests.interop.peers.place import Peer, apart, mail_server, shared

PACKAGES = ("opensmtpd",)


@contextlib.contextmanager
def opensmtpd(folder: Path, resolver: str, certificates: tuple[Path, Path] | None = None) -> Iterator[Peer]:
    """`certificates`: certificate with its chain, and key."""
    port = free_port()
    shared(folder, "mail")
    pki = tls = ""
    if certificates is not None:
        pki = f'pki here cert "{certificates[0]}"\npki here key "{certificates[1]}"\n'
        tls = " tls pki here"
    (folder / "smtpd.conf").write_text(
        f'{pki}table everybody {{ "@" = "keeper" }}\n'
        f"smtp max-message-size 20M\n"
        f"listen on 127.0.0.1 port {port}{tls} hostname mx.opensmtpd.example\n"
        f'action keep maildir "{folder}/mail" virtual <everybody>\n'
        f"match from any for any action keep\n"
    )
    (folder / "smtpd.conf").chmod(0o644)
    users = "opensmtpd:x:991:991::/run/opensmtpd:/bin/false", "opensmtpq:x:992:992::/:/bin/false"
    (folder / "apart.sh").write_text(
        f"echo nameserver {resolver} > /etc/resolv.conf\n"
        + "".join(f"echo '{user}' >> /etc/passwd\n" for user in (*users, f"keeper:x:993:993::{folder}:/bin/false"))
        + "".join(
            f"echo '{name}:x:{number}:' >> /etc/group\n"
            for name, number in (("opensmtpd", 991), ("opensmtpq", 992), ("keeper", 993))
        )
        + "mkdir -p /var/empty /run/opensmtpd /var/spool/smtpd && chmod 711 /var/spool/smtpd /var/empty\n"
        f"chown -R keeper {folder}/mail && chmod 644 {folder}/smtpd.conf\n"
    )
    command = apart(folder, PACKAGES, ["/usr/sbin/smtpd", "-d", "-f", str(folder / "smtpd.conf")])
    with mail_server("opensmtpd", command, folder, ("127.0.0.1", port)) as child:
        yield Peer("opensmtpd", port, folder, child, folder / "mail")
