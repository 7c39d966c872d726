"""The sidecar component in apps on a real cluster, the one that KUBECONFIG names.

The apps are nginx, in a namespace that enforces the restricted Pod Security Standard.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.kubernetes.cluster import Namespace
from tests.kubernetes.manifests import Object, of_kind, pod_templates, put_sidecars, use_images
from tests.kubernetes.workloads import (
    PINGSTATE,
    expect_readiness_to_follow,
    find_status,
    prepare,
    ready,
    rendered,
    restarts,
    start_target,
)

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1800)]

APPS = Path(__file__).parent / "apps"


def app(name: str, mode: str, *, kind: str = "Deployment", **annotations: str) -> Object:
    """A workload of one Pod that knows nothing of pingstate but its label and annotations."""
    ((_, template),) = pod_templates(rendered("examples/readiness"))
    labels = {"app.kubernetes.io/name": name}
    named = {f"pingstate/{key.replace('_', '-')}": text for key, text in annotations.items()}
    # The example's own sidecar goes, and with it all that speaks of pingstate.
    del template["spec"]["initContainers"]
    template["metadata"] = {"labels": labels, "annotations": {"pingstate/interval": "1", **named}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    if kind == "StatefulSet":
        spec["serviceName"] = name
    metadata = {"name": name, "labels": {**labels, "pingstate/sidecar": mode}}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def service(name: str) -> Object:
    selector = {"app.kubernetes.io/name": name}
    ports = [{"port": 80, "targetPort": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": ports},
    }


def start(cluster: Namespace, folder: Path, *apps: Object, hosts: tuple[str, ...]) -> None:
    """Put the sidecars into the apps, by kubectl's own kustomize, and start them."""
    config = of_kind(rendered("examples/readiness"), "ConfigMap")
    objects = put_sidecars(folder, *config, *apps)
    use_images(objects, {"pingstate:0.1.0": PINGSTATE})
    prepare(cluster, objects, *hosts)
    cluster.apply(*objects)


def test_readiness_follows_the_target_of_an_app_that_got_a_sidecar(
    cluster: Namespace, tmp_path: Path
) -> None:
    start_target(cluster, "database", 5432)
    cluster.apply(service("shop"))
    shop = app("shop", "readiness", address="database", port="5432")
    start(cluster, tmp_path, shop, hosts=("database",))
    expect_readiness_to_follow(cluster, "shop", "database")


def test_the_gate_holds_the_app_and_its_own_init_container_back(
    cluster: Namespace, tmp_path: Path
) -> None:
    start_target(cluster, "database", 5432, replicas=0)
    shop = app("shop", "start-gate", address="database", port="5432")
    spec = shop["spec"]["template"]["spec"]
    own = {key: spec["containers"][0][key] for key in ("image", "imagePullPolicy", "resources", "securityContext")}  # fmt: skip
    spec["initContainers"] = [{"name": "migrate", "command": ["nginx", "-v"], **own}]
    start(cluster, tmp_path, shop, hosts=("database",))
    cluster.until(
        "the gate runs",
        lambda: "running" in find_status(cluster.pod("shop"), "pingstate").get("state", {}),
    )

    def waits() -> bool:
        pod = cluster.pod("shop")
        return all(
            "waiting" in find_status(pod, one).get("state", {}) for one in ("migrate", "app")
        )

    cluster.holds("the app and its init container wait", waits, 15)
    cluster.scale("database", 1)
    cluster.until("the app runs", lambda: ready(cluster, "shop"))
    assert find_status(cluster.pod("shop"), "migrate")["state"]["terminated"]["exitCode"] == 0
    assert restarts(cluster, "shop") == 0

    # From now on the target's state is the app's own business.
    cluster.scale("database", 0)
    cluster.holds("the app stays ready", lambda: ready(cluster, "shop"), 15)


def test_two_apps_follow_targets_of_their_own(cluster: Namespace, tmp_path: Path) -> None:
    start_target(cluster, "database", 5432)
    start_target(cluster, "queue", 8080)
    shop = app("shop", "readiness", address="database", port="5432")
    worker = app(
        "worker",
        "readiness",
        kind="StatefulSet",
        protocol="http",
        address="queue",
        port="8080",
        check="status:200\njson:/lag_seconds=0.5",
    )
    start(cluster, tmp_path, shop, worker, hosts=("database", "queue"))
    cluster.until("the shop is ready", lambda: ready(cluster, "shop"))
    cluster.until("the worker is ready", lambda: ready(cluster, "worker"))

    cluster.scale("queue", 0)
    cluster.until("the worker is not ready", lambda: not ready(cluster, "worker"))
    cluster.holds("the shop is ready still", lambda: ready(cluster, "shop"), 15)
    cluster.scale("queue", 1)
    cluster.scale("database", 0)
    cluster.until("the worker is ready again", lambda: ready(cluster, "worker"))
    cluster.until("the shop is not ready", lambda: not ready(cluster, "shop"))
    assert restarts(cluster, "shop") == restarts(cluster, "worker") == 0


def test_a_secret_that_comes_later_is_what_the_target_asked_for(
    cluster: Namespace, tmp_path: Path
) -> None:
    start_target(cluster, "orders", 8080)
    shop = app("shop", "readiness", protocol="http", address="orders", port="8080", path="/private")
    start(cluster, tmp_path, shop, hosts=("orders",))
    cluster.until(
        "the sidecar runs without a Secret",
        lambda: find_status(cluster.pod("shop"), "pingstate").get("started"),
    )
    cluster.holds("refused by the target", lambda: not ready(cluster, "shop"), 10)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pingstate-sidecar"},
        "stringData": {"PINGSTATE_HEADER": "Authorization: Bearer s3cr3t"},
    }
    cluster.apply(secret)
    cluster.kubectl("rollout", "restart", "deployment/shop")
    cluster.until("ready with the Secret", lambda: ready(cluster, "shop"))


def test_a_missing_address_is_told_by_the_pod(cluster: Namespace, tmp_path: Path) -> None:
    start(cluster, tmp_path, app("shop", "readiness"), hosts=())

    def told() -> str:
        status = find_status(cluster.pod("shop"), "pingstate")
        ended = [status.get(when, {}).get("terminated", {}) for when in ("state", "lastState")]
        return next((one["message"] for one in ended if one.get("message")), "")

    message = cluster.until("the sidecar has ended with a message", told)
    (line,) = message.splitlines()
    assert line.startswith("pingstate: PINGSTATE_ADDRESS: ")
    assert "waiting" in find_status(cluster.pod("shop"), "app")["state"]


@pytest.mark.parametrize("mode", ["readiness", "start-gate"])
def test_the_api_server_takes_every_shape_of_app(
    cluster: Namespace, tmp_path: Path, mode: str
) -> None:
    apps = [
        yaml.safe_load(path.read_text().replace("MODE", mode)) for path in sorted(APPS.glob("*"))
    ]
    cluster.admits(*put_sidecars(tmp_path, *apps))


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
@pytest.mark.parametrize("mode", ["readiness", "start-gate"])
def test_an_app_of_the_restricted_standard_stays_one_with_its_sidecar(
    cluster: Namespace, tmp_path: Path, kind: str, mode: str
) -> None:
    # A workload is taken whatever its Pods are like: they are put to the question themselves.
    objects = put_sidecars(tmp_path, app("shop", mode, kind=kind, address="database"))
    for name, template in pod_templates(objects):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
        cluster.admits(pod | {"spec": template["spec"]})
