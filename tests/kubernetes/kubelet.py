"""A real kubelet on this machine, alone: static Pods with probes, no cluster around it.

No distribution ships the kubelet as a binary where no download site answers, but Debian's source
package `kubernetes` holds all of it. `python3 tests/kubernetes/kubelet.py` builds it into the
cache (4 to 8 minutes on two cores, 700 MB for the while); from then on it is there. It is
Kubernetes 1.20: it knows no native sidecars, and its probes are those of every later version.

Needs root, cgroups, Docker and a Debian apt. Everything runs below one temporary folder, with a
containerd of its own, and is gone afterwards, but for the empty folders /var/lib/kubelet,
/var/log/pods and /var/log/containers, whose places no option changes.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

# Started as a script, the folder `tests` isn't importable by itself.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.kubernetes import tools
from tests.support.waiting import wait_until

SUITE = "bookworm"
PODS_URL = "https://127.0.0.1:10250/pods"
BRIDGE = "pingstate0"
SUBNET, GATEWAY = "10.187.13.0/24", "10.187.13.1"
PAUSE = "localhost/pingstate-test/pause:1"


def binary() -> Path:
    """The kubelet; built when the cache has none."""
    with tools.locked("kubelet") as folder:
        kubelet = folder / "kubelet"
        if not kubelet.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            with tempfile.TemporaryDirectory(dir=folder) as name:
                build(Path(name), kubelet)
        return kubelet


def build(folder: Path, target: Path) -> None:
    """Compile Debian's source with Debian's Go, all below `folder`, into the file `target`."""
    apt = tools.Apt(SUITE)
    apt.source(folder, "kubernetes")
    apt.unpack(folder / "toolchain", "golang-1.19-go", "golang-1.19-src")
    go = folder / "toolchain/usr/lib/go-1.19"
    (archive,) = folder.glob("*.orig.tar.gz")
    # In a GOPATH, as it was built then, the vendored libraries are enough: no network.
    tree = folder / "src/k8s.io/kubernetes"
    tools.run("tar", "-xf", archive, "-C", folder)
    (unpacked,) = folder.glob("kubernetes-*/")
    tree.parent.mkdir(parents=True)
    unpacked.rename(tree)
    subprocess.run(
        [
            "nice",
            go / "bin/go",
            "build",
            "-trimpath",
            "-ldflags=-s -w",
            "-o",
            target,
            "./cmd/kubelet",
        ],
        cwd=tree,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "GOROOT": str(go),
            "GOPATH": str(folder),
            "GOCACHE": str(folder / "cache"),
            "GO111MODULE": "off",
            "CGO_ENABLED": "0",
        },
        check=True,
    )


class Kubelet:
    """A running kubelet. Pods come and go as files; what it sees of them is asked by HTTPS."""

    def __init__(self, manifests: Path) -> None:
        self._manifests = manifests

    def run(self, pod: Mapping[str, Any]) -> None:
        """Start the Pod, or replace the one of that name."""
        # JSON is YAML; moved in, so that no half of it is ever read.
        target = self._manifests / f"{pod['metadata']['name']}.yaml"
        partial = self._manifests.parent / target.name
        partial.write_text(json.dumps(pod))
        partial.rename(target)

    def remove(self, name: str) -> None:
        (self._manifests / f"{name}.yaml").unlink()

    def pods(self) -> dict[str, Any]:
        """Each Pod's status, by the name that its manifest gave it."""
        context = ssl.create_default_context()
        # The kubelet signs its certificate itself.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with urllib.request.urlopen(PODS_URL, context=context, timeout=10) as answer:
            pods = json.load(answer)["items"] or []
        node = platform.node().lower()
        return {pod["metadata"]["name"].removesuffix(f"-{node}"): pod["status"] for pod in pods}

    def answers(self) -> bool:
        try:
            self.pods()
        except OSError:
            return False
        return True


def containerd_config(folder: Path, runtime: Path) -> str:
    return f"""
version = 2
root = "{folder}/containerd"
state = "{folder}/run"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{runtime}/usr/lib/cni"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def network_config(folder: Path) -> dict[str, Any]:
    ipam = {"type": "host-local", "subnet": SUBNET, "dataDir": str(folder / "addresses")}
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipam": ipam}
    return {"cniVersion": "0.4.0", "name": "pingstate", "plugins": [bridge]}


def kubelet_config(folder: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "staticPodPath": str(folder / "manifests"),
        "fileCheckFrequency": "1s",
        "syncFrequency": "1s",
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        # The disk of a developer's machine is its owner's business.
        "evictionHard": {"memory.available": "1Mi"},
        "imageGCHighThresholdPercent": 100,
        "resolvConf": "",
    }


@contextmanager
def process(command: list[str | Path], log: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Run a daemon with its output in `log`; end it with SIGTERM, after 20 s with SIGKILL."""
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(env)
        )
    try:
        yield
    finally:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


