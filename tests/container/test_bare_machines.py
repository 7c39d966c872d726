"""The image where a machine offers little: nothing to write to, no IPv6, or nobody who reads."""

from __future__ import annotations

from typing import Any

import pytest
from testcontainers.core.container import DockerContainer

from tests.support.containers import HARDENED, get_health
from tests.support.waiting import wait_until

ASK = (
    "import sys, urllib.request as request\n"
    "for host in sys.argv[1:]:\n"
    "    try: print(host, request.urlopen(f'http://{host}:8787/livez').read().decode())\n"
    "    except OSError: print(host, 'silent')"
)
NETWORKS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "both families": ({"net.ipv6.conf.all.disable_ipv6": "0"}, ["127.0.0.1 alive", "[::1] alive"]),
    "IPv4 alone": ({"net.ipv6.conf.all.disable_ipv6": "1"}, ["127.0.0.1 alive", "[::1] silent"]),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_it_answers_where_it_can_and_writes_nowhere(image: str, network: str) -> None:
    sysctls, answers = NETWORKS[network]
    container = DockerContainer(image).with_envs(
        PINGSTATE_ADDRESS="127.0.0.1", PINGSTATE_PORT="9", PINGSTATE_HEALTHCHECK="livez"
    )
    # Without /dev/shm, and a root that is read-only: no directory can be written to.
    container.with_kwargs(**HARDENED, ipc_mode="none", network_mode="none", sysctls=sysctls)
    with container:
        docker = container.get_wrapped_container()
        wait_until(lambda: get_health(docker) == "healthy", what="the container is healthy")
        asked = container.exec(["python", "-c", ASK, "127.0.0.1", "[::1]"])
        assert asked.output.decode().splitlines() == answers
        log = docker.logs().decode()
    assert "API on http://[::]:8787" in log
    assert "Traceback" not in log
