"""Groups of documents: whatever a column holds it makes groups, the same for table, picture and report; and intervals."""

import datetime
import decimal
import fractions

import numpy as np
import pandas
import pytest

from nmf_nb.groups import class_groups, columns_of, group_intervals, group_means, groups_of, tells_time, time_bins
from nmf_nb.plot import plot_over_time
from nmf_nb.report import meta_views
from nmf_nb.view import topics_by, view

N = 12
INDIA = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
# a column, whether it tells a time, and its groups where they are few
COLUMNS = {
    "iso": (["2024-03-30T23:30+0530", "2024-10-27 01:30:00.5 -03:00", None] * 4, True, None),
    "summer time": (["2024-03-30T23:30+01:00", "2024-03-31T23:30+02:00"] * 6, True, ["2024-03-30", "2024-03-31"]),
    "mail": (
        ["Fri, 17 May 2024 23:30:00 -0700", "18 May 2024 00:10 +0900", "Sat, 18 May 2024 00:01:00 -0700 (PDT)"] * 4,
        True,
        ["2024-05-17", "2024-05-18"],
    ),
    "datetimes": (
        [datetime.datetime(2024, 3, 30, 23, tzinfo=INDIA), datetime.datetime(2024, 3, 31), pandas.NaT] * 4,
        True,
        None,
    ),
    "dates": ([datetime.date(1, 1, 1), datetime.date(9999, 12, 31), None] * 4, True, [1, 9999]),
    "years out of range": (["0001-01-01", "9999-12-31", "12000-01-01"] * 4, True, [1, 9999, 12000]),
    "zones": (
        [pandas.Timestamp("2024-01-01", tz="Europe/Berlin"), pandas.Timestamp("2024-04-01", tz="Asia/Tokyo")] * 6,
        True,
        ["2024Q1", "2024Q2"],
    ),
    "seconds": (pandas.to_datetime(["2024-01-01"] * 6 + [None] * 6).astype("datetime64[s]"), True, [2024]),
    "numpy dates": ([np.datetime64("2024-05-17"), np.datetime64("NaT"), np.datetime64("2024-05-18")] * 4, True, None),
    "numbers": ([decimal.Decimal("1999"), fractions.Fraction(2000), np.float32(2001)] * 4, True, [1999, 2000, 2001]),
    "huge": ([10**400, -(10**400), 1] * 4, True, [1]),
    "infinite": ([np.inf, -np.inf] * 6, False, []),
    "epoch": ([1.7e9, 1.8e9] * 6, True, [1_700_000_000, 1_800_000_000]),
    "periods": (pandas.period_range("2001Q1", periods=N, freq="Q"), True, None),
    "period year 1": (pandas.period_range("0001", periods=N, freq="Y"), True, list(range(1, 13))),
    "nullable": (pandas.array([1, None, 3] * 4, dtype="Int8"), True, [1, 2, 3]),
    "truth values": ([True, False, None] * 4, False, None),
    "categories": (pandas.Categorical(["2001", "2003", None] * 4), True, [2001, 2002, 2003]),
    "ordered": (
        pandas.Categorical(["lo", "hi", "mid"] * 4, ["lo", "mid", "hi"], ordered=True),
        False,
        ["lo", "mid", "hi"],
    ),
    "mixed": ([2001, "2001-05-17", "May 2002", " ", None, "2002Q4"] * 2, True, None),
    "lists": ([{"a": 1}, [2], (3,)] * 4, False, None),
    "spans": (pandas.to_timedelta(range(N), unit="h"), False, None),
    "complex": (np.array([1 + 2j, 3] * 6), False, None),
    "impossible": (["2024-02-30", "2024-02-01"] * 6, False, ["2024-02-01", "2024-02-30"]),
    "ambiguous": (["01/02/2024", "02/01/2024"] * 6, False, ["01/02/2024", "02/01/2024"]),
    "words": (np.array(["spring", "autumn", "\0\ud800"] * 4, dtype=object), False, None),
    "nothing": ([None] * N, False, []),
}


@pytest.fixture(params=COLUMNS)
def column(request):
    values, timely, groups = COLUMNS[request.param]
    kind = (
        object if isinstance(values, np.ndarray) and values.dtype == object else None
    )  # half a surrogate pair is no str
    return pandas.Series(values, name="year", dtype=kind), timely, groups


@pytest.fixture(scope="module")
def theta():
    return np.random.default_rng(0).dirichlet([1, 1, 1], N)


