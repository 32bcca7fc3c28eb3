"""Compute process: computes long requests and parses untrusted Parquet files, outside the service process.

python -m tiltyard.serving.compute.process SOCKET

pool.py starts it, kills it when a job takes too long, and starts another when one ends. The process receives jobs over
a socket, one at a time, and sends back a result for each; it ends when the socket closes.
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

from tiltyard.errors import RequestError, TiltyardError
from tiltyard.modeling import deadline
from tiltyard.modeling.deadline import OutOfTimeError
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import predict_request, recommend_request, sample_request, table_body, tensor_path
from tiltyard.serving.requests.json_body import PredictRequest
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage
from tiltyard.serving.requests.predict_request import ParsedRequest

MAX_MODELS = 64  # kept open; the least recently used is dropped
MAX_MEMORY_BYTES = 2 << 30  # in addition to the memory with the models open
MAX_PARSER_BYTES = 1 << 29  # of memory for a native parser
MAX_PARSER_SECONDS = 10
TIMEOUT_SIGNALS = (signal.SIGALRM, signal.SIGPROF)
GRACE_SECONDS = 2.0  # after the deadline, for work to stop by itself
NICE = 5  # lower priority than the service process


class Job(msgspec.Struct, frozen=True):
    """A request for the model of a package, with its deadline."""

    folder: str
    request: RequestMessage
    until: float  # by the monotonic clock
    seconds: float  # that the job may take in this process
    record: bool = False


class ErrorResult(msgspec.Struct, frozen=True, tag=True):
    """The error that the client receives."""

    code: str
    message: str
    field: str
    status: int


class NeedsMoreTime(msgspec.Struct, frozen=True, tag=True):
    """The job takes longer than this process allows."""

    seconds: float  # estimate of the time it takes; 0 if unknown


Result = ResponseMessage | ErrorResult | NeedsMoreTime
jobs = msgspec.msgpack.Decoder(Job)
results = msgspec.msgpack.Decoder(Result)
encoder = msgspec.msgpack.Encoder(enc_hook=str)  # a Parquet cell may have a type that no column takes
parsed_rows = msgspec.msgpack.Decoder(tuple[list[object], ErrorResult | None])


def main() -> None:
    """Run jobs until the socket closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C in a terminal goes to the service, which closes the socket
    os.nice(NICE)
    connection, models = Connection(int(sys.argv[1])), dict[str, LoadedModel]()
    while True:
        try:
            job = jobs.decode(connection.recv_bytes())
        except (EOFError, OSError):
            return
        # The pool kills this process before then; if the pool's process died, this alarm ends it.
        signal.setitimer(signal.ITIMER_REAL, max(0.0, job.until - time.monotonic()) + 2 * GRACE_SECONDS)
        model = _open(job.folder, models)
        # the model is loaded: from now on time counts for the request; the CPU time used before does not
        connection.send_bytes(b"%r" % time.process_time())
        result = model if isinstance(model, ErrorResult) else _result(job, model)
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send_bytes(encoder.encode(result))


def _result(job: Job, model: LoadedModel) -> Result:
    try:
        with deadline.limit_until(min(job.until, time.monotonic() + job.seconds)):
            return _compute(model, job)
    except OutOfTimeError as error:
        return NeedsMoreTime(error.seconds)
    except RequestError as error:
        return _error_result(error)
    except MemoryError:
        return ErrorResult("too_large", "expected a request that needs less memory", "", 413)
    except Exception:  # noqa: BLE001 - a bug: the client receives an internal error, the log the traceback
        return _internal_error()


def _internal_error() -> ErrorResult:
    traceback.print_exc()
    return ErrorResult("internal", "the service failed; its log says why", "", 500)


def _open(folder: str, models: dict[str, LoadedModel]) -> LoadedModel | ErrorResult:
    try:
        return cached_model(folder, models)
    except TiltyardError as error:  # the package was removed or replaced
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is the service's log
        return ErrorResult("not_available", "the model of this request cannot be opened; try again later", "", 503)
    except Exception:  # noqa: BLE001 - as above
        return _internal_error()


