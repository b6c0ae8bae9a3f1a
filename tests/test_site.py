"""Every public name has its place on the site, and a signature that can be read."""

import collections
import importlib
import inspect
import pathlib
import re
import sys

import pytest

import gradtx

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def texts():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module("make_api").pages()
    finally:
        sys.path.remove(str(ROOT / "docs"))


def listed():
    """The modules that list public names, by the lists themselves."""
    found = [gradtx]
    for module in found:  # which grows
        inner = [getattr(module, n, None) for n in getattr(module, "__all__", [])]
        found += [m for m in inner if inspect.ismodule(m) and m not in found]
    return found


def test_every_public_name_is_on_a_page_once(texts):
    text = "\n".join(texts.values())
    shown = re.findall(r"^\.\. auto(?:class|function):: (\S+)$", text, re.MULTILINE)
    values = re.findall(r"^\.\. data:: (\w+)\n   :module: (\S+)$", text, re.MULTILINE)
    shown += [f"{module}.{name}" for name, module in values]
    assert [n for n, times in collections.Counter(shown).items() if times > 1] == []
    places = collections.defaultdict(set)
    for path in shown:
        module, name = path.rsplit(".", 1)
        places[name].add(id(getattr(importlib.import_module(module), name)))
    for module in listed():
        for name in getattr(module, "__all__", []):
            public = getattr(module, name)
            if not inspect.ismodule(public):
                assert id(public) in places[name], f"{module.__name__}.{name}"
    # These are in their room alone, which imports them as themselves.
    for path in ("optimizers.scion", "wrappers.wrapper", "transforms.LmoState"):
        assert f"gradtx.{path}" in shown


def test_values_without_a_docstring_are_explained(texts):
    number = "a finite number in [0, 1), an array or a schedule."
    assert number in texts["gradtx"]
    assert "Linear in the gradients" in texts["gradtx.roles"]
    assert "``count``: count; ``mu``: mean; ``nu``: square" in texts["states"]
    assert " at 0x" not in "".join(texts.values())


def test_states_are_apart(texts):
    for room, text in texts.items():
        classes = re.findall(r"autoclass:: \S+\.(\w+)$", text, flags=re.MULTILINE)
        assert classes or room != "states"
        assert all(name.endswith("State") == (room == "states") for name in classes)


def test_every_public_signature_prints_in_under_400_characters():
    for module in listed():
        for name, public in vars(module).items():
            made = inspect.isroutine(public) or isinstance(public, type)
            if made and name[0] != "_" and "gradtx" in public.__module__:
                assert len(f"{name}{inspect.signature(public)}") < 400, name
