"""The page in Chromium: charts, choices, links, and what axe-core says. Slow: starts Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edgekd.report.stage import report
from edgekd.rundir import write_record
from tests.report.records import evaluation, robustness
from tests.synthetic_runs import ARTIFACTS, add_artifact, make_run

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.slow

#: Width and height of the window, on a desk and in a hand.
WINDOWS = {"desk": (1280, 900), "phone": (375, 812)}

#: Marks of a chart that stand for data: not its axes, grid or legend.
MARKS = ".role-mark :is(path, text, line, rect)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    path = next(filter(None, found), None)
    if path is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=path, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of a run with everything, and of two runs side by side."""
    root = tmp_path_factory.mktemp("browser")
    run = make_run(root / "run", devices=("cpu", "pi4"))
    # Each device has numbers of its own: what is beaten on one may not be on the other.
    for place, key in enumerate(ARTIFACTS):
        add_artifact(run, key, devices=("pi4",), scale={"p50_ms": 9.0 - 2 * place})
    write_record(run.evaluations_dir / "test.json", evaluation())
    write_record(run.robustness_dir / "test.json", robustness())
    other = make_run(root / "other", name="other", artifacts=("tflite-int8",))
    return {"one": report(run), "two": report([run, other], out=root / "two.html")}


@dataclass
class Opened:
    """A page in a window, and what it did meanwhile."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def opened(browser: Any, path: Path, window: str = "desk", scheme: str = "light") -> Opened:
    """Open a page and wait until every chart is drawn."""
    width, height = WINDOWS[window]
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    page.set_default_timeout(60_000)
    found = Opened(page)
    page.on("console", lambda message: found.said.append(message.text))
    page.on("pageerror", lambda error: found.said.append(str(error)))
    page.on("request", lambda request: found.asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_function(
        "[...document.querySelectorAll('.chart')].every(chart => chart.querySelector('svg'))"
    )
    return found


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", ["one", "two"])
def test_every_chart_is_drawn(browser: Any, pages: dict[str, Path], name: str, window: str) -> None:
    found = opened(browser, pages[name], window)
    charts = found.page.locator(".chart")
    assert charts.count() > (10 if name == "one" else 1)
    for chart in charts.all():
        title = chart.get_attribute("aria-label")
        assert title
        assert chart.locator(MARKS).count() > 0, title
        # A chart fills its place, and what it draws stays inside.
        wide = chart.evaluate("it => [it.clientWidth, it.querySelector('svg').clientWidth]")
        assert wide[0] * 0.8 < wide[1] <= wide[0] + 1, title
    assert found.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert found.page.locator("[aria-label='Vega visualization']").count() == 0
    assert found.said == []
    assert [url for url in found.asked if not url.startswith("data:")] == [pages[name].as_uri()]
    assert pages[name].stat().st_size < 2_000_000
    found.page.close()


POINTS = """[...document.querySelectorAll('figure:has(select) .mark-symbol path')]
    .map(point => point.getAttribute('transform')).join()"""


def test_axes_and_device_are_switched_by_keyboard(browser: Any, pages: dict[str, Path]) -> None:
    found = opened(browser, pages["one"])
    page, seen = found.page, []
    for label in ("device", "across", "up"):
        before = page.evaluate(POINTS)
        select = page.locator(f"select[data-label={label}]")
        select.focus()
        chosen = select.input_value()
        page.keyboard.press("ArrowDown")
        assert select.input_value() != chosen
        page.wait_for_function(f"({POINTS}) !== {before!r} && ({POINTS}) !== ''")
        seen.append(page.evaluate(POINTS))
        said = page.locator("figure:has(select) output").text_content()
        assert f"{label}: {select.locator('option:checked').text_content()}" in said
    assert len({*seen}) == 3
    axis = page.locator("figure:has(select) svg").text_content()
    assert "agreement with the teacher" in axis
    assert found.said == []
    page.close()


def test_links_lead_to_their_sections(browser: Any, pages: dict[str, Path]) -> None:
    found = opened(browser, pages["one"], "phone")
    links = found.page.locator("a[href]")
    names = [link.get_attribute("href") for link in links.all()]
    assert len(names) == found.page.locator("section").count() > 10
    assert len({*names}) == len(names)
    for link, name in zip(links.all(), names, strict=True):
        heading = found.page.locator(f"{name} > h2")
        assert heading.text_content() == link.text_content()
    links.last.click()
    assert heading.evaluate("it => it.getBoundingClientRect().top < innerHeight")
    found.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", ["one", "two"])
def test_axe_finds_nothing_serious(
    browser: Any, pages: dict[str, Path], name: str, window: str, scheme: str
) -> None:
    """axe-core comes with the package axe-playwright-python, which is read and not imported."""
    package = find_spec("axe_playwright_python")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs axe-playwright-python")
    axe = Path(package.submodule_search_locations[0]) / "axe.min.js"
    found = opened(browser, pages[name], window, scheme)
    # What is folded up is looked at, too.
    found.page.evaluate("document.querySelectorAll('details').forEach(it => it.open = true)")
    found.page.evaluate(axe.read_text(encoding="utf-8"))
    result = found.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert len(result["passes"]) > 10
    assert [
        (fault["id"], fault["impact"], fault["nodes"][0]["html"][:200])
        for fault in result["violations"]
        if fault["impact"] in ("serious", "critical")
    ] == []
    found.page.close()
