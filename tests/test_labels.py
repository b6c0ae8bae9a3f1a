"""Names beside lines."""

import matplotlib.colors
import matplotlib.figure
import numpy as np

from gradtx.tour.labels import label_lines

GAP = 0.06


def drawn(ends):
    """Axes with a line from 1 to each end, named by it, and one without a name."""
    axes = matplotlib.figure.Figure().subplots()
    axes.set(yscale="log", ylim=(1e-4, 1))
    for end in ends:
        axes.plot([0, 1], [1, end], label=f"{end}")
    axes.plot([0, 1], [1, 1])
    label_lines(axes, GAP)
    return {text.get_text(): text for text in axes.texts}


def test_each_name_stands_where_its_line_ends_in_its_colour():
    names = drawn([1e-1, 1e-2, 1e-3])
    heights = [names[name].xyann[1] for name in ("0.1", "0.01", "0.001")]
    np.testing.assert_allclose(heights, [0.75, 0.5, 0.25], atol=1e-12)
    colours = [text.get_color() for text in names.values()]
    assert colours == [matplotlib.colors.to_rgb(c) for c in ("C2", "C1", "C0")]


def test_names_that_would_overlap_are_moved_apart_and_keep_their_order():
    names = drawn([1e-2, 1.01e-2, 1.02e-2])
    heights = np.array([text.xyann[1] for text in names.values()])
    assert list(names) == ["0.01", "0.0101", "0.0102"]
    np.testing.assert_allclose(np.diff(heights), GAP)
    np.testing.assert_allclose(heights.mean(), 0.5, atol=0.01)


def test_a_line_that_leaves_the_axes_or_the_numbers_is_named_at_the_edge():
    names = drawn([1e-9, np.inf])
    assert names["1e-09"].xyann[1] == 0
    assert names["inf"].xyann[1] == 1


def test_a_line_of_no_numbers_has_no_name():
    axes = matplotlib.figure.Figure().subplots()
    axes.plot([0, 1], [np.nan, np.nan], label="diverged")
    label_lines(axes)
    assert not axes.texts
