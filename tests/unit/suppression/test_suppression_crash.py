"""What was acknowledged is in force after a kill, and whatever a crash cut off the log, a prefix of the events is."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import pytest

from suppression import Consent, OptOut, Scope, Suppression, SuppressionSettings

CHILD = """
import sys
from pathlib import Path
from suppression import OptOut, Scope, Suppression, SuppressionSettings
folder = Path(sys.argv[1])
suppression = Suppression.open(SuppressionSettings(folder / "ledger", folder / "secret"))
for number in range(100_000):
    suppression.apply_now([OptOut(f"u{number}@x.jp", 1.0, "web", Scope.GLOBAL)])
    print(number, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 30, 200])
def test_killed_it_keeps_what_it_acknowledged(tmp_path, acknowledged) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        for _ in range(acknowledged):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        last = acknowledged - 1 + len(child.stdout.read().split())
    child.wait()
    suppression = Suppression.open(SuppressionSettings(tmp_path / "ledger", tmp_path / "secret"))
    reasons = {made.reason for made in suppression.decide("any", "", "AD", [f"u{n}@x.jp" for n in range(last + 1)])}
    assert reasons == {"OPTOUT_ALL"}
    assert suppression.epoch - last in (1, 2)  # one more may have been durable and not yet said
    suppression.close()


def test_a_log_cut_anywhere_gives_a_prefix(tmp_path) -> None:
    settings = SuppressionSettings(tmp_path / "ledger", tmp_path / "secret")
    suppression = Suppression.open(settings)
    suppression.load(Consent("", 0.0, "import", "acme"), [(f"u{number}@x.jp", 1.0) for number in range(10)])
    for number in range(10):
        suppression.apply_now([OptOut(f"u{number}@x.jp", 2.0, "web", Scope.SENDER, "acme")])
    shutil.copytree(settings.folder, tmp_path / "frozen")
    suppression.close()
    log = (tmp_path / "frozen" / "ledger.sqlite-wal").read_bytes()
    prefixes = set()
    for end in range(len(log), 0, -max(1, len(log) // 40)):
        cut = SuppressionSettings(tmp_path / f"cut{end}", tmp_path / "secret")
        shutil.copytree(tmp_path / "frozen", cut.folder)
        (cut.folder / "ledger.sqlite-shm").unlink()
        (cut.folder / "ledger.sqlite-wal").write_bytes(log[:end])
        prefixes.add(refused(cut))
    assert {10, 5} < prefixes


def refused(settings) -> int:
    suppression = Suppression.open(settings)
    reasons = [made.reason for made in suppression.decide("acme", "", "AD", [f"u{n}@x.jp" for n in range(10)])]
    count = max(0, suppression.epoch - 10)
    assert reasons[:count] == ["OPTOUT_ALL"] * count
    assert set(reasons[count:]) <= ({""} if suppression.epoch else {"NO_CONSENT"})
    suppression.close()
    shutil.rmtree(settings.folder)
    return count
