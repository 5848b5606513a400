"""The house rules. A rule that is not here is only a wish.

Each rule looks at the syntax trees of the product's files; `test_a_planted_fault_is_found` shows that the checks
themselves can fail.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("engine", "suppression", "bench")

# Imports go down or stay on the floor. The longest prefix that fits names a module's floor.
FLOORS = {
    "engine.smtp": 0,
    "engine.request": 0,
    "engine.wire": 0,
    "engine.mail": 1,
    "engine.lint": 2,
    "engine.policy": 2,
    "engine.queue": 2,
    "engine.returns": 2,
    "engine.buckets": 3,
    "engine.kumomta": 3,
    "engine.metrics": 3,
    "engine.tables": 3,
    "engine.spool": 4,
    "engine.net": 4,
    "engine.signer": 4,
    "engine.journal": 4,
    "suppression": 5,
    "engine.secret": 6,
    "engine.supervisor": 6,
    "engine.flow": 6,
    "engine.admin": 7,
    "engine.web": 7,
    "engine.page": 7,
    "engine.config": 8,
    "engine.guards": 9,
    "engine.network": 9,
    "engine.optout": 9,
    "engine.parts": 9,
    "engine.reload": 9,
    "engine.wayback": 9,
    "engine.engine": 9,
    "engine.observe": 10,
    "engine.live": 10,
    "engine.daemon": 11,
    "engine.client": 11,
    "engine.cli": 12,
    "engine.__main__": 13,
    "bench": 14,
}

# No I/O, clock, randomness, logging, metrics, event loop: facts in, values out.
PURE = (
    "engine.smtp",
    "engine.mail",
    "engine.lint",
    "engine.policy",
    "engine.queue",
    "engine.returns",
    "suppression.address",
    "suppression.day",
    "suppression.decision",
    "suppression.events",
    "suppression.index",
    "suppression.order",
    "suppression.parties",
    "suppression.policy",
    "suppression.retention",
    "suppression.rules",
    "suppression.shown",
    "suppression.standing",
    "suppression.tables",
    "suppression.unsubscribe",
    "engine.web.form",
    "engine.web.language",
    "engine.page.series",
    "engine.page.order",
    "bench.receiver",
)
IMPURE_MODULES = frozenset(
    """asyncio uvloop socket ssl select selectors threading subprocess multiprocessing signal os io pathlib shutil
    tempfile time random secrets logging apsw aiohttp aiosmtplib aiosmtpd dns prometheus_client zstandard""".split()
)
IMPURE_CALLS = frozenset({"open", "print", "input", "datetime.now", "datetime.utcnow", "date.today", "uuid.uuid4"})

# Replacing a library means changing one place.
HOMES = {
    "aiohttp": ("engine.admin", "engine.page", "engine.web", "engine.net.fetch"),
    "aiosmtpd": ("engine.flow",),
    "aiosmtplib": ("engine.net", "bench.peers"),
    "apsw": ("engine.spool", "suppression"),
    "cryptography": ("engine.signer", "engine.net.dane", "engine.cli.dkim", "bench"),
    "dkim": ("engine.cli", "engine.net.proof", "bench"),
    "dns": ("engine.net", "engine.cli"),
    "flufl": ("engine.returns",),
    "matplotlib": ("bench.plots",),
    "msgpack": ("engine.client", "engine.spool", "engine.cli.enqueue"),
    "numpy": ("suppression", "bench"),
    "prometheus_client": ("engine.metrics", "engine.kumomta"),
    "re2": ("engine.policy",),
    "rich": ("engine.cli", "bench"),
    "ssl": (
        "engine.net",
        "engine.flow.smtpd",
        "engine.flow.submission",
        "engine.flow.returnpath",
        "engine.config",
        "bench",
    ),
    "uvloop": ("engine.daemon", "engine.cli", "bench"),
    "zstandard": ("engine.journal",),
}

UNWANTED_NAMES = ("job", "task", "item", "manager", "handler", "util", "utils", "helper", "helpers", "common", "misc")
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def product_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def modules() -> dict[str, ast.Module]:
    return {module_name(path): tree(path) for path in product_files()}


def within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def imports(module: ast.Module) -> Iterator[str]:
    """Absolute names of what is imported, `from a import b` as a.b."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def internal_imports(name: str, module: ast.Module, known: frozenset[str]) -> Iterator[str]:
    for imported in imports(module):
        for candidate in (imported, imported.rpartition(".")[0]):
            if candidate in known and candidate != name:
                yield candidate
                break


def floor(module: str) -> int:
    fitting = [prefix for prefix in FLOORS if within(module, prefix)]
    assert fitting or module in {"engine"}, f"{module} stands on no floor: add it to FLOORS"
    return FLOORS[max(fitting, key=len)] if fitting else 0


def upward_imports(found: dict[str, ast.Module]) -> list[str]:
    known = frozenset(found)
    return [
        f"{name} (floor {floor(name)}) imports {other} (floor {floor(other)})"
        for name, module in found.items()
        for other in internal_imports(name, module, known)
        if floor(other) > floor(name)
    ]


