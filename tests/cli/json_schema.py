"""Whether a JSON value is what a schema of docs/schemas/ says: the words that those use, of JSON Schema 2020-12, and an
error for any other word, so that nothing in a schema is passed over."""
import json
import pathlib
import re

SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "docs/schemas"
SAY_NOTHING = {"$schema", "title", "description"}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def is_of(value, kind):
    if kind in ("number", "integer"):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and (kind == "number" or value == int(value))
    return isinstance(value, TYPES[kind])


def problems(value, schema, where="$"):
    """What is wrong, a line each."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_of(value, kind) for kind in kinds):
        return [f"{where}: {value!r} is no {' or '.join(kinds)}"]
    found = []
    for word, said in schema.items():
        if word in SAY_NOTHING or word == "type":
            continue
        if word == "enum":
            found += [] if value in said else [f"{where}: {value!r} is none of {said}"]
        elif word == "minimum":
            found += [f"{where}: {value} is below {said}"] if value is not None and value < said else []
        elif word == "maximum":
            found += [f"{where}: {value} is above {said}"] if value is not None and value > said else []
        elif word == "pattern":
            found += [] if re.search(said, value) else [f"{where}: {value!r} is not like {said}"]
        elif word == "items":
            for i, item in enumerate(value):
                found += problems(item, said, f"{where}[{i}]")
        elif word == "required":
            found += [f"{where}: no {key!r}" for key in said if value is not None and key not in value]
        elif word == "dependentRequired":
            found += [f"{where}: {key!r} without {other!r}" for key, others in said.items() if key in value
                      for other in others if other not in value]
        elif word == "properties":
            for key, one in said.items():
                if value is not None and key in value:
                    found += problems(value[key], one, f"{where}.{key}")
        elif word == "additionalProperties":
            for key in set(value or {}) - set(schema.get("properties", {})):
                found += [f"{where}: {key!r} is not in the schema"] if said is False else problems(
                    value[key], said, f"{where}.{key}")
        else:
            raise ValueError(f"{where}: {word!r} is not understood here")
    return found


def load(name):
    return json.loads((SCHEMAS / f"{name}.json").read_text())


def check(case, name, value):
    """Fails the unittest `case` unless the value is what docs/schemas/NAME.json says."""
    case.assertEqual(problems(value, load(name)), [], name)
