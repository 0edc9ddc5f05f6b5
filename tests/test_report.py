"""The report: one file, small, the same every time, and safe; used in a real browser with the network cut."""

import base64
import dataclasses
import datetime
import json
import os
import re
import select
import shutil
import subprocess
import time
import zlib
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas
import pytest
from scipy.sparse import random_array
from sklearn.feature_extraction.text import CountVectorizer

from nmf_nb.corpus import load_corpus, tfidf
from nmf_nb.groups import time_bins
from nmf_nb.measures import relevance, top_words
from nmf_nb.nmf import NMF
from nmf_nb.report import report, report_data, report_html
from nmf_nb.view import explain, topics_by, view

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
EVIL = [
    "<script>window.hacked = 1; alert(1)</script>",
    "</script><script>window.hacked = 1</script>",
    "</textarea></title></style></noscript><img src=x onerror='window.hacked = 1'>",
    "]]><!-- comment --> &lt;b&gt; &amp;",
    "\"' onclick='window.hacked = 1' {{ 7 * 7 }} {% raw %} ${1 + 1}",
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd \u2028 line \N{GRINNING FACE}",
]


def topics_of(name, k):
    corpus = load_corpus(name)
    X, vectorizer = tfidf(corpus.texts)
    model = NMF(k, random_state=0)
    W = model.fit_transform(X)
    words = vectorizer.get_feature_names_out()
    return view(W, model.components_, words, X, corpus.texts, corpus.meta, model.history_, {"corpus": name}, vectorizer)


@pytest.fixture(scope="module")
def sotu():
    return topics_of("sotu", 16)


@pytest.fixture(scope="module")
def hostile():
    "Texts, words, columns, and notes that try to be more than text"
    k = len(EVIL)
    texts = [f"{e} nul \0 half \ud800 {e.upper()}" for e in EVIL] * 2
    meta = pandas.DataFrame({e: texts for e in EVIL} | {"__proto__": [1, 2] * k}, dtype=object)
    words = [*EVIL, "__proto__", "constructor", "hacked"]
    W, H = np.vstack([np.eye(k)] * 2), np.hstack([np.eye(k), np.ones((k, 3))])
    W[3] = 0  # a text without a topic
    return view(W, H, words, W @ H, texts, meta, [], dict(zip(EVIL, reversed(EVIL))))


def many(n, k, m, seed=0):
    "A view of random topics"
    rng = np.random.default_rng(seed)
    W, H, V = rng.gamma(0.1, size=(n, k)), rng.gamma(0.05, size=(k, m)), random_array((n, m), density=0.02, rng=rng)
    years = pandas.DataFrame({"year": rng.integers(1900, 2020, n), "kind": rng.choice(list("abc"), n)})
    return view(W, H, [f"word{i}" for i in range(m)], V.tocsr(), [f"text {i} word{i % m}" for i in range(n)], years)


SCRIPTS = {
    "capitals": (
        ["NATO and the EU meet", "the EU grows", "NATO arms"],
        {"lowercase": False, "stop_words": ["and", "the"]},
    ),
    "accents": (["Café à la crème", "ÉLÈVE et café", "un élève"], {"strip_accents": "unicode"}),
    "chinese": (
        ["\u673a\u5668\u5b66\u4e60", "\u5b66\u4e60\u6c49\u8bed", "\u6c49\u8bed"],
        {"analyzer": "char", "ngram_range": (1, 2)},
    ),
    "hyphens": (
        ["a state-of-the-art well-being", "well-being first", "state-of-the-art"],
        {"token_pattern": r"[\w-]+"},
    ),
    "emoji": (
        ["\U0001f600 good \U0001f44d\U0001f3fd", "bad \U0001f4a9, good", "\U0001f4a9\U0001f4a9 day"],
        {"token_pattern": r"\w+|[^\w\s]"},
    ),
    "signs": (["C++ and <b>C#</b> \0 x", "C# & C++", "go 'C++'"], {"token_pattern": r"[\w+#<>/]+"}),
}


