"""`import gradtx as optax`: what both have by name takes the same calls."""

import inspect

import pytest

import gradtx

optax = pytest.importorskip("optax")
from optax import contrib  # noqa: E402

# Where ours may be called as theirs, though the signatures differ.
OTHERWISE = {
    "add_noise": "a key must be given",
    "AddNoiseState": "it keeps no key",
    "HutchinsonState": "it keeps no key",
    "ScaleByAdemamixState": "one count for both means",
    "scale_by_learning_rate": "a learning rate of None is refused",
}
SHARED = {
    name: (getattr(gradtx, name), getattr(peer, name))
    for peer in (optax, contrib)
    for name in dir(peer)
    if name in gradtx.__all__ and inspect.isfunction(getattr(peer, name))
    if name not in OTHERWISE
}


def numbers_equal(ours, theirs):
    plain = isinstance(theirs, bool | int | float | str | None)
    return not plain or ours == theirs


@pytest.mark.parametrize("name", sorted(SHARED))
def test_takes_the_same_calls(name):
    """The same names in the same order with the same defaults; more may follow."""
    ours, theirs = (
        list(inspect.signature(f).parameters.values()) for f in SHARED[name]
    )
    by_name = {p.name: p for p in ours}
    for i, parameter in enumerate(theirs):
        assert parameter.name in by_name
        same = by_name[parameter.name]
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            assert ours[i].name == parameter.name
        assert numbers_equal(same.default, parameter.default), parameter.name
    required = [p for p in ours if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    assert {p.name for p in required if p.kind is not p.VAR_POSITIONAL} <= {
        p.name for p in theirs
    }


STATES = {
    name: (getattr(gradtx, name), getattr(peer, name))
    for peer in (optax, contrib)
    for name in dir(peer)
    if name in gradtx.__all__ and hasattr(getattr(peer, name), "_fields")
    if name not in OTHERWISE and not name.startswith("GradientTransformation")
}


@pytest.mark.parametrize("name", sorted(STATES))
def test_states_have_the_same_fields_in_the_same_order(name):
    """Ours may have a count before the others, or more after them."""
    ours, theirs = ([*state._fields] for state in STATES[name])
    theirs = ["count" if field == "t" else field for field in theirs]
    if "count" not in theirs and ours[:1] == ["count"]:
        ours = ours[1:]
    assert ours[: len(theirs)] == theirs


def test_contrib_has_the_names_of_optax_contrib():
    known = {n for n in dir(contrib) if n in gradtx.__all__ and not n.startswith("_")}
    assert set(gradtx.contrib.__all__) == known
    for name in known:
        assert getattr(gradtx.contrib, name) is getattr(gradtx, name)
