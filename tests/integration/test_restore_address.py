"""A hard bounce blocks an address, also the next mailing's, until somebody vouches for it: through the real commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.integration.running import engine, sink, terms


def test_a_wrong_hard_bounce_is_lifted_by_a_person(tmp_path: Path) -> None:
    address = "bounce-x@d.example"
    with sink(tmp_path) as receiver, engine(tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}) as running:
        with running.client() as client:
            client.submit([address], terms("one"))
            running.until(lambda: running.status()["bounced"] == 1, "bounced")
            client.submit([address], terms("two"))
            running.until(lambda: running.status()["suppressed"] == 1, "suppressed")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "engine", "restore-address", address),
                *("--evidence", "phone call", "--socket", running.socket),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, "counts as reachable" in done.stdout) == (0, True), done
        with running.client() as client:
            client.submit([address], terms("three"))
        running.until(lambda: running.status()["bounced"] == 2, "tried again")
        assert running.status()["suppressed_by_reason"] == {"ADDR_UNKNOWN": 1}
