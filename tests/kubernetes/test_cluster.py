"""The examples on a real cluster, the one that KUBECONFIG names.

Each test has a namespace of its own that enforces the restricted Pod Security Standard. Nothing is
pulled: the nodes must have the images PINGSTATE_IMAGE and PINGSTATE_TEST_NGINX_IMAGE. What is
asserted is what the cluster itself says in its objects, so that neither the Pods' network nor
`kubectl exec` need be reachable from here. The target is reached by its Service's address, put in
/etc/hosts: a cluster without DNS will do.
"""

from __future__ import annotations

import json
import os
import time

import pytest

from tests.kubernetes.cluster import LONG, KubectlError, Namespace
from tests.kubernetes.manifests import (
    KUSTOMIZATIONS,
    Object,
    containers,
    named,
    of_kind,
    pod_templates,
    render,
    use_images,
)

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1800)]

PINGSTATE = os.environ.get("PINGSTATE_IMAGE", "pingstate:0.1.0")
NGINX = os.environ.get("PINGSTATE_TEST_NGINX_IMAGE", "nginx:1.29-alpine")

TARGET_CONFIG = """
daemon off;
worker_processes 1;
pid /tmp/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path /tmp/client;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server {
        listen 5432;
        listen 8080;
        default_type application/json;
        location / { return 200 '{"lag_seconds": %s}'; }
    }
}
"""


def rendered(folder: str) -> list[Object]:
    objects = render(folder)
    use_images(objects, {"pingstate:0.1.0": PINGSTATE, "nginx:1.29-alpine": NGINX})
    return objects


def target(name: str, port: int, *, replicas: int, lag: float = 0.5) -> list[Object]:
    """A server for the examples to watch: nginx as in the readiness example, with its own page."""
    objects = rendered("examples/readiness")
    ((_, template),) = pod_templates(objects)
    (container,) = template["spec"]["containers"]
    labels = {"app.kubernetes.io/name": name}
    template["metadata"] = {"labels": labels}
    del template["spec"]["initContainers"]
    container["ports"] = [{"name": "http", "containerPort": port}]
    template["spec"]["volumes"][0] = {"name": "config", "configMap": {"name": name}}
    meta = {"name": name, "labels": labels}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": meta,
            "data": {"nginx.conf": TARGET_CONFIG % lag},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": [{"port": port}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": template,
            },
        },
    ]


def start_target(cluster: Namespace, name: str, port: int, *, replicas: int = 1) -> None:
    cluster.apply(*target(name, port, replicas=replicas))
    if replicas:
        cluster.until(
            f"the target {name} runs",
            lambda: cluster.get("deployment", name)["status"].get("readyReplicas"),
        )


def prepare(cluster: Namespace, objects: list[Object], *hosts: str, **settings: str) -> None:
    """Give the Pods the addresses of their targets, and sidecars further settings."""
    aliases = [
        {"ip": cluster.get("service", host)["spec"]["clusterIP"], "hostnames": [host]}
        for host in hosts
    ]
    variables = [{"name": name, "value": text} for name, text in settings.items()]
    for _, template in pod_templates(objects):
        template["spec"]["hostAliases"] = aliases
        for container in containers(template):
            if container["image"] == PINGSTATE:
                container["env"] = [*container.get("env", []), *variables]


def status_of(pod: Object, container: str) -> Object:
    status = pod["status"]
    every = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return next((one for one in every if one["name"] == container), {})


def ready_condition(pod: Object) -> Object:
    conditions = pod["status"].get("conditions", [])
    return next((one for one in conditions if one["type"] == "Ready"), {"status": "Unknown"})


def ready(cluster: Namespace, app: str) -> bool:
    return [ready_condition(pod)["status"] for pod in cluster.pods(app)] == ["True"]


