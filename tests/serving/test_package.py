"""A package is whole or not there, holds no TensorFlow, and is proven by the service it will become."""

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

FILES = ["card.md", "encoder.json", "golden.json", "model.onnx", "proven.json", "reference.json", "schema.json"]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which iris is evaluated and packaged."""
    space = new_workspace(tmp_path_factory.mktemp("space"))
    package.package(space, random_models.write_evaluated(space, "iris"))
    return space


@pytest.fixture
def fresh(space: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it in which nothing is packaged yet."""
    shutil.copytree(space.root, tmp_path / "w", ignore=shutil.ignore_patterns(".tiltyard", "packages"))
    return Workspace(tmp_path / "w")


@pytest.fixture
def iris(space: Workspace) -> Task:
    """The task."""
    return loader.load(space, "iris")


def unbuilt(monkeypatch: pytest.MonkeyPatch, prove: Callable[..., float]) -> None:
    """Leave out the slow parts: the Bento is an empty folder, and the proof is what is given."""
    monkeypatch.setattr(
        bento, "build", lambda space, task, version: bento.folder(space, task, version).mkdir(parents=True)
    )
    monkeypatch.setattr(smoke_test, "prove", prove)


@pytest.mark.slow
def test_package_is_whole_and_proven(space: Workspace, iris: Task) -> None:
    """All seven files are there, the proof says so, and asking again does nothing."""
    version = package.package(space, iris)
    folder = space.package("iris", version)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    proof = files.read_json(folder / "proven.json")
    assert (proof["bento"], proof["rows"]) == (f"iris:{version}", 16)
    assert proof["largest_difference"] < 1e-6
    before = (folder / "proven.json").stat().st_mtime_ns
    assert package.package(space, iris) == version
    assert (folder / "proven.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_bento_holds_nothing_that_trains(space: Workspace, iris: Task) -> None:
    """Neither its requirements nor its code know TensorFlow, pandas, DVC, Prefect or scikit-learn."""
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
    (code,) = (folder / "src/wheels").iterdir()
    modules = {Path(name).parts[1] for name in zipfile.ZipFile(code).namelist()}
    assert "serving" in modules
    assert not modules & {"training", "validation", "evaluation", "gate", "cli"}
    assert (folder / "env/docker/Dockerfile").read_text().count("OTEL_SDK_DISABLED")


@pytest.mark.slow
def test_an_image_installs_the_wheel(space: Workspace, iris: Task) -> None:
    """BentoML's Dockerfile copies the wheel, then installs what the requirements name, the wheel among it."""
    folder = bento.folder(space, "iris", package.package(space, iris))
    (code,) = (folder / "src/wheels").iterdir()
    assert f"./wheels/{code.name}" in (folder / "env/python/requirements.txt").read_text().splitlines()
    dockerfile = (folder / "env/docker/Dockerfile").read_text()
    assert dockerfile.index("./src/wheels ./src/wheels") < dockerfile.index("pip install -r")
    assert dockerfile.count("apt-get update") == 1


@pytest.mark.slow
def test_packaged_code_is_what_runs(space: Workspace, iris: Task, tmp_path: Path) -> None:
    """Damage the code inside the Bento: the trial fails, though the project's own code is sound."""
    shutil.copytree(space.root, tmp_path / "w")
    copy = Workspace(tmp_path / "w")
    version = package.package(copy, iris)
    (code,) = bento.folder(copy, "iris", version).glob("src/wheels/*")
    sound, wrong = b"problem.decode(outputs,", b"problem.decode(outputs * 1.1,"
    with zipfile.ZipFile(code) as wheel:
        content = {name: wheel.read(name).replace(sound, wrong) for name in wheel.namelist()}
    with zipfile.ZipFile(code, "w") as wheel:
        for name, text in content.items():
            wheel.writestr(name, text)
    golden = files.read_json(copy.package("iris", version) / "golden.json")
    with pytest.raises(PackageError, match=r"predictions\[0\]\[probabilities\].* as in the evaluation"):
        smoke_test.prove(copy, "iris", version, golden)


@pytest.mark.slow
def test_a_started_bento_explains_and_stays_as_it_was_built(space: Workspace, iris: Task) -> None:
    """Its code answers a request with `explain`; of what the start unpacked nothing is left after the trial."""
    version = package.package(space, iris)
    wheels = bento.folder(space, "iris", version) / "src/wheels"
    before = sorted(wheels.iterdir())
    with smoke_test.started(space, "iris", version) as server:
        assert len([*wheels.iterdir()]) == 2
        answer = server.ask("/v1/models/iris:predict", {"instances": [random_models.IRIS], "explain": True})
    assert {*answer["explanations"][0]["contributions"]} == {*random_models.IRIS}
    assert len(before) == 1
    assert sorted(wheels.iterdir()) == before


@pytest.mark.slow
def test_a_service_that_does_not_start_is_told_with_its_log(space: Workspace, iris: Task, tmp_path: Path) -> None:
    """A model file changed after packaging stops the service; the error has the reason, and no process is left."""
    shutil.copytree(space.root, tmp_path / "w")
    copy = Workspace(tmp_path / "w")
    version = package.package(copy, iris)
    model = bento.folder(copy, "iris", version) / f"src/packages/iris/{version}/model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    started = time.monotonic()
    with pytest.raises(PackageError, match=f"expected version {version}"):
        smoke_test.prove(copy, "iris", version, {"instances": [], "predictions": []})
    assert time.monotonic() - started < smoke_test.READY / 2


@pytest.mark.slow
def test_a_clone_pulls_the_package(space: Workspace, iris: Task, tmp_path: Path) -> None:
    """Where only the pointers are, the error names the command that brings the files from the remote, and it does."""
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


def test_what_others_write_is_left_alone(tiny_workspace: Workspace, tmp_path: Path) -> None:
    """A version that a living process writes stays beside a new one; what a killed one left of any version goes."""
    folder, task = tmp_path / "iris" / "new", loader.load(tiny_workspace, "iris")
    with half_written("atomic_folder", folder.with_name("old")) as (killed, left):
        killed.kill()
        killed.wait()
        assert left.is_dir()
    with half_written("atomic_folder", folder.with_name("other")) as (alive, half):
        package.write(tiny_workspace, task, folder, read_evaluated(tiny_workspace, task))
        assert {path.name for path in folder.parent.iterdir()} == {"new", half.name}
        alive.communicate("")
    assert alive.returncode == 0
    assert (folder.with_name("other") / "half.txt").is_file()


@pytest.mark.smoke
@pytest.mark.parametrize(("step", "after"), [("write", 0.0), ("build", 2.0), ("start", 2.5)])
def test_killed_at_any_moment_it_finishes_next_time(fresh: Workspace, iris: Task, step: str, after: float) -> None:
    """`kill -9` leaves a state from which the next call makes a whole, proven package; no server survives."""
    script = (
        "import logging, sys; from pathlib import Path; from tiltyard.config import loader as task_file;"
        "from tiltyard.serving.packaging.package import package; from tiltyard.workspace import Workspace;"
        "logging.basicConfig(level='INFO', stream=sys.stdout); space = Workspace(Path(sys.argv[1]));"
        "package(space, task_file.load(space, 'iris'))"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(fresh.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(f"iris: {step}" in line for line in process.stdout)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    version = package.package(fresh, iris)
    assert sorted(path.name for path in fresh.package("iris", version).iterdir()) == FILES
    assert sorted(path.name for path in fresh.package("iris", version).parent.iterdir()) == [version, f"{version}.dvc"]
    time.sleep(1)
    assert not survivors(fresh.root)


def survivors(root: Path) -> list[str]:
    """Return the processes that work inside a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").resolve().is_relative_to(root):
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_refuses_what_was_not_evaluated(fresh: Workspace, iris: Task) -> None:
    """A model trained after the evaluation is not the judged one."""
    report = fresh.out("iris", "evaluate") / "report.json"
    files.write_json(report, {**files.read_json(report), "version": "0" * 12})
    with pytest.raises(RegistryError, match=r"the evaluation of iris is about another version: .*; received 0{12}"):
        package.package(fresh, iris)
    report.unlink()
    with pytest.raises(RegistryError, match=r"no evaluation: expected out/iris/evaluate/report\.json") as caught:
        package.package(fresh, iris)
    assert caught.value.hint == "measure it: tiltyard evaluate iris"


def test_refuses_predictions_for_other_rows(fresh: Workspace, iris: Task) -> None:
    """Golden rows come from predictions about the sealed rows, or from nowhere."""
    path = fresh.out("iris", "evaluate") / "predictions.npz"
    with np.load(path) as arrays:
        np.savez_compressed(path, **{**arrays, "number": arrays["number"][::-1]})
    with pytest.raises(PackageError, match="other rows"):
        package.package(fresh, iris)
    assert not fresh.package("iris", "x").parent.exists() or not list(fresh.package("iris", "x").parent.iterdir())


def test_refuses_a_model_that_gives_something_else_than_was_recorded(fresh: Workspace, iris: Task) -> None:
    """Golden answers come from the model, and hold only if they are those that evaluation measured."""
    path = fresh.out("iris", "evaluate") / "predictions.npz"
    with np.load(path) as arrays:
        np.savez_compressed(path, **{**arrays, "outputs": arrays["outputs"] + 0.01})
    with pytest.raises(PackageError, match="differ from those that its evaluation recorded") as caught:
        package.package(fresh, iris)
    assert caught.value.hint == "evaluate it again: tiltyard evaluate iris"


def test_a_failed_trial_leaves_no_proof(fresh: Workspace, iris: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without proof the next call tries again, from the beginning."""

    def fail(*_: object) -> float:
        raise PackageError("differs")

    unbuilt(monkeypatch, fail)
    with pytest.raises(PackageError, match="differs"):
        package.package(fresh, iris)
    (folder,) = (fresh.root / "serving/packages/iris").iterdir()
    assert not (folder / "proven.json").exists()


def test_a_lost_bento_is_built_again(fresh: Workspace, iris: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh clone has packages but no Bentos: they are made from the package, which is left as it is."""
    unbuilt(monkeypatch, lambda *_: 0.0)
    version = package.package(fresh, iris)
    schema = fresh.package("iris", version) / "schema.json"
    before = schema.stat().st_mtime_ns
    shutil.rmtree(bento.folder(fresh, "iris", version))
    assert package.package(fresh, iris) == version
    assert bento.folder(fresh, "iris", version).is_dir()
    assert schema.stat().st_mtime_ns == before


def test_a_build_that_fails_is_told(fresh: Workspace, iris: Task) -> None:
    """A service that cannot be imported ends in a sentence with the last lines, not in a traceback of ours."""
    fresh.service.write_text("raise RuntimeError('broken service')")
    with pytest.raises(PackageError, match=r"BentoML could not build iris:\n(.*\n)*.*broken service"):
        package.package(fresh, iris)


def test_card_has_metrics_and_no_empty_section(space: Workspace, iris: Task) -> None:
    """Every section has text, and the gate's metric stands beside the baseline."""
    text = (space.package("iris", package.package(space, iris)) / "card.md").read_text()
    sections = text.split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections] == [
        *("What it does", "Intended use", "Limits", "Data", "Metrics", "Slices", "Time and energy", "Provenance"),
    ]
    assert all(len(section.split("\n\n", 1)[1].strip()) > 40 for section in sections)
    assert "| Balanced accuracy (mean recall over the classes) (gate) |" in text


def test_golden_rows_are_requests(space: Workspace, iris: Task) -> None:
    """Golden rows are plain JSON within the limits of a request, with an answer each."""
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
def test_compare_refuses_other_answers(expected: object, received: object) -> None:
    """More than rounding, another length, another type, another label, another key."""
    with pytest.raises(PackageError, match="as in the evaluation"):
        assert_close(expected, received)


def test_compare_measures_rounding() -> None:
    """A difference within rounding is let through, and reported."""
    expected = [{"label": "a", "p": {"a": 0.5}}, {"label": "a", "p": {"a": 1e-9}}]
    received = [{"label": "a", "p": {"a": 0.500001}}, {"label": "a", "p": {"a": 0}}]
    assert assert_close(expected, received) == pytest.approx(1e-6)


def test_environment_hides_the_project() -> None:
    """What a served package may not see is dropped from its environment."""
    os.environ["TILTYARD_PACKAGES"] = "x"
    try:
        assert "TILTYARD_PACKAGES" not in bento.clean()
    finally:
        del os.environ["TILTYARD_PACKAGES"]
