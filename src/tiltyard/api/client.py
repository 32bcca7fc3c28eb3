"""A client of the REST service: typed, with retries of requests that a busy or restarting service refused."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from tiltyard.api import frames
from tiltyard.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd

RETRIED = (429, 502, 503, 504)  # the service did not answer the request; a later one may be answered
PAUSE = 0.2  # seconds before the first retry; doubled each time
MAX_PAUSE = 5.0
ROWS = 256  # of a request, if the service does not tell its limit


class Client:
    """Predictions by a running service.

    >>> import tiltyard as ty
    >>> ty.Client("http://localhost:3000", key="...")
    Client('http://localhost:3000')
    """

    def __init__(
        self, url: str = "http://localhost:3000", key: str = "", *, timeout: float = 30, retries: int = 4
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise RequestError(
                "wrong_type", f"expected an address such as http://localhost:3000; received {url!r}", "url"
            )
        self.url, self._key, self._timeout, self._retries = url.rstrip("/"), key, timeout, retries

    def models(self) -> list[str]:
        """Return the names of the tasks that the service answers for."""
        names: list[str] = self._call("/v1/models")["models"]
        return names

    def model(self, task: str) -> dict[str, Any]:
        """Return what the service tells about a task: version, schema, limits."""
        answer: dict[str, Any] = self._call(f"/v1/models/{quote(task, safe='')}")
        return answer

    def predict(self, task: str, data: Any) -> pd.DataFrame:
        """Predict the rows of a data frame, or a list of instances; many rows are sent in several requests."""
        rows = frames.instances(data, [])
        limit = int(self.model(task).get("limits", {}).get("max_instances", ROWS))
        answers: list[Any] = []
        for start in range(0, len(rows), limit):
            body = {"instances": rows[start : start + limit]}
            answers += self._call(f"/v1/models/{quote(task, safe='')}:predict", body)["predictions"]
        return frames.predictions(answers, getattr(data, "index", None))

    def explain(self, task: str, data: Any) -> pd.DataFrame:
        """Return by how much each column raises or lowers the prediction of each row, and the base that they add to."""
        answers: list[Any] = []
        for row in frames.instances(data, []):  # one by one: explanations take long, and a service limits them
            body = {"instances": [row], "explain": True}
            answers += self._call(f"/v1/models/{quote(task, safe='')}:predict", body)["explanations"]
        return frames.explanations(answers, getattr(data, "index", None))

    def _call(self, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        headers |= {} if content is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, content, headers)  # noqa: S310 - the scheme is checked
        for attempt in range(self._retries + 1):
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as response:  # noqa: S310
                    return json.load(response)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in RETRIED or attempt == self._retries:
                        raise _as_request_error(error) from None
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                if attempt == self._retries:
                    reason = getattr(error, "reason", error)
                    raise RequestError(
                        "unreachable", f"no answer from {self.url}: {reason}", "url", status=503
                    ) from None
            time.sleep(min(PAUSE * 2**attempt, MAX_PAUSE))
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def __repr__(self) -> str:
        """Return the address; the key stays secret."""
        return f"Client({self.url!r})"


def _as_request_error(error: urllib.error.HTTPError) -> RequestError:
    """Return the error that the service sent."""
    try:
        sent = json.load(error)["error"]
        return RequestError(sent["code"], sent["message"], sent.get("field", ""), status=error.code)
    except (ValueError, KeyError, TypeError):
        return RequestError("http", f"the service answered {error.code} {error.reason}", "url", status=error.code)
