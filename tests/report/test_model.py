"""The contract: its schema is published, and JSON carries everything."""

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from autosel_runtime.report.model import Estimate, parse_report, report_json
from autosel_runtime.report.schema import report_schema
from tests.report.sample import sample_report

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "report.schema.json"


def test_published_schema_is_the_models():
    assert json.loads(SCHEMA_FILE.read_text()) == report_schema()


@pytest.mark.parametrize("kind", ["full", "running", "none", "hostile"])
def test_json_round_trip_and_schema(kind: str):
    report = sample_report(kind, rows=2_000)
    text = report_json(report)
    assert parse_report(text) == report
    document = json.loads(text)
    assert document["schema"] == "autosel.dev/report/v1"
    jsonschema.validate(document, report_schema())


def test_unknown_fields_are_refused():
    document = json.loads(report_json(sample_report("none", rows=100)))
    document["surprise"] = 1
    with pytest.raises(ValidationError, match="surprise"):
        parse_report(json.dumps(document))


def test_parts_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Estimate(value=0.5).value = 0.6  # type: ignore[misc]
