"""The report of a run: what it says, that nothing in it can run or load, and that a real browser shows it as it should.

The tests in a browser need Chromium or Chrome; where there is none they are skipped, and say so. In CI they may not be.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.cli import main
from nnbackend.errors import ArgumentError, DataError, FileError, StateError

pytest.importorskip("matplotlib")

from nnbackend.report import write_report
from nnbackend.report.markup import element, join
from nnbackend.report.page import policy, stylesheet
from tests.browser import Browser, find_browser, open_browser

# WCAG 2, level AA, for text of this size.
LEAST_CONTRAST = 4.5
HOSTILE = "<script>document.title='hacked'</script><img src=x onerror=alert(1)>\"'&amp;\x00\u202e"


def model(n_inputs: int, n_outputs: int, end: nn.Layer, loss: nn.Loss) -> nn.Model:
    return nn.Model(
        [nn.Dense(n_inputs, 8, weight_regularizer=nn.L2(1e-4)), nn.ReLU(), nn.Dense(8, n_outputs), end],
        loss=loss, optimizer=nn.Adam(0.02, decay=1e-2), backend="cpu", seed=0,
    )  # fmt: skip


def write_classes(path: Path, *, n_inputs: int = 2, classes: int = 3, validation: bool = True, **more: Any) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, n_inputs)), rng.integers(0, classes, 200)
    built = model(n_inputs, classes, nn.Softmax(), nn.CategoricalCrossentropy())
    data = (X[150:], y[150:]) if validation else None
    built.train(X[:150], y[:150], epochs=30, validation_data=data, print_every=0)
    write_report(path, built, X[:150], y[:150], validation_data=data, **more)


def write_values(path: Path, *, n_inputs: int = 1, n_outputs: int = 1) -> None:
    rng = np.random.default_rng(0)
    X = np.sort(rng.normal(size=(120, n_inputs)), axis=0)
    y = np.column_stack([np.sin(X[:, 0] + number) for number in range(n_outputs)])
    built = model(n_inputs, n_outputs, nn.Linear(), nn.MeanSquaredError())
    built.train(X, y, epochs=30, print_every=0)
    write_report(path, built, X, y, title="A regression")


def write_binary(path: Path) -> None:
    X, y = nn.datasets.spiral(40, 2, seed=0)
    built = model(2, 1, nn.Sigmoid(), nn.BinaryCrossentropy())
    built.train(X, y, epochs=30, print_every=0)
    write_report(path, built, X, y, title="Two arms", class_names=["left", "right"])


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    writers: dict[str, Any] = {
        "spiral": lambda path: write_classes(
            path, title="Three arms", command="nnbackend train spiral", settings={"about the data": "words " * 60}
        ),
        "binary": write_binary,
        "twenty": lambda path: write_classes(
            path, n_inputs=6, classes=20, class_names=[f"class number {k}" for k in range(20)]
        ),
        "many": lambda path: write_classes(path, n_inputs=6, classes=60, validation=False),
        "curve": write_values,
        "values": lambda path: write_values(path, n_inputs=4, n_outputs=2),
        "hostile": lambda path: write_classes(
            path, title=HOSTILE, class_names=[HOSTILE, "</style>", "]]>"], command=HOSTILE,
            settings={HOSTILE: HOSTILE}, validation_name=HOSTILE,
        ),
    }  # fmt: skip
    for name, write in writers.items():
        write(folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in writers}


NAMES = ("spiral", "binary", "twenty", "many", "curve", "values", "hostile")
every_page = pytest.mark.parametrize("name", NAMES)


class Page(HTMLParser):
    """Tags, attributes, what stands in each, and whether elements are closed in order."""

    VOID = ("meta", "link", "br", "hr", "col")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.text.setdefault(self._open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


# -- what it says --------------------------------------------------------------------------------------------------------


def test_a_report_says_what_the_run_was(pages: dict[str, Path]) -> None:
    page = Page(pages["spiral"].read_text())
    assert page.text["h1"] == ["Three arms"]
    assert page.text["h2"] == ["What it learned", "What it mistakes", "What is inside", "How it was made"]
    assert "nnbackend train spiral" in page.text["code"]
    cells = page.text["td"]
    for expected in (nn.__version__, np.__version__, "float32", "CategoricalCrossentropy()", "L2(0.0001)"):
        assert any(expected in cell for cell in cells), expected
    figures = dict(zip(page.text["dt"], page.text["dd"], strict=True))
    assert figures["parameters"] == "51"  # 2·8 + 8 + 8·3 + 3
    assert figures["epochs"] == "30"
    assert set(figures) >= {"training loss", "training accuracy", "validation loss", "validation accuracy"}


def test_the_classes_are_counted_rightly(tmp_path: Path) -> None:
    """Recall and precision of a confusion that is known."""
    X = np.array([[9.0, 0], [9, 0], [9, 0], [0, 9], [0, 9], [0, 9], [0, 9], [9, 0]])
    y = np.array([0, 0, 0, 1, 1, 1, 0, 1])  # three of four of class 0 are recognized, three of four of class 1
    built = nn.Model([nn.Dense(2, 2), nn.Softmax()], loss=nn.CategoricalCrossentropy(), backend="cpu", seed=0)
    built.set_parameters({"dense_1.weights": np.eye(2), "dense_1.biases": np.zeros((1, 2))})
    write_report(tmp_path / "a.html", built, X, y, class_names=["cat", "dog"])
    text = (tmp_path / "a.html").read_text()
    row = r'<tr><th scope="row">cat</th><td class="number">4</td><td class="number">75.0%</td><td class="number">75.0%</td>'
    assert row + "<td>dog (1)</td></tr>" in text


def test_equal_runs_give_equal_pages(tmp_path: Path) -> None:
    one, two = tmp_path / "one.html", tmp_path / "two.html"
    for path in (one, two):
        write_classes(path, title="Again")
    assert one.read_bytes() == two.read_bytes()


def test_many_classes_are_summarized(pages: dict[str, Path]) -> None:
    text = pages["many"].read_text()
    assert "The 20 of 60 classes that are recognized worst" in text or "of 60 classes that are recognized worst" in text
    assert "The most frequent mistakes" in text


def test_what_cannot_be_drawn_leaves_a_sentence(tmp_path: Path) -> None:
    built = nn.Model([nn.Softmax()], loss=nn.CategoricalCrossentropy(), backend="cpu", seed=0)
    write_report(tmp_path / "a.html", built, np.eye(3), np.arange(3))
    assert (
        "There is no picture here: the model has no parameters: there is nothing to draw."
        in (tmp_path / "a.html").read_text()
    )


REFUSED = [
    ({"model": 3}, ArgumentError, "model 3: expected an nn.Model"),
    ({"validation_data": 3}, DataError, "validation_data: expected a pair (X, y)"),
    ({"path": "run.pdf"}, ArgumentError, "report 'run.pdf': a report is written as .html only: name it run.html"),
    ({"path": "no/such/folder.html"}, FileError, "No such file or directory"),
    ({"X": np.zeros((4, 3))}, DataError, "expects 2 features"),
    ({"y": np.array([0, 1, 2, 9])}, DataError, "label 9 in row 3 is out of range"),
]


@pytest.mark.parametrize(("change", "kind", "part"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_is_wrong_gets_a_sentence(
    tmp_path: Path, change: dict[str, Any], kind: type[Exception], part: str
) -> None:
    right = {
        "path": tmp_path / "a.html",
        "model": model(2, 3, nn.Softmax(), nn.CategoricalCrossentropy()),
        "X": np.zeros((4, 2)),
        "y": np.array([0, 1, 2, 0]),
    }
    with pytest.raises(kind) as caught:
        write_report(**(right | change))
    assert part in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StateError, match=r"pip install 'nnbackend\[plot\]'"):
        write_classes(tmp_path / "a.html")


# -- what it is made of --------------------------------------------------------------------------------------------------


@every_page
def test_nothing_in_it_runs_or_loads(pages: dict[str, Path], name: str) -> None:
    page = Page(pages[name].read_text())
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "iframe", "object", "embed", "form", "base", "img", "a", "foreignobject"}
    assert page.tags.count(("style", {})) == 1
    for tag, attributes in page.tags:
        assert not [key for key in attributes if key.startswith("on") or key == "style"], f"{tag}: {attributes}"
        for key in ("href", "src", "xlink:href"):
            assert (attributes.get(key) or "#").startswith(("#", "data:image/png;base64,", "data:,")), attributes[key]
    text = pages[name].read_text()
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text


@every_page
def test_the_policy_allows_its_own_style_and_pictures_only(pages: dict[str, Path], name: str) -> None:
    page = Page(pages[name].read_text())
    (given,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert given == policy(stylesheet())
    assert given.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in given


@every_page
def test_names_in_it_are_used_once_and_referred_to(pages: dict[str, Path], name: str) -> None:
    text = pages[name].read_text()
    page = Page(text)
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    referred = set(re.findall(r"url\(#([\w-]+)\)", text)) | set(re.findall(r'href="#([\w-]+)"', text))
    assert referred == set(names)


@every_page
def test_it_can_be_read_without_seeing_it(pages: dict[str, Path], name: str) -> None:
    """A language, one h1, headings without gaps, a text for each picture, heads and captions for each table."""
    page = Page(pages[name].read_text())
    assert page.all("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    pictures = page.all("svg")
    assert pictures
    assert all(picture["role"] == "img" and len(picture["aria-label"] or "") > 20 for picture in pictures)
    assert len(page.all("figure")) == len(page.all("figcaption")) == len(pictures)
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(head.get("scope") in ("row", "col") for head in page.all("th"))
    assert {tag for tag, _ in page.tags} >= {"header", "main", "footer", "section"}


def test_markup_escapes_all_but_itself() -> None:
    inner = element("b", "<i>", title='"><script>')
    assert inner == '<b title="&quot;&gt;&lt;script&gt;">&lt;i&gt;</b>'
    assert element("p", inner, ["a & b", None, 3]) == f"<p>{inner}a &amp; b3</p>"
    assert join("\x00\ud800") == "\N{REPLACEMENT CHARACTER}" * 2


# -- on the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task", ["spiral --samples 10", "vertical --binary --samples 10", "sine --samples 20", "digits"]
)
def test_train_writes_a_report(tmp_path: Path, task: str) -> None:
    path = tmp_path / "run.html"
    arguments = ["train", *task.split(), "--epochs", "3", "--quiet", "--report", str(path)]
    assert main(arguments) == 0
    page = Page(path.read_text())
    assert page.text["h1"][0].startswith(task.split()[0])
    assert " ".join(["nnbackend", *arguments]) in page.text["code"]
    assert page.all("svg")


@pytest.mark.parametrize("target", ["kind", "length"])
def test_a_table_has_a_report(tmp_path: Path, target: str) -> None:
    """A regression is drawn in the target's own unit, a class may be called as it likes."""
    rng = np.random.default_rng(0)
    rows = [
        f"{a:.3f},{b:.3f},{100 + 20 * a:.3f},{'<b>up</b>' if a > 0 else 'down'}" for a, b in rng.normal(size=(80, 2))
    ]
    table = tmp_path / "plants.csv"
    table.write_text("\n".join(["first,second,length,kind", *rows]))
    path = tmp_path / "run.html"
    other = "length" if target == "kind" else "kind"
    assert main(["train", str(table), "--target", target, "--drop", other, "--quiet", "--report", str(path)]) == 0
    page = Page(path.read_text())
    if target == "kind":
        assert "<b>up</b>" in page.text["th"]
    else:
        ticks = [float(text) for text in page.text["text"] if re.fullmatch(r"\d+", text)]
        assert max(ticks) >= 120


