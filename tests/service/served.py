"""What the tests of the service and of its page share: the program, served, and requests to it."""

import http.client
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

import book
from openapi_contract import Contract

CONTRACT = Contract()


def quoted(name):
    """A name as part of a path."""
    return urllib.parse.quote(name, safe="")


class Client:
    """Requests to a running service; what it answers is checked against the document."""

    def __init__(self, url, token=""):
        self.url = url
        self.token = token
        address = urllib.parse.urlsplit(url)
        self.address = (address.hostname, address.port)

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, bytes) of the answer.

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

    def change(self, client_id, account, instrument, quantity):
        return self.send("POST", "/v1/positions", {"client_id": client_id, "changes": [
            {"account": account, "instrument": instrument, "quantity": quantity}]})


class Service(Client):
    """The program, on a port and with a state directory of its own, until stop()."""

    def __init__(self, program, config, *arguments):
        self.state = tempfile.TemporaryDirectory(prefix="shortfall-state-")
        self.process = subprocess.Popen(
            [program, "serve", str(config), "--state", self.state.name, "--listen", "127.0.0.1:0",
             "--backend", "cpu", *arguments], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on http://"):
            self.process.kill()
            sys.exit(f"the service does not start: {line!r}")
        super().__init__(line.split()[-1])
        end = time.monotonic() + 30
        while self.ask("GET", "/readyz")[0] != 200:
            assert time.monotonic() < end, "the service is not ready after 30 s"
            time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        status = self.process.wait(10)
        self.process.stdout.close()
        self.state.cleanup()
        assert status == 0, f"the service ended with status {status}"


class Place:
    """Folder and services of a test program: all of it goes when the tests are over."""

    def __init__(self, program):
        self.program = program
        self.folder = tempfile.TemporaryDirectory(prefix="shortfall-book-")
        self.services = []

    def book(self, **sizes):
        return book.make(self.program, pathlib.Path(self.folder.name), **sizes)

    def serve(self, config, *arguments):
        self.services.append(Service(self.program, config, *arguments))
        return self.services[-1]

    def tokens(self, **roles):
        """--token-file with a token per role."""
        file = pathlib.Path(self.folder.name) / "tokens"
        file.touch(0o600)
        file.write_text("".join(f"{role} {token}\n" for role, token in roles.items()))
        return "--token-file", str(file)

    def clear(self):
        for service in self.services:
            service.stop()
        self.folder.cleanup()


def run(module, classes):
    """Runs the module's tests; the exit status."""
    loader = unittest.defaultTestLoader
    suite = (loader.loadTestsFromNames(classes, module) if classes
             else loader.loadTestsFromModule(module))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    return 0 if result.wasSuccessful() else 1