def _error_result(error: RequestError) -> ErrorResult:
    return ErrorResult(error.code, error.message, error.field, error.status)


def cached_model(folder: str, models: dict[str, LoadedModel]) -> LoadedModel:
    """Return an open model, loaded if needed; keep the most recently used ones open."""
    model = models.pop(folder, None) or LoadedModel.load(Path(folder))
    models[folder] = model
    if len(models) > MAX_MODELS:
        models.pop(next(iter(models)))
    _limit(resource.RLIMIT_DATA, _data_bytes() + MAX_MEMORY_BYTES)
    return model


def _compute(model: LoadedModel, job: Job) -> ResponseMessage:
    request = job.request
    if request.protocol in recommend_request.PROTOCOLS:
        return recommend_request.respond(model, request)
    if request.protocol in (sample_request.SAMPLE, sample_request.ENCODE):
        return sample_request.respond(model, request)
    if not job.record and (response := tensor_path.respond(model, request, tensor_path.ANY)):
        return response
    parquet = request.protocol == "v1" and request.type in table_body.PARQUET
    parsed = (
        ParsedRequest(PredictRequest(_parquet_rows(model, job))) if parquet else predict_request.parse(model, request)
    )
    return predict_request.respond(model, parsed, record=job.record)


def _parquet_rows(model: LoadedModel, job: Job) -> list[object]:
    """Read a Parquet file in a child process, since a damaged file may crash the native parser without an exception."""
    model_encoder, request = model.predictor.encoder, job.request
    table_body.require_pyarrow()
    seconds = min(MAX_PARSER_SECONDS, job.seconds)
    content, timed_out = _run_in_child(
        lambda: _read_and_encode(lambda: table_body.rows_from_table(model_encoder, request.body, request.type)), seconds
    )
    if timed_out and seconds < MAX_PARSER_SECONDS:
        raise OutOfTimeError(seconds)
    if not content:
        raise RequestError("malformed_parquet", "expected a whole Parquet file: this one cannot be read")
    instances, error = parsed_rows.decode(content)
    if error:
        raise RequestError(error.code, error.message, error.field, error.status)
    return instances


def _read_and_encode(read: Callable[[], list[object]]) -> bytes:
    try:
        return encoder.encode((read(), None))
    except RequestError as error:
        return encoder.encode(([], _error_result(error)))
    except Exception as error:  # noqa: BLE001 - the parser has more errors than it documents
        text = f"expected a whole Parquet file: {type(error).__name__}"
        return encoder.encode(([], ErrorResult("malformed_parquet", text, "", 400)))


def _run_in_child(function: Callable[[], bytes], seconds: float) -> tuple[bytes, bool]:
    """Run work in a forked child with limited memory and time; return its output, and whether it was out of time."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(read_end)
            os.close(int(sys.argv[1]))  # so that the pool sees at once when the parent dies
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # a crashing parser prints long messages
            signal.setitimer(signal.ITIMER_REAL, MAX_PARSER_SECONDS)
            signal.setitimer(signal.ITIMER_PROF, seconds)  # CPU time, which does not depend on the load
            _limit(resource.RLIMIT_DATA, _data_bytes() + MAX_PARSER_BYTES)
            _limit(resource.RLIMIT_CORE, 0)
            with os.fdopen(write_end, "wb") as pipe:
                pipe.write(function())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        content = pipe.read()
    status = os.waitpid(child, 0)[1]
    return content, os.WIFSIGNALED(status) and os.WTERMSIG(status) in TIMEOUT_SIGNALS


def _data_bytes() -> int:
    """Return the size of this process's data segment in bytes."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()
    return 1 << 31  # without /proc, assume this size


def _limit(limit: int, size: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # a lower limit may have been set from outside
        resource.setrlimit(limit, (size, resource.getrlimit(limit)[1]))


if __name__ == "__main__":
    main()
