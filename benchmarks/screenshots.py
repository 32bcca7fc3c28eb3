"""Screenshots of the report and of the service's page for docs, taken with a browser.

python benchmarks/screenshots.py [SITE]                         docs/report, from the output of `tiltyard report`
python benchmarks/screenshots.py --quickstart SITE ADDRESS      docs/images, from the report and service of one task
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from pathlib import Path

import page
from PIL import Image

sys.path.insert(0, str(page.ROOT / "tests/builders"))

from browser import Browser, open_browser

TARGET, IMAGES = page.ROOT / "docs" / "report", page.ROOT / "docs" / "images"
FIGURES = "[...document.querySelectorAll('figure[data-kind]')]"
ALL = f"{FIGURES}.every((one) => !one.checkVisibility() || one.querySelector('svg'))"
ANSWERED = "document.querySelector('.answer').ariaBusy === 'false'"
WIDE, NARROW, MAX_HEIGHT = 1280, 390, 2600
QUICKSTART = 1100  # pixels
SHOTS = {
    "overview": ("index.html", "body", WIDE, "light"),
    "overview-phone": ("index.html", "body", NARROW, "dark"),
    "verdict": ("diabetes.html", ".frame", WIDE, "light"),
    "challenger": ("iris.html", ".frame", WIDE, "dark"),
    "threshold": ("churn.html#decisions", "#decisions", WIDE, "light"),
    "predictions": ("digits.html#predictions", "#predictions", WIDE, "dark"),
    "errors": ("churn.html#by-feature", "#tab-errors", WIDE, "light"),
    "forecast-phone": ("sine.html#predictions", "#predictions", NARROW, "light"),
    "learning": ("digits.html#training", "#training", WIDE, "light"),
    "explanations-table": ("churn.html#explanations", "#explanations", WIDE, "light"),
    "explanations-pictures": ("digits.html#explanations", "#explanations", WIDE, "dark"),
    "distributions": ("churn.html#distributions", "#distributions", WIDE, "dark"),
    "versions": ("iris.html#compare-versions", "#tab-history", WIDE, "light"),
    "lineage": ("iris.html#lineage", "#lineage", WIDE, "light"),
}


def main(site: Path) -> None:
    """Take all screenshots of the report."""
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open_browser(Path(folder)) as browser:
        browser.call("Emulation.setScrollbarsHidden", hidden=True)
        for name, (address, part, width, scheme) in SHOTS.items():
            file, _, anchor = address.partition("#")
            browser.screen(width, 900, scheme)
            browser.open((site / file).as_uri(), ALL)
            browser.script(f"location.hash = '{anchor}'")
            browser.wait_until(ALL)
            browser.script("scrollTo(0, 0)")
            _take(browser, part, TARGET / f"{name}.png")
            print(name)


def quickstart(site: Path, address: str) -> None:
    """Take the pictures of the quickstart: the head of a task's page, and the page of the service with an answer."""
    with tempfile.TemporaryDirectory() as folder, open_browser(Path(folder)) as browser:
        browser.call("Emulation.setScrollbarsHidden", hidden=True)
        browser.screen(QUICKSTART, 360, "light")
        browser.open((site / "iris.html").as_uri(), ALL)
        _take(browser, "body", IMAGES / "verdict.png", 420)
        browser.screen(QUICKSTART, 760, "light")
        browser.open(address, "document.querySelector('article')")
        browser.script("document.querySelector('article form').requestSubmit()")
        browser.wait_until(ANSWERED)
        _take(browser, "body", IMAGES / "service.png", 600)


def _take(browser: Browser, part: str, path: Path, most: int = MAX_HEIGHT) -> None:
    """Take a screenshot of a part of a page; of a long one, its beginning."""
    box = browser.script(f"JSON.parse(JSON.stringify(document.querySelector('{part}').getBoundingClientRect()))")
    clip = {
        "x": box["left"],
        "y": box["top"],
        "width": box["width"],
        "height": min(box["height"], most),
        "scale": 1,
    }
    screenshot = browser.call("Page.captureScreenshot", captureBeyondViewport=True, format="png", clip=clip)
    _reduce(Image.open(io.BytesIO(base64.b64decode(screenshot["data"]))), path)


def _reduce(image: Image.Image, path: Path) -> None:
    """Write a picture in 256 colours: a third of the size without a visible difference."""
    image.convert("RGB").quantize(256, kmeans=3).save(path, optimize=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--quickstart"]:
        quickstart(Path(sys.argv[2]).resolve(), sys.argv[3])
    else:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else page.ROOT / "out" / "report").resolve())
