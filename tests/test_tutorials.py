"""A tutorial can be changed by its reader: with the changes that it invites, and their like, every cell still runs."""

import ast
import json
import re
import sys

import pytest
from conftest import ROOT, run

CHANGES = {
    "first_topics": [
        {"NMF(n_components=16, ": "NMF(n_components=8, "},
        {"NMF(n_components=16, ": "NMF(n_components=3, "},
        {"tfidf(corpus.texts, ": "tfidf(corpus.texts, ngram_range=(1, 1), "},
    ],
    "state_of_the_union": [{"TopicModel(16)": "TopicModel(10)"}, {"TopicModel(16)": "TopicModel(30)"}],
    "regions": [{"TopicModel(10)": "TopicModel(5)"}, {"TopicModel(10)": "TopicModel(20)"}],
    "piano": [
        {"noise = 0.01": "noise = 0.002"},
        {
            'score = ["C", "E", "G", "CE", "G", "E", "CG", "EG", "C", "CEG", "E", "CEG"]': 'score = ["E", "E", "G", "CEG", "CG", "CE", "C", "EG"]'
        },
    ],
    "digits": [{"k = 16": "k = 9", "row = 3": "row = 10"}],
}


@pytest.mark.parametrize(
    ("name", "change"),
    [(name, change) for name, changes in CHANGES.items() for change in changes],
    ids=lambda x: x if isinstance(x, str) else next(iter(x.values())),
)
def test_a_reader_changes_a_tutorial(name, change, tmp_path):
    path = ROOT / f"nbs/tutorials/{name}.ipynb"
    nb = json.loads(path.read_text(encoding="utf-8"))
    for old, new in change.items():
        assert any(old in "".join(cell["source"]) for cell in nb["cells"]), f"{old} is not in {name}"
        for cell in nb["cells"]:
            cell["source"] = (
                "".join(cell["source"]).replace(old, new) if cell["cell_type"] == "code" else cell["source"]
            )
    changed = tmp_path / path.name
    changed.write_text(json.dumps(nb), encoding="utf-8")
    result = run(sys.executable, ROOT / "tools/run_nbs.py", changed, "--check", "--no-outputs")
    assert result.returncode == 0, result.stdout + result.stderr


HIDDEN = re.compile(r"^#\|\s*(hide|echo: false|include: false)", re.M)
PAGES = sorted(p for d in ("tutorials", "howto", "explanations", "learn") for p in (ROOT / "nbs" / d).glob("*.ipynb"))


def names_of(sources):
    "The names that the code of some cells binds, and those that it reads"
    bound, read = set(), set()
    for node in ast.walk(ast.parse("\n".join(sources))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
    return bound, read


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_a_reader_can_paste_a_page(path):
    "Whoever pastes the code of a page has all that it needs: no visible cell reads a name that only a hidden one binds"
    cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    hidden, _ = names_of(s for s in sources if HIDDEN.search(s))
    seen, read = names_of(s for s in sources if not HIDDEN.search(s))
    assert read & (hidden - seen) == set()