WRONG = [
    ("run.txt", "--report run.txt: reports are written as .html only: name it run.html"),
    ("nowhere/run.html", "--report nowhere/run.html cannot be written (No such file or directory)"),
]


@pytest.mark.parametrize(("file", "part"), WRONG)
def test_a_report_that_cannot_be_written_is_refused_before_training(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "spiral", "--report", file]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert part in err
    assert not list(tmp_path.iterdir())


# -- in a browser --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A tab of a real browser. Without one the tests are skipped, and fail where CI promises one."""
    program = find_browser()
    if program is None:
        reason = "no Chromium or Chrome on PATH: install one (apt install chromium), or set NNBACKEND_BROWSER"
        if os.environ.get("NNBACKEND_NEEDS_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with open_browser(program, tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def trouble(browser: Browser) -> list[Any]:
    """What the browser complained about: blocked parts, errors, messages."""
    entries = [found["entry"]["text"] for found in browser.named("Log.entryAdded")]
    return entries + browser.named("Runtime.exceptionThrown") + browser.named("Runtime.consoleAPICalled")


# Each picture inside of the SVG elements is loaded once more where its size can be asked for.
DECODED = """
Promise.all([...document.querySelectorAll("svg image")].map(async (node) => {
    const picture = new Image();
    picture.src = node.getAttribute("href");
    await picture.decode();
    return Math.min(picture.naturalWidth, picture.naturalHeight, node.getBBox().width);
}))
"""


@every_page
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_it(browser: Browser, pages: dict[str, Path], name: str, width: int) -> None:
    browser.show(pages[name].as_uri(), width=width)
    assert not trouble(browser)
    requested = [found["request"]["url"] for found in browser.named("Network.requestWillBeSent")]
    assert [url for url in requested if not url.startswith("data:")] == [pages[name].as_uri()]
    assert browser.evaluate("document.title").endswith(": nnbackend report")
    assert browser.evaluate("document.title") != "hacked"
    assert all(size > 0 for size in browser.evaluate(DECODED))
    boxes = browser.evaluate("[...document.querySelectorAll('svg.plot')].map(s => s.getBoundingClientRect().width)")
    assert boxes
    assert all(box > 200 for box in boxes)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width, "it scrolls sideways"
    names = browser.evaluate("[...document.querySelectorAll('.properties th')].map(head => head.clientWidth)")
    assert min(names) > 100, "the names of settings have no room"


# For each text on the page: what it says, its colour, and the first background behind it that is not transparent.
TEXTS = """
(() => {
    const opaque = (node) => {
        for (; node; node = node.parentElement) {
            const colour = getComputedStyle(node).backgroundColor;
            if (colour !== "rgba(0, 0, 0, 0)") return colour;
        }
        return "none";
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode.parentElement, style = getComputedStyle(node);
        const ink = node.closest("svg") ? style.fill : style.color;
        if (walker.currentNode.data.trim()) found.push([walker.currentNode.data, ink, opaque(node)]);
    }
    return found;
})()
"""


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, two: str) -> float:
    low, high = sorted([luminance(one), luminance(two)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["spiral", "many", "values"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_can_be_read(browser: Browser, pages: dict[str, Path], name: str, dark: bool) -> None:
    browser.show(pages[name].as_uri(), width=1280, dark=dark)
    texts = browser.evaluate(TEXTS)
    assert len(texts) > 50
    for text, ink, paper in texts:
        assert contrast(ink, paper) >= LEAST_CONTRAST, f"{text!r} is {ink} on {paper}"


@pytest.mark.parametrize("name", ["spiral", "curve"])
def test_it_is_light_or_dark_as_the_reader_is(
    browser: Browser, pages: dict[str, Path], name: str, tmp_path: Path
) -> None:
    from PIL import Image

    means = {}
    for dark in (False, True):
        browser.show(pages[name].as_uri(), width=800, dark=dark)
        with Image.open(browser.screenshot(tmp_path / "page.png")) as image:
            grey = np.asarray(image.convert("L"), float)
        assert grey.shape[0] > 1000
        assert grey.std() > 10, "a blank page"
        means[dark] = grey.mean()
    assert means[False] > 200
    assert means[True] < 80


def test_it_is_printed_black_on_white(browser: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    """For a reader who likes it dark, too: the paper is white."""
    browser.show(pages["spiral"].as_uri(), width=1280, dark=True)
    browser.call(
        "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    colours = browser.evaluate(
        "[getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(document.body).color,"
        " getComputedStyle(document.querySelector('svg text')).fill]"
    )
    assert colours == ["rgb(255, 255, 255)", "rgb(0, 0, 0)", "rgb(0, 0, 0)"]
    assert browser.print_pdf(tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_these_tests_notice(browser: Browser, tmp_path: Path) -> None:
    """A page that runs a script, loads a picture and is too wide is seen to do so."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<title>bad</title><img src='http://localhost:9/a.png'><p style='width: 999px'>wide</p><script>nothing()</script>"
    )
    browser.show(page.as_uri(), width=360)
    assert trouble(browser)
    assert len(browser.named("Network.requestWillBeSent")) == 2
    assert browser.evaluate("document.documentElement.scrollWidth") > 360


def test_the_policy_stops_a_script_that_came_in(browser: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    """Were a script in the page after all, the browser would not run it."""
    page = tmp_path / "in.html"
    text = pages["spiral"].read_text()
    page.write_text(text.replace("</main>", "</main><script>document.title = 'hacked'</script>"))
    browser.show(page.as_uri(), width=800)
    assert browser.evaluate("document.title") == "Three arms: nnbackend report"
    assert any("Content Security Policy" in str(found) for found in trouble(browser))
