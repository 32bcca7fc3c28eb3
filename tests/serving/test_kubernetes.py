"""Kubernetes manifest: valid by its schemas, and consistent with the image, the options and the service."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from starlette_client import TestClient
from workspaces import ROOT

from tiltyard.serving import variables
from tiltyard.serving.http.limits import Limits

MANIFEST: list[dict[str, Any]] = [*yaml.safe_load_all((ROOT / "serving/kubernetes.yaml").read_text(encoding="utf-8"))]
CONTAINERFILE = (ROOT / "serving/Containerfile").read_text(encoding="utf-8")
PROBES = {"startupProbe": "/readyz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def single_object(kind: str) -> dict[str, Any]:
    """Return the only object of a kind."""
    (found,) = (manifest_object for manifest_object in MANIFEST if manifest_object["kind"] == kind)
    return found


@pytest.fixture
def pod() -> dict[str, Any]:
    """Return the pod template of the Deployment."""
    found: dict[str, Any] = single_object("Deployment")["spec"]["template"]["spec"]
    return found


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    """Return the only container of the pod."""
    (found,) = pod["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_every_object_is_valid_by_its_schema(version: str) -> None:
    """Every object is valid by its strict schema, without a cluster."""
    validator = pytest.importorskip("kubernetes_validate")
    for manifest_object in MANIFEST:
        validator.validate(manifest_object, version, strict=True)
    with pytest.raises(Exception, match="replica"):
        validator.validate(
            {**single_object("Deployment"), "spec": {**single_object("Deployment")["spec"], "replica": 2}},
            version,
            strict=True,
        )


def test_objects_are_complete_and_refer_to_each_other() -> None:
    """Each object exists once, selectors match the pods, and the autoscaler targets the Deployment."""
    kinds = [manifest_object["kind"] for manifest_object in MANIFEST]
    assert kinds[:4] == ["ConfigMap", "Secret", "Deployment", "Service"]
    assert set(kinds[4:]) == {"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"}
    labels = single_object("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert single_object("Service")["spec"]["selector"] == labels
    for kind, key in (
        ("Deployment", "selector"),
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
    ):
        assert single_object(kind)["spec"][key] == {"matchLabels": labels}
    target = single_object("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", single_object("Deployment")["metadata"]["name"])
    assert (
        single_object("HorizontalPodAutoscaler")["spec"]["minReplicas"]
        > single_object("PodDisruptionBudget")["spec"]["minAvailable"]
    )


def test_user_and_port_equal_those_of_the_image(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """User and port equal those of the image, and the port is referred to by name."""
    user = re.search(r"^USER (\d+):(\d+)$", CONTAINERFILE, re.MULTILINE)
    assert user
    context = pod["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["runAsNonRoot"]) == (int(user[1]), int(user[2]), True)
    (port,) = container["ports"]
    assert f"EXPOSE {port['containerPort']}" in CONTAINERFILE
    assert f'"--port", "{port["containerPort"]}"' in CONTAINERFILE
    port_names = [
        single_object("Service")["spec"]["ports"][0]["targetPort"],
        single_object("NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["port"],
    ]
    assert {*port_names, *(container[probe]["httpGet"]["port"] for probe in PROBES)} == {port["name"]}


def test_container_has_minimal_privileges(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """The container has no root, capabilities or cluster token, and can write to /tmp only."""
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert mounts.keys() == volumes.keys()
    written = [name for name, mount in mounts.items() if not mount.get("readOnly")]
    assert [mounts[name]["mountPath"] for name in written] == ["/tmp"]  # noqa: S108 - the container's
    assert "emptyDir" in volumes[written[0]]
    assert re.findall(r"(?:HOME|BENTOML_HOME)=(/\w+)", CONTAINERFILE) == ["/tmp", "/tmp"]  # noqa: S108


def test_probes_use_paths_of_the_service(container: dict[str, Any], client: TestClient) -> None:
    """Probes use the documented paths, which need no key; liveness differs from readiness."""
    paths = client.get("/v1/openapi.json").json()["paths"]
    for probe, path in PROBES.items():
        assert container[probe]["httpGet"]["path"] == path
        assert paths[path]["get"]["security"] == []
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] >= 90


def test_grace_period_covers_running_requests(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """The grace period is longer than preStop and the request timeout together."""
    pre_stop = re.search(r"sleep\((\d+)\)", container["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pre_stop
    request_timeout = float(single_object("ConfigMap")["data"]["TILTYARD_TIMEOUT"])
    assert pod["terminationGracePeriodSeconds"] > int(pre_stop[1]) + request_timeout


def test_settings_are_known_to_the_service(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """Every setting is known and has the default value; the Secret has the file of TILTYARD_KEYS."""
    settings = single_object("ConfigMap")["data"]
    assert settings.keys() <= variables.SERVICE_VARIABLES
    assert Limits.from_environment(settings) == Limits()
    assert container["envFrom"] == [{"configMapRef": {"name": single_object("ConfigMap")["metadata"]["name"]}}]
    (secret,) = (volume["secret"] for volume in pod["volumes"] if "secret" in volume)
    assert secret["secretName"] == single_object("Secret")["metadata"]["name"]
    (mount_path,) = (mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "keys")
    (file,) = single_object("Secret")["stringData"]
    assert f"{mount_path}/{file}" in (ROOT / "serving/kubernetes.yaml").read_text(encoding="utf-8")
