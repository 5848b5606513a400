"""The journal on a healthy disk, on one that fails at any call, and read back after a tear at any byte."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import zstandard

from engine.journal import (
    EnhancedCode,
    Journal,
    JournalFailed,
    JournalSettings,
    Record,
    Response,
    enhanced_code,
    read_lines,
    read_records,
    segments,
)
from engine.journal.segment import NEWEST_KEPT, SystemFiles, expired, prepare_folder

ROOT = Path(__file__).parents[2]


def record(number: int, **more: object) -> Record:
    return Record("Delivery", f"{number:016x}", 1.7e9 + number, recipient=f"neko{number}@example.jp", **more)


def in_journal(settings: JournalSettings, steps: Callable[[Journal], Awaitable[None]], files=None) -> Journal:
    async def run() -> Journal:
        journal = Journal(settings, files)
        try:
            await steps(journal)
        finally:
            await journal.close()
        return journal

    return asyncio.run(run())


def write(folder: Path, *groups: list[Record], **settings: object) -> Journal:
    async def steps(journal: Journal) -> None:
        for group in groups:
            await journal.append(group)

    return in_journal(JournalSettings(folder, **settings), steps)


def read_all(folder: Path) -> list[Record]:
    return [record for path in segments(folder) for record in read_records(path)]


class FailingFiles(SystemFiles):
    """Fails at the call with this number, counted over all kinds, with this error. Writes are short."""

    def __init__(self, fail_at: int, code: int = errno.EIO) -> None:
        self.left = fail_at
        self.code = code
        self.calls: list[str] = []

    def _step(self, name: str) -> None:
        self.calls.append(name)
        self.left -= 1
        if self.left == 0:
            raise OSError(self.code, os.strerror(self.code))

    def create(self, path):
        self._step("create")
        return super().create(path)

    def write(self, file, data):
        self._step("write")
        return super().write(file, data[:7])

    def sync(self, file):
        self._step("sync")
        super().sync(file)

    def sync_folder(self, folder):
        self._step("sync_folder")
        super().sync_folder(folder)


def test_what_is_acknowledged_can_be_read_while_the_segment_is_open(tmp_path) -> None:
    async def steps(journal: Journal) -> None:
        await journal.append([record(1), record(2)])
        assert [found.id for found in read_all(tmp_path / "j")] == [record(1).id, record(2).id]
        await journal.append([record(3)])
        assert len(read_all(tmp_path / "j")) == 3

    journal = in_journal(JournalSettings(tmp_path / "j"), steps)
    assert (journal.records, journal.syncs) == (3, 2)
    assert journal.bytes_written > 0
    assert (journal.sync_seconds.count, journal.sync_seconds.total > 0) == (2, True)
    assert [found.recipient for found in read_all(tmp_path / "j")] == [f"neko{n}@example.jp" for n in (1, 2, 3)]


def test_a_closed_segment_is_a_complete_frame_for_any_zstd_tool(tmp_path) -> None:
    write(tmp_path, [record(1)], [record(2)])
    (path,) = segments(tmp_path)
    text = zstandard.ZstdDecompressor().decompressobj()
    lines = text.decompress(path.read_bytes()).splitlines()
    assert text.eof
    assert [json.loads(line)["id"] for line in lines] == [record(1).id, record(2).id]


def test_modes_keep_the_addresses_from_others(tmp_path) -> None:
    before = os.umask(0o022)
    try:
        write(tmp_path / "state" / "journal", [record(1)])
    finally:
        os.umask(before)
    (path,) = segments(tmp_path / "state" / "journal")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750


def test_a_folder_that_others_may_write_is_refused(tmp_path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError, match="mode 0777"):
        prepare_folder(tmp_path, SystemFiles())


def test_new_folders_are_synced_into_their_parents(tmp_path) -> None:
    synced: list[Path] = []

    class Files(SystemFiles):
        def sync_folder(self, folder):
            synced.append(folder)

    prepare_folder(tmp_path / "a" / "b", Files())
    prepare_folder(tmp_path / "a" / "b", Files())
    assert synced == [tmp_path, tmp_path / "a"]


def test_a_segment_ends_by_size_and_a_new_start_never_writes_behind_an_old_end(tmp_path) -> None:
    write(tmp_path, [record(1)], [record(2)], [record(3)], max_segment_bytes=1)
    assert len(segments(tmp_path)) == 3
    write(tmp_path, [record(4)])
    assert [found.id for found in read_all(tmp_path)] == [record(n).id for n in (1, 2, 3, 4)]
    assert [path.name[:11] for path in segments(tmp_path)] == [f"{n:010d}-" for n in (1, 2, 3, 4)]


def test_an_idle_segment_is_ended_by_its_age(tmp_path) -> None:
    async def steps(journal: Journal) -> None:
        await journal.append([record(1)])
        (path,) = segments(tmp_path)
        while not zstandard_is_complete(path):
            await asyncio.sleep(0.001)
        await journal.append([record(2)])

    in_journal(JournalSettings(tmp_path, max_segment_seconds=0.01), steps)
    assert len(segments(tmp_path)) == 2


def zstandard_is_complete(path: Path) -> bool:
    reader = zstandard.ZstdDecompressor().decompressobj()
    reader.decompress(path.read_bytes())
    return bool(reader.eof)


def test_the_order_does_not_hang_on_the_clock(tmp_path) -> None:
    (tmp_path / "0000000041-20990101T000000Z.jsonl.zst").touch()
    write(tmp_path, [record(1)])
    assert [path.name[:10] for path in segments(tmp_path)] == ["0000000041", "0000000042"]


def test_a_name_that_is_not_ours_does_not_stop_the_journal(tmp_path) -> None:
    (tmp_path / "zz-copy.jsonl.zst").write_bytes(b"")
    write(tmp_path, [record(1)])
    assert len(read_all(tmp_path)) == 1


def test_copies_of_others_never_stand_in_the_place_of_the_newest(tmp_path) -> None:
    """Recovery reads the last segments, and retention spares them."""
    write(tmp_path, [record(1)])
    for name in ("zz-copy", "9old-copy", "old"):
        (tmp_path / f"{name}.jsonl.zst").write_bytes(b"")
    write(tmp_path, [record(2)])
    assert [path.name[:10] for path in segments(tmp_path)][-2:] == ["0000000001", "0000000002"]
    assert [one.id for one in read_all(tmp_path)] == [record(1).id, record(2).id]


def test_what_comes_behind_the_end_is_refused_and_waits_for_nobody(tmp_path) -> None:
    async def run() -> None:
        journal = Journal(JournalSettings(tmp_path))
        await journal.close()
        with pytest.raises(JournalFailed, match="closed"):
            async with asyncio.timeout(10):
                await journal.append([record(1)])

    asyncio.run(run())


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failing_disk_at_any_call_is_final_and_never_acknowledged(tmp_path, code) -> None:
    for fail_at in range(1, 200):
        folder = tmp_path / str(fail_at)
        folder.mkdir(mode=0o750)
        files = FailingFiles(fail_at, code)
        acknowledged: list[int] = []
        refusals: list[str] = []

        async def steps(journal: Journal, acknowledged=acknowledged, refusals=refusals) -> None:
            for number in range(3):
                try:
                    await journal.append([record(number)])
                    acknowledged.append(number)
                except JournalFailed as error:
                    refusals.append(str(error))

        in_journal(JournalSettings(folder, max_segment_bytes=200), steps, files)
        readable = [int(found.id, 16) for found in read_all(folder)]
        assert readable[: len(acknowledged)] == acknowledged, "what was acknowledged stands, in order"
        assert len(acknowledged) + len(refusals) == 3
        assert acknowledged == list(range(len(acknowledged))), "after a failure nothing is acknowledged"
        if refusals:
            assert os.strerror(code) in refusals[0]
            assert str(folder) in refusals[0]
            after = files.calls[fail_at:]
            assert after == [], "nothing is tried again on a disk that failed"
        if files.left > 0:
            break
    assert fail_at > 20


def test_a_fault_that_is_no_disk_fault_is_told_to_the_caller_too(tmp_path) -> None:
    async def steps(journal: Journal) -> None:
        with pytest.raises(JournalFailed, match="TypeError"):
            await journal.append([object()])  # type: ignore[list-item]
        with pytest.raises(JournalFailed):
            await journal.append([record(1)])

    in_journal(JournalSettings(tmp_path), steps)


def test_a_cancelled_caller_does_not_disturb_the_others(tmp_path) -> None:
    async def steps(journal: Journal) -> None:
        first = asyncio.ensure_future(journal.append([record(1)]))
        await asyncio.sleep(0)
        first.cancel()
        await journal.append([record(2)])

    in_journal(JournalSettings(tmp_path), steps)
    assert len(read_all(tmp_path)) == 2, "what was handed over is written"


def test_a_full_disk_of_the_system_is_final(tmp_path) -> None:
    """RLIMIT_FSIZE in a process of its own: the kernel's own short write, then EFBIG."""
    program = f"""
import asyncio, resource, signal
from pathlib import Path
from engine.journal import Journal, JournalFailed, JournalSettings, Record
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
async def main():
    journal = Journal(JournalSettings(Path({str(tmp_path)!r})))
    done = 0
    try:
        while True:
            await journal.append([Record("Delivery", f"{{done:016x}}", 1.0, recipient=str(hash(str(done))))])
            done += 1
    except JournalFailed as error:
        print(done)
    await journal.close()
asyncio.run(main())
"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    (path,) = segments(tmp_path)
    assert path.stat().st_size == 1000
    found = list(read_records(path))
    assert len(found) >= int(ran.stdout) > 2
    assert "File too large" in ran.stderr


def groups_and_bytes(folder: Path) -> tuple[bytes, list[tuple[int, int]]]:
    """The bytes of a small segment, and where each group ended: (size, records so far)."""
    ends: list[tuple[int, int]] = []

    async def steps(journal: Journal) -> None:
        for number in range(0, 9, 3):
            await journal.append([record(number), record(number + 1), record(number + 2)])
            (path,) = segments(folder)
            ends.append((path.stat().st_size, number + 3))

    in_journal(JournalSettings(folder), steps)
    return segments(folder)[0].read_bytes(), ends


@pytest.mark.parametrize("tail", [b"", b"\0" * 300, b"\xff" * 300, b"\x7f\x01\x80garbage" * 20])
def test_a_tear_at_any_byte_leaves_every_group_before_it(tmp_path, tail) -> None:
    """Cut, or filled up with zeros or rubbish as a file system does after a power cut."""
    whole, ends = groups_and_bytes(tmp_path / "whole")
    torn = tmp_path / "0000000001-torn.jsonl.zst"
    expected = [record(number) for number in range(9)]
    for cut in range(len(whole)):
        torn.write_bytes(whole[:cut] + tail)
        found = list(read_records(torn))
        sure = max((count for size, count in ends if size <= cut), default=0)
        assert len(found) >= sure, cut
        assert found[:sure] == expected[:sure]
        if not tail:
            assert found == expected[: len(found)]


def test_a_bad_sector_far_in_leaves_what_stood_before_it(tmp_path) -> None:
    """More than one portion of the reader: its salvage goes over the parts that were read already."""
    rows = [record(number, mailing=os.urandom(40).hex()) for number in range(4000)]
    write(tmp_path, *(rows[at : at + 100] for at in range(0, 4000, 100)))
    (path,) = segments(tmp_path)
    content = bytearray(path.read_bytes())
    assert len(content) > 150_000
    content[140_000:148_000] = b"\xff" * 8000
    path.write_bytes(content)
    found = list(read_records(path))
    assert len(found) > 2000
    assert found[:2000] == rows[:2000]
    with pytest.raises(zstandard.ZstdError):
        zstandard.ZstdDecompressor().decompressobj().decompress(content)


def test_bytes_behind_a_complete_frame_are_not_ours(tmp_path) -> None:
    write(tmp_path, [record(1)])
    (path,) = segments(tmp_path)
    path.write_bytes(path.read_bytes() + b"x" * 200_000)
    assert len(list(read_lines(path))) == 1


def test_a_hostile_reply_stays_one_line(tmp_path) -> None:
    text = 'no\n250 2.0.0 ok\r\n\0\x1b[31m \u2028\u0085\ufffd"}\ud800 猫'
    write(tmp_path, [record(1, response=Response(550, None, text, "RCPT TO")), record(2)])
    (path,) = segments(tmp_path)
    lines = list(read_lines(path))
    assert len(lines) == 2
    found = json.loads(lines[0])["response"]["content"]
    assert found == text.replace("\ud800", "?")
    assert b"\x1b" not in lines[0]


def test_retention_takes_what_is_old_but_never_the_newest(tmp_path) -> None:
    write(tmp_path, *([record(number)] for number in range(6)), max_segment_bytes=1)
    old, *_ = paths = segments(tmp_path)
    for path in paths:
        os.utime(path, (1e9, 1e9))
    os.utime(paths[1], (2e9, 2e9))
    assert expired(tmp_path, 0.0, 3e9) == []
    assert expired(tmp_path, 1e9, 2.5e9) == [old, paths[2]]
    write(tmp_path, [record(7)], keep_seconds=60.0)
    left = segments(tmp_path)
    assert old not in left
    assert len(left) == 1 + NEWEST_KEPT + 1


def test_a_segment_that_cannot_be_deleted_stops_no_mail(tmp_path, caplog) -> None:
    for number in range(1, 6):
        folder = tmp_path / f"{number:010d}-folder.jsonl.zst"
        folder.mkdir()
        os.utime(folder, (1e9, 1e9))
    write(tmp_path, [record(1)], keep_seconds=60.0)
    assert "cannot be deleted" in caplog.text
    assert len(list(read_records(segments(tmp_path)[-1]))) == 1


def test_enhanced_codes_have_three_numbers() -> None:
    assert enhanced_code("5.7.26") == EnhancedCode(5, 7, 26)
    assert msgspec.json.encode(enhanced_code("2.0.0")) == b'{"class":2,"subject":0,"detail":0}'
    for wrong in ("", "5.1", "3.0.0", "5.1.1111", "5.1.1\n", "x"):
        assert enhanced_code(wrong) is None
