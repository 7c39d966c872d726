from __future__ import annotations

import pytest

from pingstate.settings import ConfigurationError, load_settings


@pytest.mark.parametrize(
    ("address", "instead"),
    [
        (
            "https://api.example.com:8443/healthz",
            "PROTOCOL=https ADDRESS=api.example.com PORT=8443 PATH=/healthz",
        ),
        ("http://db.internal", "PROTOCOL=http ADDRESS=db.internal PORT=80 PATH=/"),
        ("HTTPS://[::1]/x", "PROTOCOL=https ADDRESS=::1 PORT=443 PATH=/x"),
        (
            "https://user:hunter2@h/a?token=hunter2#hunter2",
            "PROTOCOL=https ADDRESS=h PORT=443 PATH=/a?*** BASIC_AUTH=***",
        ),
        ("redis://:hunter2@r:6379/0?x=hunter2", "PROTOCOL=tcp ADDRESS=r PORT=6379"),
        ("tcp://h:5432", "PROTOCOL=tcp ADDRESS=h PORT=5432"),
        ("db.internal:5432", "ADDRESS=db.internal PORT=5432"),
        ("[::1]:5432", "ADDRESS=::1 PORT=5432"),
        ("h/healthz", "ADDRESS=h PATH=/healthz"),
        ("h:80/healthz", "ADDRESS=h PORT=80 PATH=/healthz"),
        ("hunter2@h", "ADDRESS=h BASIC_AUTH=***"),
        ("ldaps://dc.internal", "PROTOCOL=tls ADDRESS=dc.internal PORT=636"),
        ("rediss://:hunter2@r:6380/0", "PROTOCOL=tls ADDRESS=r PORT=6380"),
        ("https://user:1234/hunter2@h", None),
        ("https://user:1234?hunter2@h", None),
        ("https://user:#hunter2@h", None),
        ("http://a b/", None),
        ("http://", None),
        ("h:99999", None),
        ("h:x", None),
        ("a b", None),
        ("http://h\n", None),
        ("unix:/x:1\0", None),
    ],
)
def test_url_as_the_address_is_an_error_that_says_the_settings(address, instead):
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"PINGSTATE_ADDRESS": address})
    (problem,) = caught.value.problems
    assert problem.startswith("PINGSTATE_ADDRESS: ")
    assert "hunter2" not in problem
    assert len(problem.splitlines()) == 1
    _, found, said = problem.partition("; instead set ")
    assert bool(found) == (instead is not None)
    if instead is not None:
        assert said == " ".join(f"PINGSTATE_{word}" for word in instead.split())
        usable = dict(word.split("=", 1) for word in said.split() if "***" not in word)
        assert load_settings(usable).settings.address == usable["PINGSTATE_ADDRESS"]


def test_secrets_of_addresses_and_paths_are_not_told():
    with pytest.raises(ConfigurationError) as caught:
        load_settings(
            {"PINGSTATE_ADDRESS": "http://u:hunter2@h/", "PINGSTATE_PATH": "/x?token=hunter2 x"}
        )
    assert len(caught.value.problems) == 2
    assert "hunter2" not in str(caught.value)
