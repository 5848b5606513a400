"""DKIM read by programs that are none of ours: opendkim, Perl's Mail::DKIM and rspamd.

Each gets its keys from the test's own DNS. opendkim reads /etc/resolv.conf only, so it gets another one bound over it,
in a mount namespace of its own. Mail::DKIM knows no Ed25519 and says "unsupported", which is no failure.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench.processes import free_port
from tests.interop.peers.place import resolving, server, shared

PERL = r"""
use Mail::DKIM::Verifier;
my $reader = Mail::DKIM::Verifier->new();
binmode STDIN;
$reader->PRINT($_) while <STDIN>;
$reader->CLOSE;
print $_->algorithm, " ", $_->result_detail, "\n" for $reader->signatures;
"""
RSPAMD = """
options {{
  filters = "dkim,regexp";
  dns {{ nameserver = ["{resolver}:53"]; timeout = 5s; retransmits = 2; }}
  pidfile = "{folder}/rspamd.pid";
  tempdir = "{folder}/run";
  local_addrs = [];
}}
logging {{ type = "console"; level = "notice"; }}
dkim {{ trusted_only = false; skip_multi = false; dkim_cache_size = 100; }}
actions {{ reject = 15; }}
modules {{ path = "{folder}/none"; }}
worker {{
  type = "normal"; bind_socket = "127.0.0.1:{port}"; count = 1; max_tasks = 100000; task_timeout = 30s;
}}
"""


def opendkim(message: bytes, resolver: str, folder: Path) -> str:
    """Empty when all is well."""
    command = resolving(resolver, folder, ["opendkim-testmsg"])
    done = subprocess.run(command, check=False, input=message.replace(b"\r\n", b"\n"), capture_output=True, timeout=60)
    return "" if done.returncode == 0 else (done.stdout + done.stderr).decode("utf-8", "replace") or "refused"


def perl(message: bytes, resolver: str) -> list[str]:
    """One line each signature: algorithm, result, and why."""
    environment = {**os.environ, "RES_NAMESERVERS": resolver}
    done = subprocess.run(
        ["perl", "-e", PERL], check=True, input=message, capture_output=True, timeout=60, env=environment
    )
    return done.stdout.decode().splitlines()


class Rspamd:
    def __init__(self, port: int) -> None:
        self.port = port

    def signatures(self, message: bytes) -> dict[str, list[str]]:
        """Verdict (ALLOW, REJECT, TEMPFAIL, ...) -> domain:s=selector of each signature."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/checkv2", data=message)
        with urllib.request.urlopen(request, timeout=60) as answer:
            symbols = json.load(answer)["symbols"]
        found = {name: symbol.get("options", []) for name, symbol in symbols.items() if name.startswith("R_DKIM_")}
        return {name.removeprefix("R_DKIM_"): sorted(options) for name, options in found.items()}


@contextlib.contextmanager
def rspamd(folder: Path, resolver: str) -> Iterator[Rspamd]:
    port = free_port()
    shared(folder, "none", "run")
    (folder / "rspamd.conf").write_text(RSPAMD.format(folder=folder, resolver=resolver, port=port))
    command = ["rspamd", "-f", "--insecure", "-c", str(folder / "rspamd.conf")]
    with server("rspamd", command, folder, ("127.0.0.1", port)):
        yield Rspamd(port)
