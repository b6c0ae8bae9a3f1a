"""How Sphinx builds the site, from the root of the repository: see CONTRIBUTING."""

import pathlib
import re
import sys
import zlib

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
import make_api  # noqa: E402

import gradtx  # noqa: E402

make_api.write()

project = "gradtx"
author = copyright = "The gradtx authors"
version = release = gradtx.__version__

root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*", "benchmarks/*.md", "*.md"]
exclude_patterns = [".*", "build", "dist", "tests", "README.md", "notebooks/*.py"]
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
]

html_theme = "sphinx_book_theme"
html_title = f"gradtx {release}"
html_theme_options = {"show_toc_level": 2}
html_additional_pages = {"index": "to_docs.html"}
templates_path = ["templates"]

nb_execution_mode = "off"  # the committed outputs are shown
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

add_module_names = False
autodoc_typehints = "none"  # what arguments may be is said in words
autosummary_generate = False
default_role = "py:obj"  # a name in backticks links to its page if it has one
napoleon_use_rtype = False
napoleon_custom_sections = ["Equals", "References", "Returns"]

# Where a site cannot be reached, names of its library are not links, and that is all:
# an inventory without entries stands in.
NOTHING = HERE.parent / "build" / "nothing.inv"
NOTHING.parent.mkdir(exist_ok=True)
NOTHING.write_bytes(
    b"# Sphinx inventory version 2\n# Project: nothing\n# Version: 0\n"
    b"# The remainder of this file is compressed using zlib.\n" + zlib.compress(b"")
)
linkcheck_timeout = 15
linkcheck_retries = 2
linkcheck_anchors = False  # they are made by scripts on many sites
linkcheck_report_timeouts_as_broken = False
linkcheck_ignore = [
    r"https://doi\.org/.*",  # which sends to publishers that answer browsers alone
]

intersphinx_timeout = 5
intersphinx_mapping = {
    "jax": ("https://docs.jax.dev/en/latest/", (None, str(NOTHING))),
    "flax": ("https://flax.readthedocs.io/en/stable/", (None, str(NOTHING))),
    "optax": ("https://optax.readthedocs.io/en/latest/", (None, str(NOTHING))),
}

QUOTED = re.compile(r"(`[^`]+`)")
BROKEN = re.compile(r"^(  [\w, ]+,)\n    ([\w, ]+:)", flags=re.MULTILINE)


def as_restructured_text(app, what, name, obj, options, lines):
    """Docstrings are plain text: * and | are signs of formulas, a _ at the end is part
    of a name, and a paragraph that is indented by four is code, or formulas."""
    found = []
    for paragraph in "\n".join(lines).split("\n\n"):
        if paragraph.startswith("    "):
            language = "python" if paragraph.isascii() else "text"
            found.append(f".. code-block:: {language}\n\n{paragraph}")
            continue
        parts = QUOTED.split(BROKEN.sub(r"\1 \2", paragraph))
        parts[::2] = [re.sub(r"([*|]|_\b)", r"\\\1", part) for part in parts[::2]]
        parts[2::2] = [re.sub(r"^(\w)", r"\\ \1", part) for part in parts[2::2]]
        found.append("".join(parts))
    lines[:] = "\n\n".join(found).split("\n")


def setup(app):
    app.connect("autodoc-process-docstring", as_restructured_text, priority=400)
