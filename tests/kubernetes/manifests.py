"""What the project's kustomizations render to, and where in it Pods and containers are."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes import tools

K8S = Path(__file__).resolve().parents[2] / "k8s"
KUSTOMIZATIONS = sorted(
    str(path.parent.relative_to(K8S)) for path in K8S.rglob("kustomization.yaml")
)

# A manifest is JSON of a shape that its `kind` tells: no type of ours would say more.
Object = dict[str, Any]


def render(folder: str | Path) -> list[Object]:
    """Return the objects of a kustomization below k8s/, or of a folder elsewhere."""
    command = [tools.kubectl(), "kustomize", str(K8S / folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        message = f"{folder}: {result.stderr}"
        raise ValueError(message)
    return [document for document in yaml.safe_load_all(result.stdout) if document]


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


def named(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = (one for one in of_kind(objects, kind) if one["metadata"]["name"] == name)
    return found


def pod_templates(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Each Deployment's name and its Pod template."""
    for one in of_kind(objects, "Deployment"):
        yield one["metadata"]["name"], one["spec"]["template"]


def containers(template: Object) -> list[Object]:
    """All of a Pod's containers, plain init containers and native sidecars included."""
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def stays(template: Object, container: Object) -> bool:
    """Whether the container runs as long as its Pod: not so a plain init container."""
    return container in template["spec"]["containers"] or container.get("restartPolicy") == "Always"


def environment(objects: list[Object], container: Object) -> dict[str, str]:
    """The container's variables, those of its ConfigMaps included."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    return found | {entry["name"]: entry["value"] for entry in container.get("env", [])}


def use_images(objects: list[Object], images: Mapping[str, str]) -> None:
    """Put other images in the place of those that the manifests name."""
    for _, template in pod_templates(objects):
        for container in containers(template):
            container["image"] = images.get(container["image"], container["image"])
