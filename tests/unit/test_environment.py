from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingstate.settings import SETTINGS, ConfigurationError, load_settings
from tests.support.certificates import create_client_pem

PEM = create_client_pem()

VARIABLES = [setting.variable for setting in SETTINGS if setting.name != "probe"]

NAMES = st.one_of(
    st.sampled_from(VARIABLES),
    st.sampled_from(["PINGSTATE_CHECK_2", "PINGSTATE_CHECK_10", "PINGSTATE_HEADER_2"]),
    st.text("ABCDEFILNORST_2", min_size=1, max_size=12).map("PINGSTATE_".__add__),
).filter(lambda name: not name.startswith("PINGSTATE_PROBE"))

TEXTS = st.one_of(
    st.text(),
    st.text("ab:/@?#[]%.0-9 =\r\n\x0b\u2028", max_size=30),
    st.sampled_from(["status:", "json:/", "banner_matches:", "http://", "[", "call:json:"]).flatmap(
        lambda head: st.text(max_size=10).map(head.__add__)
    ),
)


@given(st.dictionaries(NAMES, TEXTS))
def test_any_environment_loads_or_is_a_configuration_error_of_lines(environ):
    try:
        load_settings(environ)
    except ConfigurationError as error:
        assert error.problems
        for problem in error.problems:
            assert len(problem.splitlines()) == 1
            assert len(problem) <= 1000


def empty_ways(variable: str, folder: Path) -> list[dict[str, str]]:
    """The environments that say a variable with nothing in it."""
    nothing, line = folder / "nothing", folder / "line"
    nothing.touch()
    line.write_bytes(b"\xef\xbb\xbf\r\n")
    file = f"{variable}_FILE"
    return [
        {variable: ""},
        {file: ""},
        {file: str(nothing)},
        {file: str(line)},
        {variable: "", file: ""},
        {variable: "", file: str(nothing)},
    ]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_empty_is_not_set_for_every_setting_but_the_address(setting, tmp_path):
    numbered = [f"{setting.variable}_2"] if setting.repeatable else []
    for variable in (setting.variable, *numbered):
        for environ in empty_ways(variable, tmp_path):
            if setting.name == "address":
                with pytest.raises(ConfigurationError) as caught:
                    load_settings(environ)
                (problem,) = caught.value.problems
                assert problem.startswith(("PINGSTATE_ADDRESS: ", "PINGSTATE_ADDRESS_FILE: "))
            else:
                loaded = load_settings(environ)
                assert getattr(loaded.settings, setting.name) == setting.default
                assert loaded.sources[setting.name] == "default"
                assert loaded.warnings == ()


def test_an_empty_address_is_not_set_beside_a_probe_that_takes_its_place(tmp_path):
    probe, nothing = tmp_path / "probe", tmp_path / "no-probe"
    probe.write_text("json:loads\n")
    nothing.touch()
    for environ in empty_ways("PINGSTATE_ADDRESS", tmp_path):
        for loaded in (
            load_settings({**environ, "PINGSTATE_PROBE": "json:loads"}),
            load_settings({**environ, "PINGSTATE_PROBE_FILE": str(probe)}),
            load_settings(environ, {"probe": "json:loads"}),
        ):
            assert loaded.settings.probe == "json:loads"
            assert loaded.sources["address"] == "default"
        # Where there is no probe after all, the address is missed.
        for variables, flags in (
            ({"PINGSTATE_PROBE": ""}, {}),
            ({"PINGSTATE_PROBE_FILE": str(nothing)}, {}),
            ({}, {"probe": ""}),
        ):
            with pytest.raises(ConfigurationError, match=r"^PINGSTATE_ADDRESS(_FILE)?: "):
                load_settings({**environ, **variables}, flags)


