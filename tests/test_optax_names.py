"""`import gradtx as optax`: what both have by name takes the same calls."""

import collections
import enum
import inspect
import types
import typing
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

optax = pytest.importorskip("optax")
from optax import contrib  # noqa: E402
from optax_differences import BEHAVIOURS, CALLS  # noqa: E402
from test_pains import PAINS  # noqa: E402

compared = pytest.mark.skipif(
    optax.__version__ != "0.2.8", reason="compared with Optax 0.2.8"
)
PLACES = (
    "",
    "assignment",
    "contrib",
    "experimental",
    "experimental.aggregating",
    "losses",
    "microbatching",
    "perturbations",
    "projections",
    "schedules",
    "second_order",
    "transforms",
    "tree",
    "tree_utils",
)
places = pytest.mark.parametrize("place", PLACES, ids=lambda place: place or "top")
ABSENT = object()


def at(library, place, name=""):
    """What stands under a dotted name, or ABSENT."""
    found = library
    for part in filter(None, f"{place}.{name}".split(".")):
        found = getattr(found, part, ABSENT)
    return found


def is_public(place, name, value):
    """Whether a name of Optax's is public: what it gives up is found by asking only,
    and is not among these."""
    if inspect.ismodule(value):
        return f"{place}.{name}".strip(".") in PLACES
    home = at(optax, place).__name__.rpartition(".")[2]
    own = getattr(value, "__module__", "").endswith(home)
    # What a module that is one file imports is none of its own.
    return not name.startswith("_") and (own or not home.startswith("_"))


PUBLIC = {
    place: {n: x for n, x in vars(at(optax, place)).items() if is_public(place, n, x)}
    for place in PLACES
}


def has(place, name):
    return at(gradtx, place, name) is not ABSENT


@compared
@places
def test_every_name_is_there(place):
    assert {name for name in PUBLIC[place] if not has(place, name)} == set()


@compared
@places
def test_what_is_not_compared_is_given_up_by_optax(place):
    home = at(optax, place)
    for name in set(getattr(home, "__all__", ())) - PUBLIC[place].keys():
        with pytest.warns(DeprecationWarning, match=name):
            getattr(home, name)


# What differs, in words.


