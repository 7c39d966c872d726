"""The sidecar component, rendered into apps of several shapes as their owners would."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml

from pingstate.settings import SETTINGS, ConfigurationError, load_settings
from tests.kubernetes import tools
from tests.kubernetes.manifests import (
    COMPONENT,
    K8S,
    Object,
    containers,
    content,
    environment,
    named,
    of_kind,
    pod_templates,
    put_sidecars,
    render,
)
from tests.support.documents import Document

APPS = Path(__file__).parent / "apps"
SHAPES = sorted(path.stem for path in APPS.glob("*.yaml"))
MODES = ("readiness", "start-gate")
VERSIONS = [f"1.{minor}" for minor in range(29, 38)]

# Why a setting is read from the ConfigMap or the Secret, or is not the user's to choose.
NOT_ANNOTATED = {
    "header": "may be a secret",
    "basic_auth": "is a secret",
    "body": "may be a secret",
    "send": "may be a secret",
    "probe": "code comes with a ConfigMap or an image, and its name with it",
    "log_format": "the same for all apps of a namespace",
    "log_level": "the same",
    "api_host": "the kubelet asks from outside the Pod",
    "api_port": "the probes and the port of the manifest name it",
    "once": "ends, and a sidecar stays",
    "wait": "the same",
    "print_config": "the same",
    "healthcheck": "the kubelet asks by HTTP",
}


def app(shape: str, mode: str = "readiness") -> Object:
    workload: Object = yaml.safe_load((APPS / f"{shape}.yaml").read_text().replace("MODE", mode))
    return workload


def sidecar(workload: Object) -> tuple[Object, Object]:
    """The Pod template, and the sidecar that is the first of its containers."""
    template = workload["spec"]["template"]
    first, *others = containers(template)
    assert first["name"] == "pingstate"
    assert "pingstate" not in [one["name"] for one in others]
    return template, first


def without_sidecar(workload: Object) -> Object:
    """The workload with all that the component adds taken away."""
    rest = copy.deepcopy(workload)
    metadata, spec = rest["metadata"], rest["spec"]["template"]["spec"]
    del metadata["annotations"]["pingstate/sidecar-added"]
    if not metadata["annotations"]:
        del metadata["annotations"]
    del spec["initContainers"][0]
    for name in ("initContainers", "volumes"):
        spec[name] = [one for one in spec[name] if one["name"] != "pingstate-sidecar"]
        if not spec[name]:
            del spec[name]
    return rest


@pytest.fixture(scope="module", params=[(shape, mode) for shape in SHAPES for mode in MODES], ids=" ".join)  # fmt: skip
def rendered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Object, Object]:
    """An app without and with its sidecar."""
    workload = app(*request.param)
    (result,) = put_sidecars(tmp_path_factory.mktemp("app"), workload)
    return workload, result


def test_the_shapes_of_apps_are_these() -> None:
    assert SHAPES == [
        "daemon-set",
        "hardened",
        "init-containers",
        "native-sidecar",
        "plain",
        "several-containers",
        "stateful-set",
    ]
    assert {app(shape)["kind"] for shape in SHAPES} == {"Deployment", "StatefulSet", "DaemonSet"}


def test_all_that_the_app_has_of_its_own_survives(rendered: tuple[Object, Object]) -> None:
    before, after = rendered
    assert without_sidecar(after) == before
    assert after != before


@pytest.mark.parametrize("version", VERSIONS)
def test_an_app_with_its_sidecar_matches_the_schema(
    rendered: tuple[Object, Object], version: str
) -> None:
    kubernetes_validate.validate(rendered[1], version, strict=True)


def test_the_sidecar_is_native_and_starts_before_every_other_container(
    rendered: tuple[Object, Object],
) -> None:
    template, first = sidecar(rendered[1])
    assert first is template["spec"]["initContainers"][0]
    assert first["restartPolicy"] == "Always"


def test_the_label_chooses_what_the_target_decides(rendered: tuple[Object, Object]) -> None:
    _, first = sidecar(rendered[1])
    paths = {
        name: first[name]["httpGet"]["path"]
        for name in ("startupProbe", "readinessProbe", "livenessProbe")
        if name in first
    }
    if rendered[1]["metadata"]["labels"]["pingstate/sidecar"] == "readiness":
        expected = {"startupProbe": "/livez", "readinessProbe": "/healthz"}
    else:
        expected = {"startupProbe": "/healthz"}
    # Liveness is never the target's state: a target that is down must not restart its sidecar.
    assert paths == {**expected, "livenessProbe": "/livez"}


def test_a_probe_asks_the_sidecars_own_port(rendered: tuple[Object, Object]) -> None:
    template, first = sidecar(rendered[1])
    assert first["ports"] == [{"name": "pingstate", "containerPort": 8787}]
    names = [port["name"] for one in containers(template) for port in one.get("ports", [])]
    assert len(set(names)) == len(names)
    for name in ("startupProbe", "livenessProbe"):
        assert first[name]["httpGet"]["port"] == "pingstate"


def test_the_sidecar_meets_the_restricted_standard_by_itself(
    rendered: tuple[Object, Object],
) -> None:
    template, first = sidecar(rendered[1])
    assert first["securityContext"] == {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (volume,) = (one for one in template["spec"]["volumes"] if one["name"] == "pingstate-sidecar")
    assert volume.keys() == {"name", "projected"}
    assert first["resources"].keys() == {"requests", "limits"}


def test_what_is_annotated_is_set_and_nothing_else(rendered: tuple[Object, Object]) -> None:
    template, first = sidecar(rendered[1])
    annotations = template["metadata"]["annotations"]
    given = {
        f"PINGSTATE_{name.removeprefix('pingstate/').replace('-', '_').upper()}": text
        for name, text in annotations.items()
    }
    variables = environment([], template, first)
    assert {name: text for name, text in variables.items() if text} == given
    assert len(variables) == len(SETTINGS) - len(NOT_ANNOTATED)


def test_every_setting_has_an_annotation_or_a_reason_why_not(tmp_path: Path) -> None:
    (result,) = put_sidecars(tmp_path, app("plain"))
    _, first = sidecar(result)
    paths = {one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in first["env"]}
    assert paths == {
        setting.variable: f"metadata.annotations['pingstate/{setting.flag.removeprefix('--')}']"
        for setting in SETTINGS
        if setting.name not in NOT_ANNOTATED
    }
    assert NOT_ANNOTATED.keys() < {setting.name for setting in SETTINGS}


@pytest.mark.parametrize("shape", [one for one in SHAPES if one != "several-containers"])
def test_an_annotation_that_is_missing_leaves_the_default(tmp_path: Path, shape: str) -> None:
    (result,) = put_sidecars(tmp_path, app(shape))
    template, first = sidecar(result)
    variables = environment([], template, first)
    given = {name: text for name, text in variables.items() if text}
    assert load_settings(variables).settings == load_settings(given).settings
    assert load_settings(variables).warnings == ()


def test_a_missing_address_is_a_clear_error_and_never_the_default(tmp_path: Path) -> None:
    workload = app("plain")
    del workload["spec"]["template"]["metadata"]["annotations"]
    (result,) = put_sidecars(tmp_path, workload)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environment([], *sidecar(result)))
    (problem,) = caught.value.problems
    assert problem.startswith("PINGSTATE_ADDRESS: ")
    # Where a person looks first: the Pod's own status says it.
    assert sidecar(result)[1]["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_a_config_map_says_what_is_not_annotated_by_files_and_by_numbered_lines(
    tmp_path: Path,
) -> None:
    workload = app("init-containers")
    del workload["spec"]["template"]["metadata"]["annotations"]["pingstate/path"]
    secret = tmp_path / "path"
    secret.write_text("/health?token=s3cr3t\n")
    config: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "pingstate-sidecar"},
        "data": {"PINGSTATE_PATH_FILE": str(secret), "PINGSTATE_CHECK_2": "header:ETag"},
    }
    (result,) = put_sidecars(tmp_path, workload)
    settings = load_settings(environment([config], *sidecar(result))).settings
    assert settings.path == "/health?token=s3cr3t"
    assert settings.check == ("status:200", "json:/status=ok", "header:ETag")


@pytest.mark.parametrize("label", [None, "ready", ""])
def test_a_workload_without_the_label_is_left_alone(tmp_path: Path, label: str | None) -> None:
    workload = app("init-containers")
    if label is None:
        del workload["metadata"]["labels"]["pingstate/sidecar"]
    else:
        workload["metadata"]["labels"]["pingstate/sidecar"] = label
    assert put_sidecars(tmp_path, workload) == [workload]


def test_a_label_counts_that_comes_with_the_manifest_or_a_base(tmp_path: Path) -> None:
    workload = app("plain")
    expected = put_sidecars(tmp_path / "manifest", workload)
    del workload["metadata"]["labels"]["pingstate/sidecar"]
    labels: Object = {"labels": [{"pairs": {"pingstate/sidecar": "readiness"}}]}
    (late,) = put_sidecars(tmp_path / "base", workload, **labels)
    assert "initContainers" not in late["spec"]["template"]["spec"]
    assert overlay(tmp_path / "overlay", "../base") == expected


def test_two_apps_have_targets_of_their_own_from_one_component(tmp_path: Path) -> None:
    results = put_sidecars(tmp_path, app("plain"), app("stateful-set", "start-gate"))
    targets = [environment(results, *sidecar(one))["PINGSTATE_ADDRESS"] for one in results]
    assert targets == ["database", "leader"]
    assert sidecar(results[0])[1]["env"] == sidecar(results[1])[1]["env"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_second_application_changes_nothing(tmp_path: Path, shape: str) -> None:
    once = put_sidecars(tmp_path / "base", app(shape))
    assert put_sidecars(tmp_path / "again", *once) == once
    assert overlay(tmp_path / "overlay", "../base") == once


# The owner's own: another limit, another period, an own variable, a Secret of another name.
OWN_CHANGES = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: any
spec:
  template:
    spec:
      initContainers:
        - name: pingstate
          env:
            - {name: PINGSTATE_LOG_LEVEL, value: debug}
          readinessProbe: {periodSeconds: 7}
          resources:
            limits: {memory: 256Mi}
"""