@pytest.mark.parametrize(
    ("name", "text"), [("address", "db.internal"), ("path", "/health"), ("check", "open:1")]
)
def test_an_empty_variable_leaves_its_setting_to_the_file(tmp_path, name, text):
    file = tmp_path / "value"
    file.write_text(f"{text}\n")
    variable = f"PINGSTATE_{name.upper()}"
    loaded = load_settings({variable: "", f"{variable}_FILE": str(file)})
    assert getattr(loaded.settings, name) in (text, (text,))
    assert loaded.sources[name] == f"{variable}_FILE"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\xef\xbb\xbfuser:password\r\n", ("user", "password")),
        (b"\xef\xbb\xbf\xef\xbb\xbfuser:password", ("\ufeffuser", "password")),
        (b"user:\xef\xbb\xbfpassword", ("user", "\ufeffpassword")),
        (b"user:p\xff", ("user", "p\udcff")),
    ],
)
def test_file_loses_one_byte_order_mark_before_it(tmp_path, data, value):
    file = tmp_path / "secret"
    file.write_bytes(data)
    loaded = load_settings({"PINGSTATE_BASIC_AUTH_FILE": str(file)})
    assert loaded.settings.basic_auth == value


@pytest.mark.parametrize("name", ["BASIC_AUTH", "HEADER_2", "PORT"])
@pytest.mark.parametrize("coding", ["utf-16", "utf-16-be", "utf-16-le", "utf-32"])
def test_file_in_another_coding_is_refused_by_its_name(tmp_path, name, coding):
    file = tmp_path / "secret"
    mark = b"\xfe\xff" if coding == "utf-16-be" else b""
    file.write_bytes(mark + "hunter2:x".encode(coding))
    with pytest.raises(ConfigurationError) as caught:
        load_settings({f"PINGSTATE_{name}_FILE": str(file)})
    (problem,) = caught.value.problems
    word = "UTF-32" if coding == "utf-32" else "UTF-16"
    assert re.fullmatch(f"PINGSTATE_{name}_FILE: '{file}' is not UTF-8 but .*{word}.*", problem)
    assert "hunter2" not in problem


@pytest.mark.parametrize("name", ["ADDRESS", "HEADER", "CA_FILE"])
def test_a_file_without_an_end_is_refused(name):
    with pytest.raises(ConfigurationError, match="_FILE: '/dev/zero' is not a file of at most 16"):
        load_settings({f"PINGSTATE_{name}_FILE": "/dev/zero"})


def test_a_file_may_be_one_of_the_kernel_s():
    settings = load_settings({"PINGSTATE_ADDRESS_FILE": "/proc/sys/kernel/ostype"}).settings
    assert settings.address == Path("/proc/sys/kernel/ostype").read_text().strip()


def test_a_mapping_of_a_program_s_own_holds_text():
    environ: Any = {"PINGSTATE_PORT": 5432, "PINGSTATE_BASIC_AUTH": b"a:hunter2", "OTHER": 1}
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    assert caught.value.problems == [
        "PINGSTATE_PORT: int is not text",
        "PINGSTATE_BASIC_AUTH: bytes is not text",
    ]
    with pytest.raises(ConfigurationError, match=r"^b'PINGSTATE_PORT': bytes is not text$"):
        load_settings({b"PINGSTATE_PORT": "5432"})  # type: ignore[dict-item]  # so is this
    with pytest.raises(ConfigurationError, match=r"^environ: NoneType is not a mapping"):
        load_settings(None)  # type: ignore[arg-type]  # the wrong type is the test


