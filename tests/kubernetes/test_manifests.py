"""Every manifest as it is rendered: the schema, and what no schema can see."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml

from pingstate.settings import ConfigurationError, load_settings
from tests.kubernetes.manifests import (
    K8S,
    KUSTOMIZATIONS,
    Object,
    containers,
    environment,
    named,
    of_kind,
    pod_templates,
    render,
    stays,
)

# Native sidecars are on by default from 1.29.
OLDEST, NEWEST = "1.29", "1.37"
CUSTOM_RESOURCES = {"PodMonitor", "PrometheusRule"}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@pytest.fixture(scope="module", params=KUSTOMIZATIONS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return render(request.param)


@pytest.fixture(scope="module")
def everything() -> dict[str, list[Object]]:
    return {folder: render(folder) for folder in KUSTOMIZATIONS}


def pods(everything: dict[str, list[Object]]) -> Iterator[tuple[list[Object], Object]]:
    """Each Pod template with the objects that it was rendered with."""
    for objects in everything.values():
        for _, template in pod_templates(objects):
            yield objects, template


def sidecars(everything: dict[str, list[Object]]) -> Iterator[tuple[list[Object], Object, Object]]:
    """Each container of ours, with its Pod template and the objects around it."""
    for objects, template in pods(everything):
        for container in containers(template):
            if container["image"].startswith("pingstate:"):
                yield objects, template, container


def source_files() -> list[Path]:
    return [path for path in K8S.rglob("*.yaml") if path.name != "kustomization.yaml"]


def test_these_kustomizations_are_shipped() -> None:
    assert KUSTOMIZATIONS == [
        "base",
        "examples/app",
        "examples/custom-probe",
        "examples/readiness",
        "examples/start-gate",
        "monitoring",
    ]


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(K8S)))
def test_a_file_holds_one_object(path: Path) -> None:
    (only,) = yaml.safe_load_all(path.read_text())
    assert {"apiVersion", "kind", "metadata"} <= only.keys()


@pytest.mark.parametrize("folder", KUSTOMIZATIONS)
def test_a_kustomization_opens_with_what_it_is_for(folder: str) -> None:
    first, second, third, *_ = (K8S / folder / "kustomization.yaml").read_text().splitlines()
    assert first.startswith("# ")
    assert second.startswith("# ")
    assert not third.startswith("#")


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_matches_the_schema(objects: list[Object], version: str) -> None:
    for one in objects:
        if one["kind"] not in CUSTOM_RESOURCES:
            kubernetes_validate.validate(one, version, strict=True)


def test_the_schema_is_strict_enough_to_see_an_unknown_field() -> None:
    (deployment,) = of_kind(render("base"), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, OLDEST, strict=True)


def test_the_readme_names_the_versions_that_are_validated() -> None:
    readme = (K8S / "README.md").read_text()
    assert f"Kubernetes {OLDEST} to {NEWEST}" in readme


def test_a_deployment_selects_its_own_pods(everything: dict[str, list[Object]]) -> None:
    for objects in everything.values():
        for deployment in of_kind(objects, "Deployment"):
            labels = deployment["spec"]["template"]["metadata"]["labels"]
            assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_no_two_workloads_share_a_selector(everything: dict[str, list[Object]]) -> None:
    selectors = [
        deployment["spec"]["selector"]["matchLabels"]
        for objects in everything.values()
        for deployment in of_kind(objects, "Deployment")
    ]
    assert len(selectors) == 5
    assert len({tuple(sorted(one.items())) for one in selectors}) == len(selectors)


def test_a_monitor_is_replaced_and_never_joined_by_another() -> None:
    (deployment,) = of_kind(render("base"), "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_a_monitor_answers_on_each_family_of_addresses_that_the_cluster_has() -> None:
    (service,) = of_kind(render("base"), "Service")
    assert service["spec"]["ipFamilyPolicy"] == "PreferDualStack"
    dockerfile = (K8S.parent / "Dockerfile").read_text()
    assert re.search(r"\bPINGSTATE_API_HOST=::$", dockerfile, re.MULTILINE)


def test_a_service_selects_one_workload_and_a_port_that_a_plain_container_has(
    everything: dict[str, list[Object]],
) -> None:
    # Of all that may share a namespace, not only of its own kustomization. A plain container:
    # a Service doesn't find the named port of a native sidecar in every version.
    templates = [template for _, template in pods(everything)]
    services = [one for objects in everything.values() for one in of_kind(objects, "Service")]
    assert len(services) == 3
    for service in services:
        selector = service["spec"]["selector"].items()
        (template,) = (one for one in templates if selector <= one["metadata"]["labels"].items())
        ports = [
            port["name"]
            for container in template["spec"]["containers"]
            for port in container.get("ports", [])
        ]
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports


def test_a_network_policy_lets_clients_reach_the_pods_it_selects(
    everything: dict[str, list[Object]],
) -> None:
    policies = [
        (objects, policy)
        for objects in everything.values()
        for policy in of_kind(objects, "NetworkPolicy")
    ]
    assert len(policies) == 2
    for objects, policy in policies:
        selector = policy["spec"]["podSelector"]["matchLabels"].items()
        ((_, template),) = pod_templates(objects)
        assert selector <= template["metadata"]["labels"].items()
        (rule,) = policy["spec"]["ingress"]
        (port,) = rule["ports"]
        (container,) = template["spec"]["containers"]
        assert port["port"] in [one["name"] for one in container["ports"]]
        assert rule["from"] == [{"namespaceSelector": {}}]
        assert policy["spec"]["policyTypes"] == ["Ingress"]


def test_a_probe_asks_a_port_of_its_own_container(everything: dict[str, list[Object]]) -> None:
    seen = 0
    for _, template in pods(everything):
        for container in containers(template):
            ports = [port["name"] for port in container.get("ports", [])]
            for name in PROBES:
                if name in container:
                    assert container[name]["httpGet"]["port"] in ports
                    seen += 1
    assert seen > 0


def test_a_plain_init_container_has_neither_probes_nor_ports(
    everything: dict[str, list[Object]],
) -> None:
    plain = [
        container
        for _, template in pods(everything)
        for container in containers(template)
        if not stays(template, container)
    ]
    assert [one["name"] for one in plain] == ["wait-for-database"]
    assert not plain[0].keys() & {*PROBES, "ports", "lifecycle"}


def test_a_sidecar_listens_where_its_port_says(everything: dict[str, list[Object]]) -> None:
    for objects, template, container in sidecars(everything):
        if stays(template, container):
            assert container["ports"] == [{"name": "pingstate", "containerPort": 8787}]
            # The image's own: every address of both families, and 8787. The kubelet asks from
            # outside the Pod.
            assert not environment(objects, template, container).keys() & {
                "PINGSTATE_API_HOST",
                "PINGSTATE_API_PORT",
            }


def test_liveness_is_livez_and_never_the_targets_state(
    everything: dict[str, list[Object]],
) -> None:
    for _, template, container in sidecars(everything):
        if stays(template, container):
            assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_readiness_is_the_targets_state_beside_an_app_and_the_monitors_own_alone(
    everything: dict[str, list[Object]],
) -> None:
    paths = {
        (folder, container["name"]): container["readinessProbe"]["httpGet"]["path"]
        for folder, objects in everything.items()
        for _, template in pod_templates(objects)
        for container in containers(template)
        if "readinessProbe" in container
    }
    assert paths["base", "pingstate"] == "/livez"
    assert paths["examples/custom-probe", "pingstate"] == "/livez"
    assert paths["examples/readiness", "pingstate"] == "/healthz"
    assert ("examples/start-gate", "pingstate") not in paths


def test_the_start_gate_is_closed_by_a_native_sidecars_startup_or_by_an_init_container(
    everything: dict[str, list[Object]],
) -> None:
    gates = dict(pod_templates(everything["examples/start-gate"]))
    (native,) = gates["gated-native"]["spec"]["initContainers"]
    assert native["restartPolicy"] == "Always"
    assert native["startupProbe"]["httpGet"]["path"] == "/healthz"
    (init,) = gates["gated-init"]["spec"]["initContainers"]
    assert "restartPolicy" not in init
    assert init["args"][0] == "--wait"
    assert float(init["args"][1]) > 0


def test_the_readiness_examples_sidecar_is_native_and_does_not_gate_the_start(
    everything: dict[str, list[Object]],
) -> None:
    ((_, template),) = pod_templates(everything["examples/readiness"])
    (native,) = template["spec"]["initContainers"]
    assert native["restartPolicy"] == "Always"
    assert native["startupProbe"]["httpGet"]["path"] == "/livez"


def test_every_pod_meets_the_restricted_pod_security_standard(
    everything: dict[str, list[Object]],
) -> None:
    for _, template in pods(everything):
        spec = template["spec"]
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        assert spec["securityContext"]["runAsNonRoot"] is True
        # The image's own user, or whom OpenShift chooses, where every container is ours.
        others = [one for one in containers(template) if not one["image"].startswith("pingstate:")]
        assert spec["securityContext"].get("runAsUser") == (65532 if others else None)
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in spec.get("volumes", []):
            assert volume.keys() & {"configMap", "emptyDir"}
        for container in containers(template):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not context.keys() & {"privileged", "runAsUser", "runAsNonRoot"}


def test_a_pods_status_says_what_its_sidecar_said_last(
    everything: dict[str, list[Object]],
) -> None:
    policies = [one["terminationMessagePolicy"] for _, _, one in sidecars(everything)]
    assert policies == ["FallbackToLogsOnError"] * 5


def test_no_pod_gets_service_links_or_a_token(everything: dict[str, list[Object]]) -> None:
    for _, template in pods(everything):
        assert template["spec"]["enableServiceLinks"] is False
        assert template["spec"]["automountServiceAccountToken"] is False


def test_every_container_has_requests_and_limits(everything: dict[str, list[Object]]) -> None:
    for _, template in pods(everything):
        for container in containers(template):
            for kind in ("requests", "limits"):
                assert container["resources"][kind].keys() == {"cpu", "memory"}


def test_every_mount_has_a_volume_and_every_config_map_is_there(
    everything: dict[str, list[Object]],
) -> None:
    for objects, template in pods(everything):
        volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
        mounted = {
            mount["name"]
            for container in containers(template)
            for mount in container.get("volumeMounts", [])
        }
        assert mounted == volumes.keys()
        for volume in volumes.values():
            if "configMap" in volume:
                assert named(objects, "ConfigMap", volume["configMap"]["name"])["data"]


def test_no_two_kustomizations_share_an_object(everything: dict[str, list[Object]]) -> None:
    # Else deleting one would break another. ../app is there only to be included.
    objects = [
        (one["kind"], one["metadata"]["name"])
        for folder, objects in everything.items()
        for one in objects
        if folder != "examples/app"
    ]
    assert {kind for kind, _ in objects} > {"ConfigMap", "Deployment", "Service"}
    assert len(set(objects)) == len(objects)


def test_every_setting_of_every_sidecar_is_known_and_valid(
    everything: dict[str, list[Object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = 0
    for objects, template, container in sidecars(everything):
        folder = tmp_path / str(checked)
        folder.mkdir()
        for volume in template["spec"].get("volumes", []):
            if volume["name"] == "probes":
                data = named(objects, "ConfigMap", volume["configMap"]["name"])["data"]
                for name, text in data.items():
                    (folder / name).write_text(text)
        monkeypatch.syspath_prepend(folder)
        variables = environment(objects, template, container)
        assert load_settings(variables).warnings == ()
        # The arguments are the program's own to judge, as the container would start it.
        result = subprocess.run(
            [sys.executable, "-m", "pingstate", *container.get("args", []), "--print-config"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        checked += 1
    assert checked == 5


def test_a_misspelt_setting_of_a_sidecar_would_be_seen(tmp_path: Path) -> None:
    # Else the test above would say nothing.
    objects = render(edited_base(tmp_path, "PINGSTATE_LOG_FORMAT=json", "PINGSTATE_INTERVALL=30"))
    ((_, template),) = pod_templates(objects)
    (container,) = template["spec"]["containers"]
    with pytest.raises(ConfigurationError, match="PINGSTATE_INTERVALL: is not a setting"):
        load_settings(environment(objects, template, container))


def edited_base(folder: Path, *replacements: str) -> Path:
    """A copy of k8s/base whose pingstate.env has each odd text replaced by the one after it."""
    shutil.copytree(K8S, folder / "k8s")
    settings = folder / "k8s/base/pingstate.env"
    text = settings.read_text()
    for old, new in zip(replacements[::2], replacements[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    settings.write_text(text)
    return settings.parent


def test_no_sidecar_is_left_with_the_default_target(everything: dict[str, list[Object]]) -> None:
    for objects, template, container in sidecars(everything):
        settings = environment(objects, template, container)
        assert "PINGSTATE_ADDRESS" in settings or "PINGSTATE_PROBE" in settings


def test_the_target_annotation_is_the_target_of_the_settings(
    everything: dict[str, list[Object]],
) -> None:
    for objects, template, container in sidecars(everything):
        if stays(template, container):
            target = template["metadata"]["annotations"]["pingstate/target"]
            settings = environment(objects, template, container)
            if "PINGSTATE_PROBE" in settings:
                host, port = target.split(":")
                module = settings["PINGSTATE_PROBE"].partition(":")[0]
                code = (K8S / "examples/custom-probe" / f"{module}.py").read_text()
                assert f'"{host}", {port}' in code
            else:
                assert target == f"{settings['PINGSTATE_ADDRESS']}:{settings['PINGSTATE_PORT']}"


@pytest.mark.parametrize(("address", "port"), [("database.shop.svc", 5432), ("fd00::7", 80)])
def test_the_target_annotation_follows_the_settings_of_the_base_and_no_other(
    tmp_path: Path, address: str, port: int
) -> None:
    base = edited_base(
        tmp_path,
        "PINGSTATE_ADDRESS=kubernetes.default.svc",
        f"PINGSTATE_ADDRESS={address}",
        "PINGSTATE_PORT=443",
        f"PINGSTATE_PORT={port}",
    )
    ((_, template),) = pod_templates(render(base))
    assert template["metadata"]["annotations"] == {"pingstate/target": f"{address}:{port}"}
    ((_, template),) = pod_templates(render(base.parent / "examples/custom-probe"))
    assert template["metadata"]["annotations"] == {"pingstate/target": "replica:8080"}


def test_images_are_pinned_and_ours_is_of_this_version(
    everything: dict[str, list[Object]],
) -> None:
    for _, template in pods(everything):
        for container in containers(template):
            name, _, tag = container["image"].partition(":")
            assert re.match(r"\d+\.\d+", tag)
            assert container["imagePullPolicy"] == "IfNotPresent"
            if name == "pingstate":
                assert tag == metadata.version("pingstate")


@pytest.mark.parametrize("folder", [one for one in KUSTOMIZATIONS if one.startswith("examples/")])
def test_one_line_of_a_kustomization_changes_the_image_everywhere(
    folder: str, tmp_path: Path
) -> None:
    shutil.copytree(K8S, tmp_path / "k8s")
    ours = "name: pingstate, newName: pingstate, newTag: 0.1.0"
    other = "name: pingstate, newName: registry.test/own, newTag: 7.8.9"
    for path in (tmp_path / "k8s").rglob("kustomization.yaml"):
        path.write_text(path.read_text().replace(ours, other))
    images = [
        container["image"]
        for _, template in pod_templates(render(tmp_path / "k8s" / folder))
        for container in containers(template)
    ]
    assert not any(image.startswith("pingstate:") for image in images)
    assert ("registry.test/own:7.8.9" in images) == bool(images)


def test_another_setting_rolls_the_deployment(tmp_path: Path) -> None:
    shutil.copytree(K8S, tmp_path / "k8s")
    settings = tmp_path / "k8s/base/pingstate.env"
    settings.write_text(settings.read_text() + "PINGSTATE_INTERVAL=30\n")
    before, after = render("base"), render(tmp_path / "k8s/base")
    ((_, old),) = pod_templates(before)
    ((_, new),) = pod_templates(after)
    assert old["spec"]["containers"][0]["envFrom"] != new["spec"]["containers"][0]["envFrom"]
    assert environment(after, new, new["spec"]["containers"][0])["PINGSTATE_INTERVAL"] == "30"


def test_the_pod_monitor_scrapes_every_sidecar_and_nothing_that_ends(
    everything: dict[str, list[Object]],
) -> None:
    (monitor,) = of_kind(everything["monitoring"], "PodMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["spec"].keys() == {"namespaceSelector", "selector", "podMetricsEndpoints"}
    assert monitor["spec"]["namespaceSelector"] == {"any": True}
    assert monitor["spec"]["selector"] == {}
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint.keys() == {"port", "path", "interval", "scrapeTimeout", "relabelings"}
    assert endpoint["path"] == "/metrics"
    scraped = [
        (container["name"], stays(template, container))
        for _, template in pods(everything)
        for container in containers(template)
        if endpoint["port"] in [port["name"] for port in container.get("ports", [])]
    ]
    assert scraped == [("pingstate", True)] * 4


@pytest.mark.parametrize(
    ("annotations", "instance"),
    [
        ({}, "10.0.0.1:8787"),
        ({"pingstate/target": "database:5432"}, "database:5432"),
        ({"pingstate/address": "database", "pingstate/port": "5432"}, "database:5432"),
        ({"pingstate/address": "database"}, "database"),
        ({"pingstate/address": "fd00::7"}, "fd00::7"),
        ({"pingstate/address": "fd00::7", "pingstate/port": "443"}, "fd00::7:443"),
        ({"pingstate/address": "a", "pingstate/port": "1", "pingstate/target": "b:2"}, "b:2"),
    ],
    ids=str,
)
def test_the_pod_monitor_makes_the_annotated_target_the_instance(
    everything: dict[str, list[Object]], annotations: dict[str, str], instance: str
) -> None:
    (monitor,) = of_kind(everything["monitoring"], "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    job, *rules = endpoint["relabelings"]
    assert job == {"targetLabel": "job", "replacement": "pingstate"}
    assert [rule["targetLabel"] for rule in rules] == ["instance"] * 2
    # Prometheus makes label names of annotations so: all but letters and digits is _.
    labels = {
        "__meta_kubernetes_pod_annotation_" + re.sub(r"\W", "_", name): text
        for name, text in annotations.items()
    }
    seen = "10.0.0.1:8787"
    for rule in rules:
        joined = rule.get("separator", ";").join(labels.get(x, "") for x in rule["sourceLabels"])
        if found := re.fullmatch(rule["regex"], joined):
            seen = found[1]
    assert seen == instance
