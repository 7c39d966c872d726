"""The examples on a real cluster, the one that KUBECONFIG names.

Each test has a namespace of its own that enforces the restricted Pod Security Standard. Nothing is
pulled: the nodes must have the images PINGSTATE_IMAGE and PINGSTATE_TEST_NGINX_IMAGE. What is
asserted is what the cluster itself says in its objects, so that neither the Pods' network nor
`kubectl exec` need be reachable from here. The target is reached by its Service's address, put in
/etc/hosts: a cluster without DNS will do.
"""

from __future__ import annotations

import time

import pytest

from tests.kubernetes.cluster import TIMEOUT, KubectlError, Namespace
from tests.kubernetes.manifests import KUSTOMIZATIONS, named, of_kind, pod_templates
from tests.kubernetes.workloads import (
    STUCK_PROBE,
    endpoints,
    expect_readiness_to_follow,
    find_status,
    prepare,
    ready,
    rendered,
    restarts,
    start_target,
    target,
)

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1800)]


def test_readiness_follows_the_target_and_the_sidecar_outlives_it(cluster: Namespace) -> None:
    start_target(cluster, "database", 5432)
    objects = rendered("examples/readiness")
    prepare(cluster, objects, "database", PINGSTATE_INTERVAL="1")
    cluster.apply(*objects)
    expect_readiness_to_follow(cluster, "shop", "database")


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
        lambda: "running" in find_status(cluster.pod(app), gate).get("state", {}),
    )
    cluster.holds(
        "the app waits",
        lambda: "waiting" in find_status(cluster.pod(app), "app").get("state", {}),
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
    families = cluster.get("service", "pingstate")["spec"]["ipFamilies"]
    cluster.until(
        f"behind its Service by {' and '.join(families)}",
        lambda: len(endpoints(cluster, "pingstate")) == len(families),
    )
    assert restarts(cluster, "pingstate") == 0


def test_a_stuck_monitor_is_restarted_by_its_liveness_probe(cluster: Namespace) -> None:
    objects = rendered("examples/custom-probe")
    for one in of_kind(objects, "ConfigMap"):
        if "replica_lag.py" in one["data"]:
            one["data"] = {"stuck.py": STUCK_PROBE}
    prepare(cluster, objects, PINGSTATE_PROBE="stuck:Stuck", PINGSTATE_INTERVAL="1")
    cluster.apply(*objects)
    # The kubelet counts a restart a moment before it tells how the one before ended.
    ended = cluster.until(
        "restarted",
        lambda: (
            find_status(cluster.pod("pingstate"), "pingstate")
            .get("lastState", {})
            .get("terminated")
        ),
    )
    # Restarted, not crashed: it was told to end and did.
    assert ended["exitCode"] == 0
    assert restarts(cluster, "pingstate") > 0


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
    cluster.kubectl("delete", "pod", pod, f"--timeout={TIMEOUT:.0f}s")
    # What doesn't end by itself is killed when the period is over, and gone after it.
    assert time.monotonic() - began < grace