def test_numbered_lines_follow_the_variable_in_numeric_order(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("Authorization: Bearer hunter2\n")
    environ = {
        "PINGSTATE_PROTOCOL": "http",
        "PINGSTATE_HEADER_10": "X-D: 4",
        "PINGSTATE_HEADER_12345678901234567890": "X-E: 5",
        "PINGSTATE_HEADER_2_FILE": str(secret),
        "PINGSTATE_HEADER": "X-A: 1\nX-B: 2",
        "PINGSTATE_HEADER_03": "X-C: 3",
        "PINGSTATE_HEADER_4": "",
        "PINGSTATE_CHECK_2": "body_contains:b",
        "PINGSTATE_CHECK_1": "body_contains:a",
    }
    loaded = load_settings(environ)
    assert loaded.settings.header == (
        ("X-A", "1"),
        ("X-B", "2"),
        ("Authorization", "Bearer hunter2"),
        ("X-C", "3"),
        ("X-D", "4"),
        ("X-E", "5"),
    )
    assert loaded.settings.check == ("body_contains:a", "body_contains:b")
    assert loaded.sources["header"] == (
        "PINGSTATE_HEADER, PINGSTATE_HEADER_2_FILE, PINGSTATE_HEADER_03, PINGSTATE_HEADER_10, "
        "PINGSTATE_HEADER_12345678901234567890"
    )
    assert loaded.warnings == ()


def test_flag_wins_over_every_numbered_line():
    environ = {"PINGSTATE_CHECK": "nonsense", "PINGSTATE_CHECK_2": "nonsense"}
    loaded = load_settings(environ, {"check": "banner_contains:a"})
    assert loaded.settings.check == ("banner_contains:a",)
    assert loaded.sources["check"] == "--check"


def test_bad_numbered_lines_are_named_one_by_one(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        load_settings(
            {
                "PINGSTATE_CHECK": "banner_contains:a",
                "PINGSTATE_CHECK_2": "nonsense",
                "PINGSTATE_CHECK_3_FILE": "/no/such",
                "PINGSTATE_CHECK_4": "banner_contains:a\nstatus:200",
                "PINGSTATE_HEADER_2": "nonsense",
                "PINGSTATE_HEADER_3": "X: 1",
                "PINGSTATE_HEADER_3_FILE": "/no/such",
                "PINGSTATE_HEADER_4": "a b: 1",
            }
        )
    where = {re.match(r"\w+(?:: line \d)?", problem)[0] for problem in caught.value.problems}
    assert len(where) == len(caught.value.problems)
    assert where == {
        "PINGSTATE_CHECK_2",
        "PINGSTATE_CHECK_3_FILE",
        "PINGSTATE_CHECK_4: line 2",
        "PINGSTATE_HEADER_2",
        "PINGSTATE_HEADER_3",
        "PINGSTATE_HEADER_4",
    }


def test_protocol_that_can_not_be_read_says_nothing_of_a_check():
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"PINGSTATE_PROTOCOL_FILE": "/no/such", "PINGSTATE_CHECK": "status:200"})
    assert len(caught.value.problems) == 1


def test_file_and_variable_together_are_an_error(tmp_path):
    file = tmp_path / "secret"
    file.write_text("a:b")
    with pytest.raises(ConfigurationError, match=r"PINGSTATE_BASIC_AUTH: .*one of the two"):
        load_settings({"PINGSTATE_BASIC_AUTH": "a:b", "PINGSTATE_BASIC_AUTH_FILE": str(file)})


def test_file_that_is_not_there_is_an_error_that_names_the_variable():
    with pytest.raises(ConfigurationError, match=r"PINGSTATE_PORT_FILE: '/no/such' is not a file"):
        load_settings({"PINGSTATE_PORT_FILE": "/no/such"})


def test_one_trailing_newline_of_a_file_is_dropped(tmp_path):
    file = tmp_path / "secret"
    file.write_bytes(b"user:pass\n\n")
    with pytest.raises(ConfigurationError, match=r"BASIC_AUTH_FILE: \*\*\* is not user:password"):
        load_settings({"PINGSTATE_BASIC_AUTH_FILE": str(file)})
    file.write_bytes(b"user:pass\r\n")
    loaded = load_settings({"PINGSTATE_BASIC_AUTH_FILE": str(file)})
    assert loaded.settings.basic_auth == ("user", "pass")


