"""What the tests of the service and of its page share: where it is, and requests to it."""

import argparse
import http.client
import json
import sys
import unittest
import urllib.parse

import mock_server
from openapi_contract import Contract

CONTRACT = Contract()


def quoted(name):
    """A name as part of a path."""
    return urllib.parse.quote(name, safe="")


class Service:
    """A running service, or the mock of one."""

    def __init__(self, base_url, token=""):
        self.url = base_url.rstrip("/")
        self.token = token
        address = urllib.parse.urlsplit(self.url)
        self.address = (address.hostname, address.port)

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, bytes) of the answer, which is checked against the document.

        body: bytes as they are; anything else is sent as JSON.
        """
        headers = dict(headers or {})
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
            CONTRACT.check_answer(method, path, response.status, response.headers, content)
            return response.status, response.headers, content
        finally:
            connection.close()

    def read(self, path):
        status, _, content = self.ask("GET", path)
        assert status == 200, (path, status, content)
        return json.loads(content)

    def send(self, method, path, body):
        status, _, content = self.ask(method, path, body)
        assert status in (200, 202), (path, status, content)
        return json.loads(content)


def arguments(description):
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--base-url", help="a running service; default: a mock of one")
    parser.add_argument("--token", default="", help="of the role admin, for --base-url")
    parser.add_argument("classes", nargs="*", help="test classes; default: all")
    return parser


def run(module, options):
    """Runs the module's tests; the exit status."""
    loader = unittest.defaultTestLoader
    suite = (loader.loadTestsFromNames(options.classes, module) if options.classes
             else loader.loadTestsFromModule(module))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    if not result.wasSuccessful():
        return 1
    return 77 if result.skipped else 0


def start(options):
    """(Service, mock or None)."""
    if options.base_url:
        return Service(options.base_url, options.token), None
    mock = mock_server.Server()
    return Service(mock.url), mock
