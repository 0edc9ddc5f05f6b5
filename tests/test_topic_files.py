"""Files of topic models: what is kept comes back exactly, and what is read is not trusted."""

import datetime
import decimal
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.decomposition import NMF as SklearnNMF
from sklearn.decomposition import LatentDirichletAllocation
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from nmf_nb import NMF, MiniBatchNMF, TopicModel
from nmf_nb.files import checksum, read_tensors
from nmf_nb.tables import read_view, table_of_parts, table_parts

FILES = ROOT / "tests" / "files"
TEXTS = ["war and peace", "the war of the north", "peace treaty", "tax law", "a budget and tax", "law of trade"] * 2
N = len(TEXTS)


def content(path):
    "Header, and tensors as lists of bytes"
    with safe_open(path, "pt") as file:
        return file.metadata()["header"], {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}


def meta_of(values):
    return pd.DataFrame({"x": values})


# Exact tables

EXACT = {
    "whole numbers": pd.Series(range(12)),
    "small whole numbers": pd.Series(range(12), dtype="int8"),
    "large whole numbers": pd.Series([2**64 - 1] * 12, dtype="uint64"),
    "floats": pd.Series([0.1, -0.0, np.nan, np.inf, -np.inf, 5e-324] * 2),
    "float32": pd.Series([0.1, np.nan] * 6, dtype="float32"),
    "float16": pd.Series([0.1, 2] * 6, dtype="float16"),
    "truth": pd.Series([True, False] * 6),
    "words": pd.Series(["a", None, "war", "", "\0", "é"] * 2),
    "strings": pd.Series(["a", pd.NA] * 6, dtype="string"),
    "python strings": pd.Series(["a", pd.NA] * 6, dtype=pd.StringDtype("python")),
    "object strings": pd.Series(["a \ud800", None] * 6, dtype=object),
    "dates": pd.Series(pd.to_datetime(["2001-02-03 04:05:06.123456", None] * 6)),
    "dates in seconds": pd.Series(pd.to_datetime(["2001-02-03", "0900-01-01"] * 6).as_unit("s")),
    "dates in nanoseconds": pd.Series(pd.to_datetime(["2001-02-03", None] * 6).as_unit("ns")),
    "local dates": pd.Series(pd.date_range("2001-03-24 22:00", periods=12, freq="6h", tz="Europe/Berlin")),
    "dates in UTC": pd.Series(pd.date_range("2001-03-24", periods=12, tz="UTC")),
    "dates of an offset": pd.Series(pd.date_range("2001-03-24", periods=12, tz="+05:30")),
    "spans": pd.Series(pd.to_timedelta([1, None] * 6, unit="h")),
    "months": pd.Series(pd.period_range("2001-01", periods=12, freq="M")),
    "quarters": pd.Series(pd.PeriodIndex(["2001Q1", "NaT"] * 6, freq="Q-MAR")),
    "weeks": pd.Series(pd.period_range("2001-01", periods=12, freq="W-WED")),
    "bins": pd.Series(pd.cut(np.arange(12.0), [-1, 3, 7, 11])),
    "intervals": pd.Series(pd.arrays.IntervalArray.from_breaks(range(13), closed="left")),
    "intervals with gaps": pd.Series(pd.arrays.IntervalArray.from_tuples([(0.0, 1.0), np.nan] * 6)),
    "intervals of dates": pd.Series(
        [pd.Interval(pd.Timestamp(year, 1, 1), pd.Timestamp(year, 3, 1)) for year in range(1990, 2002)]
    ),
    "classes": pd.Series(pd.Categorical(["b", "a", None] * 4, categories=["z", "b", "a"], ordered=True)),
    "classes of numbers": pd.Series(pd.Categorical([3, 1] * 6)),
    "classes of dates": pd.Series(pd.Categorical(pd.to_datetime(["2001", "2002"] * 6, utc=True))),
    "nullable": pd.Series([1, None, 2**53 + 1] * 4, dtype="Int64"),
    "nullable unsigned": pd.Series([1, None, 2**63] * 4, dtype="UInt64"),
    "nullable floats": pd.Series([0.1, None] * 6, dtype="Float32"),
    "nullable floats that are no number": pd.Series(
        pd.arrays.FloatingArray(np.full(12, np.nan), np.arange(12) % 2 == 0)
    ),
    "nullable truth": pd.Series([True, None] * 6, dtype="boolean"),
    "bytes": pd.Series([b"a", b"\xff\x00"] * 6),
    "sets": pd.Series([{"a", "b"}, frozenset([1]), set()] * 4),
    "lists": pd.Series([["a", 1], (), [[None]]] * 4),
    "dictionaries": pd.Series([{"a": [1, {"b": 2}]}, {}] * 6),
    "dates of Python": pd.Series([datetime.date(2001, 2, 3), datetime.time(4, 5)] * 6, dtype=object),
    "moments of Python": pd.Series([datetime.datetime(2001, 2, 3, 4, 5, 6), None] * 6, dtype=object),
    "moments of pandas": pd.Series([pd.Timestamp("2001-02-03"), pd.NaT, pd.Timedelta("1h")] * 4, dtype=object),
    "moments of summer time": pd.Series(
        [pd.Timestamp(f"2001-0{month}-01 12:00", tz="Europe/Berlin") for month in (1, 7)]
        + [pd.Timestamp("2001-01-01 12:00+01:00"), pd.Timestamp("2001-07-01 12:00+02:00")] * 5,
        dtype=object,
    ),
    "moments of Python, offsets": pd.Series(
        [datetime.datetime(2001, 1, 1, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=h))) for h in range(12)],
        dtype=object,
    ),
    "decimals": pd.Series([decimal.Decimal("1.10"), decimal.Decimal("NaN")] * 6),
    "mixed": pd.Series([1, 1.0, True, "1", None, np.nan] * 2, dtype=object),
    "mixed missing": pd.Series([None, np.nan, pd.NA, pd.NaT] * 3, dtype=object),
    "whole numbers of numpy": pd.Series([np.int8(5), np.float32(0.1)] * 6, dtype=object),
    "huge whole numbers": pd.Series([10**40, -(10**40)] * 6, dtype=object),
}


