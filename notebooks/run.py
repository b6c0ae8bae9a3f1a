"""Run the notebooks: from each .py its .ipynb, with what it prints and draws.

python notebooks/run.py            all of them
python notebooks/run.py 03 04      those whose names begin so
"""

import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def run(source: Path) -> None:
    began = time.perf_counter()
    notebook = nbformat.v4.new_notebook(
        cells=jupytext.read(source).cells, metadata={"kernelspec": KERNEL}
    )
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number}"  # not random, so that diffs are short
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == "tags"}
    resources = {"metadata": {"path": FOLDER}}
    NotebookClient(notebook, record_timing=False, resources=resources).execute()
    notebook.metadata.pop("language_info")  # the version of whoever ran it
    nbformat.write(notebook, source.with_suffix(".ipynb"))
    print(f"{source.name}: {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    for source in sorted(FOLDER.glob("0*.py")):
        if source.name.startswith(tuple(sys.argv[1:]) or "0"):
            run(source)
