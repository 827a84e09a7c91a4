"""`shortfall serve` as a process: what it refuses before it opens anything, and how it ends.

usage: serve_test.py SHORTFALL [CLASS...]
"""

import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

DEMO = pathlib.Path(__file__).resolve().parents[2] / "configs" / "demo" / "run.toml"
PROGRAM = ""
TOKEN = "0123456789abcdef0123456789abcdef"


class ServeTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.state = self.folder / "state"

    def command(self, *arguments):
        return [PROGRAM, "serve", str(DEMO), "--state", str(self.state), "--paths", "2000",
                "--backend", "cpu", *arguments]

    def serve(self, *arguments):
        """(process, address) once it listens."""
        process = subprocess.Popen(self.command("--listen", "127.0.0.1:0", *arguments),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        line = process.stdout.readline()
        match = re.fullmatch(r"listening on http://(127\.0\.0\.1):(\d+)\n", line)
        self.assertTrue(match, line)
        return process, (match[1], int(match[2]))

    def ask(self, address, path, headers=None):
        connection = http.client.HTTPConnection(*address, timeout=20)
        self.addCleanup(connection.close)
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read()

    def refuse(self, *arguments):
        ended = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60)
        self.assertEqual(ended.returncode, 2, ended.stderr)
        self.assertFalse(self.state.exists(), "opened before it refused")
        return ended.stderr


class Refusals(ServeTest):
    def test_elsewhere_without_tokens(self):
        for place in ("0.0.0.0:0", "[::]:0"):
            self.assertIn("--token-file", self.refuse("--listen", place))

    def test_address(self):
        self.assertIn("write an address and a port", self.refuse("--listen", "everywhere"))

    def test_token_file_that_others_can_read(self):
        tokens = self.folder / "tokens"
        tokens.write_text(f"admin {TOKEN}\n")
        tokens.chmod(0o644)
        message = self.refuse("--token-file", str(tokens))
        self.assertIn("chmod 600", message)
        self.assertNotIn(TOKEN, message)

    def test_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ended = subprocess.run(
                self.command("--listen", f"127.0.0.1:{taken.getsockname()[1]}"),
                capture_output=True, text=True, timeout=60)
        self.assertEqual(ended.returncode, 1)
        self.assertIn("in use", ended.stderr)


class Ends(ServeTest):
    def test_on_signals_with_clients(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            process, address = self.serve()
            stream = socket.create_connection(address)
            self.addCleanup(stream.close)
            stream.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertIn(b"text/event-stream", stream.recv(4096))
            half = socket.create_connection(address)
            self.addCleanup(half.close)
            half.sendall(b"GET /v1/acc")
            began = time.monotonic()
            process.send_signal(number)
            self.assertEqual(process.wait(10), 0)
            self.assertLess(time.monotonic() - began, 5)

    def test_what_was_accepted_is_there_again(self):
        process, address = self.serve()
        connection = http.client.HTTPConnection(*address, timeout=20)
        self.addCleanup(connection.close)
        connection.request("PUT", "/v1/market", '{"as_of":"2026-01-02T10:00:00Z"}',
                           {"Content-Type": "application/json"})
        self.assertEqual(connection.getresponse().status, 200)
        process.terminate()
        self.assertEqual(process.wait(10), 0)
        _, address = self.serve()
        self.assertIn(b'"as_of":"2026-01-02T10:00:00Z"', self.ask(address, "/v1/engine")[1])


class Tokens(ServeTest):
    def test_are_needed_and_never_printed(self):
        tokens = self.folder / "tokens"
        tokens.touch(0o600)
        tokens.write_text(f"read {TOKEN}\n")
        process, address = self.serve("--token-file", str(tokens), "--verbose")
        self.assertEqual(self.ask(address, "/v1/accounts")[0], 401)
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        self.assertEqual(self.ask(address, "/v1/accounts?search=hidden", bearer)[0], 200)
        process.terminate()
        out, err = process.communicate(timeout=10)
        self.assertIn('GET "/v1/accounts" 200', err)
        for secret in (TOKEN, "hidden"):
            self.assertNotIn(secret, out + err)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