@pytest.mark.parametrize("kind", EXACT)
def test_a_column_comes_back_exactly(kind, tmp_path):
    column = EXACT[kind]
    tm = TopicModel(2).fit(TEXTS, meta=meta_of(column))
    tm.save(tmp_path / "model")
    found = TopicModel.load(tmp_path / "model").meta_
    pd.testing.assert_frame_equal(found, meta_of(column))
    assert [type(v) for v in found["x"].tolist()] == [type(v) for v in column.tolist()]
    assert [repr(v) for v in found["x"].tolist()] == [repr(v) for v in column.tolist()]


NAMES = {
    "numbers": range(3),
    "years": [1914, 1939, 1950],
    "floats": [0.5, 1.0, np.nan],
    "mixed": ["a", 1, None],
    "twice": ["a", "a", "a"],
    "empty": ["", " ", "\n"],
    "dates": pd.to_datetime(["2001", "2002", "1999"]),
    "months": pd.period_range("2001", periods=3, freq="M"),
    "classes": pd.CategoricalIndex(["x", "y", "z"]),
    "objects": pd.Index(["a", "b", "c"], dtype=object),
    "tuples": pd.Index([("a", 1), ("b", 2), ("c", 3)], tupleize_cols=False),
    "named": pd.Index(["a", "b", "c"], name="what"),
    "the words of the format": ["rows", "names", "columns"],
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_of_columns_come_back_exactly(kind, tmp_path):
    table = pd.DataFrame(np.arange(3 * N).reshape(N, 3)).set_axis(NAMES[kind], axis=1)
    TopicModel(2).fit(TEXTS, meta=table).save(tmp_path / "model")
    pd.testing.assert_frame_equal(TopicModel.load(tmp_path / "model").meta_, table)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1j] * N),
        pd.Series(pd.arrays.SparseArray([0, 1] * 6)),
        pd.Series([object()] * N),
        pd.Series([np.zeros(2)] * N),
        pd.Series([1, 2] * 6, dtype="int64[pyarrow]")
        if "pyarrow" in str(pd.Series(["a"]).array.dtype.storage)
        else pd.Series([1j] * N),
        pd.Series([[object()]] * N),
    ],
)
def test_a_column_that_cannot_be_kept_is_named_before_the_fit(column, monkeypatch):
    monkeypatch.setattr("nmf_nb.topics.fit_in_order", lambda *a, **k: pytest.fail("fitted"))
    with pytest.raises(TypeError, match="meta: column 'x' holds"):
        TopicModel(2).fit(TEXTS, meta=pd.DataFrame({"fine": range(N), "x": column}))


