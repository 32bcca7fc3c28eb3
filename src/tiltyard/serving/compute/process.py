"""A process beside the service that does its long work and reads what strangers send in formats with native parsers.

python -m tiltyard.serving.compute.process SOCKET

It is started by pool.py, which ends it when work takes too long, and starts another when one ends. It takes
jobs from a socket, one at a time, and answers each; when the socket closes it ends.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from tiltyard import deadline
from tiltyard.deadline import OutOfTimeError
from tiltyard.errors import RequestError, TiltyardError
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import predict_request, table_body
from tiltyard.serving.requests.json_body import PredictRequest
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage
from tiltyard.serving.requests.predict_request import ParsedRequest

MAX_MODELS = 64  # that are kept open
MAX_MEMORY_BYTES = 2 << 30  # bytes beyond what the process holds with its models open
MAX_PARSER_BYTES = 1 << 29  # bytes that a native parser may take
MAX_PARSER_SECONDS = 10
TIMEOUT_SIGNALS = (signal.SIGALRM, signal.SIGPROF)
GRACE_SECONDS = 2.0  # seconds after its deadline in which work may stop by itself
NICE = 5  # how far it stands back behind the process that answers


class Job(msgspec.Struct, frozen=True):
    """A request for the model of a package, and until when it may be worked on."""

    folder: str
    request: RequestMessage
    until: float  # by the monotonic clock
    seconds: float  # that this process may give it
    record: bool = False


class ErrorResult(msgspec.Struct, frozen=True, tag=True):
    """What a client hears instead of an answer."""

    code: str
    message: str
    field: str
    status: int


class NeedsMoreTime(msgspec.Struct, frozen=True, tag=True):
    """It takes longer than this process may give it."""

    seconds: float  # as far as it is known


Result = ResponseMessage | ErrorResult | NeedsMoreTime
jobs = msgspec.msgpack.Decoder(Job)
results = msgspec.msgpack.Decoder(Result)
encoder = msgspec.msgpack.Encoder(enc_hook=str)  # a cell may be of a type that no column takes
parsed_rows = msgspec.msgpack.Decoder(tuple[list[object], ErrorResult | None])


def main() -> None:
    """Work until the socket closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C in a terminal goes to the service, which closes the socket
    os.nice(NICE)
    connection, models = Connection(int(sys.argv[1])), dict[str, LoadedModel]()
    while True:
        try:
            job = jobs.decode(connection.recv_bytes())
        except (EOFError, OSError):
            return
        # Whoever started this process ends it by then; where that one died, the clock does.
        signal.setitimer(signal.ITIMER_REAL, max(0.0, job.until - time.monotonic()) + 2 * GRACE_SECONDS)
        model = _open(job.folder, models)
        connection.send_bytes(b"")  # from now on it is the request that takes time
        result = model if isinstance(model, ErrorResult) else _result(job, model)
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send_bytes(encoder.encode(result))


def _result(job: Job, model: LoadedModel) -> Result:
    try:
        with deadline.until(min(job.until, time.monotonic() + job.seconds)):
            return _answer(model, job)
    except OutOfTimeError as error:
        return NeedsMoreTime(error.seconds)
    except RequestError as error:
        return _error_result(error)
    except MemoryError:
        return ErrorResult("too_large", "expected a request that needs less memory", "", 413)
    except Exception:  # noqa: BLE001 - a defect of ours: the client hears that there is one, the log how it came about
        return _internal_error()


def _internal_error() -> ErrorResult:
    traceback.print_exc()
    return ErrorResult("internal", "the service failed; its log says why", "", 500)


def _open(folder: str, models: dict[str, LoadedModel]) -> LoadedModel | ErrorResult:
    try:
        return _model(folder, models)
    except TiltyardError as error:  # the package is not there any more, or is another
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - it is the service's log
        return ErrorResult("not_available", "the model of this request cannot be opened; try again later", "", 503)
    except Exception:  # noqa: BLE001 - as above
        return _internal_error()


def _error_result(error: RequestError) -> ErrorResult:
    return ErrorResult(error.code, error.message, error.field, error.status)


def _model(folder: str, models: dict[str, LoadedModel]) -> LoadedModel:
    """Return an open model; of many the ones that were asked last stay."""
    model = models.pop(folder, None) or LoadedModel.load(Path(folder))
    models[folder] = model
    if len(models) > MAX_MODELS:
        models.pop(next(iter(models)))
    _limit(resource.RLIMIT_DATA, _data_bytes() + MAX_MEMORY_BYTES)
    return model


def _answer(model: LoadedModel, job: Job) -> ResponseMessage:
    request = job.request
    parquet = request.protocol == "v1" and request.type in table_body.PARQUET
    found = ParsedRequest(PredictRequest(_rows(model, job))) if parquet else predict_request.parse(model, request)
    return predict_request.respond(model, found, record=job.record)


def _rows(model: LoadedModel, job: Job) -> list[object]:
    """Read a Parquet file in a process of its own.

    The parser may end the process that it runs in, by a damaged file: no error of Python's is raised then.
    """
    reader, request = model.predictor.encoder, job.request
    table_body.require_pyarrow()
    seconds = min(MAX_PARSER_SECONDS, job.seconds)
    content, late = _run_in_child(
        lambda: _parsed(lambda: table_body.rows_from_table(reader, request.body, request.type)), seconds
    )
    if late and seconds < MAX_PARSER_SECONDS:
        raise OutOfTimeError(seconds)
    if not content:
        raise RequestError("malformed_parquet", "expected a whole Parquet file: this one cannot be read")
    instances, refusal = parsed_rows.decode(content)
    if refusal:
        raise RequestError(refusal.code, refusal.message, refusal.field, refusal.status)
    return instances


def _parsed(read: Callable[[], list[object]]) -> bytes:
    try:
        return encoder.encode((read(), None))
    except RequestError as error:
        return encoder.encode(([], _error_result(error)))
    except Exception as error:  # noqa: BLE001 - the parser has more errors than it documents
        text = f"expected a whole Parquet file: {type(error).__name__}"
        return encoder.encode(([], ErrorResult("malformed_parquet", text, "", 400)))


def _run_in_child(work: Callable[[], bytes], seconds: float) -> tuple[bytes, bool]:
    """Do work in a child, with little memory and time; return what it wrote if it was not ended, and if time was up."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            os.close(int(sys.argv[1]))  # whoever waits for an answer hears at once if none comes
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # a parser that gives up says so at length
            signal.setitimer(signal.ITIMER_REAL, MAX_PARSER_SECONDS)
            signal.setitimer(signal.ITIMER_PROF, seconds)  # of a processor: others compute, too
            _limit(resource.RLIMIT_DATA, _data_bytes() + MAX_PARSER_BYTES)
            _limit(resource.RLIMIT_CORE, 0)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(work())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    status = os.waitpid(child, 0)[1]
    return content, os.WIFSIGNALED(status) and os.WTERMSIG(status) in TIMEOUT_SIGNALS


def _data_bytes() -> int:
    """Return the bytes of data that this process has."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()
    return 1 << 31  # where there is no such file, a bound all the same


def _limit(kind: int, most: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # a lower limit may have been set from outside
        resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))


if __name__ == "__main__":
    main()
