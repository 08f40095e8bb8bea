"""The JSON schema of the report: ``python -m autosel_runtime.report.schema docs/report.schema.json``."""

import json
import sys
from pathlib import Path
from typing import Any

from autosel_runtime.report.model import SCHEMA, Report


def report_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the report."""
    schema = Report.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA, **schema}


if __name__ == "__main__":
    text = json.dumps(report_schema(), indent=2, ensure_ascii=False) + "\n"
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