@pytest.mark.parametrize("seed", range(10))
def test_random_tables_come_back_exactly(seed):
    rng = np.random.default_rng(seed)
    chosen = rng.choice(list(EXACT), 5)
    table = pd.concat([EXACT[kind].sample(frac=1, random_state=seed).reset_index(drop=True) for kind in chosen], axis=1)
    table.columns = rng.choice(["a", "b", "c"], 5)
    pd.testing.assert_frame_equal(table_of_parts(json.loads(json.dumps(table_parts(table)))), table)


# Whole models


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"vectorizer": CountVectorizer(lowercase=False, dtype=np.int32)},
        {"vectorizer": TfidfVectorizer(dtype=np.float32, norm=None, stop_words=["the"])},
        {"vectorizer": CountVectorizer(analyzer="char_wb", ngram_range=(2, 3))},
        {"stop_words": {"the", "and"}, "min_df": 1, "max_df": 0.9},
        {"beta_loss": "kullback-leibler", "n_init": np.int64(2), "random_state": np.random.RandomState(3)},
        {"solver": "pgd", "random_state": None},
    ],
)
def test_a_loaded_model_is_the_saved_one(options, tmp_path):
    tm = TopicModel(2, **options).fit(TEXTS, meta=pd.DataFrame({1914: range(N)}))
    tm.rename({1: "first"}).save(tmp_path / "model")
    again = TopicModel.load(tmp_path / "model")
    for name in ("doc_topics_", "topic_words_", "words_", "word_share_", "components_", "doc_weights_", "doc_fit_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tm, name), err_msg=name)
        assert getattr(again, name).dtype == getattr(tm, name).dtype
    pd.testing.assert_frame_equal(again.topics_, tm.topics_)
    assert (again.docs_, again.history_, again.made_) == (tm.docs_, tm.history_, tm.made_)
    np.testing.assert_array_equal(again.transform(TEXTS), tm.transform(TEXTS))
    assert (again.X_ != tm.vectorizer_.transform(TEXTS)).nnz == 0 and again.X_.dtype == tm.X_.dtype
    assert again.explain(TEXTS[0]).pieces == tm.explain(TEXTS[0]).pieces
    assert str(again.get_params()["random_state"]) == str(tm.get_params()["random_state"])
    again.save(tmp_path / "again")
    assert content(tmp_path / "again") == content(tmp_path / "model")


def test_models_that_a_file_cannot_keep(tmp_path):
    vectorizer = CountVectorizer().fit(TEXTS)
    X = vectorizer.transform(TEXTS)
    for model in (SklearnNMF(2, random_state=0), LatentDirichletAllocation(2, random_state=0)):
        W = model.fit_transform(X.astype(float))
        tm = TopicModel.from_parts(vectorizer, W, model.components_, TEXTS, model=model)
        with pytest.warns(UserWarning, match="is not saved"):
            tm.save(tmp_path / "model")
        alone, whole = TopicModel.load(tmp_path / "model"), TopicModel.load(tmp_path / "model", model=model)
        np.testing.assert_array_equal(whole.transform(TEXTS), tm.transform(TEXTS))
        np.testing.assert_array_equal(alone.doc_topics_, tm.doc_topics_)
        with pytest.raises(ValueError, match="load\\(path, model=...\\)"):
            alone.transform(TEXTS)


def test_batches_are_kept(tmp_path):
    vectorizer = CountVectorizer()
    model = MiniBatchNMF(2, random_state=0)
    W = model.fit_transform(vectorizer.fit_transform(TEXTS).astype(float))
    tm = TopicModel.from_parts(vectorizer, W, model.components_, TEXTS, model=model)
    tm.save(tmp_path / "model")
    np.testing.assert_array_equal(TopicModel.load(tmp_path / "model").transform(TEXTS), tm.transform(TEXTS))


def test_a_vectorizer_of_other_words_is_refused(tmp_path):
    tm = TopicModel(2, stop_words=None, tokenizer=str.split).fit(TEXTS)
    with pytest.warns(UserWarning, match="holds a function"):
        tm.save(tmp_path / "model")
    with pytest.raises(ValueError, match="words"):
        TopicModel.load(tmp_path / "model", vectorizer=CountVectorizer().fit(["war"]))
    np.testing.assert_array_equal(TopicModel.load(tmp_path / "model", tm.vectorizer_).doc_topics_, tm.doc_topics_)


def test_a_solver_of_ones_own_is_not_kept(tmp_path):
    tm = TopicModel(2).fit(TEXTS)
    tm.solver = object()
    with pytest.raises(ValueError, match="a file cannot keep a solver of your own"):
        tm.save(tmp_path / "model")


@pytest.mark.parametrize("number", [1, 2])
def test_topic_model_of_each_format(number):
    "Files that older versions wrote"
    tm = TopicModel.load(FILES / f"topic_model_format_{number}.safetensors")
    assert (tm.n_topics_, len(tm.docs_), len(tm.words_)) == (3, 24, 140)
    assert tm.topics_["label"].tolist() == ["first", "century, area, day", "burundi, tutsi, hutu"]
    types = {"seen": "datetime64[us]", "n": "int64", "weight": "float64", "yes": "bool"}
    assert {name: str(tm.meta_[name].dtype) for name in types} == types
    assert tm.meta_["seen"].iloc[1] == pd.Timestamp("2001-03-05 05:06") and tm.meta_["weight"].iloc[-1] == 1
    found = tm.transform(["oil and gas exports of the island", "elections and independence from the British"])
    np.testing.assert_allclose(found, [[0, 0, 0], [0.97794, 0, 0.02206]], atol=1e-5)
    np.testing.assert_allclose(tm.transform(tm.docs_), tm.doc_topics_, atol=1e-9)
    assert tm.merge([1, 2]).n_topics_ == 2


def test_the_number_of_the_format_tells_what_an_older_program_cannot_read(tmp_path):
    "Texts and meta are tensors since format 2; a factorisation is written as before"
    tm = TopicModel(2).fit(TEXTS)
    for kind, model in {"TopicModel": tm, "NMF": tm.model_}.items():
        model.save(tmp_path / kind)
        with safe_open(tmp_path / kind, "pt") as file:
            assert file.metadata()["format"] == {"TopicModel": "2", "NMF": "1"}[kind]
    with pytest.raises(ValueError, match="TopicModel: of format 2, this version reads 1; update nmf_nb"):
        read_tensors(tmp_path / "TopicModel", "TopicModel")  # as the older program reads
    meta = {"nmf_nb": "TopicModel", "header": "{}", "sha256": ""}
    for number in ("3", "0", "-1", "1.0", "٢", "", "2" * 100):
        save_file({}, tmp_path / "newer", meta | {"format": number})
        with pytest.raises(ValueError, match="newer: of format .*, this version reads 1 to 2; update nmf_nb"):
            TopicModel.load(tmp_path / "newer")
    with pytest.raises(ValueError, match="TopicModel: holds a TopicModel, not a NMF"):
        NMF.load(tmp_path / "TopicModel")


PARAMS = [{"max_iter": 0}, {"ngram_range": (0, 1)}, {"ngram_range": (np.int64(1), 150)}, {"min_df": np.int64(1)}]
PARAMS += [{"device": "cpu:0"}, {"n_init": np.int64(2)}, {"verbose": 0.5}, {"random_state": np.random.RandomState(1)}]


@pytest.mark.parametrize("params", PARAMS, ids=lambda params: next(iter(params)))
@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
def test_what_can_be_fitted_can_be_loaded(params, tmp_path):
    tm = TopicModel(2, **params).fit(TEXTS)
    tm.save(tmp_path / "model")
    again = TopicModel.load(tmp_path / "model")
    same = ("max_iter", "min_df", "device", "n_init", "verbose")
    assert all(getattr(again, name) == value for name, value in params.items() if name in same)
    np.testing.assert_allclose(again.transform(TEXTS), tm.transform(TEXTS), atol=1e-9)


LONG = "|".join(["zzzz"] * 300) + r"|\w+"
VECTORIZERS = [TfidfVectorizer(use_idf=False, norm=None), TfidfVectorizer(use_idf=False, sublinear_tf=True, norm="l1")]
VECTORIZERS += [CountVectorizer(max_features=np.int64(9)), CountVectorizer(dtype=bool), CountVectorizer(dtype=int)]
VECTORIZERS += [CountVectorizer(token_pattern=LONG), CountVectorizer(encoding="x" * 50)]


@pytest.mark.parametrize("vectorizer", VECTORIZERS, ids=lambda v: repr(v)[:40])
@pytest.mark.filterwarnings("error")
def test_vectorizers_come_back(vectorizer, tmp_path):
    tm = TopicModel(2, vectorizer=vectorizer).fit(TEXTS)
    tm.save(tmp_path / "model")
    again = TopicModel.load(tmp_path / "model")
    assert (again.vectorizer_.transform(TEXTS) != tm.vectorizer_.transform(TEXTS)).nnz == 0
    np.testing.assert_allclose(again.transform(TEXTS), tm.transform(TEXTS), atol=1e-9)


def test_values_that_no_reader_of_json_takes_are_named_before_the_fit():
    around = []
    around.append(around)
    deep = eval("[" * 80 + "]" * 80)
    for says, value in {"lists nested too deeply": around, "lists nested": deep, "a whole number of": 10**5000}.items():
        with pytest.raises(TypeError, match=f"meta: column 'a' holds {says}"):
            TopicModel(2).fit(TEXTS, meta=pd.DataFrame({"a": [value] * N}))


# Files that are not trusted


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    "Header and tensors of a small model"
    path = tmp_path_factory.mktemp("topics") / "model"
    meta = pd.DataFrame({"year": range(N), "who": pd.Categorical(["a", "b"] * 6), "tags": [{"x"}] * N})
    tm = TopicModel(2, min_df=1).fit(TEXTS, meta=meta)
    tm.save(path)
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["header"]), {name: file.get_tensor(name) for name in file.keys()}


