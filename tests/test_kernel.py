"""What only a real Jupyter kernel shows: the progress of a fit in a notebook."""

import nbformat
from conftest import ROOT
from nbclient import NotebookClient

CODE = """
from nmf_nb import NMF, load_corpus, tfidf
model = NMF(8, random_state=0, verbose=1, tol=0, max_iter=60).fit(tfidf(load_corpus("factbook").texts)[0])
"""


def test_progress_in_a_notebook():
    "One line of HTML with a curve, updated in place; its final state stays, and nothing comes on stderr"
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE)])
    NotebookClient(nb, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    (shown,) = nb.cells[0].outputs
    assert shown.output_type == "display_data"
    html = shown.data["text/html"]
    assert html.startswith("step 60, objective") and "<polyline" in html and "<script" not in html