def restarts(cluster: Namespace, app: str) -> int:
    (pod,) = cluster.pods(app)
    status = pod["status"]
    every = [*status.get("initContainerStatuses", []), *status["containerStatuses"]]
    return sum(one["restartCount"] for one in every)


def test_readiness_follows_the_target_and_the_sidecar_outlives_it(cluster: Namespace) -> None:
    start_target(cluster, "database", 5432)
    objects = rendered("examples/readiness")
    prepare(cluster, objects, "database", PINGSTATE_INTERVAL="1")
    cluster.apply(*objects)
    cluster.until("ready with its database", lambda: ready(cluster, "shop"))
    first = cluster.pod("shop")["metadata"]["uid"]

    cluster.scale("database", 0)
    cluster.until("not ready without it", lambda: not ready(cluster, "shop"))
    cluster.until("out of its Service", lambda: not endpoints(cluster, "shop"))
    # Longer than the liveness probe needs to restart a container: period times threshold.
    cluster.holds("not ready without it", lambda: not ready(cluster, "shop"), 45)
    assert restarts(cluster, "shop") == 0

    cluster.scale("database", 1)
    cluster.until("ready when it is back", lambda: ready(cluster, "shop"))
    cluster.until("back in its Service", lambda: endpoints(cluster, "shop"))
    assert restarts(cluster, "shop") == 0
    assert cluster.pod("shop")["metadata"]["uid"] == first


def endpoints(cluster: Namespace, service: str) -> list[str]:
    """The addresses that the Service sends its clients to."""
    selector = f"--selector=kubernetes.io/service-name={service}"
    slices = json.loads(cluster.kubectl("get", "endpointslices", selector, "-o", "json"))["items"]
    return [
        address
        for one in slices
        for endpoint in one.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready")
        for address in endpoint["addresses"]
    ]


@pytest.mark.parametrize(
    ("app", "gate"), [("gated-native", "pingstate"), ("gated-init", "wait-for-database")]
)
def test_the_start_gate_holds_the_app_back_until_the_target_is_up(
    cluster: Namespace, app: str, gate: str
) -> None:
    start_target(cluster, "database", 5432, replicas=0)
    objects = rendered("examples/start-gate")
    prepare(cluster, objects, "database", PINGSTATE_INTERVAL="1")
    cluster.apply(*of_kind(objects, "ConfigMap"), named(objects, "Deployment", app))

    cluster.until(
        "the gate runs",
        lambda: "running" in status_of(cluster.pod(app), gate).get("state", {}),
    )
    cluster.holds(
        "the app waits",
        lambda: "waiting" in status_of(cluster.pod(app), "app").get("state", {}),
        15,
    )
    cluster.scale("database", 1)
    cluster.until("the app runs", lambda: ready(cluster, app))
    assert restarts(cluster, app) == 0


def test_a_service_named_pingstate_does_no_harm(cluster: Namespace) -> None:
    # With service links, so that PINGSTATE_PORT=tcp://... and its like are in the environment,
    # and without a port among the settings that would hide it: http has its own default.
    objects = rendered("base")
    service = named(objects, "Service", "pingstate")
    cluster.apply(service)
    start_target(cluster, "database", 80, replicas=0)
    (settings,) = of_kind(objects, "ConfigMap")
    settings["data"] = {"PINGSTATE_PROTOCOL": "http", "PINGSTATE_ADDRESS": "database"}
    prepare(cluster, objects, "database")
    ((_, template),) = pod_templates(objects)
    template["spec"]["enableServiceLinks"] = True
    cluster.apply(*(one for one in objects if one is not service))
    cluster.until("ready in such a namespace", lambda: ready(cluster, "pingstate"))
    assert restarts(cluster, "pingstate") == 0


def test_the_standalone_monitor_comes_up_as_shipped(cluster: Namespace) -> None:
    cluster.apply(*rendered("base"))
    cluster.until("ready", lambda: ready(cluster, "pingstate"))
    cluster.until("behind its Service", lambda: endpoints(cluster, "pingstate"))
    assert restarts(cluster, "pingstate") == 0