def sign(path, header, tensors, number="2"):
    text = json.dumps(header)
    tensors = {name: A.contiguous().clone() for name, A in tensors.items()}
    save_file(
        tensors, path, {"nmf_nb": "TopicModel", "format": number, "header": text, "sha256": checksum(text, tensors)}
    )


def refused(path):
    "Whether a file is refused in one line that names it; else what came of it, or of its view"
    whole, alone = outcome(TopicModel.load, path), outcome(read_view, path)
    agree = alone == "loaded" or alone is True and whole != "loaded"
    return whole if agree else f"its view: {alone}"


def outcome(read, path):
    "True where a file is refused in one line that names it; else what came of it"
    try:
        read(path)
    except ValueError as error:
        said = str(error)
        return True if said.startswith(f"{path}: ") and "\n" not in said and len(said) < 600 else said
    except Exception as error:
        return repr(error)
    return "loaded"


def places(value, at=()):
    "Each place in nested lists and objects; of lists the first"
    yield at
    items = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*at, key))


def changed(value, at, new):
    "A deep copy with one place replaced"
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = changed(value[at[0]], at[1:], new)
    return copy


WRONG = [None, True, -1, 10**30, 0.5, math.nan, "", [None], {}, {"eval": "1"}, [[1]], "S2000000000"]


