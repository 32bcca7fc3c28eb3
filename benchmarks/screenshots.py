"""Screenshots of the report for docs/report, taken with a browser from the output of `tiltyard report`.

python benchmarks/screenshots.py [SITE]      out/report if no folder is named
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

TARGET = page.ROOT / "docs" / "report"
ALL = "[...document.querySelectorAll('figure[data-kind]')].every((one) => one.querySelector('svg'))"
WIDE, NARROW, MAX_HEIGHT = 1280, 390, 2600
SHOTS = {
    "overview": ("index.html", "body", WIDE, "light"),
    "overview-phone": ("index.html", "body", NARROW, "dark"),
    "verdict": ("diabetes.html", ".frame", WIDE, "light"),
    "challenger": ("iris.html", ".frame", WIDE, "dark"),
    "predictions": ("digits.html", "#predictions", WIDE, "dark"),
    "worst": ("digits.html", "#wrong-predictions--most-confident-first", WIDE, "light"),
    "forecast-phone": ("sine.html", "#predictions", NARROW, "light"),
    "learning": ("digits.html", "#training", WIDE, "light"),
    "explanations-table": ("diabetes.html", "#explanations", WIDE, "light"),
    "explanations-pictures": ("digits.html", "#explanations", WIDE, "dark"),
    "lineage": ("iris.html", "#lineage", WIDE, "light"),
}


def main(site: Path) -> None:
    """Take all screenshots."""
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open_browser(Path(folder)) as browser:
        for name, (file, part, width, scheme) in SHOTS.items():
            browser.screen(width, 900, scheme)
            browser.open((site / file).as_uri(), ALL)
            _take(browser, part, TARGET / f"{name}.png")
            print(name)


def _take(browser: Browser, part: str, path: Path) -> None:
    """Take a screenshot of a part of a page; of a long one, its beginning."""
    box = browser.script(f"JSON.parse(JSON.stringify(document.querySelector('{part}').getBoundingClientRect()))")
    clip = {
        "x": box["left"],
        "y": box["top"],
        "width": box["width"],
        "height": min(box["height"], MAX_HEIGHT),
        "scale": 1,
    }
    screenshot = browser.call("Page.captureScreenshot", captureBeyondViewport=True, format="png", clip=clip)
    image = Image.open(io.BytesIO(base64.b64decode(screenshot["data"]))).convert("RGB")
    image.quantize(256, kmeans=3).save(path, optimize=True)  # a third of the size without a visible difference


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else page.ROOT / "out" / "report").resolve())
