"""The worker's end of the line on which bodies elsewhere report, see `flows/reports.py`."""

from __future__ import annotations

import json
import logging
import os
import socketserver
import threading
from collections.abc import Callable
from typing import Any

from backroom.flows.reports import Line, Report

__all__ = ["Listener"]

log = logging.getLogger("backroom")

LINE_BYTES = 65_536


class Listener:
    """Opened with the first call."""

    def __init__(self, host: str) -> None:
        self._reports: dict[str, Report] = {}
        self._server = _Server((host, 0), self._heard)
        self._host, self._port = self._server.server_address[:2]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="backroom-reports", daemon=True
        )
        self._thread.start()

    def open(self, report: Report) -> Line:
        token = os.urandom(16).hex()
        self._reports[token] = report
        return Line(str(self._host), self._port, token)

    def close_line(self, line: Line) -> None:
        self._reports.pop(line.token, None)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _heard(self, message: dict[str, Any]) -> None:
        report = self._reports.get(str(message.get("token")))
        if report is not None:
            report(message.get("fraction"), message.get("status"))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], heard: Callable[[dict[str, Any]], None]) -> None:
        self.heard = heard
        super().__init__(address, _Caller)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a report from %s could not be read", client_address, exc_info=True)


class _Caller(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        while line := self.rfile.readline(LINE_BYTES):
            message = json.loads(line)
            if message.get("end"):
                self.wfile.write(b"\n")
            else:
                self.server.heard(message)