def kind(value):
    return "number" if type(value) in (int, float) else type(value).__name__


ALLOWED = {  # other values that make sense
    ("vectorizer", "params", "norm"): [None],
    ("vectorizer", "params", "stop_words"): [None],
    ("model", "params", "alpha_H"): [10**30, 0.5],
    ("model", "params", "beta_loss"): [-1, 10**30, 0.5],
    ("model", "params", "fixed_components"): [[[1]]],
    ("model", "params", "missing_values"): [math.nan],
    ("model", "params", "n_components"): [None],
    ("model", "params", "random_state"): [None],
    ("model", "params", "verbose"): [True],
    ("params", "min_df"): [0.5],
    ("params", "max_df"): [0.5],
    ("params", "beta_loss"): [-1, 10**30, 0.5],
    ("params", "idf_power"): [0.5],
    ("params", "token_pattern"): ["", "S2000000000"],
    ("params", "near_duplicates"): [None, 0.5],
    ("params", "init"): [None],
    ("params", "language"): ["", "S2000000000"],
    ("params", "tokenizer"): [None],
    ("params", "random_state"): [None],
    ("params", "verbose"): [True, 10**30, 0.5],
    ("params", "seed_words"): [None],
    ("params", "seed_strength"): [10**30, 0.5],
    ("params", "forbidden_words"): [None],
}


