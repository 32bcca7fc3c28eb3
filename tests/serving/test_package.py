"""Packages: complete or absent, without TensorFlow, and smoke-tested with the service that will serve them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import random_models
from workspaces import half_written, new_workspace

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.data import dvc
from tiltyard.errors import PackageError, RegistryError
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.registry.registry import Registry
from tiltyard.serving.model.golden_rows import assert_close
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import bento, package, smoke_test
from tiltyard.workspace import Workspace

LOAD = bento.Builder.load  # tests of promotions do nothing instead
FILES = ["card.md", "encoder.json", "golden.json", "model.onnx", "proven.json", "reference.json", "schema.json"]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which iris is evaluated and packaged."""
    space = new_workspace(tmp_path_factory.mktemp("space"))
    package.package(space, random_models.write_evaluated(space, "iris"))
    return space


@pytest.fixture
def unpackaged(space: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the workspace in which nothing is packaged yet."""
    shutil.copytree(space.root, tmp_path / "w", ignore=shutil.ignore_patterns(".tiltyard", "packages"))
    return Workspace(tmp_path / "w")


@pytest.fixture
def iris(space: Workspace) -> Task:
    """The task iris."""
    return loader.load(space, "iris")


def skip_build_and_smoke_test(monkeypatch: pytest.MonkeyPatch, prove: Callable[..., float]) -> None:
    """Replace the slow parts: the Bento is an empty folder, and the smoke test is a given function."""
    monkeypatch.setattr(
        bento, "build", lambda space, task, version: bento.folder(space, task, version).mkdir(parents=True)
    )
    monkeypatch.setattr(smoke_test, "prove", prove)


@pytest.mark.slow
def test_package_is_complete_and_smoke_tested(space: Workspace, iris: Task) -> None:
    """All seven files exist, the smoke test is recorded, and a second call changes nothing."""
    version = package.package(space, iris)
    folder = space.package("iris", version)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    smoke_test_record = files.read_json(folder / "proven.json")
    assert (smoke_test_record["bento"], smoke_test_record["rows"]) == (f"iris:{version}", 16)
    assert smoke_test_record["largest_difference"] < 1e-6
    before = (folder / "proven.json").stat().st_mtime_ns
    assert package.package(space, iris) == version
    assert (folder / "proven.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_bento_has_no_training_code(space: Workspace, iris: Task) -> None:
    """Requirements and code contain no TensorFlow, pandas, DVC, Prefect or scikit-learn."""
    folder = bento.folder(space, "iris", package.package(space, iris))
    requirements = (folder / "env/python/requirements.txt").read_text()
    assert "onnxruntime==" in requirements
    assert "--hash=sha256:" in requirements
    names = {line.partition("==")[0] for line in requirements.splitlines() if "==" in line}
    assert not names & {
        "tensorflow",
        "tensorflow-cpu",
        "keras",
        "pandas",
        "dvc",
        "prefect",
        "scikit-learn",
        "matplotlib",
    }
    (wheel_file,) = (folder / "src/wheels").iterdir()
    modules = {Path(name).parts[1] for name in zipfile.ZipFile(wheel_file).namelist()}
    assert "serving" in modules
    assert not modules & {"training", "validation", "evaluation", "gate", "cli"}
    assert (folder / "env/docker/Dockerfile").read_text().count("OTEL_SDK_DISABLED")


@pytest.mark.slow
def test_bento_image_installs_the_wheel(space: Workspace, iris: Task) -> None:
    """BentoML's Dockerfile copies the wheel, then installs the requirements, the wheel included."""
    folder = bento.folder(space, "iris", package.package(space, iris))
    (wheel_file,) = (folder / "src/wheels").iterdir()
    assert f"./wheels/{wheel_file.name}" in (folder / "env/python/requirements.txt").read_text().splitlines()
    dockerfile = (folder / "env/docker/Dockerfile").read_text()
    assert dockerfile.index("./src/wheels ./src/wheels") < dockerfile.index("pip install -r")
    assert dockerfile.count("apt-get update") == 1


@pytest.mark.slow
@pytest.mark.parametrize("by", ["BentoML", "uvicorn"])
def test_smoke_test_runs_the_packaged_code(space: Workspace, iris: Task, tmp_path: Path, by: str) -> None:
    """If the code inside the Bento is changed, the smoke test fails, although the code of the project is unchanged."""
    shutil.copytree(space.root, tmp_path / "w")
    copied_space = Workspace(tmp_path / "w")
    version = package.package(copied_space, iris)
    (wheel_file,) = bento.folder(copied_space, "iris", version).glob("src/wheels/*")
    original, changed = b"problem.decode(outputs,", b"problem.decode(outputs * 1.1,"
    with zipfile.ZipFile(wheel_file) as wheel:
        content = {name: wheel.read(name).replace(original, changed) for name in wheel.namelist()}
    with zipfile.ZipFile(wheel_file, "w") as wheel:
        for name, text in content.items():
            wheel.writestr(name, text)
    golden = files.read_json(copied_space.package("iris", version) / "golden.json")
    if by == "uvicorn":
        digest = smoke_test.service_digest(bento.folder(copied_space, "iris", version))
        files.write_json(copied_space.proven_service(digest), {})
    with pytest.raises(PackageError, match=r"predictions\[0\]\[probabilities\].* as in the evaluation"):
        smoke_test.prove(copied_space, "iris", version, golden)


@pytest.mark.slow
def test_bentoml_is_started_once_for_the_same_code(
    space: Workspace, iris: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After BentoML has served the same code and requirements, a version is tested without it."""
    version = package.package(space, iris)
    golden = files.read_json(space.package("iris", version) / "golden.json")
    monkeypatch.setattr(smoke_test, "started", None)
    assert smoke_test.prove(space, "iris", version, golden) < 1e-6
    service = bento.folder(space, "iris", version) / "src/service.py"
    content = service.read_bytes()
    service.write_bytes(content + b"\n")
    with pytest.raises(TypeError):
        smoke_test.prove(space, "iris", version, golden)
    service.write_bytes(content)


@pytest.mark.slow
def test_started_bento_explains_and_leaves_no_files(space: Workspace, iris: Task) -> None:
    """The packaged code explains predictions, and the files unpacked at the start are removed at the end."""
    version = package.package(space, iris)
    wheels = bento.folder(space, "iris", version) / "src/wheels"
    before = sorted(wheels.iterdir())
    with smoke_test.started(space, "iris", version) as server:
        assert len([*wheels.iterdir()]) == 2
        response = server.ask("/v1/models/iris:predict", {"instances": [random_models.IRIS], "explain": True})
    assert {*response["explanations"][0]["contributions"]} == {*random_models.IRIS}
    assert len(before) == 1
    assert sorted(wheels.iterdir()) == before


@pytest.mark.slow
def test_service_that_does_not_start_is_reported_with_its_log(space: Workspace, iris: Task, tmp_path: Path) -> None:
    """A model file changed after packaging prevents the start of the service; the error has the reason at once."""
    shutil.copytree(space.root, tmp_path / "w")
    copied_space = Workspace(tmp_path / "w")
    version = package.package(copied_space, iris)
    model = bento.folder(copied_space, "iris", version) / f"src/packages/iris/{version}/model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    started = time.monotonic()
    with pytest.raises(PackageError, match=f"expected version {version}"):
        smoke_test.prove(copied_space, "iris", version, {"instances": [], "predictions": []})
    assert time.monotonic() - started < smoke_test.READY / 2


@pytest.mark.slow
def test_clone_can_pull_the_package(space: Workspace, iris: Task, tmp_path: Path) -> None:
    """If only pointers exist, the error names a command that gets the files from the remote, and the command works."""
    version = package.package(space, iris)
    dvc.push(space)
    left_out = shutil.ignore_patterns("out", "cache", version)
    shutil.copytree(space.root, tmp_path / "clone", ignore=left_out)
    clone = Workspace(tmp_path / "clone")
    with pytest.raises(RegistryError, match=f"the package of iris {version} is not here") as caught:
        Registry(clone).package("iris", version)
    command = caught.value.hint.partition(": ")[2].split()
    assert command[:2] == ["dvc", "pull"]
    subprocess.run([sys.executable, "-m", *command], cwd=clone.root, check=True, capture_output=True)
    folder = Registry(clone).package("iris", version)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert LoadedModel.load(folder).task == "iris"


def test_files_of_other_processes_are_kept(tiny_workspace: Workspace, tmp_path: Path) -> None:
    """Temporary files of a running process are kept, and those of a killed one are removed."""
    folder, task = tmp_path / "iris" / "new", loader.load(tiny_workspace, "iris")
    with half_written("atomic_folder", folder.with_name("old")) as (killed, leftover):
        killed.kill()
        killed.wait()
        assert leftover.is_dir()
    with half_written("atomic_folder", folder.with_name("other")) as (alive, half):
        package.write(tiny_workspace, task, folder, read_evaluated(tiny_workspace, task))
        assert {path.name for path in folder.parent.iterdir()} == {"new", half.name}
        alive.communicate("")
    assert alive.returncode == 0
    assert (folder.with_name("other") / "half.txt").is_file()


@pytest.mark.smoke
@pytest.mark.parametrize(("step", "after"), [("write", 0.0), ("build", 2.0), ("start", 2.5)])
def test_packaging_resumes_after_a_kill(unpackaged: Workspace, iris: Task, step: str, after: float) -> None:
    """After `kill -9` the next call creates a complete, smoke-tested package, and no server is left running."""
    script = (
        "import logging, sys; from pathlib import Path; from tiltyard.config import loader as task_file;"
        "from tiltyard.serving.packaging.package import package; from tiltyard.workspace import Workspace;"
        "logging.basicConfig(level='INFO', stream=sys.stdout); space = Workspace(Path(sys.argv[1]));"
        "package(space, task_file.load(space, 'iris'))"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(unpackaged.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(f"iris: {step}" in line for line in process.stdout)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    version = package.package(unpackaged, iris)
    assert sorted(path.name for path in unpackaged.package("iris", version).iterdir()) == FILES
    assert sorted(path.name for path in unpackaged.package("iris", version).parent.iterdir()) == [
        version,
        f"{version}.dvc",
    ]
    time.sleep(1)
    assert not processes_inside(unpackaged.root)


def test_builder_that_is_not_needed_ends(tiny_workspace: Workspace) -> None:
    """After a HOLD neither the process that has loaded BentoML nor its folder is left."""
    with bento.Builder(tiny_workspace, "iris") as builder:
        LOAD(builder)
        process = builder.process
        assert process is not None
        assert process.poll() is None
        assert processes_inside(tiny_workspace.state("iris", "package"))
    assert process.returncode is not None
    assert not tiny_workspace.state("iris", "package").exists()


@pytest.mark.smoke
def test_loaded_builder_builds_the_same(unpackaged: Workspace, iris: Task) -> None:
    """A process that has loaded BentoML before builds the same files as one that is started to build."""
    version, built = package.package(unpackaged, iris), []
    folder = bento.folder(unpackaged, "iris", version)
    for wait in (False, True):
        shutil.rmtree(folder)
        with bento.Builder(unpackaged, "iris") as builder:
            if wait:
                LOAD(builder)
                time.sleep(1)
            builder.build(version)
        built.append({path.relative_to(folder): path.stat().st_size for path in folder.rglob("*") if path.is_file()})
        built[-1].pop(Path("bento.yaml"))  # it holds the time of the build
    assert built[0] == built[1]
    assert len(built[0]) > 10


def processes_inside(root: Path) -> list[str]:
    """Return the command lines of processes whose working directory is inside a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").resolve().is_relative_to(root):
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_model_that_was_not_evaluated_is_refused(unpackaged: Workspace, iris: Task) -> None:
    """A model that was trained after the evaluation, or never evaluated, is refused."""
    report = unpackaged.out("iris", "evaluate") / "report.json"
    files.write_json(report, {**files.read_json(report), "version": "0" * 12})
    with pytest.raises(RegistryError, match=r"the evaluation of iris is about another version: .*; received 0{12}"):
        package.package(unpackaged, iris)
    report.unlink()
    with pytest.raises(RegistryError, match=r"no evaluation: expected out/iris/evaluate/report\.json") as caught:
        package.package(unpackaged, iris)
    assert caught.value.hint == "measure it: tiltyard evaluate iris"


def test_predictions_for_other_rows_are_refused(unpackaged: Workspace, iris: Task) -> None:
    """Predictions for other rows than the sealed ones give no golden rows."""
    path = unpackaged.out("iris", "evaluate") / "predictions.npz"
    with np.load(path) as arrays:
        np.savez_compressed(path, **{**arrays, "number": arrays["number"][::-1]})
    with pytest.raises(PackageError, match="other rows"):
        package.package(unpackaged, iris)
    assert not unpackaged.package("iris", "x").parent.exists() or not list(
        unpackaged.package("iris", "x").parent.iterdir()
    )


def test_model_with_other_predictions_than_recorded_is_refused(unpackaged: Workspace, iris: Task) -> None:
    """The predictions of the model must equal those that its evaluation recorded."""
    path = unpackaged.out("iris", "evaluate") / "predictions.npz"
    with np.load(path) as arrays:
        np.savez_compressed(path, **{**arrays, "outputs": arrays["outputs"] + 0.01})
    with pytest.raises(PackageError, match="differ from those that its evaluation recorded") as caught:
        package.package(unpackaged, iris)
    assert caught.value.hint == "evaluate it again: tiltyard evaluate iris"


def test_failed_smoke_test_is_not_recorded(unpackaged: Workspace, iris: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed smoke test leaves no record, so the next call tries again."""

    def fail(*_: object) -> float:
        raise PackageError("differs")

    skip_build_and_smoke_test(monkeypatch, fail)
    with pytest.raises(PackageError, match="differs"):
        package.package(unpackaged, iris)
    (folder,) = (unpackaged.root / "serving/packages/iris").iterdir()
    assert not (folder / "proven.json").exists()


def test_missing_bento_is_built_again(unpackaged: Workspace, iris: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a fresh clone Bentos are built from existing packages, which are not changed."""
    skip_build_and_smoke_test(monkeypatch, lambda *_: 0.0)
    version = package.package(unpackaged, iris)
    schema = unpackaged.package("iris", version) / "schema.json"
    before = schema.stat().st_mtime_ns
    shutil.rmtree(bento.folder(unpackaged, "iris", version))
    assert package.package(unpackaged, iris) == version
    assert bento.folder(unpackaged, "iris", version).is_dir()
    assert schema.stat().st_mtime_ns == before


def test_failed_build_is_reported(unpackaged: Workspace, iris: Task) -> None:
    """If the service cannot be imported, the error has the last lines of the build."""
    unpackaged.service.write_text("raise RuntimeError('broken service')")
    with pytest.raises(PackageError, match=r"BentoML could not build iris:\n(.*\n)*.*broken service"):
        package.package(unpackaged, iris)


def test_card_has_metrics_and_no_empty_section(space: Workspace, iris: Task) -> None:
    """Every section has text, and the gate's metric is marked."""
    text = (space.package("iris", package.package(space, iris)) / "card.md").read_text()
    sections = text.split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections] == [
        *("What it does", "Intended use", "Limits", "Data", "Metrics", "Slices", "Time and energy", "Provenance"),
    ]
    assert all(len(section.split("\n\n", 1)[1].strip()) > 40 for section in sections)
    assert "| Balanced accuracy (mean recall over the classes) (gate) |" in text


def test_golden_rows_are_valid_requests(space: Workspace, iris: Task) -> None:
    """Golden rows are plain JSON within the limits of a request, with a prediction for each."""
    golden = json.loads((space.package("iris", package.package(space, iris)) / "golden.json").read_text())
    assert len(golden["instances"]) == len(golden["predictions"]) == len(set(golden["number"])) == 16


@pytest.mark.parametrize(
    ("expected", "received"),
    [
        ([1.0], [1.0001]),
        ([1.0], [1.0, 2.0]),
        ([1.0], ["1.0"]),
        ([{"label": "a"}], [{"label": "b"}]),
        ([{"label": "a"}], [{"name": "a"}]),
        ([1.0], [None]),
    ],
)
def test_comparison_refuses_other_predictions(expected: object, received: object) -> None:
    """Larger differences than rounding, and other lengths, types, labels or keys, are refused."""
    with pytest.raises(PackageError, match="as in the evaluation"):
        assert_close(expected, received)


def test_comparison_measures_rounding() -> None:
    """A difference within rounding is accepted and returned."""
    expected = [{"label": "a", "p": {"a": 0.5}}, {"label": "a", "p": {"a": 1e-9}}]
    received = [{"label": "a", "p": {"a": 0.500001}}, {"label": "a", "p": {"a": 0}}]
    assert assert_close(expected, received) == pytest.approx(1e-6)


def test_environment_hides_the_project() -> None:
    """Variables that a served package must not see are removed from its environment."""
    os.environ["TILTYARD_PACKAGES"] = "x"
    try:
        assert "TILTYARD_PACKAGES" not in bento.clean()
    finally:
        del os.environ["TILTYARD_PACKAGES"]
