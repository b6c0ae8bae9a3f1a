"""The house: rooms import downwards, without circles, and no module is long."""

import ast
import graphlib
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "gradtx"
FLOORS = {
    "core": 1,
    "schedules": 2,
    "regularizers": 2,
    "transforms": 3,
    "wrappers": 3,
    "inspection": 3,
    "optimizers": 4,
    "tour": 6,
}
FACE = {"__init__": 5, "contrib": 4.5, "__main__": 7, "tree": 2, "interop": 2}
MODULES = sorted(PACKAGE.rglob("*.py"))
names = pytest.mark.parametrize(
    "path", MODULES, ids=[str(p.relative_to(PACKAGE)) for p in MODULES]
)


def module_name(path: pathlib.Path) -> str:
    parts = ("gradtx", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


def imports(path: pathlib.Path) -> set[str]:
    """The modules of gradtx that a module imports when it is imported."""
    known = {module_name(p) for p in MODULES}
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "gradtx"
        ):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.startswith("gradtx")}
    return found


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def floor(module: str) -> int:
    return FLOORS.get(room(module)) or FACE[room(module)]


@names
def test_a_room_imports_only_from_lower_floors(path):
    this = module_name(path)
    for other in imports(path):
        same_room = room(this) == room(other) and room(this) in FLOORS
        assert same_room or floor(other) < floor(this), f"{this} imports {other}"


def test_there_are_no_import_circles():
    graph = {module_name(p): imports(p) - {module_name(p)} for p in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())


@names
def test_no_module_is_long(path):
    tree = ast.parse(path.read_text())
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    prose = set()
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            text = node.body[0]
            prose |= set(range(text.lineno, text.end_lineno + 1))
    lines = enumerate(path.read_text().splitlines(), start=1)
    code = [n for n, line in lines if line.strip() and not line.strip().startswith("#")]
    assert len(set(code) - prose) <= 250


@names
def test_only_declared_packages_are_imported(path):
    demo = {
        "inspection": {"matplotlib", "rich"},
        "tour": {"matplotlib", "rich", "sklearn"},
    }.get(room(module_name(path)), set())
    optional = {"optax"} if path.name == "interop.py" else set()
    allowed = {"gradtx", "jax", "numpy", *sys.stdlib_module_names, *demo, *optional}
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module]
        for module in modules:
            assert module.split(".")[0] in allowed


def test_importing_is_silent_and_light():
    heavy = [
        "optax",
        "flax",
        "chex",
        "equinox",
        "matplotlib",
        "rich",
        "sklearn",
        "scipy",
    ]
    code = (
        "import sys, jax; before = set(sys.modules); import gradtx; "
        f"assert not (set(sys.modules) - before) & set({heavy})"
    )
    run = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