@pytest.fixture(params=SCRIPTS)
def script(request):
    "Three texts, two topics, and the words that `explain` marks in each text"
    texts, options = SCRIPTS[request.param]
    vectorizer = CountVectorizer(**options)
    X = vectorizer.fit_transform(texts).astype(float)
    model = NMF(2, random_state=0)
    W = model.fit_transform(X)
    tm = view(W, model.components_, vectorizer.get_feature_names_out(), X, texts, vectorizer=vectorizer)
    found = [explain(tm, text, x, w).pieces for text, x, w in zip(texts, X, W)]
    return tm, ["".join(piece if part > 0.5 else " " for piece, _, part, _ in pieces).split() for pieces in found]


# ---- without a browser


def test_words_of_every_script_are_marked(script):
    "The places that the page gets hold the words that `explain` marks"
    tm, expected = script
    marks = report_data(tm)["browser"]["docs"]["marks"]
    assert any(expected) and len(marks["before"]) == sum(marks["count"])
    k = 0
    for text, n, words in zip(tm.docs_, marks["count"], expected):
        units, at, found = text.encode("utf-16-le"), 0, ""
        for before, length in zip(marks["before"][k : k + n], marks["length"][k : k + n]):
            found += " " * before + units[2 * (at + before) : 2 * (at + before + length)].decode("utf-16-le")
            at += before + length
        assert found.split() == words
        k += n


def test_equal_documents_and_labels_stay_apart():
    "Two texts that are equal, and two topics with one label, are two on the page"
    V = np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]])
    tm = view(np.array([[1.0, 0], [1, 0], [0, 1]]), V[1:], ["a", "b", "c", "d"], V, ["a b", "a b", "c d"])
    tm = dataclasses.replace(tm, topics_=tm.topics_.assign(label="same"))
    data = report_data(tm)
    assert [t["label"] for t in data["browser"]["topics"]] == ["same"] * 2
    assert data["browser"]["docs"]["texts"] == ["a b", "a b", "c d"]
    assert data["browser"]["docs"]["marks"]["topic"] == [0, 0, 0, 0, 1, 1]
    assert report_html(tm).count(">same</bdi></button>") == 2


def test_a_band_says_what_was_drawn(sotu):
    address = [f"{year} {president}" for year, president in zip(sotu.meta_["year"], sotu.meta_["president"])]
    one, whole, named = (
        report_data(sotu, most_docs=1, cluster=c)["browser"]["course"] for c in (None, address, "president")
    )
    assert one["columns"] == whole["columns"] == [str(c) for c in time_bins(sotu.meta_["year"]).categories]
    assert "draws of documents" in one["note"] and "of whole clusters." in whole["note"]
    assert "of whole clusters by president" in named["note"]
    bin = one["columns"].index("1940\u20131944")
    war = int(np.argmax([topic[bin] for topic in one["shares"]]))
    width, wide = (course["high"][war][bin] - course["low"][war][bin] for course in (one, whole))
    assert wide > 2 * width  # addresses of the war were of hardly anything else
    assert whole["low"][war][0] is None  # of 1930 to 1934 there is one address


@pytest.mark.parametrize("column", ["spring", "inf", "mixed", "summer", "mail", "0001", "period", "date", "category"])
def test_any_column_of_dates_makes_a_page(column):
    "What can be read as time is a view over time, and what cannot costs the view"
    columns = {
        "spring": (["spring", "1 May"] * 10, None),
        "inf": ([np.inf, -np.inf] * 10, None),
        "mixed": ([2001, "2002-05-17", "Fri, 17 May 2003 08:30:00 +0200", None] * 5, ["2001", "2002", "2003"]),
        "summer": (["2024-03-30T23:30+01:00", "2024-03-31T23:30+02:00"] * 10, ["2024-03-30", "2024-03-31"]),
        "mail": (
            ["Thu, 17 May 2001 23:30:00 -0700", "Fri, 18 May 2001 00:10:00 +0900"] * 10,
            ["2001-05-17", "2001-05-18"],
        ),
        "0001": (["0001-01-01", "9999-12-31", "12000-01-01", None] * 5, ["1", "9999", "12000"]),
        "period": (pandas.PeriodIndex(["2001Q1", "2001Q2"] * 10, freq="Q"), ["2001Q1", "2001Q2"]),
        "date": ([datetime.date(2001, 5, 17), datetime.date(2001, 5, 18)] * 10, ["2001-05-17", "2001-05-18"]),
        "category": (pandas.Categorical(["2001-05-17", "2001-05-18"] * 10), ["2001-05-17", "2001-05-18"]),
    }
    values, expected = columns[column]
    tm = dataclasses.replace(many(20, 3, 9), meta_=pandas.DataFrame({"date": values}))
    course = report_data(tm)["browser"]["course"]
    assert (course and course["columns"]) == expected
    if expected:
        assert list(map(str, topics_by(tm, "date")["group"].unique())) == expected  # the same bins
    assert "<h1" in report_html(tm)


