"""Whether a JSON value is what a schema of docs/schemas/ says, by PyPI's jsonschema; skipped without it."""
import json
import pathlib
import unittest

try:
    import jsonschema
except ImportError:
    jsonschema = None

SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "docs/schemas"


def problems(value, schema):
    """What is wrong, a line each."""
    if jsonschema is None:
        raise unittest.SkipTest("no jsonschema here: tools/setup --python installs it")
    found = jsonschema.Draft202012Validator(schema).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in found]


def load(name):
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    if jsonschema is not None:
        jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def check(case, name, value):
    """Fails the unittest `case` unless the value is what docs/schemas/NAME.json says."""
    case.assertEqual(problems(value, load(name)), [], name)
