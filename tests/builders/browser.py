"""A headless Chromium, driven by the DevTools protocol over a pipe; needs no driver package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

TIMEOUT_SECONDS = 30.0  # timeout of a command or a condition
# On a machine with other tests, a new browser's first tab sometimes never answers; another browser does.
START_SECONDS, STARTS = 15.0, 3
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)
# The browser reads commands from file descriptor 3 and writes responses to 4, whatever numbers our pipes have.
LAUNCH = """\
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for end, wanted in zip(ends, (3, 4)):
    os.dup2(end, wanted)
os.execv(sys.argv[3], sys.argv[3:])
"""
# A promise that polls a condition every 20 ms until it is true.
WAIT_SCRIPT = (
    "new Promise((resolve) => {{ const check = () => ({0}) ? resolve(true) : setTimeout(check, 20); check(); }})"
)
# Elements whose text has a contrast ratio below 4.5 with its background, as defined by WCAG 2.
LOW_CONTRAST = """(() => {
  const parts = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const linear = (part) => part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4;
  const light = (colour) => [0.2126, 0.7152, 0.0722].reduce((sum, w, i) => sum + w * linear(parts(colour)[i]), 0.05);
  const behind = (one) => {
    while ((parts(getComputedStyle(one).backgroundColor)[3] ?? 1) < 1) one = one.parentElement;
    return getComputedStyle(one).backgroundColor;
  };
  const faint = (one) => {
    const [less, more] = [getComputedStyle(one).color, behind(one)].map(light).sort((a, b) => a - b);
    return more / less < 4.5;
  };
  const speaks = (one) => [...one.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
  return [...document.querySelectorAll('body *')].filter((one) => speaks(one) && one.checkVisibility() && faint(one))
    .map((one) => one.outerHTML.slice(0, 80));
})()"""
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}


class Browser:
    """One tab of the browser."""

    def __init__(self, commands: int, responses: int) -> None:
        self.commands, self.responses = commands, responses
        self.buffer, self.number, self.session = b"", 0, ""
        self.timeout = START_SECONDS
        self.console_errors: list[str] = []  # errors in the page's console
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")
        self.timeout = TIMEOUT_SECONDS

    def call(self, method: str, **params: Any) -> Any:
        """Send a command and return its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + self.timeout
        while (response := self._next(deadline, method)).get("id") != self.number:
            self._handle_event(response)
        assert "error" not in response, f"{method}: {response.get('error')}"
        return response["result"]

    def _next(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            if not select.select([self.responses], [], [], max(0.0, deadline - time.monotonic()))[0]:
                errors = format_console_errors(self)
                raise TimeoutError(f"no response to {method} within {self.timeout:g} seconds: {errors}")
            self.buffer += os.read(self.responses, 1 << 16) or _raise_ended()
        first, _, self.buffer = self.buffer.partition(b"\0")
        response: dict[str, Any] = json.loads(first)
        return response

    def _handle_event(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.console_errors.append(
                params["exceptionDetails"].get("exception", {}).get("description", "an exception")
            )
        if event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.console_errors.append(params["entry"]["text"])

    def script(self, expression: str) -> Any:
        """Return the value of an expression of the page, waited for if it is a promise."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result.get("exceptionDetails")
        return result["result"].get("value")

    def wait_until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        try:
            self.script(WAIT_SCRIPT.format(expression))
        except TimeoutError:
            raise AssertionError(f"condition not met in time: {expression}") from None

    def open(self, url: str, condition: str) -> None:
        """Open an address and wait for a condition."""
        self.call("Page.navigate", url=url)
        self.wait_until(f"document.readyState === 'complete' && ({condition})")

    def press(self, key: str) -> None:
        """Press and release a key."""
        code: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": KEYS[key], "code": "Space" if key == " " else key}
        text = {"Enter": "\r", " ": " "}.get(key)
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, **code, **more)

    def type(self, text: str) -> None:
        """Replace the text of the focused field."""
        self.script("document.activeElement.select()")
        self.call("Input.insertText", text=text)

    def drag(self, *points: tuple[float, float]) -> None:
        """Drag the mouse through points with the left button pressed."""
        for index, (x, y) in enumerate(points):
            kind = "mouseMoved" if index else "mousePressed"
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
        x, y = points[-1]
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)

    def screen(self, width: int, height: int, scheme: str = "light") -> None:
        """Set the size of the screen and a light or dark colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path) -> None:
        """Write a screenshot of the whole page as PNG."""
        capture = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(capture["data"]))


def format_console_errors(browser: Browser) -> str:
    """Return the errors of the page as text for a message."""
    return "; ".join(browser.console_errors) or "no errors in the console"


def _raise_ended() -> bytes:
    raise AssertionError("the browser has ended")


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """Start a browser with an empty profile; skip the test if none is installed."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if not program:
        pytest.skip(f"needs a browser: one of {', '.join(PROGRAMS)} on PATH")
    with ExitStack() as stack:
        for start in range(1, STARTS + 1):
            try:
                browser = stack.enter_context(_started(folder / f"start-{start}", program))
                break
            except TimeoutError:  # before any page of ours is loaded, so it is the machine's fault
                if start == STARTS:
                    pytest.skip(f"needs a browser that answers: {STARTS} did not within {START_SECONDS:g} seconds")
        yield browser


@contextmanager
def _started(folder: Path, program: str) -> Iterator[Browser]:
    folder.mkdir(exist_ok=True)
    (browser_in, commands), (responses, browser_out) = os.pipe(), os.pipe()
    launch = [sys.executable, "-c", LAUNCH, str(browser_in), str(browser_out), program]
    with (folder / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            [*launch, *FLAGS, f"--user-data-dir={folder / 'browser'}"],
            pass_fds=(browser_in, browser_out),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    os.close(browser_in)
    os.close(browser_out)
    try:
        yield Browser(commands, responses)
    finally:
        os.close(commands)  # the browser ends when its pipe is closed
        os.close(responses)
        try:
            process.wait(TIMEOUT_SECONDS / 3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
