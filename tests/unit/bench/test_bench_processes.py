"""Children are started, asked, measured and always ended."""

import os
import sys
import tomllib
from pathlib import Path

import pytest

from bench.configuration import Place, engine_configuration
from bench.processes import ProcessFailed, Usage, children, free_port, machine, resident, started, usage
from bench.rig import first_attempt_quantile

READY = "import json, time; print(json.dumps({'ready': 1}), flush=True); time.sleep(60)"
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); " + READY


def command(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_child_is_measured_and_ended(tmp_path: Path) -> None:
    with started("child", command(READY), tmp_path / "log", pipe=True) as child:
        assert child.first_line() == {"ready": 1}
        child.check()
        assert resident(child.pid) > 1_000_000
        found = usage(child, child)
        assert set(found.cpu) == {"core", "signer", "sink", "injector"}
        assert found.since(found)["core"] == 0.0
        assert found.others_since(found) == 0.0
    assert child.popen.returncode == -15
    assert resident(child.pid) == 0


def test_what_others_use() -> None:
    before = Usage(10.0, 100.0, {"core": 1.0})
    after = Usage(20.0, 115.0, {"core": 6.0, "signer": 5.0})
    assert after.others_since(before) == 0.5


def test_child_that_fails_says_why(tmp_path: Path) -> None:
    with started("child", command("import sys; sys.exit('no disk')"), tmp_path / "log", pipe=True) as child:
        with pytest.raises(ProcessFailed, match="no disk"):
            child.first_line()
        assert child.stop() == 1


def test_killed_parent_leaves_orphans_that_are_counted_and_ended(tmp_path: Path) -> None:
    with started("parent", command(PARENT), tmp_path / "log", pipe=True) as parent:
        parent.first_line()
        (grandchild,) = children(parent.pid)
        assert parent.kill(patience=0.3) == 1
    assert not Path(f"/proc/{grandchild}").exists() or "Z" in Path(f"/proc/{grandchild}/stat").read_text()


def test_stubborn_child_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY
    with started("child", command(stubborn), tmp_path / "log", pipe=True) as child:
        child.first_line()
        assert child.stop(0.05) == -9


def test_machine_and_port() -> None:
    assert machine()["cores"] == len(os.sched_getaffinity(0))
    assert 1024 <= free_port() < 65536


def test_configuration_is_toml() -> None:
    text = engine_configuration(
        Place(Path("/x")),
        routes=[("d0.bench.example", "127.0.0.1:25")],
        admin="127.0.0.1:1",
        tls=True,
        connections=7,
        deliveries_per_connection=9,
        retry_seconds=2.0,
        signer="auto",
    )
    table = tomllib.loads(text)
    assert table["routes"]["d0.bench.example"] == {"to": "127.0.0.1:25", "tls": "RequiredInsecure"}
    assert table["shaping"]["default"]["connection_limit"] == 7
    assert table["senders"]["bench"]["dkim"][0]["key"] == "/x/dkim.pem"


METRICS = """
sokutatsu_first_attempt_seconds_bucket{le="0.1",priority="bulk"} 50.0
sokutatsu_first_attempt_seconds_bucket{le="1.0",priority="bulk"} 98.0
sokutatsu_first_attempt_seconds_bucket{le="+Inf",priority="bulk"} 100.0
sokutatsu_first_attempt_seconds_bucket{le="0.1",priority="transactional"} 0.0
sokutatsu_first_attempt_seconds_bucket{le="+Inf",priority="transactional"} 0.0
"""


def test_quantile_of_the_engines_histogram() -> None:
    assert first_attempt_quantile(METRICS, "bulk", 0.5) == 0.1
    assert first_attempt_quantile(METRICS, "bulk", 0.9) == 1.0
    assert first_attempt_quantile(METRICS, "bulk", 0.99) == float("inf")
    assert first_attempt_quantile(METRICS, "transactional", 0.5) is None
    assert first_attempt_quantile("", "bulk", 0.5) is None