INJECTED = {
    "PINGSTATE_PORT": "tcp://10.0.0.1:8787",
    "PINGSTATE_SERVICE_HOST": "10.0.0.1",
    "PINGSTATE_SERVICE_PORT": "8787",
    "PINGSTATE_SERVICE_PORT_API": "8787",
    "PINGSTATE_PORT_8787_TCP": "tcp://10.0.0.1:8787",
    "PINGSTATE_PORT_8787_TCP_PROTO": "tcp",
    "PINGSTATE_PORT_8787_TCP_PORT": "8787",
    "PINGSTATE_PORT_8787_TCP_ADDR": "10.0.0.1",
    "PINGSTATE_API_PORT": "tcp://10.0.0.2:80",
    "PINGSTATE_API_SERVICE_HOST": "10.0.0.2",
    "PINGSTATE_API_SERVICE_PORT": "80",
    "PINGSTATE_API_PORT_80_TCP_ADDR": "10.0.0.2",
}


def test_variables_of_a_service_named_pingstate_are_ignored_with_one_note():
    loaded = load_settings(INJECTED)
    assert loaded.settings == load_settings({}).settings
    assert loaded.warnings == ()
    assert len(loaded.notes) == 1
    assert "PINGSTATE_PORT" in loaded.notes[0]


def test_service_links_of_other_names_are_no_misspellings():
    for service in ("PINGSTATE_ADRESS", "PINGSTATE_CHECKS", "PINGSTATE_CHECK_2", "PINGSTATE_HEADR"):
        links = {
            f"{service}_PORT": "tcp://10.0.0.1:80",
            f"{service}_SERVICE_HOST": "10.0.0.1",
            f"{service}_SERVICE_PORT_HTTP": "80",
            f"{service}_PORT_80_TCP_ADDR": "10.0.0.1",
        }
        loaded = load_settings(links)
        assert loaded.warnings == ()
        assert loaded.settings == load_settings({}).settings


def test_port_of_ones_own_beside_injected_variables_holds():
    assert load_settings(INJECTED | {"PINGSTATE_PORT": "5432"}).settings.port == 5432


def test_client_key_needs_its_certificate():
    with pytest.raises(
        ConfigurationError, match=r"^PINGSTATE_CLIENT_KEY: requires PINGSTATE_CLIENT_CERT$"
    ):
        load_settings({"PINGSTATE_CLIENT_KEY": PEM})


@pytest.mark.parametrize(
    "name", ["PINGSTATE_CLIENT_KEY", "PINGSTATE_CLIENT_CERT", "PINGSTATE_CA_FILE"]
)
def test_key_or_certificate_in_place_of_its_path_is_refused_and_not_told(name):
    pem = Path(PEM).read_text("utf-8")
    for environ, words in (
        (
            {f"{name}_FILE": PEM},
            f"{name}_FILE: {PEM!r} holds a certificate or a key, expected the path of one: set {name}={PEM}",
        ),
        ({name: pem}, f"{name}: *** is not the path of a file, but what is in one"),
        (
            {name: pem.replace("\n", "\\n")},
            f"{name}: *** is not the path of a file, but what is in one",
        ),
        ({f"{name}_FILE": pem}, f"{name}_FILE: *** is not a file that can be read ("),
    ):
        with pytest.raises(ConfigurationError) as caught:
            load_settings(environ)
        (problem,) = caught.value.problems
        assert problem.startswith(words)
        assert "BEGIN" not in problem


def test_path_of_a_key_may_come_from_a_file(tmp_path):
    file = tmp_path / "path"
    file.write_text(f"{PEM}\n", "utf-8")
    assert load_settings({"PINGSTATE_CLIENT_CERT_FILE": str(file)}).settings.client_cert == PEM


def test_value_that_was_given_as_its_file_is_told_only_where_it_looks_like_a_path():
    for name in ("HEADER", "BASIC_AUTH", "BODY", "SEND"):
        for path, shown in (
            ("user: hunter2", "***"),
            ("/run/none", "'/run/none'"),
            ("./none", "'./none'"),
        ):
            with pytest.raises(ConfigurationError) as caught:
                load_settings({f"PINGSTATE_{name}_FILE": path})
            reason = "is not a file that can be read (No such file or directory)"
            assert caught.value.problems == [f"PINGSTATE_{name}_FILE: {shown} {reason}"]
    with pytest.raises(ConfigurationError, match=r"^PINGSTATE_PORT_FILE: 'none' is not"):
        load_settings({"PINGSTATE_PORT_FILE": "none"})


