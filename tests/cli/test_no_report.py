"""Why there is no report is said once: not beside the error of a search that stopped for the same reason."""

from dataclasses import replace
from pathlib import Path

import pytest

from autosel_runtime.cli.search import _write_report
from autosel_runtime.errors import AutoselError
from controller.local.report import report_of
from controller.local.run import identity_of
from tests.controller.world import World, search


def test_what_the_search_stopped_for_is_not_said_of_the_report_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    key = {"name": "s3", "key": "NO_SUCH_KEY"}
    document = search(storage={"uri": "s3://bucket/p", "accessKey": key, "secretKey": key})
    identity_of(tmp_path, document, tmp_path)
    with pytest.raises(AutoselError) as caught:
        report_of(tmp_path)
    said = str(caught.value)
    assert "NO_SUCH_KEY" in said
    state = replace(World(document=document).plan().state, stalled=True, message=said)
    _write_report(tmp_path, state)
    assert capsys.readouterr().err == ""
    _write_report(tmp_path, replace(state, message="a step was killed"))
    assert capsys.readouterr().err.count(said) == 1