def test_a_second_application_undoes_no_change_of_the_apps_own(tmp_path: Path) -> None:
    base: Object = {
        "patches": [{"patch": OWN_CHANGES, "target": {"labelSelector": "pingstate/sidecar"}}]
    }
    (once,) = put_sidecars(tmp_path / "base", app("init-containers"), **base)
    _, first = sidecar(once)
    assert environment([], *sidecar(once))["PINGSTATE_LOG_LEVEL"] == "debug"
    assert first["readinessProbe"]["periodSeconds"] == 7
    assert first["resources"]["limits"] == {"cpu": "500m", "memory": "256Mi"}
    assert overlay(tmp_path / "overlay", "../base") == [once]


def test_a_config_map_and_a_secret_are_optional_and_found_by_their_fixed_names(
    tmp_path: Path,
) -> None:
    config: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "pingstate-sidecar"},
        "data": {"PINGSTATE_LOG_FORMAT": "json", "ca.pem": "a certificate"},
    }
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pingstate-sidecar"},
        "stringData": {"PINGSTATE_HEADER": "Authorization: Bearer s3cr3t"},
    }
    results = put_sidecars(tmp_path, app("plain"), config, secret)
    template, first = sidecar(named(results, "Deployment", "plain"))
    variables = environment(results, template, first)
    assert variables["PINGSTATE_LOG_FORMAT"] == "json"
    assert variables["PINGSTATE_HEADER"] == "Authorization: Bearer s3cr3t"
    # An annotation, missing or not, wins: `env` is stronger than `envFrom`.
    config["data"]["PINGSTATE_ADDRESS"] = "elsewhere"
    assert environment([config], template, first)["PINGSTATE_ADDRESS"] == "database"
    assert [next(iter(one.values())) for one in first["envFrom"]] == [
        {"name": "pingstate-sidecar", "optional": True}
    ] * 2
    assert first["volumeMounts"] == [
        {"name": "pingstate-sidecar", "mountPath": "/etc/pingstate", "readOnly": True}
    ]
    (volume,) = template["spec"]["volumes"]
    assert volume["projected"] == {
        "sources": [
            {"configMap": {"name": "pingstate-sidecar", "optional": True}},
            {"secret": {"name": "pingstate-sidecar", "optional": True}},
        ]
    }