def words(value):
    """A default: a number, an enum, a function or a transformation, by its name."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, tuple) and hasattr(value, "init"):  # of Optax
        return value.init.__qualname__.split(".")[0]
    if isinstance(value, gradtx.GradientTransformation):
        return value.factory.__name__
    if isinstance(value, type | types.FunctionType | jnp.dtype):
        return value.__name__
    nameless = " object at 0x" in repr(value)
    return f"{type(value).__name__}()" if nameless else repr(value)


def alike(ours, theirs):
    """Whether two defaults are the same, or act alike under another name."""
    if words(ours) == words(theirs) != "<lambda>":
        return True
    if not (inspect.isfunction(ours) and inspect.isfunction(theirs)):
        return False
    parameters = [*inspect.signature(theirs).parameters.values()]
    for x in (1, 2, 7):
        args = [x if p.default is p.empty else p.default for p in parameters]
        values = [f(*args) for f in (ours, theirs)]
        a, b = (float(v) if hasattr(v, "dtype") else v for v in values)
        if a != (pytest.approx(b, rel=1e-6) if isinstance(b, float) else b):
            return False
    return True


def of_parameters(ours, theirs):
    ours, theirs = (
        list(inspect.signature(f).parameters.values()) for f in (ours, theirs)
    )
    by_name = {p.name: p for p in ours}
    for i, there in enumerate(theirs):
        name, here = there.name, by_name.get(there.name)
        if here is None:
            yield f"{name} is not taken"
            continue
        if here.kind is not there.kind:
            yield f"{name} is {here.kind.description}, there {there.kind.description}"
        elif there.kind is there.POSITIONAL_OR_KEYWORD and ours.index(here) != i:
            yield f"{name} has another place"
        if here.default is here.empty and there.default is not there.empty:
            yield f"{name} has no default, there {words(there.default)}"
        elif there.default is not there.empty and not alike(
            here.default, there.default
        ):
            yield f"{name} is {words(here.default)}, there {words(there.default)}"
    # More may follow, which nobody needs to give.
    for here in by_name.keys() - {p.name for p in theirs}:
        variable = by_name[here].kind.description.startswith("variadic")
        if by_name[here].default is inspect.Parameter.empty and not variable:
            yield f"{here} must be given"


def of_fields(ours, theirs):
    for name in theirs._fields:
        if name not in ours._fields:
            yield f"{name} is no field"
    kept = [name for name in ours._fields if name in theirs._fields]
    if kept != [name for name in theirs._fields if name in kept]:
        yield "the fields are in another order"
    for name in ours._fields[len(kept) :]:
        # What follows has a default.
        if name not in theirs._fields and name not in ours._field_defaults:
            yield f"{name} has no default"


def of_methods(ours, theirs):
    for name, method in vars(theirs).items():
        if name == "__call__" or not name.startswith("_"):
            if not hasattr(ours, name):
                yield f"{name} is no attribute"
            elif callable(method) and callable(getattr(ours, name)):
                found = of_parameters(getattr(ours, name), method)
                yield from (f"{name}: {what}" for what in found)


def differences(ours, theirs):
    """What is called otherwise, in words."""
    if not callable(theirs) or getattr(theirs, "_is_protocol", False):
        return set()  # what one annotates with
    if typing.get_origin(theirs) is not None or theirs is typing.Any:
        return set()
    if not inspect.isclass(theirs):
        return set(of_parameters(ours, theirs))
    if not inspect.isclass(ours):
        return {"is no class"}
    if issubclass(theirs, enum.Enum):
        members = [{m.name: m.value for m in kind} for kind in (ours, theirs)]
        return set() if members[0] == members[1] else {"has other members"}
    if hasattr(theirs, "_fields"):
        return set(of_fields(ours, theirs) if hasattr(ours, "_fields") else ["none"])
    return {*of_parameters(ours, theirs), *of_methods(ours, theirs)}


@compared
@places
def test_every_difference_of_a_call_is_in_the_table(place):
    table = {call.name: call.what for call in CALLS}
    for name, theirs in PUBLIC[place].items():
        if has(place, name) and not inspect.ismodule(theirs):
            found = differences(at(gradtx, place, name), theirs)
            assert found == table.get(name, set()), name


@compared
def test_the_table_of_calls_has_names_of_optax():
    names = [call.name for call in CALLS]
    assert len(set(names)) == len(names)
    assert set(names) <= {name for there in PUBLIC.values() for name in there}


def test_the_words_for_differences():
    def theirs(a, b=1, *, c=None, f=lambda x: x + 1):
        pass

    def same(a, b=1, more=0, *, c=None, f=lambda y: 1 + y):
        pass

    def other(b, a=2, *, c, new, f=lambda x: x + 2):
        pass

    assert differences(same, theirs) == set()
    assert differences(other, theirs) == {
        "a has another place",
        "b has another place",
        "b has no default, there 1",
        "c has no default, there None",
        "f is <lambda>, there <lambda>",
        "new must be given",
    }
    there, here, less = (
        collections.namedtuple("State", fields) for fields in ("a b", "b a c", "b")
    )
    assert differences(there, there) == set()
    assert differences(here, there) == {
        "the fields are in another order",
        "c has no default",
    }
    assert differences(less, there) == {"a is no field"}


# What is done otherwise.

behaviours = pytest.mark.parametrize(
    "behaviour",
    [b for b in BEHAVIOURS if b.shown not in PAINS],
    ids=lambda b: b.shown.__name__,
)


@behaviours
def test_it_is_so_here(behaviour, lenient):
    behaviour.shown(gradtx)


@compared
@behaviours
def test_it_is_not_so_in_optax(behaviour, lenient):
    with pytest.raises((Exception, pytest.fail.Exception)):
        behaviour.shown(optax)


def test_what_behaves_otherwise_exists():
    for row in BEHAVIOURS:
        assert has("", row.name), row.name


# States, places and values.

# In these the count is part of what a wrapper does.
COUNTED = {
    "InjectHyperparamsState",
    "InjectStatefulHyperparamsState",
    "MechanicState",
    "ReduceLROnPlateauState",
    "SophiaState",
}


@pytest.mark.parametrize("place", ["", "contrib"], ids=["top", "contrib"])
def test_the_count_of_a_method_may_be_left_out(place):
    for name, theirs in PUBLIC[place].items():
        ours = at(gradtx, place, name)
        counted = inspect.isclass(ours) and "count" in getattr(ours, "_fields", ())
        if counted and hasattr(theirs, "_fields") and name not in COUNTED:
            made = ours(**{f: object() for f in ours._fields if f != "count"})
            assert (made.count, made.count.dtype) == (0, np.int32), name


def test_an_update_takes_a_state_made_without_a_count():
    g = {"w": jnp.array([1.0, -2.0])}
    for tx, field in (
        (gradtx.trace(0.9), "TraceState"),
        (gradtx.scale_by_adam(), "ScaleByAdamState"),
        (gradtx.scale_by_rss(), "ScaleByRssState"),
        (gradtx.clip(1.0), "ClipState"),
    ):
        first = tx.init(g)
        slots = {f: x for f, x in first._asdict().items() if f != "count"}
        made = getattr(gradtx, field)(**slots)
        ours, theirs = (jax.jit(tx.update)(g, s) for s in (made, first))
        assert jax.tree.all(jax.tree.map(jnp.array_equal, ours, theirs))
        assert jax.typeof(ours[1].count) == jax.typeof(theirs[1].count)


def test_what_is_one_thing_in_two_places_is_one_here():
    for place, names in PUBLIC.items():
        for name, theirs in names.items():
            if vars(optax).get(name) is theirs and has("", name) and has(place, name):
                assert at(gradtx, place, name) is getattr(gradtx, name), name


@pytest.mark.parametrize("name", ["transforms", "schedules", "tree", "tree_utils"])
def test_places_are_strict(name):
    room = getattr(gradtx, name)
    with pytest.raises(AttributeError, match="adamm"):
        room.adamm  # noqa: B018
    assert len(dir(room)) == len(set(dir(room)))


def test_names_are_imported_from_their_places():
    from gradtx.schedules import inject_hyperparams
    from gradtx.transforms import MaskedNode, chain, masked
    from gradtx.tree_utils import tree_l2_norm

    assert (chain, masked) == (gradtx.chain, gradtx.masked)
    assert inject_hyperparams is gradtx.inject_hyperparams
    assert tree_l2_norm({"a": jnp.array([3.0, 4.0])}) == 5.0
    assert jax.tree.leaves(MaskedNode()) == []


def test_names_that_optax_gives_up_are_there_for_code_that_has_them():
    given_up = set(gradtx.tree_utils.__all__) - PUBLIC["tree_utils"].keys()
    assert {"tree_l2_norm", "tree_scalar_mul"} <= given_up
    with warnings.catch_warnings(action="ignore"):
        for name in given_up:
            theirs = inspect.signature(getattr(optax.tree_utils, name)).parameters
            ours = inspect.signature(getattr(gradtx.tree_utils, name)).parameters
            assert [*ours][: len(theirs)] == [*theirs], name


def test_a_transformation_is_like_a_named_tuple():
    tx = gradtx.adam(0.1)
    assert tx._fields == optax.adam(0.1)._fields == ("init", "update")
    assert tx._asdict() == {"init": tx.init, "update": tx.update}

    def halved(updates, state, params=None):
        updates, state = tx.update(updates, state, params)
        return gradtx.tree.scale(0.5, updates), state

    g = {"w": jnp.array([1.0, -2.0])}
    other = tx._replace(update=halved)
    assert isinstance(other, gradtx.GradientTransformation)
    whole, half = (t.update(g, t.init(g))[0]["w"] for t in (tx, other))
    np.testing.assert_allclose(half, whole / 2)
    with pytest.raises(ValueError, match=r"scale_by_adam.* has no b1 to replace"):
        tx._replace(b1=0.5)


def test_partition_has_the_state_of_multi_transform():
    tx = gradtx.multi_transform({"a": gradtx.sgd(0.1)}, {"w": "a"})
    state = tx.init({"w": jnp.ones(2)})
    assert isinstance(state, gradtx.MultiTransformState)
    assert isinstance(state, gradtx.PartitionState)
    assert [*state.inner_states] == ["a"]


def test_contrib_has_the_names_of_optax_contrib():
    known = {n for n in dir(contrib) if n in gradtx.__all__ and not n.startswith("_")}
    assert set(gradtx.contrib.__all__) == known
    for name in known:
        assert getattr(gradtx.contrib, name) is getattr(gradtx, name)
