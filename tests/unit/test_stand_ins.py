from __future__ import annotations

import json
import subprocess
import sys

from tests.support import ROOT
from tests.support.process import clean_environ

START = "import sys\nfrom pingstate import stand_ins\nstand_ins.install()\n"


def output_of(code: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environ(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.splitlines()


def test_originals_are_there_for_whoever_imports_them():
    (line,) = output_of(
        f"{START}import ssl, jinja2, click\nprint(len(ssl.create_default_context().get_ciphers()) > 3,"
        " jinja2.Template('{{ 1 + 1 }}').render(), click.Command.__name__)"
    )
    assert line == "True 2 Command"


def test_an_application_serves_without_them():
    status, body, loaded = output_of(
        f"""{START}
import pingstate
from wsgiref.util import setup_testing_defaults
app = pingstate.create_app({{"PINGSTATE_ADDRESS": "127.0.0.1"}}, start=False)
environ = {{"PATH_INFO": "/"}}
setup_testing_defaults(environ)
answer = app(environ, lambda status, *_: print(status))
print(b"".join(answer).decode().strip())
print(*(hasattr(sys.modules[f"flask.{{name}}"], "__file__") for name in ("templating", "cli")))
"""
    )
    assert (status, json.loads(body)["state"]) == ("200 OK", "unknown")
    assert loaded == "False False"


def test_a_program_of_ones_own_has_templates_blueprints_and_commands_with_them():
    answers = output_of(
        f"""{START}
import pingstate
from flask import Blueprint, g, render_template_string
app = pingstate.create_app({{"PINGSTATE_ADDRESS": "127.0.0.1"}}, start=False)
blueprint = Blueprint("mine", "mine")

@blueprint.get("/mine")
def mine():
    return render_template_string("{{{{ request.path | upper }}}}")

@blueprint.cli.command("begin")
def begin():
    pass

@app.template_filter("louder")
def louder(text):
    return text + "!"

app.register_blueprint(blueprint)
print(app.test_client().get("/mine").text)
print(app.jinja_env.from_string("{{{{ 'up' | louder }}}}").render())
from flask.cli import AppGroup, with_appcontext
print(isinstance(app.cli, AppGroup), app.cli.name, list(app.cli.commands), with_appcontext.__name__)
from flask.templating import Environment
print(isinstance(app.jinja_env, Environment))
"""
    )
    assert answers == ["/MINE", "up!", "True pingstate ['mine'] with_appcontext", "True"]


def test_a_group_of_commands_of_ones_own_may_be_the_first_use_of_them():
    answers = output_of(
        f"""{START}
import flask.cli, flask.templating
from flask.cli import AppGroup
from flask.templating import Environment

class Mine(AppGroup):
    pass

app = flask.Flask("mine")
print(isinstance(app.cli, AppGroup), isinstance(app.jinja_env, Environment))
app.cli.add_command(AppGroup("users", short_help="theirs"))
app.cli.add_command(Mine("groups"))
print(*app.cli.commands, flask.cli.with_appcontext.__name__)
with app.app_context():
    print(flask.templating.render_template_string("{{{{ 1 + 1 }}}}"))
"""
    )
    assert answers == ["True True", "users groups with_appcontext", "2"]


def test_threads_may_be_the_first_to_use_them_at_the_same_time():
    answers = output_of(
        f"""{START}
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from flask import Flask, render_template_string
app, together = Flask("mine"), Barrier(8)
sys.setswitchinterval(1e-6)

def use(number):
    together.wait()
    if number % 2:
        return len(app.cli.commands)
    with app.app_context():
        return render_template_string("{{{{ 1 - 1 }}}}")

with ThreadPoolExecutor(8) as pool:
    print(*pool.map(use, range(8)))
"""
    )
    assert answers == ["0 0 0 0 0 0 0 0"]


def test_gunicorn_has_its_own_defaults_with_them():
    read = (
        "from gunicorn.config import Config\nfor name, setting in sorted(Config().settings.items()):"
        "\n    value = setting.value\n"
        "    print(name, int(value) if isinstance(value, int) else '' if callable(value) else value)"
    )
    assert output_of(START + read) == output_of(read)


def test_a_process_that_has_imported_the_originals_keeps_them():
    (line,) = output_of(
        "import sys, ssl, flask.templating\nbefore = sys.modules['ssl'], "
        "sys.modules['flask.templating']\nfrom pingstate import stand_ins\nstand_ins.install()\n"
        "print((sys.modules['ssl'], sys.modules['flask.templating']) == before)"
    )
    assert line == "True"
