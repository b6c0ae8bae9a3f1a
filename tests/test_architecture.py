"""The house: rooms import downwards, without circles, and no module is long."""

import ast
import graphlib
import importlib
import inspect
import io
import pathlib
import subprocess
import sys
import tokenize

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "gradtx"
FLOORS = {
    "values": 1,
    "numerics": 2,
    "trees": 3,
    "schedules": 3,
    "losses": 3,
    "core": 4,
    "second_moment": 4.5,
    "matrix": 4.5,
    "merges": 4.5,
    "projections": 5,
    "regularizers": 5,
    "transforms": 5,
    "aggregation": 5.2,
    "codecs": 5,
    "inspection": 5,
    "layout": 5,
    "microbatching": 5,
    "wrappers": 6,
    "optimizers": 7,
    "experimental": 8,
    "solvers": 8,
    "tour": 9,
}
# Modules at the top: faces of a room, and leaves that nothing else imports.
FACES = {
    "assignment": 5,
    "perturbations": 5,
    "second_order": 5,
    "roles": 5,
    "typing": 5,
    "tree": 5.5,
    "tree_utils": 5.6,
    "interop": 5,
    "testing": 7,
    "contrib": 8,
    "places": 8,
    "__init__": 8.5,
    "__main__": 10,
}
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
    return (FLOORS | FACES)[room(module)]


@names
def test_a_room_imports_only_from_lower_floors(path):
    this = module_name(path)
    for other in imports(path):
        same_room = room(this) == room(other) and room(this) in FLOORS
        assert same_room or floor(other) < floor(this), f"{this} imports {other}"


def test_there_are_no_import_circles():
    graph = {module_name(p): imports(p) - {module_name(p)} for p in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())


def code_lines(path: pathlib.Path) -> int:
    """Lines that are not blank, nor a comment, nor of a docstring."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    prose = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            text = node.body[0]
            prose |= set(range(text.lineno, text.end_lineno + 1))
    lines = enumerate(path.read_text().splitlines(), start=1)
    code = [n for n, line in lines if line.strip() and not line.strip().startswith("#")]
    return len(set(code) - prose)


@names
def test_no_module_is_long(path):
    """But the list of what a room holds is as long as that."""
    assert code_lines(path) <= 261 or path.name == "__init__.py"


def test_the_algebra_is_small_and_does_not_guess():
    modules = [p for p in (PACKAGE / "core").glob("*.py") if p.name != "__init__.py"]
    assert len(modules) <= 9
    text = "\n".join(p.read_text() for p in modules)
    assert "except Exception" not in text
    assert "jaxpr" not in text


@pytest.mark.parametrize("room", ["core", "numerics", "layout"])
def test_what_is_hard_is_commented(room):
    code = comments = 0
    for path in (PACKAGE / room).glob("*.py"):
        code += code_lines(path)
        tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        comments += sum(token.type == tokenize.COMMENT for token in tokens)
    assert comments >= code / 30


@names
def test_only_declared_packages_are_imported(path):
    demo = {
        "inspection": {"matplotlib", "rich"},
        "solvers": {"rich"},
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


def static_names(path: pathlib.Path) -> list[str]:
    """What a type checker reads as `__all__` of a module: lists of strings, and
    `__all__ += room.__all__`; of the names in it, those that the module binds."""
    listed, bound = [], set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            listed += ast.literal_eval(node.value)
        elif isinstance(node, ast.AugAssign) and node.target.id == "__all__":
            assert isinstance(node.value, ast.Attribute)
            room = PACKAGE / node.value.value.id / "__init__.py"
            listed += static_names(room)
            bound |= set(static_names(room))
        elif isinstance(node, ast.ImportFrom):
            bound |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
    assert set(listed) <= bound
    return listed


def test_a_type_checker_sees_every_public_name():
    import gradtx

    assert static_names(PACKAGE / "__init__.py") == gradtx.__all__
    assert len(set(gradtx.__all__)) == len(gradtx.__all__)
    assert {"adamw", "scale_by_adam", "Pair", "l2"} <= set(gradtx.__all__)


def test_the_top_holds_the_names_of_optax_and_few_others():
    import gradtx

    optax = pytest.importorskip("optax")
    known = {*dir(optax), *dir(importlib.import_module("optax.contrib"))}
    ours = [n for n in gradtx.__all__ if n not in known]
    assert len([n for n in ours if not inspect.ismodule(getattr(gradtx, n))]) <= 120
    assert not hasattr(gradtx, "zeros_like")  # that of `tree` alone is


def test_contrib_is_strict():
    import gradtx

    for name in gradtx.contrib.__all__:
        assert name in gradtx.__all__
    with pytest.raises(AttributeError, match="adamm"):
        gradtx.contrib.adamm  # noqa: B018