def test_size_of_the_state_of_the_union(sotu, tmp_path):
    start = time.process_time()
    size = report(sotu, tmp_path / "page.html", "State of the Union").stat().st_size
    assert size < 2_000_000
    assert time.process_time() - start < 20
    packed = re.search(r'id="data">([\w+/=]*)<', (tmp_path / "page.html").read_text(encoding="utf-8"))[1]
    docs = json.loads(zlib.decompress(base64.b64decode(packed)))["docs"]
    assert docs["texts"] == list(sotu.docs_) and not any(docs["cut"])


def test_same_model_same_bytes():
    tm = topics_of("factbook", 8)
    page = report_html(tm)
    assert report_html(topics_of("factbook", 8)) == page
    assert report_html(tm, date="1 May 2026") == page.replace(
        "</section>\n</main>", "<p>1 May 2026</p></section>\n</main>"
    )


def test_nothing_is_fetched(page):
    page = page.read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href|action)="([^#"][^"]*)"', page) == ["data:,"]
    assert not re.search(r"@import|url\(|\bon\w+=|https?://(?!www\.w3\.org/2000/svg)", page)
    assert "default-src 'none'" in page and "unsafe" not in page


def test_hostile_texts_are_escaped(hostile):
    page = report_html(hostile, EVIL[0], EVIL[1])
    assert page.count("<script") == 2 and "<img" not in page and "hacked = 1</script>" not in page
    assert "\0" not in page
    page.encode()


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=re.escape(str(path))):
        report(many(3, 2, 5), path)
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["page.html"]


def test_errors_name_the_path(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "gone" / "page.html", tmp_path / "file" / "page.html"):
        with pytest.raises(OSError, match=re.escape(str(path))):
            report(many(3, 2, 5), path)


@pytest.mark.parametrize("n, k, m", [(20_000, 60, 500), (1, 1, 1), (3, 5, 2), (2, 2, 400)])
def test_any_size(n, k, m):
    tm = many(n, k, m)
    page = report_html(tm)
    assert len(page) < 2_000_000
    assert len(report_data(tm)["browser"]["docs"]["at"]) == min(n, 3000)
    assert ("3,000 of 20,000 documents" in page) == (n == 20_000)


def test_long_texts_are_cut(sotu):
    docs = report_data(sotu, most_chars=500_000)["browser"]["docs"]
    assert sum(map(len, docs["texts"])) <= 500_000
    assert all(text == whole[: len(text)] for text, whole in zip(docs["texts"], sotu.docs_))


# ---- in a browser


