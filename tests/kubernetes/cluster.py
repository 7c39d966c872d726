"""A namespace of its own on the cluster that KUBECONFIG names, by way of kubectl."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.kubernetes import tools
from tests.kubernetes.manifests import Object
from tests.support.waiting import wait_until

# For whatever a healthy cluster does in the end, on a bad day.
TIMEOUT = 300.0


class KubectlError(Exception):
    """kubectl failed; what it said."""


class Namespace:
    """One namespace that enforces the restricted Pod Security Standard, and what happens in it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = TIMEOUT) -> str:
        """Run kubectl in the namespace and return its output; raises KubectlError."""
        result = subprocess.run(
            [tools.kubectl(), f"--namespace={self.name}", *arguments],
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if result.returncode:
            message = f"kubectl {' '.join(arguments)}: {result.stderr or result.stdout}"
            raise KubectlError(message)
        return result.stdout

    def apply(self, *objects: Object) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps(as_list(objects)))

    def admits(self, *objects: Object) -> None:
        """Let the API server judge the objects, nothing is kept; raises KubectlError."""
        self.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(as_list(objects)))

    def get(self, kind: str, name: str) -> Object:
        """Return the object; raises KubectlError when there is none."""
        found: Object = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def exists(self, kind: str, name: str) -> bool:
        return bool(self.kubectl("get", kind, name, "--ignore-not-found", "-o", "name"))

    def pods(self, app: str) -> list[Object]:
        """The Pods of a workload that aren't on their way out."""
        selector = f"--selector=app.kubernetes.io/name={app}"
        items = json.loads(self.kubectl("get", "pods", selector, "-o", "json"))["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def pod(self, app: str) -> Object:
        """The workload's one Pod, waited for."""
        (pod,) = self.until(f"one Pod of {app}", lambda: only_one(self.pods(app)))
        return pod  # type: ignore[no-any-return]  # until() returns what it was given

    def scale(self, deployment: str, replicas: int) -> None:
        self.kubectl("scale", f"deployment/{deployment}", f"--replicas={replicas}")

    def until(self, fact: str, ask: Callable[[], Any], seconds: float = TIMEOUT) -> Any:
        """Ask once a second until the answer is true, and return it; kubectl may fail meanwhile."""
        return wait_until(ask, what=fact, timeout=seconds, every=1, ignore=KubectlError)

    def holds(self, fact: str, ask: Callable[[], Any], seconds: float) -> None:
        """Assert that the answer stays true for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert ask(), fact
            time.sleep(1)

    def report(self) -> str:
        """What a person wants to see of a failure: Pods, events, logs."""
        parts = []
        for arguments in (
            ("get", "all", "-o", "wide"),
            ("get", "events", "--sort-by=.metadata.creationTimestamp"),
            ("describe", "pods"),
        ):
            parts += [f"$ kubectl {' '.join(arguments)}", self._said(*arguments)]
        for pod in self._said("get", "pods", "-o", "name").split():
            for when in ((), ("--previous",)):
                arguments = ("logs", pod, "--all-containers", "--prefix", "--tail=50", *when)
                parts += [f"$ kubectl {' '.join(arguments)}", self._said(*arguments)]
        return "\n".join(parts)

    def _said(self, *arguments: str) -> str:
        try:
            return self.kubectl(*arguments, seconds=60)
        except (KubectlError, subprocess.TimeoutExpired) as error:
            return str(error)


def as_list(objects: tuple[Object, ...]) -> Object:
    return {"apiVersion": "v1", "kind": "List", "items": list(objects)}


def only_one(found: list[Object]) -> list[Object]:
    return found if len(found) == 1 else []


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A new namespace, deleted at the end with all that is in it."""
    name = f"pingstate-test-{secrets.token_hex(4)}"
    here = Namespace(name)
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    here.kubectl(
        "create",
        "-f",
        "-",
        stdin=json.dumps(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": level}}
        ),
    )
    try:
        # Made by a controller a moment later; Pods that come before it are refused.
        try:
            here.until(
                "the default ServiceAccount", lambda: here.exists("serviceaccount", "default")
            )
        except Exception:
            # No fixture is there yet from which a report could be made.
            print(here.report())
            raise
        yield here
    finally:
        here.kubectl("delete", "namespace", name, "--wait=false")