STUCK = """
import threading


class Stuck:
    name = "stuck"
    timeout = 1.0

    def check(self):
        threading.Event().wait()
"""


def test_a_stuck_monitor_is_restarted_by_its_liveness_probe(cluster: Namespace) -> None:
    objects = rendered("examples/custom-probe")
    for one in of_kind(objects, "ConfigMap"):
        if "replica_lag.py" in one["data"]:
            one["data"] = {"stuck.py": STUCK}
    prepare(cluster, objects, PINGSTATE_PROBE="stuck:Stuck", PINGSTATE_INTERVAL="1")
    cluster.apply(*objects)
    cluster.until("restarted", lambda: sum(map(restart_count, cluster.pods("pingstate"))) > 0)
    # Restarted, not crashed: it was told to end and did.
    (pod,) = cluster.pods("pingstate")
    assert status_of(pod, "pingstate")["lastState"]["terminated"]["exitCode"] == 0


def restart_count(pod: Object) -> int:
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))


def test_a_probe_from_a_config_map_decides(cluster: Namespace) -> None:
    start_target(cluster, "replica", 8080)
    objects = rendered("examples/custom-probe")
    prepare(cluster, objects, "replica", PINGSTATE_INTERVAL="1")
    # As a sidecar would have it: what the cluster says of the Pod is then what the probe says.
    ((_, template),) = pod_templates(objects)
    (container,) = template["spec"]["containers"]
    container["readinessProbe"]["httpGet"]["path"] = "/healthz"
    cluster.apply(*objects)
    cluster.until("up while the lag is small", lambda: ready(cluster, "pingstate"))

    cluster.apply(*target("replica", 8080, replicas=1, lag=60.0))
    cluster.kubectl("rollout", "restart", "deployment/replica")
    cluster.until("down when it is large", lambda: not ready(cluster, "pingstate"))
    cluster.until(
        "the target itself is well",
        lambda: cluster.get("deployment", "replica")["status"].get("readyReplicas"),
    )
    cluster.holds("down when it is large", lambda: not ready(cluster, "pingstate"), 10)
    assert restarts(cluster, "pingstate") == 0


@pytest.mark.parametrize("folder", [one for one in KUSTOMIZATIONS if one != "monitoring"])
def test_the_api_server_takes_every_object_and_every_pod(cluster: Namespace, folder: str) -> None:
    objects = rendered(folder)
    cluster.apply(*objects)
    # A Deployment is taken whatever its Pods are like: they are put to the question themselves.
    for name, template in pod_templates(objects):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
        cluster.admits(pod | {"spec": template["spec"]})


def test_the_namespace_refuses_what_is_not_restricted(cluster: Namespace) -> None:
    # Else the test above would say nothing.
    template = dict(pod_templates(rendered("examples/start-gate")))["gated-init"]
    template["spec"]["securityContext"]["runAsNonRoot"] = False
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"}}
    with pytest.raises(KubectlError, match="restricted"):
        cluster.admits(pod | {"spec": template["spec"]})


@pytest.mark.parametrize("folder", ["base", "examples/readiness"])
def test_delete_ends_within_the_grace_period(cluster: Namespace, folder: str) -> None:
    objects = rendered(folder)
    if folder != "base":
        start_target(cluster, "database", 5432)
        prepare(cluster, objects, "database")
    cluster.apply(*objects)
    ((name, template),) = pod_templates(objects)
    cluster.until("ready", lambda: ready(cluster, name))
    pod = cluster.pod(name)["metadata"]["name"]
    grace = template["spec"].get("terminationGracePeriodSeconds", 30)
    began = time.monotonic()
    cluster.kubectl("delete", "pod", pod, f"--timeout={LONG:.0f}s")
    # What doesn't end by itself is killed when the period is over, and gone after it.
    assert time.monotonic() - began < grace