class Browser:
    "A headless Chromium, spoken to in its DevTools protocol through two pipes; it can reach no host"

    def __init__(self, program, folder):
        import fcntl  # where there is one

        pairs = [os.pipe(), os.pipe()]
        (theirs, self.to), (self.of, answers) = [[fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in pair] for pair in pairs]
        for fd in (fd for pair in pairs for fd in pair):
            os.close(fd)
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"]
        options += [f"--user-data-dir={folder}", "--host-resolver-rules=MAP * ~NOTFOUND", "about:blank"]
        command = ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{answers}', "bash", program, *options]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, pass_fds=(theirs, answers), stdin=quiet, stdout=quiet, stderr=quiet)
        os.close(theirs), os.close(answers)
        self.rest, self.count, self.events, self.session = b"", 0, [], None
        pages = [t for t in self("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        self.session = self("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self(f"{domain}.enable")
        self("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)

    def _receive(self):
        while b"\0" not in self.rest:
            assert select.select([self.of], [], [], 60)[0], "the browser says nothing"
            self.rest += os.read(self.of, 1 << 16)
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def __call__(self, method, **params):
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        os.write(self.to, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while (answer := self._receive()).get("id") != self.count:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def js(self, expression):
        "The value of an expression in the page"
        answer = self("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression):
        "Wait until an expression is true"
        end = time.monotonic() + 30
        while not self.js(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)

    def open(self, path, width=1200, dark=False, script=True):
        self.events.clear()
        self("Emulation.setScriptExecutionDisabled", value=not script)
        self("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])
        self("Page.navigate", url=path.as_uri())
        there = f"decodeURIComponent(location.pathname).endsWith({json.dumps(path.name)}) && document.readyState === 'complete'"
        self.until(there + (" && document.documentElement.dataset.ready === 'true'" if script else ""))

    def press(self, key, times=1, **more):
        codes = {"Enter": 13, "Tab": 9, "ArrowLeft": 37, "ArrowRight": 39, " ": 32}
        for _ in range(times):
            event = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key], **more}
            text = {"Enter": "\r", " ": " "}.get(key)
            self("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
            self("Input.dispatchKeyEvent", type="keyUp", **event)

    def trouble(self):
        "Errors, messages, dialogs, and requests for anything but the page"
        bad = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Page.javascriptDialogOpening"}
        sent = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        asked = [url for url in sent if url != "data:," and not url.startswith("file:///")]
        files = {unquote(urlsplit(url).path) for url in sent if url.startswith("file:///")}
        return [e for e in self.events if e["method"] in bad] + asked + sorted(files)[1:]

    def close(self):
        self.session = None
        self("Browser.close")
        self.process.wait(20)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if os.name != "posix" or program is None:
        pytest.skip(f"needs one of {', '.join(BROWSERS)} on the path, and POSIX pipes")
    browser = Browser(program, tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def page(sotu, tmp_path_factory):
    return report(sotu, tmp_path_factory.mktemp("page") / "state of the union.html", "State of the Union")


WORDS = "[...document.querySelectorAll('#words bdi')].map(e => e.textContent)"
COUNT = "document.getElementById('count').textContent"


def test_topics_and_slider(browser, page, sotu):
    browser.open(page)
    assert browser.js("document.querySelectorAll('.pick').length") == 16
    browser.js("document.querySelectorAll('.pick')[12].focus()")
    browser.press("Enter")
    assert browser.js("document.getElementById('topic-label').textContent") == sotu.topics_["label"].iloc[12]
    assert browser.js("[...document.querySelectorAll('[aria-pressed=true]')].length") == 2  # in the list and on the map
    before = browser.js("document.querySelectorAll('.words')[3].textContent")
    for weight, keys in ((0.6, 0), (0.0, 12), (1.0, -20)):
        browser.js("document.getElementById('weight').focus()")
        browser.press("ArrowLeft" if keys > 0 else "ArrowRight", abs(keys))
        expected = top_words(relevance(sotu.topic_words_, sotu.word_share_, weight), sotu.words_, 15)
        assert browser.js(WORDS) == expected[12]
        assert browser.js("document.querySelectorAll('.words')[3].textContent") == ", ".join(expected[3][:10])
    assert before != browser.js("document.querySelectorAll('.words')[3].textContent")
    assert browser.trouble() == []


def test_map_by_keyboard(browser, page):
    browser.open(page)
    browser.js("document.querySelector('.bubble[tabindex=\"0\"]').focus()")
    browser.press("ArrowRight", 2)
    browser.press("Enter")
    assert browser.js("document.getElementById('topic-no').textContent") == "Topic 3"
    browser.press("ArrowLeft")
    browser.press(" ")
    assert browser.js("document.getElementById('topic-no').textContent") == "Topic 2"
    assert browser.trouble() == []


def test_search_filter_and_pages(browser, page, sotu):
    browser.open(page)
    assert browser.js(COUNT) == "Documents 1 to 10 of 2,874"
    browser.js("document.getElementById('search').focus()")
    browser("Input.insertText", text="Qaida AFGHANISTAN")
    lower = [f"{text} {' '.join(map(str, row))}".lower() for text, row in zip(sotu.docs_, sotu.meta_.to_numpy())]
    found = [i for i, text in enumerate(lower) if "qaida" in text and "afghanistan" in text]
    assert 10 < len(found) < 100
    browser.until(f"{COUNT} === 'Documents 1 to 10 of {len(found)}'")
    assert browser.js("document.querySelector('article h3').textContent") == f"Document {found[0] + 1:,}"
    browser.js("document.getElementById('next').click()")
    assert browser.js(COUNT).startswith("Documents 11 to ")
    browser.js("document.querySelectorAll('.pick')[6].click(); document.getElementById('read').click()")
    assert browser.js(COUNT) == f"Documents 1 to 10 of {sotu.topics_['n_docs'].iloc[6]}"
    best = int(sotu.doc_topics_[:, 6].argmax())
    assert browser.js("document.querySelector('article .text').textContent") == sotu.docs_[best]
    browser.js("document.getElementById('search').focus()")
    browser("Input.insertText", text="nosuchword")
    browser.until(f"{COUNT}.startsWith('No document')")
    assert browser.trouble() == []


def test_marked_words_are_told_by_more_than_colour(browser, page):
    browser.open(page)
    marks = browser.js(
        "[...document.querySelectorAll('mark')].map(e => [e.title, getComputedStyle(e).borderBottomStyle])"
    )
    assert len(marks) > 50
    assert all(re.match(r"topic \d+: ", title) and style in ("solid", "dashed", "dotted") for title, style in marks)


def test_marked_words_of_every_script(browser, script, tmp_path):
    tm, expected = script
    browser.open(report(tm, tmp_path / "page.html"))
    shown = browser.js(
        "[...document.querySelectorAll('.text')].map(e => [...e.childNodes]"
        ".map(n => n.nodeName === 'MARK' ? n.textContent : ' ').join('').split(/\\s+/).filter(Boolean))"
    )
    assert shown == expected
    texts = browser.js("[...document.querySelectorAll('.text')].map(e => e.textContent)")
    assert texts == [text.replace("\0", "\u2400") for text in tm.docs_]
    assert browser.trouble() == []


def test_hostile_texts_are_shown(browser, hostile, tmp_path):
    browser.open(report(hostile, tmp_path / "evil.html", EVIL[0], EVIL[1]))
    assert browser.js("document.title") == EVIL[0] == browser.js("document.querySelector('h1').textContent")
    texts = browser.js("[...document.querySelectorAll('article .text')].map(e => e.textContent)")
    assert texts == [t.replace("\0", "\u2400").replace("\ud800", "\ufffd") for t in hostile.docs_[:10]]
    shown = browser.js("document.body.textContent")
    assert all(e in shown for e in EVIL)
    browser.js("document.querySelectorAll('.pick, .legend button, #words button').forEach(e => e.click())")
    assert browser.js("typeof window.hacked") == "undefined"
    browser.js("document.getElementById('search').value = ''")
    browser.js("document.getElementById('filter').value = -1")
    browser.js("document.getElementById('filter').dispatchEvent(new Event('change'))")
    assert browser.js(COUNT) == "Documents 1 to 1 of 1"
    assert browser.js("document.querySelector('article').textContent").startswith("Document 4")
    assert "No topic: " in browser.js("document.querySelector('article').textContent")
    assert browser.js("document.querySelectorAll('img, textarea, b b').length") == 0
    assert browser.trouble() == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("kind", ["sotu", "hostile", "many", "one", "none"])
def test_a_phone_and_the_dark(browser, page, hostile, kind, dark, tmp_path):
    tm = {"hostile": hostile, "many": many(50, 60, 500), "one": many(1, 1, 1), "none": many(0, 3, 9)}.get(kind)
    browser.open(report(tm, tmp_path / "page.html") if tm else page, width=360, dark=dark)
    assert browser.js("[document.documentElement.scrollWidth, innerWidth]") == [360, 360]
    light = browser.js("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(x => x > 200)")
    assert light != dark
    assert browser.trouble() == []


def test_keyboard_and_names(browser, page, sotu):
    browser.open(page)
    seen = []
    for _ in range(14):
        browser.press("Tab")
        seen.append(
            browser.js(
                "[document.activeElement.textContent.trim(), getComputedStyle(document.activeElement).outlineWidth]"
            )
        )
    assert seen[0][0] == "Skip to the topics"
    assert sotu.topics_["label"][1] in " ".join(text for text, _ in seen)  # the first topics come soon after
    assert all(width == "3px" for _, width in seen)
    roles = {"button", "slider", "searchbox", "combobox", "link", "region", "img"}
    for node in browser("Accessibility.getFullAXTree")["nodes"]:
        if not node["ignored"] and node["role"]["value"] in roles:
            assert node.get("name", {}).get("value", "").strip(), node


CONTRASTS = """(() => {
  const parse = (c) => { const [r, g, b, a = 1] = c.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = ([r, g, b, a], under) => [r, g, b].map((x, i) => a * x + (1 - a) * under[i]);
  const ground = (e) => e ? over(parse(getComputedStyle(e).backgroundColor), ground(e.parentElement)) : [255, 255, 255];
  const light = (c) => c.map((x) => x / 255).map((x) => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + [0.2126, 0.7152, 0.0722][i] * x, 0);
  const found = [];
  for (const e of document.body.querySelectorAll("*")) {
    const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
    const style = getComputedStyle(e);
    if (!text || !e.checkVisibility({ visibilityProperty: true }) || !parseFloat(style.fontSize)) continue;
    if (e.closest(":disabled, script, style, noscript, title, .skip, [aria-pressed=true] > text")) continue;
    const under = ground(e), ink = over(parse(e instanceof SVGElement ? style.fill : style.color), under);
    const [low, high] = [light(ink), light(under)].sort((a, b) => a - b);
    found.push([(high + 0.05) / (low + 0.05), `${e.tagName} ${e.className.baseVal ?? e.className} ${text.slice(0, 30)}`]);
  }
  return found;
})()"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 360])
def test_contrast_landmarks_and_tables(browser, page, hostile, dark, width, tmp_path):
    "Every text can be read against its ground (4.5 to 1), landmarks have names of their own, and regions that scroll have focus"
    for path in (page, report(hostile, tmp_path / "evil.html"), report(many(50, 60, 500), tmp_path / "many.html")):
        browser.open(path, width=width, dark=dark)
        browser.js("document.querySelectorAll('.pick')[1].click()")
        browser.js("document.querySelectorAll('article .more').forEach(e => e.click())")
        contrasts = browser.js(CONTRASTS)
        assert len(contrasts) > 100
        assert min(contrasts)[0] >= 4.5, min(contrasts)
        nodes = [n for n in browser("Accessibility.getFullAXTree")["nodes"] if not n["ignored"]]
        landmarks = [(n["role"]["value"], n.get("name", {}).get("value")) for n in nodes]
        landmarks = [
            mark for mark in landmarks if mark[0] in ("region", "navigation", "search", "complementary", "main")
        ]
        assert len(landmarks) == len(set(landmarks)) > 5
        assert browser.js("[...document.querySelectorAll('th')].filter(e => !e.textContent.trim()).length") == 0
        scrolls = "[...document.querySelectorAll('main *')].filter(e => e.scrollWidth > e.clientWidth + 1"
        scrolls += " && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) && e.tabIndex < 0).length"
        assert browser.js(scrolls) == 0


def test_without_scripts(browser, page, sotu):
    browser.open(page, script=False)
    shown = browser.js("document.body.innerText")
    assert "JavaScript is off" in shown and all(label in shown for label in sotu.topics_["label"])
    assert browser.js("document.querySelectorAll('.bubble').length") == 16
    assert browser.js("document.getElementById('topic').hidden") is True


def test_a_browser_that_cannot_unpack(browser, page):
    source = "delete window.DecompressionStream"
    script = browser("Page.addScriptToEvaluateOnNewDocument", source=source)["identifier"]
    browser.open(page)
    browser("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    assert "DecompressionStream" in browser.js("document.querySelector('#problem:not([hidden])').innerText")
    assert browser.trouble() == []
