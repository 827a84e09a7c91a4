"""Whether requests and answers are what host/service/openapi.json says.

Needs Debian's python3-jsonschema.
"""

import json
import re
import urllib.parse
from pathlib import Path

import jsonschema

DOCUMENT = Path(__file__).resolve().parents[2] / "host" / "service" / "openapi.json"
ERROR = "application/problem+json"


class Mismatch(Exception):
    """A request or an answer that the document does not have."""


def as_json_schema(node, is_answer):
    """A schema object of OpenAPI 3.0 as JSON schema of draft 4: `nullable` is not in that.

    In answers every member has to be in the document, which asks less of clients: they are to
    ignore what they do not know.
    """
    if isinstance(node, list):
        return [as_json_schema(item, is_answer) for item in node]
    if not isinstance(node, dict):
        return node
    schema = {key: as_json_schema(value, is_answer) for key, value in node.items()
              if key not in ("nullable", "example", "description")}
    if is_answer and isinstance(node.get("properties"), dict) and "type" in node:
        schema.setdefault("additionalProperties", False)
    if node.get("nullable") is True:
        return {"anyOf": [{"type": "null"}, schema]}
    return schema


class Contract:
    def __init__(self, document=None):
        self.document = document or json.loads(DOCUMENT.read_text())
        self.routes = [
            (re.compile(re.sub(r"\\{\w+\\}", "(.+)", re.escape(template)) + "$"), template, item)
            for template, item in self.document["paths"].items()]
        # A member called "description" or "example" would be lost: there is none.
        self.schemas = {is_answer: as_json_schema(self.document["components"]["schemas"], is_answer)
                        for is_answer in (False, True)}

    def operation(self, method, target):
        """(operation, path parameters) of a request, (None, allowed methods) or (None, None)."""
        path = urllib.parse.urlsplit(target).path
        for pattern, template, item in self.routes:
            if match := pattern.match(path):
                if method.lower() not in item:
                    return None, [name.upper() for name in item]
                names = re.findall(r"\{(\w+)\}", template)
                values = [urllib.parse.unquote(value) for value in match.groups()]
                return item[method.lower()], dict(zip(names, values))
        return None, None

    def problems(self, schema, value, is_answer):
        """[(JSON pointer, message)], empty where the value is what the schema says."""
        root = {"components": {"schemas": self.schemas[is_answer]},
                **as_json_schema(schema, is_answer)}
        found = []
        for problem in jsonschema.Draft4Validator(root).iter_errors(value):
            problem = jsonschema.exceptions.best_match([problem])
            pointer = "".join(f"/{part}" for part in problem.absolute_path)
            found.append((pointer, problem.message[:300]))
        return found

    def request_problems(self, operation, body):
        media = operation["requestBody"]["content"]["application/json"]
        return self.problems(media["schema"], body, False)

    def query_problems(self, operation, values):
        """Of query parameters as text: [(where, message)]."""
        known = {parameter["name"]: parameter["schema"]
                 for parameter in operation.get("parameters", []) if parameter["in"] == "query"}
        found = []
        for name, text in values:
            if name not in known:
                found.append((f"query {name}", "there is no such parameter"))
                continue
            is_integer = known[name]["type"] == "integer"
            value = int(text) if is_integer and re.fullmatch("[0-9]{1,18}", text) else text
            found += [(f"query {name}", message)
                      for _, message in self.problems(known[name], value, False)]
        return found

    def check_answer(self, method, target, status, headers, body):
        """Raises Mismatch. headers: a mapping; body: bytes."""

        def refuse(text):
            raise Mismatch(f"{method} {target}: {status}: {text}")

        media_type = headers.get("Content-Type", "").split(";")[0].strip()
        operation, _ = self.operation(method, target)
        if operation is None:
            if status not in (400, 401, 404, 405, 408, 414, 421, 431, 503):
                refuse("no such route, and not refused as such")
            response = self.document["components"]["responses"]["404"]
        else:
            response = operation["responses"].get(str(status)) or refuse("status not documented")
        if "$ref" in response:
            response = self.document["components"]["responses"][response["$ref"].split("/")[-1]]
        for name in response.get("headers", {}):
            if name not in headers:
                refuse(f"no header {name}")
        if media_type not in response["content"]:
            refuse(f"content type {media_type}")
        schema = response["content"][media_type]["schema"]
        if media_type not in ("application/json", ERROR):
            return

        def no_constant(name):
            refuse(f"{name} is no JSON")

        value = json.loads(body, parse_constant=no_constant)
        if found := self.problems(schema, value, True):
            refuse("; ".join(f"{where or 'body'}: {message}" for where, message in found[:5]))

    def check_event(self, name, text):
        events = self.document["paths"]["/v1/events"]["get"]["x-events"]
        if name not in events:
            raise Mismatch(f"event {name} is not documented")
        if found := self.problems(events[name], json.loads(text), True):
            raise Mismatch(f"event {name}: {found[:5]}")