def test_bad_line_of_several_is_named_by_its_number():
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"PINGSTATE_HEADER": "X-A: 1\n\nhunter2\nX-B: 2\nb c: 3"})
    assert caught.value.problems == [
        "PINGSTATE_HEADER: line 3: *** is not 'Name: value' with a valid header name",
        "PINGSTATE_HEADER: line 5: *** is not 'Name: value' with a valid header name",
    ]


def test_key_that_is_encrypted_or_of_another_certificate_is_an_error_at_once(tmp_path):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = ec.generate_private_key(ec.SECP256R1())
    for encryption in (BestAvailableEncryption(b"secret"), NoEncryption()):
        path = tmp_path / "key.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        environ = {"PINGSTATE_CLIENT_CERT": PEM, "PINGSTATE_CLIENT_KEY": str(path)}
        with pytest.raises(ConfigurationError) as caught:
            load_settings(environ | {"PINGSTATE_INTERVAL": "x"})
        assert len(caught.value.problems) == 2
        assert caught.value.problems[1].startswith("PINGSTATE_CLIENT_CERT, PINGSTATE_CLIENT_KEY: ")


def test_wrong_protocol_says_nothing_of_a_check():
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"PINGSTATE_PROTOCOL": "udp", "PINGSTATE_CHECK": "status:200"})
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"PINGSTATE_CHECK": "open:2"}, "PINGSTATE_CHECK: 'open:2' is not shorter than the timeout of 2 s"),
        ({"PINGSTATE_CHECK": "open:3", "PINGSTATE_TIMEOUT": "3"}, "PINGSTATE_CHECK: 'open:3' is not shorter than the timeout of 3 s"),
        ({"PINGSTATE_CHECK": "status=200", "PINGSTATE_PROTOCOL": "http"}, "PINGSTATE_CHECK: 'status=200' is not a check; did you mean 'status:200'?"),
    ],
)  # fmt: skip
def test_check_that_can_not_be_is_told_with_its_source(environ, problem):
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    assert caught.value.problems == [problem]
    load_settings({"PINGSTATE_CHECK": "open:2", "PINGSTATE_TIMEOUT": "3"})


def test_pipe_is_read(tmp_path):
    import os
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_text, args=("user:pass\n",)).start()
    loaded = load_settings({"PINGSTATE_BASIC_AUTH_FILE": str(pipe)})
    assert loaded.settings.basic_auth == ("user", "pass")


def test_only_what_is_asked_for_is_read():
    loaded = load_settings({"PINGSTATE_PORT": "x", "PINGSTATE_API_PORT": "80"}, only=["api_port"])
    assert loaded.settings.api_port == 80


@pytest.mark.parametrize(
    ("address", "version", "fits"),
    [
        ("127.0.0.1", "4", True),
        ("127.0.0.1", "6", False),
        ("127.1", "6", False),
        ("::1", "6", True),
        ("::1", "4", False),
        ("[::1]", "4", False),
        ("fe80::1%eth0", "4", False),
        ("unix:/x", "4", False),
        ("db.internal", "6", True),
        (None, "6", False),  # the default is an IPv4 address
    ],
)
def test_an_ip_address_of_the_other_version_is_an_error_at_the_start(address, version, fits):
    environ = {"PINGSTATE_IP_VERSION": version}
    if address is not None:
        environ["PINGSTATE_ADDRESS"] = address
    if fits:
        assert load_settings(environ).settings.ip_version == int(version)
        return
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    (problem,) = caught.value.problems
    shown = (address or "1.1.1.1").strip("[]")
    assert problem == f"PINGSTATE_IP_VERSION: {version} is not the IP version of {shown}"


