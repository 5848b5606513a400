"""Is each pure floor covered whole, line and branch, by its own test files? `make coverage` asks.

What another floor's tests happen to run does not count: a pure module is where opinions and grammars live, and its
mirror in tests/unit is where a reader looks for their proof. One pytest run per floor; prints the missing lines and
exits 1 when there are any.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.test_architecture import PURE, ROOT


@dataclass(frozen=True, slots=True)
class Floor:
    source: str
    """The folder that is measured, so that a file nobody imports counts as missing."""
    include: tuple[str, ...]
    tests: tuple[str, ...]


def floors(pure: tuple[str, ...] = PURE) -> list[Floor]:
    """A pure package is a floor with its folder of tests; the pure modules of a package that is not pure are one."""
    packages = [name for name in pure if (ROOT / path(name) / "__init__.py").is_file()]
    found = [Floor(path(name), (f"{path(name)}/*",), (mirror(name),)) for name in packages]
    modules = [name for name in pure if name not in packages]
    for package in dict.fromkeys(name.rpartition(".")[0] for name in modules):
        own = [name for name in modules if name.rpartition(".")[0] == package]
        include = tuple(f"{path(name)}.py" for name in own)
        found.append(Floor(path(package), include, tuple(test for name in own for test in test_files(package, name))))
    return found


def path(name: str) -> str:
    return name.replace(".", "/")


def mirror(package: str) -> str:
    return f"tests/unit/{package.rpartition('.')[2]}"


def test_files(package: str, name: str) -> list[str]:
    folder, module = ROOT / mirror(package), name.rpartition(".")[2]
    return [f"{mirror(package)}/{file.name}" for file in sorted(folder.glob(f"test_*{module}.py"))]


def coverage(*arguments: str, data: Path) -> bool:
    command = [sys.executable, "-m", "coverage", arguments[0], f"--data-file={data}", *arguments[1:]]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def covered(floor: Floor, data: Path) -> bool:
    assert floor.tests, f"{floor.include}: no test file of its own"
    print(f"== {', '.join(floor.include)} by {', '.join(floor.tests)}", flush=True)
    ran = coverage("run", f"--source={floor.source}", "-m", "pytest", "-q", *floor.tests, data=data)
    wanted = ("--skip-covered", "--fail-under=100", f"--include={','.join(floor.include)}")
    return ran and coverage("report", *wanted, data=data)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="floor-coverage-") as folder:
        wrong = [floor for number, floor in enumerate(floors()) if not covered(floor, Path(folder, str(number)))]
    if wrong:
        sys.exit(f"below 100 % or failing: {', '.join(name for floor in wrong for name in floor.include)}")


if __name__ == "__main__":
    main()
