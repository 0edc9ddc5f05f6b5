"""The repository is in step with itself: notebooks, package, README and site."""

import ast
import builtins
import importlib
import inspect
import json
import re
import shutil
import sys
import tarfile
import zipfile
from configparser import ConfigParser

import pytest
from conftest import ROOT, run
from fastcore.docments import docments

BIN = [sys.executable, "-m"]
NOTEBOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
MODULES = sorted(p.stem for p in (ROOT / "nmf_nb").glob("*.py") if p.stem not in ("__init__", "_modidx"))


PUBLIC = {name for module in MODULES for name in importlib.import_module(f"nmf_nb.{module}").__all__}


def cells(path):
    "The cells of a notebook as (type, source) pairs"
    return [(c["cell_type"], "".join(c["source"])) for c in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def exported(source):
    return re.search(r"^#\|\s*exports?\b", source, re.M)


def module_of(path):
    "The name of the module a notebook exports, None if it exports nothing"
    found = [re.search(r"^#\|\s*default_exp\s+(\S+)", source, re.M) for _, source in cells(path)]
    return next((m[1] for m in found if m), None)


def text_files(folder, *patterns):
    found = (p for g in patterns for p in folder.glob(g) if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8") for p in found}


def readme_pictures(folder):
    return {p.name: p.read_bytes() for p in folder.glob("index_files/**/*.png")}


def test_lint():
    result = run(*BIN, "ruff", "check")
    assert result.returncode == 0, result.stdout + "run: ruff check --fix"


def test_format():
    result = run(*BIN, "ruff", "format", "--check")
    assert result.returncode == 0, result.stdout + "run: ruff format"


def test_notebooks_are_clean(copy):
    before = text_files(copy, "nbs/**/*.ipynb")
    run(sys.executable, "-c", "from nbdev.clean import nbdev_clean; nbdev_clean()", cwd=copy)
    after = text_files(copy, "nbs/**/*.ipynb")
    assert [name for name in before if before[name] != after[name]] == [], "run: nbdev_clean"


def test_package_is_in_step(copy):
    before = text_files(copy, "nmf_nb/*.py")
    for name in before:
        if name != "nmf_nb/__init__.py":
            (copy / name).unlink()  # a module whose notebook is gone must go too
    result = run(
        sys.executable,
        "-c",
        "from nbdev.export import nb_export; from nbdev import nbdev_export; nbdev_export()",
        cwd=copy,
    )
    assert result.returncode == 0, result.stderr
    assert text_files(copy, "nmf_nb/*.py") == before, "run: nbdev_export, and delete modules that have no notebook"


def test_readme_and_site(copy):
    "README.md and the site's settings come out of a build as they are committed; no link, anchor or heading is astray"
    patterns = ("README.md", "nbs/*.yml")
    before, pictures = text_files(ROOT, *patterns), readme_pictures(ROOT)
    result = run(sys.executable, "tools/build_docs.py", cwd=copy)
    assert result.returncode == 0, result.stdout + result.stderr
    assert text_files(copy, *patterns) == before, "run: python tools/build_docs.py"
    assert readme_pictures(copy) == pictures, "run: python tools/build_docs.py"


def test_formulas_need_no_network():
    "Formulas become MathML: numbers beside them, signs between terms, and what is not understood is an error"
    sys.path.insert(0, str(ROOT / "tools"))
    mend_pages = importlib.import_module("mend_pages")
    tex = r"\[\begin{aligned} a &amp;= b \\[-1ex] &amp;- \begin{pmatrix}1 &amp; 2\end{pmatrix} \end{aligned} \tag{3}\]"
    page = mend_pages.formulas(f'<p><span class="math display">{tex}</span></p>')
    assert "<math" in page and '<span class="number">(3)</span>' in page and "1ex" not in page and r"\tag" not in page
    assert re.search(r"<mrow></mrow><mo>−</mo>", page), "the sign is one between two terms"
    with pytest.raises(SystemExit, match="not understood"):
        mend_pages.formulas(r'<span class="math inline">\(\nosuchthing\)</span>')


def test_a_page_that_asks_another_host_is_noticed(tmp_path):
    sys.path.insert(0, str(ROOT / "tools"))
    mend_pages = importlib.import_module("mend_pages")
    (tmp_path / "a.html").write_text(
        '<a href="https://example.org">a link may</a><link rel="icon" href="https://x.org/i.png">'
    )
    (tmp_path / "b.html").write_text('<script src="//x.org/s.js"></script><p>\\(\\frac12\\)</p>')
    (tmp_path / "c.css").write_text("@import url(https://x.org/font.css);p{background:url(data:image/png;base64,AA)}")
    assert [line.partition(":")[0] for line in mend_pages.asked_of_others(tmp_path)] == [
        "a.html",
        "b.html",
        "b.html",
        "c.css",
    ]
    assert mend_pages.fonts((tmp_path / "c.css").read_text()).startswith("p{")


def test_a_heading_that_stands_above_another_definition_is_noticed(tmp_path):
    sys.path.insert(0, str(ROOT / "tools"))
    mend_pages = importlib.import_module("mend_pages")
    cell = '<div id="cell-{}" class="cell"><details class="code-fold"><code>{}</code></details></div>'
    head = '<div id="cell-1" class="cell">source</a></p>\n<h3 id="f" class="anchored">f</h3></div>'
    good, other = cell.format(2, '<span class="kw">def</span> f(x):'), cell.format(3, "def g(x):")
    (tmp_path / "a.html").write_text(head + good + other)
    (tmp_path / "b.html").write_text(head + other + good)
    (tmp_path / "c.html").write_text(head + other)  # the source of f is not shown on its page
    assert list(mend_pages.headings_astray(tmp_path)) == ["b.html: the source of f does not follow its heading"]


def test_imports_run_downwards():
    "No module imports a later one, none imports everything, and each stands in the order of its notebook"
    order = [m for p in sorted((ROOT / "nbs").glob("[0-9]*.ipynb")) if (m := module_of(p))]
    assert sorted(order) == MODULES
    for module in order:
        tree = ast.parse((ROOT / f"nmf_nb/{module}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                name = node.module or ""
                assert node.names[0].name != "*", f"{module}: wildcard import of {name}"
                whole = name.startswith("nmf_nb.")  # nbdev leaves an import inside a function as it is
                assert not whole or node not in tree.body, f"{module}: not relative: {name}"
                assert name != "nmf_nb", f"{module} imports from the package, not from the module that defines it"
                if whole or node.level and name:
                    home = name.removeprefix("nmf_nb.")
                    assert order.index(home) < order.index(module), f"{module} imports the later {home}"


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_documented(module):
    mod = importlib.import_module(f"nmf_nb.{module}")
    for name in mod.__all__:
        thing = getattr(mod, name)
        if not callable(thing):
            continue
        assert inspect.getdoc(thing), f"{module}.{name} has no docstring"
        methods = vars(thing).items() if inspect.isclass(thing) else [(name, thing)]
        for key, f in methods:
            f = getattr(f, "fget", f)
            if inspect.isfunction(f) and f.__module__ == mod.__name__ and not key.startswith("_"):
                assert f.__doc__, f"{module}.{name}.{key} has no docstring"
                options = [a.name for a in inspect.signature(f).parameters.values() if a.kind is a.VAR_KEYWORD]
                known = {"self", "return", *options}  # docments does not read the comment of **options
                bare = [a for a, d in docments(f, full=True).items() if a not in known and not d.docment]
                assert not bare, f"{module}.{name}.{key}: no docment for {bare}"


def names_bound(tree):
    "The names that the statements of a cell bind"
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((a.asname or a.name).partition(".")[0] for a in node.names)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


@pytest.mark.parametrize("module", MODULES)
def test_annotations_are_known_where_documented(module):
    "The site shows each signature below its cell, so its annotations name nothing that a later cell defines"
    known = set(dir(builtins))
    for kind, source in cells(next(p for p in NOTEBOOKS if module_of(p) == module)):
        if kind == "code" and (exported(source) or imports(source)[0]):
            tree = ast.parse(re.sub(r"^(#\||%|!).*$", "", source, flags=re.M))
            known |= set(names_bound(tree))
            shown = [f for f in tree.body if exported(source)]
            shown += [
                f for c in shown if isinstance(c, ast.ClassDef) for f in c.body if vars(f).get("name") == "__init__"
            ]
            for f in shown:
                if isinstance(f, ast.FunctionDef) and (f.name == "__init__" or not f.name.startswith("_")):
                    written = [a.annotation for a in ast.walk(f.args) if isinstance(a, ast.arg)] + [f.returns]
                    used = {x.id for a in written if a for x in ast.walk(a) if isinstance(x, ast.Name)}
                    assert used <= known, f"{f.name}: {used - known}; say it in the comment instead"


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_demonstrated(module):
    "A later cell of its own notebook uses each public name"
    path = next(p for p in NOTEBOOKS if module_of(p) == module)
    shown = "\n".join(source for kind, source in cells(path) if kind == "code" and not exported(source))
    names = importlib.import_module(f"nmf_nb.{module}").__all__
    assert [n for n in names if n.isidentifier() and not re.search(rf"\b{n}\b", shown)] == []


LEAST_SHOWN = {"report": 0.5, "cli": 0.5}


def imports(source):
    "How many of the statements of a cell are imports, and how many there are"
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith("#|")]
    tree = ast.parse("".join("\n" if line.startswith(("%", "!")) else line + "\n" for line in lines))
    return sum(isinstance(node, (ast.Import, ast.ImportFrom)) for node in tree.body), len(tree.body)


def in_view(path):
    "Lines of definitions a notebook exports, how many its page shows, and the most exporting cells that no cell runs between"
    lines = shown = run = longest = 0
    for kind, source in cells(path):
        if kind != "code" or "default_exp" in source:
            continue
        flag = re.search(r"^#\|\s*(exports?)\b", source, re.M)
        if not flag:
            some, everything = imports(source)
            run = run if some == everything else 0
            continue
        body = [line for line in source.splitlines() if line.strip() and not line.startswith("#|")]
        if any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in ast.parse("\n".join(body)).body):
            lines, shown = lines + len(body), shown + len(body) * (flag[1] == "exports")
            run += 1
            longest = max(longest, run)
    return lines, shown, longest


@pytest.mark.parametrize("module", MODULES)
def test_a_page_shows_what_it_exports(module):
    "Three quarters of the exported source stand on the page, and a cell runs each definition or two before the next"
    lines, shown, longest = in_view(next(p for p in NOTEBOOKS if module_of(p) == module))
    assert shown >= LEAST_SHOWN.get(module, 0.75) * lines, f"{shown} of {lines} lines: `exports` instead of `export`"
    assert longest <= 2, f"{longest} exporting cells in a row: show what the first ones do before the next"


def test_the_pages_show_what_they_export():
    counts = [in_view(p)[:2] for p in NOTEBOOKS if module_of(p)]
    lines, shown = (sum(column) for column in zip(*counts))
    assert shown >= 0.85 * lines, f"{shown} of {lines} lines"


@pytest.mark.parametrize("module", MODULES)
def test_no_private_name_is_imported(module):
    "What two modules need is public, explained and shown"
    for node in ast.walk(ast.parse((ROOT / f"nmf_nb/{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            private = [a.name for a in node.names if a.name.startswith("_") and a.name != "__version__"]
            assert not private, f"{module} takes them from {node.module}"


def lengths(source):
    "Each function and method of a code cell with its lines and its limit; signature, docstring, stored parameters aside"
    source = "".join("\n" if line.startswith(("%", "!")) else line for line in source.splitlines(keepends=True))
    tree = ast.parse(source)
    methods = {f for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for f in node.body}
    for f in ast.walk(tree):
        if not isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        body = f.body[1:] if ast.get_docstring(f, clean=False) is not None else f.body
        if f.name == "__init__":
            body = [node for node in body if not isinstance(node, ast.Assign)]
        size = body[-1].end_lineno - body[0].lineno + 1 if body else 0
        yield f.name, size, 12 if f in methods else 40


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.relative_to(ROOT / "nbs").as_posix())
def test_style(path):
    "Title, lengths of definitions, outputs without errors, paths or addresses"
    raw = path.read_text(encoding="utf-8")
    assert len(raw) < 500_000
    assert any(kind == "markdown" and re.match(r"# .+\n\n> .+", source) for kind, source in cells(path)), "no title"
    for i, cell in enumerate(json.loads(raw)["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            for name in re.findall(r"\[`([\w.]+)`\]\([\w/.]+\.ipynb", source):
                assert name not in PUBLIC, f"cell {i}: `{name}` in backticks links by itself, and not inside a link"
        if cell["cell_type"] == "code" and "nbdev_export(" not in source and not exported(source):
            some, everything = imports(source)
            mixed = "imports and other code; the site's build would run it, as every cell that imports"
            assert some in (0, everything), f"cell {i}: {mixed}"
        for name, size, most in lengths(source) if cell["cell_type"] == "code" else ():
            assert size <= most, f"cell {i}: {name} has {size} lines, more than {most}"
        for out in cell.get("outputs", []):
            blob = json.dumps(out)
            assert len(blob) < 100_000, f"cell {i}: an output over 100 kB"
            assert out.get("name") != "stderr" and out["output_type"] != "error", f"cell {i}: {blob[:200]}"
            assert not re.search(r"/home/|/Users/|/root/|/tmp/| at 0x[0-9a-f]{6}", blob), f"cell {i}: a path or address"


def settings():
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def test_python_is_given_no_array_by_compiled_code():
    "Numba calls Python for each array that comes back, and a Ctrl-C that falls into that is a SystemError"
    defined, called = {}, []
    for module in MODULES:
        for node in ast.walk(ast.parse((ROOT / f"nmf_nb/{module}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "compiled" for d in node.decorator_list):
                defined[node.name] = node.returns and ast.unparse(node.returns)
            elif isinstance(node, ast.FunctionDef):
                calls = {n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
                called += [(f"{module}.{node.name}", name) for name in calls]
    assert len(defined) > 20 and "small_steps" in defined
    arrays = {name for name, returned in defined.items() if returned not in (None, "None", "bool", "float", "int")}
    assert "wider" in arrays  # which compiled functions call
    assert [pair for pair in called if pair[1] in arrays] == []


def test_addresses_are_set_once():
    "Who owns the repository and where the site stands is said in settings.ini; README, site and package take it from there"
    cfg, generated = settings(), {"settings.ini", "README.md", "nbs/nbdev.yml", "nmf_nb/_modidx.py"}
    written = text_files(
        ROOT,
        "*.md",
        "*.ini",
        "*.py",
        "*.toml",
        "*.txt",
        "nbs/**/*.*y*",
        "nmf_nb/*.py",
        "tests/*.py",
        "tools/*",
        ".github/**/*.yaml",
    )
    for address in (cfg["git_url"], cfg["doc_host"], cfg["author_email"]):
        assert {name for name, text in written.items() if address in text} <= generated


def test_distributions_hold_what_they_need(copy, tmp_path):
    "The source distribution has every notebook, test and tool; the wheel has the data, the templates and its types"
    build = "from setuptools import build_meta as b; b.build_sdist(r'{0}'); b.build_wheel(r'{0}')"
    result = run(sys.executable, "-c", build.format(tmp_path), cwd=copy)
    shutil.rmtree(copy / "build", ignore_errors=True)
    assert result.returncode == 0, result.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        wheel = set(archive.namelist())
    files = {
        p.relative_to(ROOT).as_posix() for d in ("nbs", "tests", "tools", "nmf_nb") for p in (ROOT / d).rglob("*.*")
    }
    needed = {f for f in files if not re.search(r"\.pyc$|/\.|__pycache__|nmf_nb_topics", f) and (ROOT / f).is_file()}
    assert needed | {"settings.ini", "constraints.txt", "pyproject.toml", "CHANGELOG.md"} <= source
    assert {f for f in needed if f.startswith("nmf_nb/")} <= wheel
    assert not [name for name in wheel if re.match("(nbs|tests|tools)/", name)]


def test_constraints_pin_every_dependency():
    cfg = settings()
    needed = {w for k, v in cfg.items() if k.endswith("requirements") for w in re.findall(r"[\w-]+(?=[=><]=)", v)}
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    assert needed <= pins.keys()


def test_a_name_stands_in_one_module():
    "No two modules define a function, a class or a constant of one name: a name has one meaning"
    homes = {}
    for module in MODULES:
        for node in ast.parse((ROOT / f"nmf_nb/{module}.py").read_text(encoding="utf-8")).body:
            targets = [t.id for t in getattr(node, "targets", []) if isinstance(t, ast.Name)]
            for name in [node.name] if hasattr(node, "name") else targets:
                homes.setdefault(name, set()).add(module)
    assert {name: found for name, found in homes.items() if len(found) > 1 and not name.startswith("__")} == {}


def test_the_benchmark_holds_no_row_twice():
    "The index reads the file as it is: one row a key, each time to the mark of the best error in it"
    import pandas as pd

    rows = pd.read_csv(ROOT / "nbs" / "benchmarks" / "solvers.csv", keep_default_na=False, na_values={"best": [""]})
    keys = rows[["problem", "seed", "solver", "what", "tau"]]
    assert not keys.duplicated().any(), keys[keys.duplicated()]
    best = rows[rows.what == "end"].astype({"error": float}).groupby(["problem", "seed"]).error.min().rename("now")
    marks = rows[rows.what == "mark"].join(best, on=["problem", "seed"])
    assert (marks.best == marks.now).all(), marks[marks.best != marks.now]