def test_a_bad_address_is_no_problem_of_the_ip_version():
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"PINGSTATE_IP_VERSION": "6", "PINGSTATE_ADDRESS": "a b"})
    (problem,) = caught.value.problems
    assert problem.startswith("PINGSTATE_ADDRESS: ")


@pytest.mark.parametrize("protocol", ["tcp", "http", "https", None])
def test_starttls_is_an_error_without_the_protocol_that_it_is_for(protocol):
    environ = {"PINGSTATE_STARTTLS": "smtp"}
    if protocol:
        environ["PINGSTATE_PROTOCOL"] = protocol
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    assert caught.value.problems == ["PINGSTATE_STARTTLS: requires PINGSTATE_PROTOCOL=tls"]


@pytest.mark.parametrize("protocol", ["http", "https"])
def test_transfer_encoding_beside_a_body_is_an_error_with_all_others(protocol):
    environ = {
        "PINGSTATE_PROTOCOL": protocol,
        "PINGSTATE_HEADER_2": "transfer-encoding: chunked",
        "PINGSTATE_BODY": "hunter2",
        "PINGSTATE_JITTER": "x",
    }
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    assert caught.value.problems[1:] == [
        "PINGSTATE_HEADER_2: 'Transfer-Encoding' is not a header to send with a body"
    ]
    load_settings({**environ, "PINGSTATE_BODY": "", "PINGSTATE_JITTER": ""})


@pytest.mark.parametrize("check", ["banner_contains:+PONG", "open:0.5", "not:banner_matches:^-ERR"])
def test_a_tls_check_takes_what_a_tcp_check_takes(check):
    environ = {"PINGSTATE_PROTOCOL": "tls", "PINGSTATE_CHECK": check}
    assert load_settings(environ).settings.check == (check,)
    with pytest.raises(ConfigurationError, match="not a check for tls"):
        load_settings(environ | {"PINGSTATE_CHECK": "status:200"})


@pytest.mark.parametrize(
    ("protocol", "given", "warned"),
    [
        ("tcp", {"PATH": "/healthz"}, ["PINGSTATE_PATH"]),
        ("tcp", {"HEADER": "X: y", "HEADER_2": "Z: y"}, ["PINGSTATE_HEADER, PINGSTATE_HEADER_2"]),
        ("tcp", {"PATH": "/x", "NO_VERIFY_TLS": "yes", "MAX_BODY_BYTES": "1"}, ["PINGSTATE_PATH", "PINGSTATE_NO_VERIFY_TLS", "PINGSTATE_MAX_BODY_BYTES"]),
        ("tcp", {"PATH": "/", "NO_VERIFY_TLS": "no", "SEND": "x", "METHOD": ""}, []),
        ("tls", {"METHOD": "HEAD", "NO_VERIFY_TLS": "yes", "SEND": "x"}, ["PINGSTATE_METHOD"]),
        ("http", {"PATH": "/x", "SERVER_NAME": "x", "SEND": "x"}, ["PINGSTATE_SEND"]),
        ("https", {"PATH": "/x", "SERVER_NAME": "x", "BODY": "x"}, []),
    ],
)  # fmt: skip
def test_setting_that_the_protocol_has_no_use_for_is_a_warning(protocol, given, warned):
    environ = {"PINGSTATE_ADDRESS": "127.0.0.1", "PINGSTATE_PROTOCOL": protocol}
    loaded = load_settings(environ | {f"PINGSTATE_{name}": text for name, text in given.items()})
    end = f" has no effect with PINGSTATE_PROTOCOL={protocol}"
    assert loaded.warnings == tuple(f"{names}{end}" for names in warned)


def test_probe_of_ones_own_may_use_every_setting():
    own = {"PINGSTATE_PROBE": "tests.unit.test_environment:load_settings", "PINGSTATE_PATH": "/x"}
    assert load_settings(own).warnings == ()