def import_cycles(found: dict[str, ast.Module]) -> list[str]:
    known = frozenset(found)
    graph = {name: set(internal_imports(name, module, known)) for name, module in found.items()}
    while True:
        leaves = {name for name, others in graph.items() if not others & graph.keys()}
        if not leaves:
            return sorted(graph)
        graph = {name: others for name, others in graph.items() if name not in leaves}


def impurities(name: str, module: ast.Module) -> list[str]:
    found = [f"{name} imports {imported}" for imported in imports(module) if imported.split(".")[0] in IMPURE_MODULES]
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in IMPURE_CALLS:
            found.append(f"{name}:{node.lineno} calls {ast.unparse(node.func)}")
        if isinstance(node, ast.AsyncFunctionDef):
            found.append(f"{name}:{node.lineno} is async")
    return found


def strangers(name: str, module: ast.Module) -> list[str]:
    return [
        f"{name} imports {imported}, whose home is {', '.join(HOMES[library])}"
        for imported in imports(module)
        if (library := imported.split(".")[0]) in HOMES and not any(within(name, home) for home in HOMES[library])
    ]


def swallowed(name: str, module: ast.Module) -> list[str]:
    """`except Exception` (or wider) whose body does nothing."""
    found = []
    for node in ast.walk(module):
        if not isinstance(node, ast.ExceptHandler):
            continue
        wide = node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
        silent = all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
        if wide and silent:
            found.append(f"{name}:{node.lineno}")
    return found


def module_state(name: str, module: ast.Module) -> list[str]:
    """Mutable containers at module level that are not constants by name, and `global` statements."""
    found = [f"{name}:{node.lineno} global" for node in ast.walk(module) if isinstance(node, ast.Global)]
    for node in module.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            constant = isinstance(target, ast.Name) and (target.id.lstrip("_").isupper() or target.id.startswith("__"))
            if not constant and isinstance(node.value, ast.List | ast.Dict | ast.Set):
                found.append(f"{name}:{node.lineno} {ast.unparse(target)}")
    return found


def test_imports_point_down() -> None:
    assert upward_imports(modules()) == []


def test_no_import_cycles() -> None:
    assert import_cycles(modules()) == []


def test_suppression_imports_nothing_of_the_engine() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, module in modules().items()
        if within(name, "suppression")
        for imported in imports(module)
        if within(imported, "engine") or within(imported, "bench")
    ]
    assert wrong == []


def test_the_engine_never_imports_its_bench() -> None:
    wrong = [n for n, m in modules().items() if within(n, "engine") for i in imports(m) if within(i, "bench")]
    assert [name for name in wrong if name != "engine.__main__"] == []


def test_the_client_needs_only_msgpack() -> None:
    import sys

    path = ROOT / "engine" / "client.py"
    outside = {name.split(".")[0] for name in imports(tree(path))} - set(sys.stdlib_module_names)
    assert outside == {"msgpack"}


def test_pure_floors_are_pure() -> None:
    wrong = [
        problem
        for name, module in modules().items()
        if any(within(name, prefix) for prefix in PURE)
        for problem in impurities(name, module)
    ]
    assert wrong == []


def test_one_home_per_library() -> None:
    assert [problem for name, module in modules().items() for problem in strangers(name, module)] == []


def test_nobody_swallows_an_exception() -> None:
    assert [problem for name, module in modules().items() for problem in swallowed(name, module)] == []


def test_no_module_state() -> None:
    assert [problem for name, module in modules().items() for problem in module_state(name, module)] == []


def test_files_and_functions_stay_readable() -> None:
    wrong = []
    for path in product_files():
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > LONGEST_FILE:
            wrong.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length} lines")
    assert wrong == []


def test_every_file_says_what_it_is() -> None:
    wrong = [
        name
        for path in product_files()
        if path.read_text(encoding="utf-8").strip()
        for name in [module_name(path)]
        if not ast.get_docstring(tree(path))
    ]
    assert wrong == []


def test_names_are_the_fields_words() -> None:
    wrong = []
    for name, module in modules().items():
        if set(name.split(".")) & set(UNWANTED_NAMES):
            wrong.append(name)
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef) and node.name.lower().endswith(("manager", "handler", "helper", "utils")):
                wrong.append(f"{name}.{node.name}")
    assert wrong == []


def test_tests_never_patch_our_own_code() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*.py")
        if any(name.startswith(("unittest.mock", "mock")) for name in imports(tree(path)))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("check", "source"),
    [
        (lambda m: upward_imports({"engine.smtp.x": m, "engine.daemon": ast.parse("")}), "import engine.daemon"),
        (lambda m: impurities("engine.smtp.x", m), "import asyncio"),
        (lambda m: impurities("engine.smtp.x", m), "def f(path):\n    return open(path)"),
        (lambda m: strangers("engine.flow.x", m), "from dns import resolver"),
        (lambda m: swallowed("engine.flow.x", m), "try:\n    f()\nexcept Exception:\n    pass"),
        (lambda m: module_state("engine.flow.x", m), "seen = {}"),
        (
            lambda m: import_cycles({"engine.flow.x": m, "engine.flow.y": ast.parse("import engine.flow.x")}),
            "import engine.flow.y",
        ),
    ],
)
def test_a_planted_fault_is_found(check, source) -> None:
    assert check(ast.parse(source)) != []