def test_each_field_of_the_header_with_each_wrong_kind(parts, tmp_path):
    "One clear line that names the file, but for other values that make sense"
    header, tensors = parts
    path, loaded = tmp_path / "model", {}
    for at in places(header):
        old = header
        for key in at:
            old = old[key]
        for new in WRONG:
            if kind(new) == kind(old) and at[:1] != ("params",):
                continue
            sign(path, changed(header, at, new), tensors)
            said = refused(path)
            assert said in (True, "loaded"), f"{at} = {new!r}: {said}"
            if said == "loaded":
                loaded.setdefault(at, []).append(new)
    assert {at: str(values) for at, values in loaded.items()} == {at: str(values) for at, values in ALLOWED.items()}


def test_a_header_without_a_field(parts, tmp_path):
    header, tensors = parts
    for name in header:
        sign(tmp_path / "model", {k: v for k, v in header.items() if k != name}, tensors)
        assert refused(tmp_path / "model") is True, name
    sign(tmp_path / "model", header | {"more": 1}, tensors)
    assert refused(tmp_path / "model") is True


def test_each_tensor_with_wrong_numbers(parts, tmp_path):
    header, tensors = parts
    for name, A in tensors.items():
        if not name.startswith("topics."):
            continue
        wrong = {"gone": None, "of one more axis": A[None], "of one row more": torch.cat([A, A[:1]])}
        wrong |= {"of whole numbers": A.to(torch.int32), "empty": A[:0], "complex": A.to(torch.complex64)}
        if A.is_floating_point():
            wrong |= {"negative": -A - 1, "nan": A * math.nan, "infinite": A + math.inf}
        if A.dtype == torch.uint8:
            wrong = {"gone": None, "no JSON": A[:-1], "a wrong kind": torch.tensor(list(b"7"), dtype=torch.uint8)}
            wrong |= {"deep": torch.tensor(list(b"[" * 100_000), dtype=torch.uint8), "not UTF-8": A * 0 + 255}
        for what, B in wrong.items():
            new = {k: v for k, v in tensors.items() if k != name} | ({} if B is None else {name: B})
            sign(tmp_path / "model", header, new)
            optional = name == "topics.fit" and (what == "gone" or what == "negative")
            assert refused(tmp_path / "model") is True or optional, f"{name}, {what}: {refused(tmp_path / 'model')}"


@pytest.mark.parametrize(
    "value",
    [
        {"list": "abc"},
        {"set": {"a": 1}},
        {"set": [{"list": []}]},
        {"dict": [1]},
        {"dict": [[{"list": []}, 1]]},
        {"numpy": ["int8", [[1]]]},
        {"numpy": ["S2000000000", 1]},
        {"numpy": ["int8", 300]},
        {"bytes": 10**9},
        {"bytes": "zz"},
        {"Timestamp": ["x", "ns", None]},
        {"Timestamp": [1, "ns", "Nowhere/X"]},
        {"Timestamp": [1, "foo", None]},
        {"Timestamp": [2**63 - 1, "s", "UTC"]},
        {"Timedelta": [1]},
        {"datetime": "today"},
        {"Decimal": "x"},
        {"missing": "x"},
        {"eval": "1"},
        {"list": [], "set": []},
        {},
        [1],
    ],
    ids=str,
)
def test_a_value_of_meta_that_is_none(value, parts, tmp_path):
    header, tensors = parts
    meta = json.loads(tensors["topics.meta"].numpy().tobytes())
    meta["columns"][2]["values"][0] = value
    meta = torch.tensor(list(json.dumps(meta).encode()), dtype=torch.uint8)
    sign(tmp_path / "model", header, tensors | {"topics.meta": meta})
    assert refused(tmp_path / "model") is True


