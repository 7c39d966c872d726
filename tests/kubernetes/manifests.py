"""What the project's kustomizations render to, and where in it Pods and containers are."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes import tools

K8S = Path(__file__).resolve().parents[2] / "k8s"
COMPONENT = K8S / "sidecar"
# Those that can be applied: a component is there to be included.
KUSTOMIZATIONS = sorted(
    str(path.parent.relative_to(K8S))
    for path in K8S.rglob("kustomization.yaml")
    if path.parent != COMPONENT
)
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
ANNOTATION = re.compile(r"metadata\.annotations\['(.+)'\]")

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
    """Each workload's name and its Pod template."""
    for one in objects:
        if one["kind"] in WORKLOADS:
            yield one["metadata"]["name"], one["spec"]["template"]


def containers(template: Object) -> list[Object]:
    """All of a Pod's containers, plain init containers and native sidecars included."""
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def stays(template: Object, container: Object) -> bool:
    """Whether the container runs as long as its Pod: not so a plain init container."""
    return container in template["spec"]["containers"] or container.get("restartPolicy") == "Always"


def environment(objects: list[Object], template: Object, container: Object) -> dict[str, str]:
    """The container's variables as the kubelet sets them.

    A later source wins over an earlier one, and `env` over `envFrom`. An annotation that is missing
    is an empty variable. Raises LookupError for a missing ConfigMap or Secret that isn't optional.
    """
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        ((reference, asked),) = source.items()
        kind = {"configMapRef": "ConfigMap", "secretRef": "Secret"}[reference]
        every = (one for one in of_kind(objects, kind) if one["metadata"]["name"] == asked["name"])
        if one := next(every, None):
            found |= content(one)
        elif not asked.get("optional"):
            raise LookupError(f"no {kind} {asked['name']}")
    annotations = template["metadata"].get("annotations", {})
    for entry in container.get("env", []):
        if "value" in entry:
            found[entry["name"]] = entry["value"]
        else:
            path = ANNOTATION.fullmatch(entry["valueFrom"]["fieldRef"]["fieldPath"])
            assert path is not None
            found[entry["name"]] = annotations.get(path[1], "")
    return found


def content(one: Object) -> dict[str, str]:
    """What a ConfigMap or a Secret holds."""
    data: dict[str, str] = dict(one.get("data", {}))
    if one["kind"] == "Secret":
        data = {name: base64.b64decode(text).decode() for name, text in data.items()}
    data |= one.get("stringData", {})
    return data


def put_sidecars(
    folder: Path, *resources: Object, component: str | None = None, **kustomization: Any
) -> list[Object]:
    """Render the resources with the component, as the owner of an app does it in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # kustomize follows the folder's real path.
    folder = folder.resolve()
    (folder / "app.yaml").write_text(yaml.safe_dump_all(resources))
    component = component or os.path.relpath(COMPONENT, folder)
    lines = {"resources": ["app.yaml"], "components": [component], **kustomization}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(lines))
    return render(folder)


def use_images(objects: list[Object], images: Mapping[str, str]) -> None:
    """Put other images in the place of those that the manifests name."""
    for _, template in pod_templates(objects):
        for container in containers(template):
            container["image"] = images.get(container["image"], container["image"])
