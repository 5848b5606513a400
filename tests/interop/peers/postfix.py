"""Postfix as a receiver: as Debian ships it, or pedantic, which refuses whatever RFC 5321 forbids.

The default of 3.7 takes three sequences around a lone dot for the end of a message: it is our canary for smuggling.
An instance has configuration, queue and data in its own folder, and files everything into one maildir.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.processes import free_port
from tests.interop.peers.place import Peer, mail_server, shared

MASTER = "/usr/lib/postfix/sbin/master"
MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.peer.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = {folder}/log/postfix.log
maillog_file_prefixes = {folder}
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:mail/
virtual_mailbox_base = {folder}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_mailbox_limit = 0
virtual_minimum_uid = 1
alias_maps =
local_recipient_maps =
smtpd_recipient_restrictions =
smtpd_relay_restrictions = reject_unauth_destination
message_size_limit = 20000000
smtpd_delay_reject = no
smtputf8_enable = yes
"""
PEDANTIC = """
smtpd_forbid_bare_newline = reject
smtpd_forbid_bare_newline_exclusions =
smtpd_forbid_unauth_pipelining = yes
strict_rfc821_envelopes = yes
strict_8bitmime = yes
strict_mime_encoding_domain = yes
smtpd_hard_error_limit = 1
"""
TLS = """
smtpd_tls_security_level = may
smtpd_tls_chain_files = {chain}
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
"""
SERVICES = """
{address}:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


@contextlib.contextmanager
def postfix(
    folder: Path,
    *,
    pedantic: bool = False,
    chain: Path | None = None,
    address: tuple[str, int] | None = None,
    more: str = "",
) -> Iterator[Peer]:
    """`chain`: PEM of private key and certificates; without it no STARTTLS. `address`: default a free port."""
    host, port = address or ("127.0.0.1", free_port())
    shared(folder, "conf", "data", "log", "mail", "queue")
    (folder / "queue").chmod(0o755)
    (folder / "conf").chmod(0o755)
    shutil.chown(folder / "data", "postfix", "postfix")
    (folder / "data").chmod(0o700)
    parts = (MAIN, PEDANTIC if pedantic else "", TLS if chain else "")
    main = _settings("".join(parts).format(folder=folder, chain=chain)) | _settings(more)
    (folder / "conf" / "main.cf").write_text("".join(f"{name} ={value}\n" for name, value in main.items()))
    (folder / "conf" / "master.cf").write_text(SERVICES.format(address=host, port=port))
    subprocess.run(["postfix", "-c", str(folder / "conf"), "check"], check=True, timeout=60, capture_output=True)
    with mail_server("postfix", [MASTER, "-c", str(folder / "conf"), "-d"], folder, (host, port)) as child:
        yield Peer("postfix", port, folder, child, folder / "mail")


def _settings(text: str) -> dict[str, str]:
    return {line.partition(" =")[0]: line.partition(" =")[2] for line in text.splitlines() if line}
