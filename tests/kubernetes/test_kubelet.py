"""The manifests' plain Pods on a real kubelet, which asks the probes and acts on them.

Native sidecars are beyond this kubelet: the sidecar of an example runs as a plain container here.
"""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.kubelet import GATEWAY, Kubelet, running
from tests.kubernetes.manifests import (
    Object,
    containers,
    environment,
    pod_templates,
    put_sidecars,
    render,
)
from tests.kubernetes.workloads import PINGSTATE, STUCK_PROBE
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.kubelet, pytest.mark.timeout(900)]

DATABASE_PORT = 5432
SECONDS = 90.0


@pytest.fixture(scope="module")
def kubelet(image: str) -> Iterator[Kubelet]:
    with running(image) as kubelet:
        yield kubelet


@contextmanager
def database() -> Iterator[None]:
    """Something that listens where the Pods look for the database: on the bridge, their gateway."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((GATEWAY, DATABASE_PORT))
        listener.listen()

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                client.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def static_pod(folder: str, deployment: str, **settings: str) -> Object:
    """The Pod of a Deployment as a kubelet alone can run it, its sidecar as a plain container.

    There are no ConfigMaps (the variables are put in their places), no ServiceAccount and no DNS
    (the database is in /etc/hosts). Of the containers only ours stay.
    """
    objects = render(folder)
    template = dict(pod_templates(objects))[deployment]
    spec = template["spec"]
    ours = [one for one in containers(template) if one["image"].startswith("pingstate:")]
    for container in ours:
        container["image"] = PINGSTATE
        variables = environment(objects, template, container) | settings
        container.pop("envFrom", None)
        container["env"] = [{"name": name, "value": text} for name, text in variables.items()]
    spec.pop("serviceAccountName", None)
    spec["volumes"] = []
    spec["hostAliases"] = [{"ip": GATEWAY, "hostnames": ["database"]}]
    spec["initContainers"] = [one for one in ours if "restartPolicy" not in one and "args" in one]
    spec["containers"] = [one for one in ours if one not in spec["initContainers"]]
    for container in spec["containers"]:
        container.pop("restartPolicy", None)
    metadata = {
        "name": deployment,
        "namespace": "default",
        "labels": template["metadata"]["labels"],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def own_app(folder: Path, mode: str, **annotations: str) -> Object:
    """The Pod of an app that got its sidecar from the component; its settings are annotations.

    The kubelet reads them itself. What it lacks alone is left out: the optional ConfigMap and
    Secret, and the app.
    """
    name = f"own-{mode}"
    labels = {"app.kubernetes.io/name": name}
    named = {f"pingstate/{key}": text for key, text in annotations.items()}
    metadata: Object = {"labels": labels, "annotations": {"pingstate/interval": "1", **named}}
    app = {"name": "app", "image": "example.test/app:1.0"}
    spec = {"template": {"metadata": metadata, "spec": {"containers": [app]}}}
    own: Object = {"name": name, "labels": {"pingstate/sidecar": mode}}
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": own, "spec": spec}
    ((_, template),) = pod_templates(put_sidecars(folder, workload))
    (sidecar,) = template["spec"]["initContainers"]
    sidecar["image"] = PINGSTATE
    for key in ("restartPolicy", "envFrom", "volumeMounts"):
        del sidecar[key]
    aliases = [{"ip": GATEWAY, "hostnames": ["database"]}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", **template["metadata"]},
        "spec": {"containers": [sidecar], "hostAliases": aliases},
    }


def container_status(kubelet: Kubelet, pod: str, container: str = "pingstate") -> dict[str, Any]:
    status = kubelet.pods().get(pod, {})
    statuses = status.get("containerStatuses", []) + status.get("initContainerStatuses", [])
    return next((one for one in statuses if one["name"] == container), {})


def ready(kubelet: Kubelet, pod: str) -> bool:
    conditions = kubelet.pods().get(pod, {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def gone(kubelet: Kubelet, pod: str) -> bool:
    return pod not in kubelet.pods()


def test_the_sidecars_readiness_follows_the_target_and_nothing_restarts(kubelet: Kubelet) -> None:
    kubelet.run(static_pod("examples/readiness", "shop", PINGSTATE_INTERVAL="1"))
    wait_until(
        lambda: container_status(kubelet, "shop").get("started"),
        what="the sidecar has started without its target",
        timeout=SECONDS,
        every=0.2,
    )
    assert not ready(kubelet, "shop")
    for _ in range(2):
        with database():
            wait_until(
                lambda: ready(kubelet, "shop"),
                what="ready while the target answers",
                timeout=SECONDS,
                every=0.2,
            )
        wait_until(
            lambda: not ready(kubelet, "shop"),
            what="not ready when it is gone",
            timeout=SECONDS,
            every=0.2,
        )
    assert container_status(kubelet, "shop")["restartCount"] == 0
    kubelet.remove("shop")
    wait_until(lambda: gone(kubelet, "shop"), what="the Pod has ended", timeout=SECONDS, every=0.2)


def test_the_standalone_monitor_is_ready_whatever_its_target_does(kubelet: Kubelet) -> None:
    target = {"PINGSTATE_ADDRESS": "database", "PINGSTATE_PORT": "1", "PINGSTATE_INTERVAL": "1"}
    kubelet.run(static_pod("base", "pingstate", **target))
    wait_until(
        lambda: ready(kubelet, "pingstate"),
        what="ready with a target that is down",
        timeout=SECONDS,
        every=0.2,
    )
    status = container_status(kubelet, "pingstate")
    assert (status["started"], status["restartCount"]) == (True, 0)
    kubelet.remove("pingstate")
    wait_until(
        lambda: gone(kubelet, "pingstate"), what="the Pod has ended", timeout=SECONDS, every=0.2
    )


def test_an_init_container_holds_the_pod_back_until_the_target_is_up(kubelet: Kubelet) -> None:
    pod = static_pod("examples/start-gate", "gated-init", PINGSTATE_INTERVAL="1")
    # The app's place is taken by a sidecar: any container of ours will do.
    pod["spec"]["containers"] = static_pod("examples/readiness", "shop")["spec"]["containers"]
    kubelet.run(pod)
    wait_until(
        lambda: "running" in container_status(kubelet, "gated-init", "wait-for-database")["state"],
        what="the gate runs",
        timeout=SECONDS,
        every=0.2,
    )
    assert "waiting" in container_status(kubelet, "gated-init")["state"]
    with database():
        wait_until(
            lambda: "running" in container_status(kubelet, "gated-init")["state"],
            what="the container behind the gate runs",
            timeout=SECONDS,
            every=0.2,
        )
    gate = container_status(kubelet, "gated-init", "wait-for-database")
    assert gate["state"]["terminated"]["exitCode"] == 0
    kubelet.remove("gated-init")
    wait_until(
        lambda: gone(kubelet, "gated-init"), what="the Pod has ended", timeout=SECONDS, every=0.2
    )


def test_the_annotations_of_an_app_are_its_sidecars_settings(
    kubelet: Kubelet, tmp_path: Path
) -> None:
    kubelet.run(own_app(tmp_path, "readiness", address="database", port=str(DATABASE_PORT)))
    wait_until(
        lambda: container_status(kubelet, "own-readiness").get("started"),
        what="the sidecar has started without its target",
        timeout=SECONDS,
        every=0.2,
    )
    assert not ready(kubelet, "own-readiness")
    with database():
        wait_until(
            lambda: ready(kubelet, "own-readiness"),
            what="ready while the target answers",
            timeout=SECONDS,
            every=0.2,
        )
    wait_until(
        lambda: not ready(kubelet, "own-readiness"),
        what="not ready when it is gone",
        timeout=SECONDS,
        every=0.2,
    )
    assert container_status(kubelet, "own-readiness")["restartCount"] == 0
    kubelet.remove("own-readiness")
    wait_until(
        lambda: gone(kubelet, "own-readiness"), what="the Pod has ended", timeout=SECONDS, every=0.2
    )


def test_the_gate_of_an_app_has_not_started_until_its_target_is_up(
    kubelet: Kubelet, tmp_path: Path
) -> None:
    kubelet.run(own_app(tmp_path, "start-gate", address="database", port=str(DATABASE_PORT)))
    wait_until(
        lambda: "running" in container_status(kubelet, "own-start-gate").get("state", {}),
        what="the gate runs",
        timeout=SECONDS,
        every=0.2,
    )
    # A native sidecar that has not started holds every later container back.
    assert not container_status(kubelet, "own-start-gate")["started"]
    with database():
        wait_until(
            lambda: container_status(kubelet, "own-start-gate")["started"],
            what="the gate opens",
            timeout=SECONDS,
            every=0.2,
        )
    assert container_status(kubelet, "own-start-gate")["restartCount"] == 0
    kubelet.remove("own-start-gate")
    wait_until(
        lambda: gone(kubelet, "own-start-gate"),
        what="the Pod has ended",
        timeout=SECONDS,
        every=0.2,
    )


def test_an_app_without_an_address_says_so_in_its_status(kubelet: Kubelet, tmp_path: Path) -> None:
    kubelet.run(own_app(tmp_path, "readiness"))

    def told() -> str:
        status = container_status(kubelet, "own-readiness")
        ended = [status.get(when, {}).get("terminated", {}) for when in ("state", "lastState")]
        return "".join(one.get("message", "") for one in ended)

    assert wait_until(
        told, what="the sidecar has ended with a message", timeout=SECONDS, every=0.2
    ).startswith("pingstate: PINGSTATE_ADDRESS: ")
    kubelet.remove("own-readiness")
    wait_until(
        lambda: gone(kubelet, "own-readiness"), what="the Pod has ended", timeout=SECONDS, every=0.2
    )


@pytest.fixture
def probes() -> Iterator[Path]:
    """A folder that the container's user may read, as no folder of pytest's is."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "stuck.py").write_text(STUCK_PROBE)
        yield folder


def test_a_stuck_monitor_is_restarted_by_its_liveness_probe(kubelet: Kubelet, probes: Path) -> None:
    pod = static_pod("base", "pingstate", PINGSTATE_PROBE="stuck:Stuck", PINGSTATE_INTERVAL="1")
    (container,) = pod["spec"]["containers"]
    pod["metadata"]["name"] = "stuck"
    container["volumeMounts"] = [{"name": "probes", "mountPath": "/probes", "readOnly": True}]
    pod["spec"]["volumes"] = [{"name": "probes", "hostPath": {"path": str(probes)}}]
    container["livenessProbe"]["periodSeconds"] = 2
    kubelet.run(pod)
    # The kubelet counts a restart a moment before it tells how the one before ended.
    ended = wait_until(
        lambda: container_status(kubelet, "stuck").get("lastState", {}).get("terminated"),
        what="restarted once the verdict has expired",
        timeout=SECONDS,
        every=0.2,
    )
    assert container_status(kubelet, "stuck")["restartCount"] > 0
    assert ended["exitCode"] == 0
    kubelet.remove("stuck")
    wait_until(lambda: gone(kubelet, "stuck"), what="the Pod has ended", timeout=SECONDS, every=0.2)