def test_a_generated_secret_rolls_the_app_when_it_changes(tmp_path: Path) -> None:
    def references(value: str) -> tuple[str, str]:
        generator = {"name": "pingstate-sidecar", "literals": [f"PINGSTATE_HEADER=X: {value}"]}
        objects = put_sidecars(tmp_path, app("plain"), secretGenerator=[generator])
        assert len(of_kind(objects, "Secret")) == 1
        template, first = sidecar(named(objects, "Deployment", "plain"))
        assert environment(objects, template, first)["PINGSTATE_HEADER"] == f"X: {value}"
        (volume,) = template["spec"]["volumes"]
        return first["envFrom"][1]["secretRef"]["name"], volume["projected"]["sources"][1]["secret"]["name"]  # fmt: skip

    old, new = references("old"), references("new")
    assert old[0] == old[1] != new[0] == new[1]


def test_a_prefix_of_the_apps_own_leaves_names_alone_that_are_not_of_its_kustomization(
    tmp_path: Path,
) -> None:
    (result,) = put_sidecars(tmp_path, app("plain"), namePrefix="team-", nameSuffix="-1")
    assert result["metadata"]["name"] == "team-plain-1"
    template, first = sidecar(result)
    names = [next(iter(one.values()))["name"] for one in first["envFrom"]]
    (volume,) = template["spec"]["volumes"]
    names += [next(iter(one.values()))["name"] for one in volume["projected"]["sources"]]
    assert names == ["pingstate-sidecar"] * 4


