"""The signer as the core meets it: real processes, real keys, verified by the public half."""

import asyncio
import base64
import hashlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from engine.signer.client import SignerClient, SignerFailed
from engine.signer.keys import generate_key, key_pem
from engine.signer.settings import BACKEND_VARIABLE, KeyFile, KeyInfo, SignerSettings

DIGESTS = [hashlib.sha256(str(number).encode()).digest() for number in range(64)]


def write_key(folder: Path, algorithm: str = "rsa", mode: int = 0o600) -> Path:
    file = folder / f"{algorithm}.pem"
    file.write_bytes(key_pem(generate_key(algorithm)))
    file.chmod(mode)
    return file


@pytest.fixture(scope="module")
def both_keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyFile, ...]:
    folder = tmp_path_factory.mktemp("keys")
    return (
        KeyFile("example.jp", "r1", write_key(folder, "rsa")),
        KeyFile("example.jp", "e1", write_key(folder, "ed25519")),
    )


def with_client(settings: SignerSettings, body: Callable[[SignerClient], Awaitable[None]], *, uv: bool = True) -> None:
    async def run() -> None:
        client = SignerClient(settings)
        await client.start()
        try:
            async with asyncio.timeout(20):
                await body(client)
        finally:
            await client.close()

    (uvloop.run if uv else asyncio.run)(run())


def check(info: KeyInfo, digest: bytes, signature: bytes) -> None:
    """Raises InvalidSignature."""
    raw = base64.b64decode(info.public)
    if info.algorithm == "ed25519-sha256":
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, digest)
    else:
        public = load_der_public_key(raw)
        assert isinstance(public, RSAPublicKey)
        public.verify(signature, digest, PKCS1v15(), Prehashed(SHA256()))


@pytest.mark.parametrize("uv", [True, False])
def test_signatures_of_both_kinds_come_in_order_and_verify(both_keys: tuple[KeyFile, ...], uv: bool) -> None:
    async def body(client: SignerClient) -> None:
        rsa, ed25519 = client.keys["example.jp"]
        assert (rsa.algorithm, rsa.size, rsa.selector) == ("rsa-sha256", 256, "r1")
        assert (ed25519.algorithm, ed25519.size, ed25519.selector) == ("ed25519-sha256", 64, "e1")
        asked = [(number % 2, digest) for number, digest in enumerate(DIGESTS[:20])]
        pending = [client.sign(asked), client.sign(asked[:3], urgent=True)]
        assert client.backlog == 23
        for signatures in await asyncio.gather(*pending):
            for (index, digest), signature in zip(asked, signatures, strict=False):
                check((rsa, ed25519)[index], digest, signature)
        assert client.backlog == 0
        assert (client.counts.signatures, client.counts.batches, client.counts.restarts) == (23, 2, 0)

    with_client(SignerSettings(keys=both_keys, workers=2), body, uv=uv)


def test_urgent_overtakes_bulk(both_keys: tuple[KeyFile, ...]) -> None:
    async def body(client: SignerClient) -> None:
        done: list[str] = []
        bulk = [client.sign([(0, digest) for digest in DIGESTS]) for _ in range(8)]
        for future in bulk:
            future.add_done_callback(lambda _: done.append("bulk"))
        await bulk[0]
        urgent = client.sign([(0, DIGESTS[0])], urgent=True)
        urgent.add_done_callback(lambda _: done.append("urgent"))
        await asyncio.gather(urgent, *bulk)
        assert done.index("urgent") < len(bulk) - 2, done

    with_client(SignerSettings(keys=both_keys, workers=1), body)


def test_killed_workers_are_replaced_and_nothing_is_lost(both_keys: tuple[KeyFile, ...]) -> None:
    async def body(client: SignerClient) -> None:
        pending = [client.sign([(0, digest) for digest in DIGESTS[:32]]) for _ in range(10)]
        for worker in client._workers:
            worker.process.kill()
        results = await asyncio.gather(*pending)
        assert all(len(signatures) == 32 for signatures in results)
        assert client.counts.restarts == 2
        assert client.counts.resubmitted >= 10
        await asyncio.gather(*client._revivals)
        assert len(client.pids) == 2

    with_client(SignerSettings(keys=both_keys, workers=2), body)


def test_signals_of_the_group_do_not_stop_a_worker(both_keys: tuple[KeyFile, ...]) -> None:
    async def body(client: SignerClient) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(client.pids[0], number)
        assert len(await client.sign([(0, DIGESTS[0])])) == 1
        assert client.counts.restarts == 0

    with_client(SignerSettings(keys=both_keys, workers=1), body)


def test_a_crash_in_machine_code_ends_the_use_of_the_fast_library(both_keys: tuple[KeyFile, ...]) -> None:
    async def body(client: SignerClient) -> None:
        pending = client.sign([(0, digest) for digest in DIGESTS])
        client._workers[0].process.send_signal(signal.SIGSEGV)
        assert len(await pending) == 64
        assert client._wanted_backend() == client.backend == "cryptography"

    with_client(SignerSettings(keys=both_keys, workers=1), body)


def test_a_worker_that_stands_still_is_replaced(both_keys: tuple[KeyFile, ...]) -> None:
    async def body(client: SignerClient) -> None:
        os.kill(client.pids[0], signal.SIGSTOP)
        assert len(await client.sign([(0, DIGESTS[0])])) == 1
        assert client.counts.restarts == 1

    with_client(SignerSettings(keys=both_keys, workers=1, stall_seconds=0.2), body)


