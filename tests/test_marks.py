"""Every test module has one marker, from one table."""

from collections import Counter
from pathlib import Path

from marks import MARK_OF, MODULES


def test_every_module_has_exactly_one_marker():
    listed = Counter(f"test_{name}" for names in MODULES.values() for name in names.split())
    assert listed == Counter(path.stem for path in Path(__file__).parent.glob("test_*.py"))


def test_the_table_is_what_a_test_is_marked_by(request):
    found = {mark.name for mark in request.node.iter_markers()} & set(MODULES)
    assert found == {MARK_OF["test_marks"]} == {"unit"}
