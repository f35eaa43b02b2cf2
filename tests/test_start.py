"""The start of the command: what is not imported before it is needed."""

import gc
import json
import subprocess
import sys

import pytest

from imitax.bench.programs import program

REPORTS_ONLY = {"seaborn", "pandas", "scipy", "matplotlib.pyplot", "matplotlib.figure"}

DRAWN = """
import imitax.cli.start
imitax.cli.start.import_all([])
from gymnax.environments.misc import pong, rooms
import gymnax, jax
env, params = gymnax.make("FourRooms-misc")
_, state = env.reset(jax.random.key(0), params)
figure, _ = env.render(state, params)
import matplotlib.pyplot, matplotlib.figure, seaborn
assert isinstance(figure, matplotlib.figure.Figure)
assert rooms.plt.subplots is pong.plt.subplots is matplotlib.pyplot.subplots
assert pong.sns.color_palette is seaborn.color_palette
"""


def run(code, **options):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_only_reports_need_is_not_imported_before_them():
    code = "import sys, json; from imitax.cli import start; start.import_all(start.NEEDED['run'])\n"
    loaded = set(json.loads(run(f"{code}print(json.dumps(sorted(sys.modules)))")))
    assert {"gymnax", "imitax.cli.sweep"} <= loaded
    assert not loaded & REPORTS_ONLY


def test_gymnax_draws_as_ever(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    run(DRAWN)


def test_a_deferred_module_is_imported_at_its_first_use():
    names = ["wave", "xml.sax.handler", "no_such_module", "no_such.module"]
    code = f"""
import sys, imitax.cli.start
with imitax.cli.start.deferred({names}):
    import wave
    import xml.sax.handler as handler
    from xml.sax import handler as again
    assert handler is again is sys.modules["xml.sax.handler"]
import xml.sax
assert not {{"wave", "xml.sax.handler"}} & set(sys.modules)
assert not hasattr(xml.sax, "handler")
assert not set(sys.modules) & {{"no_such_module", "no_such.module"}}
import wave as real
assert real is not wave
assert wave.open is real.open
assert handler.ContentHandler is sys.modules["xml.sax.handler"].ContentHandler
"""
    # Whatever `xml.sax` imports by itself is no case for this test.
    run("import sys, xml.sax; del sys.modules['xml.sax.handler'], xml.sax.handler\n" + code)


def test_what_is_needed_at_once_or_there_already_is_imported_as_ever():
    code = """
import sys, imitax.cli.start, json as before
with imitax.cli.start.deferred(["wave", "json", "email"]):
    import json, wave
    assert json is before
    assert wave.open
    import wave as real
    assert real is not wave and real.open is wave.open
    import email.message
    assert email.message_from_string("").get("a") is None
assert sys.modules["wave"] is real
"""
    run(code)


def test_garbage_is_collected_again_after_the_imports():
    code = "import gc, imitax.cli.start; imitax.cli.start.import_all([]); print(gc.isenabled())"
    assert run(code) == "True\n"


class Jitted:
    def __init__(self, outcome):
        self.outcome = outcome

    def lower(self, *arguments):
        assert not gc.isenabled()
        if self.outcome is None:
            raise ValueError("no program")
        return self.outcome, arguments


@pytest.mark.parametrize("before", [True, False])
def test_tracing_leaves_the_collector_as_it_was(before):
    (gc.enable if before else gc.disable)()
    try:
        assert program.lower(Jitted("done"), 1, 2) == ("done", (1, 2))
        assert gc.isenabled() == before
        with pytest.raises(ValueError, match="no program"):
            program.lower(Jitted(None))
        assert gc.isenabled() == before
    finally:
        gc.enable()
