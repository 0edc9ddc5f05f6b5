"""What is imported when: the libraries that fit are imported by what fits."""

import sys

import pytest
from conftest import ROOT, run

FILES = ROOT / "tests" / "files"
MODEL = str(FILES / "topic_model_format_2.safetensors")
HEAVY = ("torch", "sklearn", "numba", "matplotlib")
CALL = f"""
import sys
from nmf_nb.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print([name for name in {(*HEAVY, "pandas")} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words, needed",
    [
        (["--help"], []),
        (["topics", "--help"], []),
        (["topics", "--topics", "0"], []),
        (["show", "gone"], []),
        (["show", MODEL], ["pandas"]),
        (["show", MODEL, "--json"], ["pandas"]),
    ],
    ids=lambda words: " ".join(words).replace(MODEL, "MODEL"),
)
def test_the_command_imports_no_more_than_it_needs(words, needed):
    said = run(sys.executable, "-c", CALL, *words)
    assert said.stderr.splitlines()[-1] == str(needed), said.stderr


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["table", "json"])
@pytest.mark.parametrize("number", [1, 2])
def test_show_says_what_the_whole_model_says(number, more, capsys):
    from nmf_nb import TopicModel
    from nmf_nb.cli import print_topics

    file = FILES / f"topic_model_format_{number}.safetensors"
    print_topics(TopicModel.load(file), bool(more))
    assert run(sys.executable, "-c", CALL, "show", file, *more).stdout == capsys.readouterr().out


def test_the_package_imports_no_library():
    code = f"import sys, nmf_nb; print([m for m in {(*HEAVY, 'pandas', 'scipy', 'numpy')} if m in sys.modules])"
    assert run(sys.executable, "-c", code).stdout.strip() == "[]"


NAMES = """
import pickle, pydoc, sys, types
import nmf_nb
assert set(nmf_nb.__all__) <= set(dir(nmf_nb)) and "torch" not in sys.modules
assert isinstance(nmf_nb.topics, types.ModuleType) and nmf_nb.topics is sys.modules["nmf_nb.topics"]
for name in nmf_nb.__all__:
    value = getattr(nmf_nb, name)
    assert value.__name__ == name and value is getattr(sys.modules[value.__module__], name), name
    assert vars(nmf_nb)[name] is value  # the next time without a search
assert pickle.loads(pickle.dumps(nmf_nb.NMF)) is nmf_nb.NMF
named = {}
exec("from nmf_nb import *", named)
assert set(named) - {"__builtins__"} == set(nmf_nb.__all__)
page = pydoc.plain(pydoc.render_doc(nmf_nb))
assert all(name in page for name in nmf_nb.__all__)
for name in ("nothing", "_nothing", "numpy"):
    try:
        getattr(nmf_nb, name)
    except AttributeError as error:
        assert str(error) == f"module 'nmf_nb' has no attribute {name!r}"
    else:
        raise AssertionError(name)
try:
    from nmf_nb import nothing
except ImportError:
    print("all well")
"""


def test_public_names_are_there_when_they_are_asked_for():
    said = run(sys.executable, "-c", NAMES)
    assert (said.stdout.strip(), said.stderr) == ("all well", "")