@contextmanager
def running(*images: str) -> Iterator[Kubelet]:
    """A kubelet that has these images of the Docker engine; ended with all its Pods."""
    kubelet = binary()
    packages = ("containerd", "runc", "containernetworking-plugins", "catatonit")
    runtime = tools.from_debian("kubelet-runtime", SUITE, *packages)
    env = {"PATH": f"{runtime}/usr/bin:{runtime}/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin"}
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="pingstate-kubelet-"))
        stack.callback(clean_up, folder)
        for name in ("manifests", "cni"):
            (folder / name).mkdir()
        (folder / "containerd.toml").write_text(containerd_config(folder, runtime))
        (folder / "cni/bridge.conflist").write_text(json.dumps(network_config(folder)))
        (folder / "kubelet.yaml").write_text(json.dumps(kubelet_config(folder)))
        socket = folder / "containerd.sock"
        ctr = (f"{runtime}/usr/bin/ctr", "-a", socket, "-n", "k8s.io")

        stack.enter_context(
            process(
                [f"{runtime}/usr/bin/containerd", "-c", folder / "containerd.toml"],
                folder / "containerd.log",
                env,
            )
        )
        wait_until(
            lambda: succeeds(*ctr, "version"), what="containerd answers", timeout=60, every=0.2
        )
        make_pause_image(runtime)
        for image in (PAUSE, *images):
            archive = folder / "image.tar"
            tools.run("docker", "save", "-o", archive, image)
            tools.run(*ctr, "images", "import", archive)
            archive.unlink()

        stack.enter_context(
            process(
                [
                    kubelet,
                    f"--config={folder}/kubelet.yaml",
                    f"--root-dir={folder}/kubelet",
                    f"--cert-dir={folder}/certificates",
                    "--container-runtime=remote",
                    f"--container-runtime-endpoint=unix://{socket}",
                    f"--hostname-override={platform.node().lower()}",
                ],
                folder / "kubelet.log",
                env,
            )
        )
        kubelet_api = Kubelet(folder / "manifests")
        try:
            wait_until(kubelet_api.answers, what="the kubelet answers", timeout=60, every=0.2)
            yield kubelet_api
        except BaseException:
            print_logs(folder)
            raise
        finally:
            for manifest in (folder / "manifests").iterdir():
                manifest.unlink()
            tasks = (*ctr, "tasks", "list", "-q")
            try:
                wait_until(
                    lambda: not tools.run(*tasks).strip(),
                    what="the kubelet has ended its Pods",
                    timeout=90,
                    every=0.2,
                )
            finally:
                for task in tools.run(*tasks).split():
                    tools.run(*ctr, "tasks", "kill", "--signal", "SIGKILL", task)


def make_pause_image(runtime: Path) -> None:
    """The container that holds a Pod's network: catatonit with -P does nothing but wait."""
    if not succeeds("docker", "image", "inspect", PAUSE):
        with tempfile.TemporaryDirectory() as name:
            archive = Path(name, "pause.tar")
            with tarfile.open(archive, "w") as tar:
                tar.add(runtime / "usr/bin/catatonit", "pause")
            change = 'ENTRYPOINT ["/pause", "-P"]'
            tools.run("docker", "import", "--change", change, archive, PAUSE)


def succeeds(*command: str | Path) -> bool:
    quiet = subprocess.DEVNULL
    return (
        subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, check=False).returncode
        == 0
    )


def print_logs(folder: Path) -> None:
    for log in (*folder.glob("*.log"), *Path("/var/log/containers").glob("*pingstate*")):
        lines = log.read_text(errors="replace").splitlines()[-60:]
        print(f"--- {log.name}", *lines, sep="\n")


def clean_up(folder: Path) -> None:
    """What the kubelet mounted, its bridge, and the folder."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed(mounts):
        if mount.startswith(f"{folder}/"):
            tools.run("umount", mount)
    if Path("/sys/class/net", BRIDGE).exists():
        tools.run("ip", "link", "delete", BRIDGE)
    shutil.rmtree(folder)


if __name__ == "__main__":
    print(binary())
