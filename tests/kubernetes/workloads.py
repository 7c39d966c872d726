"""What the cluster tests run, with the images of that cluster, and what they ask about it.

Nothing is pulled: the nodes must have the images PINGSTATE_IMAGE and PINGSTATE_TEST_NGINX_IMAGE.
"""

from __future__ import annotations

import json
import os

from tests.kubernetes.cluster import Namespace
from tests.kubernetes.manifests import (
    Object,
    containers,
    pod_templates,
    render,
    use_images,
)

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
        location /private {
            if ($http_authorization != "Bearer s3cr3t") { return 401; }
            return 200 "private";
        }
    }
}
"""

# A probe whose check never returns.
STUCK_PROBE = """
import threading


class Stuck:
    name = "stuck"
    timeout = 1.0

    def check(self):
        threading.Event().wait()
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


def find_status(pod: Object, container: str) -> Object:
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


def expect_readiness_to_follow(cluster: Namespace, app: str, target_name: str) -> None:
    """Stop and start the target: the app's Pod is Ready only while it is up, and never restarted."""
    cluster.until("ready with its target", lambda: ready(cluster, app))
    first = cluster.pod(app)["metadata"]["uid"]

    cluster.scale(target_name, 0)
    cluster.until("not ready without it", lambda: not ready(cluster, app))
    cluster.until("out of its Service", lambda: not endpoints(cluster, app))
    # Longer than the liveness probe needs to restart a container: period times threshold.
    cluster.holds("not ready without it", lambda: not ready(cluster, app), 45)
    assert restarts(cluster, app) == 0

    cluster.scale(target_name, 1)
    cluster.until("ready when it is back", lambda: ready(cluster, app))
    cluster.until("back in its Service", lambda: endpoints(cluster, app))
    assert restarts(cluster, app) == 0
    assert cluster.pod(app)["metadata"]["uid"] == first