def test_other_factors_than_those_of_the_factorisation(parts, tmp_path):
    header, tensors = parts
    sign(tmp_path / "model", header, tensors | {"topics.H": tensors["topics.H"] * 2})
    assert refused(tmp_path / "model") is True


def test_no_file_is_opened_and_no_pattern_is_run(parts, tmp_path):
    header, tensors = parts
    secret = tmp_path / "secret"
    secret.write_text("war")
    bad = changed(header, ("vectorizer", "params", "input"), "filename")
    docs = torch.tensor(list(json.dumps([str(secret)] * N).encode()), dtype=torch.uint8)
    sign(tmp_path / "model", bad, tensors | {"topics.docs": docs})
    assert refused(tmp_path / "model") is True
    slow = changed(header, ("vectorizer", "params", "token_pattern"), r"(\w+)+$!")
    texts = torch.tensor(list(json.dumps(["a" * 60 + "?"] * N).encode()), dtype=torch.uint8)
    sign(tmp_path / "model", slow, tensors | {"topics.docs": texts})
    tm = TopicModel.load(tmp_path / "model")  # would never end if the pattern ran
    assert tm.docs_[0].startswith("aaa") and len(tm.topics_) == 2


@pytest.mark.parametrize("pattern", ["(", "(" * 500, "(" * 500 + ")" * 500, "a{99999999999}", "(a)(b)", "[z-a]"])
def test_words_by_a_pattern_that_is_none(parts, tmp_path, pattern):
    header, tensors = parts
    sign(tmp_path / "model", changed(header, ("vectorizer", "params", "token_pattern"), pattern), tensors)
    assert refused(tmp_path / "model") is True
    letters = changed(header, ("vectorizer", "params", "analyzer"), "char")  # which does not use it
    sign(tmp_path / "model", changed(letters, ("vectorizer", "params", "token_pattern"), pattern), tensors)
    assert refused(tmp_path / "model") == "loaded"


def test_words_without_a_pattern(parts, tmp_path):
    header, tensors = parts
    sign(tmp_path / "model", changed(header, ("vectorizer", "params", "token_pattern"), None), tensors)
    assert refused(tmp_path / "model") is True
    letters = changed(header, ("vectorizer", "params", "analyzer"), "char")
    sign(tmp_path / "model", changed(letters, ("vectorizer", "params", "token_pattern"), None), tensors)
    assert refused(tmp_path / "model") == "loaded"


def test_a_type_that_asks_for_memory(tmp_path):
    "In a file of format 1 as in one of today"
    with safe_open(FILES / "topic_model_format_1.safetensors", "pt") as file:
        header = json.loads(file.metadata()["header"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    for at in (("meta", "types", "country"), ("meta", "types", "n"), ("vectorizer", "params", "dtype")):
        for new in ("S2000000000", "U9999999", "object", "V100000", "datetime64[ns, Nowhere/X]", "datetime64[foo]"):
            sign(tmp_path / "model", changed(header, at, new), tensors, "1")
            assert refused(tmp_path / "model") in (True, "loaded")
            assert at[0] == "meta" or refused(tmp_path / "model") is True
    for at in places(header):
        for new in (None, "x", {}, [], -1):
            if at and at[0] != "model":
                sign(tmp_path / "model", changed(header, at, new), tensors, "1")
                assert refused(tmp_path / "model") in (True, "loaded"), f"{at} = {new!r}: {refused(tmp_path / 'model')}"
