"""What a person sees of a sidecar in a container while its target is stopped and started."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pytest
import trustme
from axe_playwright_python.sync_playwright import Axe
from docker.models.containers import Container
from playwright.sync_api import expect
from testcontainers.core.network import Network

from tests.browser.conftest import DESKTOP, PHONE
from tests.container.test_targets import TLS_SITE
from tests.support import ROOT
from tests.support.containers import SidecarContainer, running_server, running_sidecar

pytestmark = [pytest.mark.container, pytest.mark.timeout(900)]

PICTURE = ROOT / ".github/page.png"


@dataclass
class Watched:
    server: Container
    sidecar: SidecarContainer

    @property
    def url(self) -> str:
        host = self.sidecar.container.get_container_host_ip()
        return f"http://{host}:{self.sidecar.container.get_exposed_port(self.sidecar.port)}/"


@pytest.fixture
def watched(image: str, server_image: Callable[[str], str], network: Network) -> Iterator[Watched]:
    authority = trustme.CA(organization_name="Small Authority")
    expires = datetime.now(timezone.utc) + timedelta(days=60)
    certificate = authority.issue_cert("target", not_after=expires)
    with ExitStack() as stack:
        server = stack.enter_context(
            running_server(
                server_image("nginx"),
                network,
                files={
                    "/etc/nginx/conf.d/tls.conf": TLS_SITE,
                    "/etc/nginx/target.pem": certificate.private_key_and_cert_chain_pem.bytes(),
                },
            )
        )
        sidecar = stack.enter_context(
            running_sidecar(
                image,
                network,
                {
                    "PINGSTATE_PROTOCOL": "https",
                    "PINGSTATE_ADDRESS": "target",
                    "PINGSTATE_CA_FILE": "/authority.pem",
                    "PINGSTATE_HISTORY": "40",
                },
                {"/authority.pem": authority.cert_pem.bytes()},
            )
        )
        yield Watched(server, sidecar)


def shows(page, word: str) -> None:
    expect(page.locator("#word")).to_have_text(word)
    expect(page).to_have_title(f"{word} · https://target:443/")
    expect(page.locator("#shape")).to_have_attribute("href", f"#shape-{word}")


def complaints_of_axe(page) -> list[str]:
    return [rule["id"] for rule in Axe().run(page).response["violations"]]


def test_person_sees_a_target_stop_and_start(
    watched: Watched, look, request: pytest.FixtureRequest
) -> None:
    page = look(watched.url)
    dark = look(watched.url, viewport=PHONE, color_scheme="dark")
    silent = look(watched.url, java_script_enabled=False)
    for one in (page, dark, silent):
        shows(one, "up")
    expect(page.locator("#certificate")).to_contain_text(re.compile(r"expires in 59 d 23 h"))
    marks = page.locator("#strip [role=option]")
    expect(marks).to_have_count(40)

    watched.server.stop(timeout=10)
    for one in (page, dark):
        shows(one, "down")
        assert complaints_of_axe(one) == []
    expect(page.locator("#detail")).to_have_text(re.compile(r"^(dns|connect): "))
    expect(page.locator("#changes li").first).to_contain_text("degraded → down")
    expect(page.locator("#changes li").nth(1)).to_contain_text("up → degraded")
    expect(page.locator("#spoken")).to_have_text(re.compile("^down: "))
    expect(marks.nth(-8).locator("i")).to_have_class("fail")
    picture = page.screenshot()
    assert struct.unpack(">II", picture[16:24]) == tuple(DESKTOP.values())
    if request.config.getoption("--record-screenshot"):
        PICTURE.write_bytes(picture)
    marks.last.hover()
    expect(page.locator("#readout")).to_have_text(
        re.compile(r"^\d\d:\d\d:\d\d · failed · .*(dns|connect)")
    )
    page.mouse.move(0, 0)
    shows(silent, "up")
    silent.reload()
    shows(silent, "down")
    assert re.search(r"failed\s+[\d.,]+ ms\s+(dns|connect): ", silent.inner_text("body"))

    watched.server.start()
    for one in (page, dark):
        shows(one, "up")
    expect(page.locator("#detail")).to_have_text("HTTP 200")
    # Some checks after the outage, and still the outage in the strip.
    expect(marks.nth(-12).locator("i")).to_have_class("ok")
    expect(page.locator("#strip .fail").first).to_be_attached()
    for one in (page, dark):
        assert complaints_of_axe(one) == []


def test_person_sees_that_the_sidecar_hangs_and_comes_back(watched: Watched, look) -> None:
    page = look(watched.url)
    shows(page, "up")
    watched.sidecar.docker.pause()
    try:
        expect(page.locator("#banner")).to_have_text(
            re.compile(r"^pingstate can't be reached since \d\d:\d\d:\d\d\. Trying again\.$")
        )
        shows(page, "unreachable")
    finally:
        watched.sidecar.docker.unpause()
    expect(page.locator("#banner")).to_be_hidden()
    shows(page, "up")


def test_readme_shows_the_picture_that_was_recorded() -> None:
    assert "](.github/page.png)" in (ROOT / "README.md").read_text()
    data = PICTURE.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">II", data[16:24]) == tuple(DESKTOP.values())
