"""Is an answer what the daemon's own /openapi.json says of it?

    api = openapi.Api(daemon.json("/openapi.json"))
    api.check(answer)            an answer of requests, with the request that it belongs to

What a page says is held against the wire more strictly than a client may: a member that the page does not name is a
failure here, so that nothing is answered that nobody described.
"""

import copy
import json
import re
import urllib.parse

import jsonschema
import pytest

import processes

PROBLEM = "application/problem+json"
METHODS = ("get", "put", "post", "delete", "head")
# What any request may meet before it reaches its conductor; pages have it under `default`.
GENERAL = {"bad-request", "unknown-key", "method", "timeout", "length-required", "too-large", "target-too-long", "encoding",
           "expectation", "head-too-large", "other-cluster", "internal"}


def is_object(schema):
    return schema.get("type") == "object" and "properties" in schema


def strict(part):
    """The same page where objects have the members that are named, and no others unless it says so."""
    if isinstance(part, dict):
        part = {key: strict(value) for key, value in part.items()}
        if is_object(part):
            part.setdefault("additionalProperties", False)
    elif isinstance(part, list):
        part = [strict(value) for value in part]
    return part


def media_type(headers):
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


class Api:
    def __init__(self, document):
        self.document = document
        self.strict = strict(copy.deepcopy(document))
        self.paths = [(template, re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)) + "$"))
                      for template in document["paths"]]
        # Literal segments before parameters.
        self.paths.sort(key=lambda entry: entry[0].count("{"))
        self.validators = {}

    def resolve(self, part):
        while "$ref" in part:
            at = self.strict
            for word in part["$ref"].removeprefix("#/").split("/"):
                at = at[word]
            part = at
        return part

    def template(self, path):
        return next((template for template, pattern in self.paths if pattern.match(path)), None)

    def operation(self, method, path):
        """The operation and its parameters; None, None when the page has none."""
        template = self.template(path)
        item = self.strict["paths"].get(template, {})
        operation = item.get(method.lower())
        if operation is None:
            return None, None
        parameters = [self.resolve(part) for part in item.get("parameters", []) + operation.get("parameters", [])]
        return operation, parameters

    def validate(self, schema, value, what):
        key = json.dumps(schema, sort_keys=True)
        if key not in self.validators:
            whole = {**schema, "components": self.strict["components"]}
            self.validators[key] = jsonschema.Draft202012Validator(whole)
        errors = sorted(self.validators[key].iter_errors(value), key=lambda error: list(map(str, error.path)))
        assert not errors, f"{what}: " + "; ".join(f"{error.json_path}: {error.message[:400]}" for error in errors[:5])

    def check_problem(self, answer, what):
        assert media_type(answer.headers) == PROBLEM, f"{what}: {answer.headers.get('Content-Type')}"
        self.validate({"$ref": "#/components/schemas/Problem"}, answer.json(), what)
        problem = answer.json()
        assert problem["status"] == answer.status_code, what
        assert problem["type"] == f"urn:gribstore:error:{problem['code']}", what
        return problem

    def check_body(self, response, answer, what):
        body = answer.content
        content = response.get("content")
        if answer.request.method == "HEAD" or content is None:
            assert not body, f"{what}: a body, the page has none"
            return
        media = media_type(answer.headers)
        assert media in content, f"{what}: Content-Type {media} is not among {sorted(content)}"
        if media in ("application/json", PROBLEM):
            self.validate(content[media]["schema"], answer.json(), what)
        elif media == "application/x-ndjson":
            for line in body.splitlines():
                self.validate(content[media]["schema"], json.loads(line), what)
        if media == PROBLEM:
            self.check_problem(answer, what)

    def check_headers(self, response, answer, what):
        for name, header in response.get("headers", {}).items():
            header = self.resolve(header)
            value = answer.headers.get(name)
            assert value is not None or not header.get("required"), f"{what}: without {name}"
            if value is not None:
                value = int(value) if header["schema"].get("type") == "integer" else value
                self.validate(header["schema"], value, f"{what}, {name}")

    def check_request(self, operation, parameters, answer, what):
        """What was asked and taken is on the page too."""
        url = urllib.parse.urlsplit(answer.request.url)
        named = {part["name"] for part in parameters if part["in"] == "query"}
        open_ended = any(part["in"] == "query" and part["schema"].get("type") == "object" for part in parameters)
        asked = {key for key, _ in urllib.parse.parse_qsl(url.query, keep_blank_values=True)}
        assert open_ended or asked <= named, f"{what}: the page has no keys {asked - named}"
        content = operation.get("requestBody", {}).get("content", {})
        sent = answer.request.headers.get("Content-Type", "")
        # Where a body may be text as well, it is what its type says.
        if "application/json" in content and answer.request.body and (len(content) == 1 or sent.startswith("application/json")):
            self.validate(content["application/json"]["schema"], json.loads(answer.request.body), f"{what}, its body")

    def check(self, answer):
        """The answer, as it came; an AssertionError that says what the page has otherwise."""
        method, path = answer.request.method, urllib.parse.urlsplit(answer.request.url).path
        what = f"{method} {path}: {answer.status_code}"
        operation, parameters = self.operation("get" if method == "HEAD" else method, path)
        if method == "OPTIONS":
            assert answer.status_code == 204 and answer.headers["Allow"], what
        elif operation is None:
            assert self.check_problem(answer, what)["code"] in ("not-found", "method", "bad-request", "target-too-long"), what
        else:
            responses = operation["responses"]
            if str(answer.status_code) not in responses:
                assert self.check_problem(answer, what)["code"] in GENERAL, f"{what} is not on the page"
            response = self.resolve(responses.get(str(answer.status_code), responses["default"]))
            self.check_headers(response, answer, what)
            self.check_body(response, answer, what)
            if answer.status_code < 300:
                self.check_request(operation, parameters, answer, what)
        return answer


class Watch:
    """Checks every answer to Daemon.request() against the page that this daemon serves."""

    def __init__(self):
        self.pages = {}
        self.seen = []  # program, method, template, status

    def page(self, daemon, ask):
        if daemon.url not in self.pages:
            self.pages[daemon.url] = Api(ask(daemon, "GET", "/openapi.json").json())
        return self.pages[daemon.url]

    def check(self, daemon, ask, answer):
        page = self.page(daemon, ask)
        page.check(answer)
        path = urllib.parse.urlsplit(answer.request.url).path
        self.seen.append((type(daemon).__name__, answer.request.method, page.template(path), answer.status_code))
        return answer


@pytest.fixture(scope="session")
def api_watch():
    return Watch()


@pytest.fixture
def api_checked(api_watch, monkeypatch):
    """Within this test every answer to a Daemon's request() has to be as its page says."""
    ask = processes.Daemon.request

    def request(daemon, method, path, **options):
        return api_watch.check(daemon, ask, ask(daemon, method, path, **options))

    monkeypatch.setattr(processes.Daemon, "request", request)
    return api_watch
