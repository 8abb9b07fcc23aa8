"""The session that README.md shows is one that happens."""

from __future__ import annotations

import doctest
import re

from tests.serving import ROOT


def test_readme_session_happens_as_it_is_shown(service: str) -> None:
    """Each line of the README's session gives what is shown below it."""
    (session,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    session = session.replace("http://127.0.0.1:7071/v2", service)
    test = doctest.DocTestParser().get_doctest(session, {}, "README.md", "README.md", 0)

    assert doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(test).failed == 0
