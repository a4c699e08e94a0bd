#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""policy_schema.py POLICY_TOOL SOURCE: the keys of a policy file are the same in the loader, in the
schema for editors (docs/policy.schema.json) and in the reference (docs/policy.md), with what is
required, defaults, choices, ranges and lengths of lists; every policy in the examples and documents
follows the schema and is loaded; and what the schema refuses the loader refuses too."""
import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap

try:
    import jsonschema
    import yaml
except ImportError as error:
    print(f"skipped: {error} (apt-get install python3-jsonschema python3-yaml)")
    sys.exit(77)

tool, source = sys.argv[1], pathlib.Path(sys.argv[2])
document = json.loads((source / "docs/policy.schema.json").read_text())
jsonschema.Draft7Validator.check_schema(document)
validator = jsonschema.Draft7Validator(document)
wrong = 0


def complain(text):
    global wrong
    wrong += 1
    print(text)


# YAML 1.2 as editors read it; PyYAML by itself would take "yes" for true and 1:30 for 90.
class Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}


for tag, pattern, first in [
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?", "-+.0123456789"),
]:
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first)


def load_all(texts):
    """What the loader says of each text."""
    with tempfile.TemporaryDirectory() as directory:
        paths = []
        for number, text in enumerate(texts):
            paths.append(pathlib.Path(directory) / f"{number}.yaml")
            paths[-1].write_text(text)
        run = subprocess.run([tool, "load"], input="".join(f"{path}\n" for path in paths),
                             capture_output=True, text=True, check=True)
    lines = [line.replace(directory + "/", "") for line in run.stdout.splitlines()]
    assert len(lines) == len(paths), run
    return lines


# The three, each as {path: what is known of the key}.


def keys_of_loader():
    keys = {}
    run = subprocess.run([tool, "keys"], capture_output=True, text=True, check=True)
    for line in run.stdout.splitlines():
        path, need, *size = line.split()
        keys[path] = {"required": need == "required", "size": tuple(map(int, size))}
    return keys


def flat(schema):
    """A schema with what it refers to: {"type": ..., "properties": ...}."""
    schema = dict(schema)
    for part in [{"$ref": schema.pop("$ref")}] if "$ref" in schema else schema.pop("allOf", []):
        below = document["definitions"][part["$ref"].removeprefix("#/definitions/")]
        schema = {**flat(below), **schema}
    return schema


def keys_of_schema(schema, path=""):
    keys = {}
    schema = flat(schema)
    if schema.get("type") == "array":
        return keys_of_schema(schema["items"], path + "[]")
    if "properties" in schema and schema.get("additionalProperties") is not False:
        complain(f"policy.schema.json: {path or 'the policy'} allows unknown keys")
    for name, below in schema.get("properties", {}).items():
        below = flat(below)
        key = f"{path}.{name}" if path else name
        # One value or a list of them, which is what the loader makes of both.
        one, several = map(flat, below["anyOf"]) if "anyOf" in below else (below, below)
        if "anyOf" in below and flat(several["items"]) != one:
            complain(f"policy.schema.json: {key}: one value is not what a list of them has")
        is_list = several.get("type") == "array"
        keys[key] = {
            "required": name in schema.get("required", []),
            "size": (several.get("minItems", 0), several.get("maxItems", 2**32 - 1)) if is_list else (),
            "default": below.get("default"),
            "values": one,
        }
        if not below.get("description") and below.get("type") != "object":
            complain(f"policy.schema.json: {key} has no description")
        keys.update(keys_of_schema(below, key))
    return keys


SECTIONS = {
    "### Top level": [""],
    "### `limits`": ["limits."],
    "### An entry of `services`": ["services[]."],
    "### An entry of `filters`": ["filters[]."],
    "### `match` and `except`": ["filters[].match.", "filters[].except."],
}


def keys_of_reference():
    """The first table below each of these headings. A mapping within an entry has no row: its keys have."""
    keys = {}
    for heading, prefixes in SECTIONS.items():
        text = (source / "docs/policy.md").read_text()
        assert text.count(f"\n{heading}\n") == 1, heading
        table = re.search(r"(?:^\|.*\n)+", text.split(f"\n{heading}\n")[1], re.MULTILINE).group()
        head, _, *rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
        for row in rows:
            cells = dict(zip(head, row))
            name = cells["key"].strip("`")
            default = cells.get("default", "").strip("`")
            for prefix in prefixes:
                keys[prefix + name] = {
                    "required": default == "required",
                    "default": default if re.fullmatch(r"[0-9]+[smh]?|block|pass|no|yes|refuse|redirect", default) else None,
                    "type": cells.get("type", cells.get("entries")),
                }
                for end in range(len(name)):
                    if name[end] == ".":
                        keys.setdefault(prefix + name[:end], {})
    return keys


loader, schema, reference = keys_of_loader(), keys_of_schema(document), keys_of_reference()
places = {"the loader": loader, "policy.schema.json": schema, "policy.md": reference}
every = {key for keys in places.values() for key in keys}
for key in sorted(every):
    have = [name for name, keys in places.items() if key in keys]
    if len(have) != len(places):
        complain(f"{key}: in {' and '.join(have)} alone")
        continue
    if schema[key]["required"] != loader[key]["required"]:
        complain(f"{key}: the loader and policy.schema.json differ on whether it is required")
    if reference[key] and reference[key]["required"] != loader[key]["required"]:
        complain(f"{key}: the loader and policy.md differ on whether it is required")
    if schema[key]["size"] != loader[key]["size"]:
        complain(f"{key}: a list of {loader[key]['size']} to the loader, "
                 f"of {schema[key]['size']} to policy.schema.json")
    documented = reference[key].get("default")
    if str(schema[key]["default"]) != str(documented):
        complain(f"{key}: the default is {documented} in policy.md, "
                 f"{schema[key]['default']} in policy.schema.json")
    kind, values = reference[key].get("type") or "", schema[key]["values"]
    if values.get("enum") and set(re.findall(r"`(\w+)`", kind)) != set(values["enum"]):
        complain(f"{key}: {values['enum']} in policy.schema.json, {kind} in policy.md")
    for number in re.findall(r"\b[0-9][0-9,]*\b", kind) if values.get("type") == "integer" else []:
        if int(number.replace(",", "")) not in (values.get("minimum"), values.get("maximum")):
            complain(f"{key}: {kind} in policy.md, not in policy.schema.json")
    most = loader[key]["size"][1:]
    if most and "up to" in kind and f"up to {most[0]:,}" not in kind:
        complain(f"{key}: {kind} in policy.md, {most[0]} to the loader")
if wrong:
    sys.exit(1)

# Defaults, choices and ranges are what the loader does. Keys are set in the last of two entries, so
# that weights have something to be compared with.
BASE = {
    "version": 1,
    "services": [
        {"name": "a", "weight": 1000, "endpoint": {"tcp": 9001, "udp": 9001}, "identity": {"user": 1}},
        {"name": "b", "weight": 2000, "endpoint": {"tcp": 9002, "udp": 9002}, "identity": {"user": 2}},
    ],
    "filters": [
        {"name": "one", "service": "b", "action": "permit"},
        {"name": "two", "service": "b", "action": "redirect", "match": {"remote_port": 80}},
    ],
}


def with_key(path, value=None):
    """The base with the key set to a value, or without it."""
    policy = copy.deepcopy(BASE)
    *way, last = path.split(".")
    at = policy
    for step in way:
        at = at[step[:-2]][-1] if step.endswith("[]") else at.setdefault(step, {})
    at[last] = value
    if value is None:
        del at[last]
    return policy


def another(key, value):
    values = schema[key]["values"]
    if "enum" in values:
        return next(choice for choice in values["enum"] if choice != value)
    return value + 1 if values.get("type") == "integer" else "1s"


cases = []  # what, a policy, and False if it is wrong; "same" or "other": compiles as the base, or not
for key in sorted(every):
    values, default = schema[key]["values"], schema[key]["default"]
    right = list(values.get("enum", []))
    is_wrong = ["sideways"] if "enum" in values else []
    if "minimum" in values:
        right += [values["minimum"], values["maximum"]]
        is_wrong += [values["minimum"] - 1, values["maximum"] + 1]
    cases += [(f"{key}: {value}", with_key(key, value), True) for value in right]
    cases += [(f"{key}: {value}", with_key(key, value), False) for value in is_wrong]
    unknown = with_key(re.sub(r"[^.]*$", "sideways", key), 1)
    cases.append((f"{key} beside one that is unknown", unknown, False))
    if loader[key]["required"]:
        cases.append((f"{key} left out", with_key(key), False))
    if default is not None:
        cases.append((f"default of {key}", with_key(key, default), "same"))
        cases.append((f"{key} of another value", with_key(key, another(key, default)), "other"))

base_said = load_all([json.dumps(BASE)])[0]
assert base_said.startswith("ok ") and len(base_said) == 19, base_said
for (what, policy, right), said in zip(cases, load_all([json.dumps(policy) for _, policy, _ in cases])):
    valid = validator.is_valid(policy)
    if valid != (right is not False):
        complain(f"policy.schema.json {'takes' if valid else 'refuses'} {what}")
    if said.startswith("ok ") != (right is not False):
        complain(f"the loader {'takes' if right is False else 'refuses'} {what}: {said}")
    elif right == "same" and said != base_said:
        complain(f"{what} is not {schema[what.split()[-1]]['default']} to the loader")
    elif right == "other" and said == base_said:
        complain(f"{what} makes no difference to the loader, so its default could not be told")

# Policies that are wrong in other ways.
HEAD = ("version: 1\n"
        "services: [ { name: a, weight: 1, endpoint: { tcp: 1 }, identity: { user: 1 } } ]\n"
        "filters:\n")
MATCH = HEAD + "- { name: f, service: a, action: redirect, match: { %s } }\n"
WRONG = [
    "- version\n", "", "version: two\n", "version: [ 1 ]\n", "version: 1\nfilters: 5\n",
    "version: 1\nservices: { name: a }\n", "version: 1\nlimits:\n", "version: 1\nfilters: [ - ]\n",
    "version: 1\nlimits: { records_expire: 600 }\n", "version: 1\nlimits: { datagram_idle: 10d }\n",
    HEAD + "- { name: f, service: a, action: permit, context: c }\n",
    HEAD + "- { name: f, service: a, action: redirect, context: '' }\n",
    HEAD + f"- {{ name: f, service: a, action: redirect, context: {'c' * 1025} }}\n",
    HEAD + "- { name: f g, service: a, action: block }\n",
    HEAD + f"- {{ name: {'f' * 40}, service: a, action: block }}\n",
    HEAD + "- { name: f, service: [ a ], action: block }\n",
    HEAD.replace("{ tcp: 1 }", "{}"), HEAD.replace("{ user: 1 }", "{}"),
    HEAD.replace("user: 1", "user: [ 1, 2 ]"), HEAD.replace("user: 1", "cgroup: a"),
    HEAD.replace("user: 1", "user: -1"), HEAD.replace("endpoint: { tcp: 1 }", "endpoint: 1"),
    "version: 1\nservices:\n" + "".join(
        f"- {{ name: s{i}, weight: {i}, endpoint: {{ tcp: {i + 1} }}, identity: {{ user: 1 }} }}\n"
        for i in range(65)),
    HEAD + "".join(f"- {{ name: f{i}, service: a, action: block }}\n" for i in range(1025)),
] + [MATCH % condition for condition in [
    "remote: []", "remote: example.org", "remote: 10.0.0.0/", "remote: [ 1::1, a ]",
    "remote: [ [ 1::1 ] ]", "remote: 10", "remote_file: a", "remote_port: http", "remote_port: 0",
    "remote_port: 65536", "remote_port: 1-", "remote_port: [ 1, -2 ]", "user: []", "user: { a: 1 }",
    "user: 4294967295", "group: -1", "cgroup: a", "cgroup: [ /a, b ]", "application: curl",
    "original_application: [ /a, b ]", "protocol: icmp", "protocol: [ tcp, icmp ]", "local: lo",
    "interface: ''",
]]
for text, said in zip(WRONG, load_all(WRONG)):
    shown = text.replace("\n", "\\n")[-100:]
    try:
        if validator.is_valid(yaml.load(text, Loader)):
            complain(f"policy.schema.json takes: {shown}")
    except yaml.YAMLError:
        pass
    if not said.startswith("error "):
        complain(f"the loader takes: {shown}")


def policies():
    """The examples, and what the documents have of policies: whole ones, and lists of entries."""
    for path in sorted((source / "examples").rglob("*.yaml")):
        yield path.relative_to(source), path.read_text()
    for path in sorted([source / "README.md", *(source / "docs").glob("*.md")]):
        name, text = path.relative_to(source), path.read_text()
        blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        blocks += [textwrap.dedent(block) for block in re.findall(r"(?:^(?:    .*)?\n)+", text, re.MULTILINE)]
        for block in blocks:
            block = block.strip("\n") + "\n"
            if re.search(r"^version: ", block, re.MULTILINE):
                yield name, block
            elif re.match(r"- (\{ )?name: ", block):
                entries = yaml.load(block, Loader)
                kind = "services" if "endpoint" in entries[0] else "filters"
                yield name, yaml.dump({"version": 1, kind: entries})


found = list(policies())
for (name, text), said in zip(found, load_all([text for _, text in found])):
    for error in validator.iter_errors(yaml.load(text, Loader)):
        complain(f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
    # What a host has to have is not to be had here: users, files; and a fragment's services.
    if not said.startswith("ok ") and not re.search(
            r"is not a user of this host|cannot be read: No such file|service \".*\" is not defined", said):
        complain(f"{name}: {said}")
    print(f"{name}: {said}")
print(f"{len(every)} keys, {len(cases) + len(WRONG)} cases, {len(found)} policies, {wrong} wrong")
sys.exit(1 if wrong or len(found) < 8 else 0)