def test_any_column_makes_groups(column, theta):
    "No column is an error; `bins` bounds every axis, or names the value that it cannot read"
    values, timely, groups = column
    assert tells_time(values) == timely
    found = groups_of(values)
    assert groups is None or list(found.categories) == groups
    low, high = group_intervals(theta, found, draws=5)
    assert ((low <= high) | low.isna()).all(axis=None)
    for bins in (1, 3):
        try:
            assert len(groups_of(values, bins).categories) <= bins or values.dtype == "category"
        except ValueError as error:
            assert not timely and "is no number, and no date such as" in str(error)


def test_a_table_a_picture_and_a_report_have_the_same_bins(column, theta):
    from matplotlib import pyplot

    values, timely, _ = column
    meta = pandas.DataFrame({"year": values})
    assert columns_of(meta)[0] == ["year"] * timely
    H = np.eye(3)
    tm = view(theta, H, list("abc"), theta, ["text"] * N, meta)
    expected = list(map(str, groups_of(values).categories))
    assert list(map(str, topics_by(tm, "year", draws=2)["group"].unique())) == expected
    if timely:
        assert list(map(str, time_bins(values).categories)) == expected
        ax = plot_over_time(tm, "year")
        assert [tick.get_text() for tick in ax.get_xticklabels()] == expected
        pyplot.close("all")
        views = meta_views(theta, meta)
        assert not views or views[0]["columns"] == expected


def test_strings_of_dates_are_dates():
    "1,706 dates in words and four bins are four groups"
    dates = pandas.date_range("1998-01-01", periods=1706, freq="37h")
    for values in (
        dates,
        dates.astype(str),
        dates.strftime("%a, %d %b %Y %H:%M:%S +0100"),
        dates.tz_localize("UTC").tz_convert("Asia/Tokyo"),
    ):
        assert list(groups_of(values, bins=4).categories) == ["1998–1999", "2000–2001", "2002–2003", "2004–2005"]


@pytest.mark.filterwarnings("error")
def test_numbers_at_both_ends_of_float64():
    assert list(time_bins([-1e308, 1e308] * 6).categories) == [-1e308, 1e308]
    assert len(time_bins(np.linspace(-1, 1, 12) * 1.7e308, bins=3).categories) <= 3


def test_a_local_day_is_not_moved_to_utc():
    evenings = pandas.date_range("2024-03-28 23:30", periods=5, freq="D", tz="America/New_York")  # in UTC the day after
    for values in (evenings, evenings.astype(str), [t.to_pydatetime() for t in evenings]):
        assert list(time_bins(values).categories) == [f"2024-03-{day}" for day in range(28, 32)] + ["2024-04-01"]


@pytest.mark.parametrize("copies", [2, 10])
def test_copies_of_passages_do_not_narrow_an_interval(copies):
    rng = np.random.default_rng(1)
    theta, groups = rng.dirichlet([1, 1], 60), rng.choice(list("ab"), 60)
    once = group_intervals(theta, groups)
    again = [np.repeat(A, copies, axis=0) for A in (theta, groups, np.arange(60))]
    by_address = group_intervals(*again[:2], cluster=again[2])
    by_passage = group_intervals(*again[:2])
    for end, same in zip(once, by_address):
        np.testing.assert_allclose(end, same)
    widths = [(high - low).mean(axis=None) for low, high in (once, by_passage)]
    assert abs(widths[0] / widths[1] / copies**0.5 - 1) < 0.25


def test_clusters_of_unequal_size():
    "Equation (4) by hand: a draw takes all documents of a cluster"
    theta = np.array([[1.0], [1.0], [1.0], [0.0]])  # clusters of three and of one
    low, high = group_intervals(theta, ["g"] * 4, draws=2000, level=0.9, cluster=["a", "a", "a", "b"])
    assert (low.iloc[0, 0], high.iloc[0, 0]) == (0, 1)  # of two draws both are b in a quarter of all cases
    low, high = group_intervals(theta, ["g"] * 4, draws=2000, level=0.4, cluster=["a", "a", "a", "b"])
    assert (low.iloc[0, 0], high.iloc[0, 0]) == (0.75, 0.75)  # in half of all cases one of each: 3 of 4


def test_fewer_than_two_clusters_have_no_interval(theta):
    groups, cluster = np.repeat(["a", "b", "c"], 4), [1] * 4 + [1, 2, 1, 2] + [None] * 4
    low, high = group_intervals(theta, groups, cluster=cluster)
    assert low.isna().all(axis=1).tolist() == [True, False, False] == high.isna().all(axis=1).tolist()
    means = group_means(theta, groups)
    assert means.notna().all(axis=None) and list(means.index) == list(class_groups(groups).categories)