def test_a_batch_that_takes_worker_after_worker_down_ends_the_signer(both_keys: tuple[KeyFile, ...]) -> None:
    async def body(client: SignerClient) -> None:
        poison = client.sign([(0, digest) for digest in DIGESTS])
        while not poison.done():
            for worker in client._workers:
                worker.process.kill()
            await asyncio.gather(*client._revivals, asyncio.sleep(0))
        for failure in (poison, client.failed):
            with pytest.raises(SignerFailed, match="5 signing workers died over the same batch"):
                await failure

    with_client(SignerSettings(keys=both_keys, workers=1), body)


def test_a_key_that_changed_on_disk_is_not_taken_into_use(tmp_path: Path) -> None:
    file = write_key(tmp_path)

    async def body(client: SignerClient) -> None:
        write_key(tmp_path)
        await client.sign([(0, DIGESTS[0])])
        client._workers[0].process.kill()
        with pytest.raises(SignerFailed, match=r"has changed since it was read; .*reload"):
            await client.failed
        with pytest.raises(SignerFailed, match="no worker left"):
            await client.sign([(0, DIGESTS[0])])

    with_client(SignerSettings(keys=(KeyFile("example.jp", "r1", file),), workers=1, restart_wait=0.001), body)


def test_no_room_for_a_process_is_one_line(both_keys: tuple[KeyFile, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(SignerFailed, match="no signing worker can be started: No such file"):
        with_client(SignerSettings(keys=both_keys, workers=2), lambda _: asyncio.sleep(0))


def test_a_worker_that_cannot_even_start_is_told(
    both_keys: tuple[KeyFile, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SignerFailed, match="did not start"):
        with_client(SignerSettings(keys=both_keys, workers=2), lambda _: asyncio.sleep(0))


def test_a_worker_that_says_nothing_is_not_waited_for(
    both_keys: tuple[KeyFile, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(silent))
    with pytest.raises(SignerFailed, match="did not start"):
        with_client(SignerSettings(keys=both_keys, workers=2, start_seconds=0.1), lambda _: asyncio.sleep(0))


@pytest.mark.parametrize(
    "digests",
    [[], [(2, DIGESTS[0])], [(0, b"short")], [(-1, DIGESTS[0])], [(0, DIGESTS[0])] * 1025, [(0, b""), (0, b"x" * 63)]],
)
def test_what_is_no_digest_of_a_known_key_never_reaches_a_worker(
    both_keys: tuple[KeyFile, ...], digests: list[tuple[int, bytes]]
) -> None:
    async def body(client: SignerClient) -> None:
        with pytest.raises(ValueError, match=r"digests|unpack"):
            client.sign(digests)
        assert client.backlog == 0
        assert len(await client.sign([(1, DIGESTS[0])])) == 1

    with_client(SignerSettings(keys=both_keys, workers=1), body)


def test_closing_cancels_what_is_owed_and_leaves_no_process(both_keys: tuple[KeyFile, ...]) -> None:
    async def run() -> None:
        client = SignerClient(SignerSettings(keys=both_keys, workers=2))
        await client.start()
        processes = [worker.process for worker in client._workers]
        pending = client.sign([(0, digest) for digest in DIGESTS])
        await client.close()
        assert pending.cancelled()
        assert [process.returncode for process in processes] == [0, 0]
        with pytest.raises(SignerFailed, match="closed"):
            await client.sign([(0, DIGESTS[0])])

    uvloop.run(run())


def has_ended(pid: int) -> bool:
    """Waits for it, as one may for a process that is nobody's child any more."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)


def test_workers_end_when_the_core_is_killed(both_keys: tuple[KeyFile, ...]) -> None:
    files = [str(key.file) for key in both_keys]
    core = f"""
import asyncio, os, signal
from engine.signer.client import SignerClient
from engine.signer.settings import *
async def run():
    keys = tuple(KeyFile("example.jp", "s", Path(file)) for file in {files!r})
    client = SignerClient(SignerSettings(keys=keys, workers=2))
    await client.start()
    print(*client.pids, flush=True)
    for _ in range(20):
        client.sign([(0, bytes(32))] * 64)
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(run())
"""
    ended = subprocess.run([sys.executable, "-c", core], capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGKILL, "")
    pids = [int(pid) for pid in ended.stdout.split()]
    assert len(pids) == 2
    assert all(has_ended(pid) for pid in pids)


def test_the_backend_can_be_forced_and_the_log_says_which_and_why(
    both_keys: tuple[KeyFile, ...], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")

    async def body(client: SignerClient) -> None:
        assert client.backend == "cryptography"

    with_client(SignerSettings(keys=both_keys, workers=2, backend="cryptography"), body)
    assert caplog.messages == ["signer backend=cryptography reason='as configured' keys=2"]
    caplog.clear()
    monkeypatch.setenv(BACKEND_VARIABLE, "cryptography")
    with_client(SignerSettings(keys=both_keys, workers=1), body)
    assert caplog.messages == ["signer backend=cryptography reason='as configured' by SOKUTATSU_SIGNER_BACKEND keys=2"]
    monkeypatch.setenv(BACKEND_VARIABLE, "openssl")
    with pytest.raises(SignerFailed, match="backend 'openssl' is unknown; take one of auto, cryptography, crypto_mb"):
        with_client(SignerSettings(keys=both_keys, workers=2), body)


def test_a_key_that_others_may_read_stops_the_start(tmp_path: Path) -> None:
    file = write_key(tmp_path, mode=0o644)
    with pytest.raises(SignerFailed) as caught:
        with_client(SignerSettings(keys=(KeyFile("example.jp", "r1", file),), workers=2), lambda _: asyncio.sleep(0))
    assert str(file) in str(caught.value)
    assert "chmod 600" in str(caught.value)
    assert "\n" not in str(caught.value)
