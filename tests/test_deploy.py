"""What deploy/ ships for containers fits the engine: the configuration is read, and what would keep a pod from starting."""

from __future__ import annotations

import re
import textwrap
import tomllib
from pathlib import Path

import pytest

from engine.config import Settings, read_configuration
from engine.flow.socketfile import SocketError, _prepare_folder
from engine.signer.keys import generate_key, key_pem

DEPLOY = Path(__file__).parent.parent / "deploy"
POD = (DEPLOY / "kubernetes" / "sokutatsu.yaml").read_text("utf-8")
COMPOSE = (DEPLOY / "compose" / "compose.yml").read_text("utf-8")


def configuration() -> str:
    found = re.search(r"  sokutatsu\.toml: \|\n((?:    .*\n|\n)+)", POD)
    assert found
    return textwrap.dedent(found[1])


def test_the_config_map_is_a_configuration(tmp_path: Path) -> None:
    key = tmp_path / "s2026a.pem"
    key.touch(0o600)
    key.write_bytes(key_pem(generate_key("ed25519")))
    file = tmp_path / "sokutatsu.toml"
    file.write_text(configuration().replace("/etc/sokutatsu-keys", str(tmp_path)), "utf-8")
    settings = read_configuration(file)
    assert isinstance(settings, Settings), settings
    ports = {int(port) for port in re.findall(r"containerPort: (\d+)", POD)}
    listens = (settings.admin.listen, settings.unsubscribe.listen, settings.return_path.listen)  # type: ignore[union-attr]
    assert ports == {int(listen.rpartition(":")[2]) for listen in listens}
    grace = re.search(r"terminationGracePeriodSeconds: (\d+)", POD)
    assert grace
    assert int(grace[1]) > settings.engine.stop_seconds + 10


def test_the_door_is_a_folder_of_the_engine_s_own(tmp_path: Path) -> None:
    """A volume of a pod is open to everybody (2777), and no socket is made in such a folder."""
    volume = tmp_path / "run"
    volume.mkdir()
    volume.chmod(0o2777)
    with pytest.raises(SocketError):
        _prepare_folder(volume, None)
    _prepare_folder(volume / "door", None)
    path = Path(tomllib.loads(configuration())["socket"]["path"])
    mounts = {Path(found) for found in re.findall(r"mountPath: ([^ ,}]+)", POD)}
    assert path.parent not in mounts
    assert path.parent.parent in mounts
    assert f"value: {path}}}" in POD, "the command line finds it, too"


def test_a_pod_that_takes_no_mail_starts_lives_and_takes_refusals() -> None:
    probes = dict(re.findall(r"(\w+)Probe:\n\s+httpGet: \{path: (/\w+)", POD))
    assert probes == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    services = [part for part in POD.split("\n---\n") if "\nkind: Service\n" in part]
    for name in ("unsubscribe", "return-path"):
        (service,) = (part for part in services if f"targetPort: {name}" in part)
        assert "publishNotReadyAddresses: true" in service


def test_user_and_group_are_the_same_everywhere() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert "groupadd --gid 10001 sokutatsu" in dockerfile
    assert "useradd --uid 10001 --gid sokutatsu" in dockerfile
    assert "USER 10001:10001" in dockerfile
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        assert f"{key}: 10001" in POD


def test_every_service_of_the_compose_file_comes_back_and_bounds_its_log() -> None:
    services = re.split(r"\n  (?=\w+:\n)", COMPOSE.split("\nservices:\n")[1].split("\nnetworks:\n")[0])
    assert len(services) == 5
    for service in services:
        assert "restart: unless-stopped" in service, service
        assert "logging: *logging" in service, service