def test_one_line_of_the_apps_own_kustomization_changes_the_image(tmp_path: Path) -> None:
    image = {"name": "pingstate", "newName": "registry.test/own", "newTag": "7.8.9"}
    (result,) = put_sidecars(tmp_path, app("init-containers"), images=[image])
    images = [one["image"] for one in containers(result["spec"]["template"])]
    assert images == [
        "registry.test/own:7.8.9",
        "example.test/migrate:2.1",
        "example.test/warm-up:1.0",
        "example.test/shop:4.2",
    ]


def test_the_component_comes_from_a_git_address_too(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    who = ("-c", "user.name=test", "-c", "user.email=test@example.test")
    for arguments in (
        ("init", "--quiet", "--initial-branch=main"),
        ("--work-tree", str(K8S.parent), "add", "k8s"),
        (*who, "commit", "--quiet", "--no-gpg-sign", "-m", "The manifests"),
        ("tag", "v0.1.0"),
    ):
        subprocess.run(["git", *arguments], cwd=repository, check=True)
    address = f"file://{repository}//k8s/sidecar?ref=v0.1.0"
    from_git = put_sidecars(tmp_path / "git", app("init-containers"), component=address)
    assert from_git == put_sidecars(tmp_path / "path", app("init-containers"))


def test_the_image_is_pinned_as_the_other_manifests_pin_it(tmp_path: Path) -> None:
    _, first = sidecar(put_sidecars(tmp_path, app("plain"))[0])
    ((_, template),) = pod_templates(render("base"))
    (monitor,) = template["spec"]["containers"]
    for key in ("image", "imagePullPolicy", "livenessProbe", "resources", "ports"):
        assert first[key] == monitor[key]


DOCUMENT = Document("k8s/README.md")
README = DOCUMENT.text


def snippets(file: str) -> list[str]:
    """The README's blocks that begin with this comment."""
    first = f"# {file}\n"
    return [text.removeprefix(first) for text in DOCUMENT.code("yaml") if text.startswith(first)]


def from_readme(text: str) -> Object:
    """A kustomization of the README's, with the component of this checkout in its line."""
    lines: Object = yaml.safe_load(text)
    assert lines["resources"] == ["deployment.yaml"]
    (address,) = lines.pop("components")
    assert address.startswith("https://")
    assert address.endswith(f"//k8s/sidecar?ref=v{metadata.version('pingstate')}")
    return {**lines, "resources": ["app.yaml"]}


def test_the_readmes_app_gets_its_sidecar(tmp_path: Path) -> None:
    (deployment,) = map(yaml.safe_load, snippets("deployment.yaml"))
    simple, _ = map(from_readme, snippets("kustomization.yaml"))
    (result,) = put_sidecars(tmp_path, deployment, **simple)
    template, first = sidecar(result)
    assert first["image"] == "registry.example.com/pingstate:0.1.0"
    assert without_sidecar(result) == deployment
    settings = load_settings(set_variables(environment([], template, first))).settings
    assert (settings.address, settings.port) == ("database", 5432)
    # The first README shows the line alone.
    section = "A Kubernetes readiness target"
    (short,) = map(yaml.safe_load, Document("README.md").code("yaml", section))
    assert short["components"] == yaml.safe_load(snippets("kustomization.yaml")[0])["components"]
    for version in VERSIONS:
        kubernetes_validate.validate(result, version, strict=True)


def test_the_readmes_init_container_waits_in_a_job_and_in_a_cron_job(tmp_path: Path) -> None:
    (init,) = map(yaml.safe_load, snippets("init container"))
    work = {"name": "work", "image": "example.test/work:1.0"}
    pod = {"restartPolicy": "Never", "initContainers": [init], "containers": [work]}
    labels = {"pingstate/sidecar": "start-gate"}
    job: Object = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "migrate", "labels": labels},
        "spec": {"template": {"spec": pod}},
    }
    cron_job: Object = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "nightly", "labels": labels},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": job["spec"]}},
    }
    results = put_sidecars(tmp_path, job, cron_job)
    assert sorted(results, key=lambda one: one["kind"]) == [cron_job, job]
    for one in results:
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)
    variables = environment([], {"metadata": {}}, init)
    result = subprocess.run(
        [sys.executable, "-m", "pingstate", *init["args"], "--print-config"],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    shown = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert shown["PINGSTATE_ADDRESS"].startswith("database ")
    assert shown["PINGSTATE_PORT"].startswith("5432 ")
    assert shown["PINGSTATE_WAIT"].startswith("600")


def test_the_readmes_annotations_are_what_they_say(tmp_path: Path) -> None:
    (annotations,) = map(yaml.safe_load, snippets("annotations"))
    workload = app("plain")
    workload["spec"]["template"]["metadata"]["annotations"] = annotations
    (result,) = put_sidecars(tmp_path, workload)
    settings = load_settings(set_variables(environment([], *sidecar(result)))).settings
    assert (settings.protocol, settings.address, settings.port) == ("http", "orders", 8080)
    assert settings.check == ("status:200", "json:/status=ok")
    assert settings.ready_states == ("up", "degraded")


def test_the_readmes_secret_and_file_reach_the_sidecar(tmp_path: Path) -> None:
    _, generated = map(from_readme, snippets("kustomization.yaml"))
    (tmp_path / "ca.pem").write_text("a certificate")
    objects = put_sidecars(tmp_path, app("plain"), **generated)
    template, first = sidecar(named(objects, "Deployment", "plain"))
    variables = environment(objects, template, first)
    assert variables["PINGSTATE_HEADER"] == "Authorization: Bearer s3cr3t"
    assert variables["ca.pem"] == "a certificate"
    (volume,) = template["spec"]["volumes"]
    config, secret = volume["projected"]["sources"]
    assert content(named(objects, "ConfigMap", config["configMap"]["name"])).keys() == {"ca.pem"}
    assert content(named(objects, "Secret", secret["secret"]["name"])).keys() == {
        "PINGSTATE_HEADER"
    }


def test_the_readmes_patches_do_what_they_say(tmp_path: Path) -> None:
    move, user, port = snippets("patch")
    target = {"labelSelector": "pingstate/sidecar"}
    (moved,) = put_sidecars(
        tmp_path / "moved", app("native-sidecar"), patches=[{"patch": move, "target": target}]
    )
    names = [one["name"] for one in containers(moved["spec"]["template"])]
    assert names == ["database-proxy", "pingstate", "app"]
    # It stays there when the component comes again.
    assert overlay(tmp_path / "overlay", "../moved") == [moved]
    (changed,) = put_sidecars(
        tmp_path / "user", app("plain"), patches=[{"patch": user, "target": target}]
    )
    assert sidecar(changed)[1]["securityContext"]["runAsUser"] == 65532
    (other,) = put_sidecars(
        tmp_path / "port", app("plain"), patches=[{"patch": port, "target": target}]
    )
    template, first = sidecar(other)
    settings = load_settings(set_variables(environment([], template, first))).settings
    # The probes ask the port by its name.
    assert first["ports"] == [{"name": "pingstate", "containerPort": settings.api_port}]
    assert settings.api_port == 8788
    kubernetes_validate.validate(other, VERSIONS[-1], strict=True)


def test_the_readme_names_the_settings_that_have_no_annotation() -> None:
    listed = README.partition("<!-- not annotated -->")[2].partition("<!-- end")[0]
    fixed = {"api_host", "api_port", "once", "wait", "print_config", "healthcheck"}
    assert sorted(re.findall(r"PINGSTATE_\w+", listed)) == sorted(
        setting.variable for setting in SETTINGS if setting.name in NOT_ANNOTATED.keys() - fixed
    )


def test_the_readmes_tables_name_what_is_there() -> None:
    listed = set(re.findall(r"^\| \[`[^`]+`\]\(([^)]+)\)", README, re.MULTILINE))
    folders = {str(path.parent.relative_to(K8S)) for path in K8S.rglob("kustomization.yaml")}
    assert listed == folders - {"examples/app"}
    for mode in MODES:
        assert f"`pingstate/sidecar: {mode}`" in README


def test_the_readme_tells_which_probe_asks_what(tmp_path: Path) -> None:
    asked = [sidecar(put_sidecars(tmp_path, app("plain", mode))[0])[1] for mode in MODES]
    ((_, template),) = pod_templates(render("base"))
    asked += template["spec"]["containers"]
    for name in ("startup", "readiness", "liveness"):
        row = re.search(rf"^\| {name} \|(.*)\|$", README, re.MULTILINE)
        assert row is not None
        paths = [one.get(f"{name}Probe", {}).get("httpGet", {}).get("path", "") for one in asked]
        assert [cell.strip().strip("`") for cell in row[1].split("|")] == paths


def test_the_readmes_commands_render() -> None:
    folders = re.findall(r"^kubectl apply -k k8s/(\S+)", README, re.MULTILINE)
    assert folders == ["base", "examples/readiness", "monitoring"]
    for folder in folders:
        assert render(folder)


def test_the_readmes_stand_in_answers_where_the_readiness_example_asks() -> None:
    commands = re.findall(r"^kubectl (create .*database.*)$", README, re.MULTILINE)
    service, deployment = (
        json.loads(tools.run(tools.kubectl(), *one.split(), "--dry-run=client", "-o", "json"))
        for one in commands
    )
    for one in (service, deployment):
        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    # The image serves its page on port 80.
    assert container["image"].startswith("nginx:")
    (port,) = service["spec"]["ports"]
    assert port["targetPort"] == 80
    ((_, template),) = pod_templates(render("examples/readiness"))
    (first,) = template["spec"]["initContainers"]
    variables = environment([], template, first)
    assert variables["PINGSTATE_ADDRESS"] == service["metadata"]["name"]
    assert variables["PINGSTATE_PORT"] == str(port["port"])
    (scaled,) = re.findall(r"^kubectl scale deployment (\S+) ", README, re.MULTILINE)
    assert scaled == deployment["metadata"]["name"]


def set_variables(variables: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in variables.items() if text}


def overlay(folder: Path, base: str) -> list[Object]:
    """Render another kustomization over an app's, with the component once more."""
    folder.mkdir()
    lines = {"resources": [base], "components": [os.path.relpath(COMPONENT, folder.resolve())]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(lines))
    return render(folder)
