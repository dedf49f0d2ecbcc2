#!/usr/bin/python3
"""Asks whether the apps of this machine are healthy; runs inside, with Debian's Python and nothing else.

    health.py check --deadline SECONDS   once, until every app is healthy (0) or the deadline has passed (1)
    health.py watch                      for ever, with each check's interval, retries and on_fail

It changes nothing but what `on_fail` of a check asks for.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import xmlrpc.client
from typing import Any

CONFIG = "/etc/ingot/health.json"
RUNNING, EXITED, FATAL = 20, 100, 200
Check = dict[str, Any]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


class UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def make_connection(self, host: Any) -> UnixConnection:
        return UnixConnection(self.path)


class Supervisor:
    """What supervisord says about its services; a new connection each time, since it may restart."""

    def __init__(self, path: str) -> None:
        self.path = path

    def call(self, method: str, *arguments: str) -> Any:
        with xmlrpc.client.ServerProxy("http://localhost", transport=UnixTransport(self.path)) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def state(self, name: str) -> tuple[int | None, str]:
        """(state, words); (None, why) when supervisord does not answer."""
        try:
            found = self.call("getProcessInfo", name)
        except (OSError, xmlrpc.client.Fault, xmlrpc.client.ProtocolError, http.client.HTTPException) as error:
            return None, f"no answer from supervisord: {error}"
        words = found["statename"].lower()
        if found["state"] == EXITED:
            words += f" with status {found['exitstatus']}"
        if found.get("spawnerr"):
            words += f": {found['spawnerr']}"
        return found["state"], words

    def restart(self, name: str) -> None:
        with contextlib.suppress(OSError, xmlrpc.client.Error):  # not running is what a stop is for
            self.call("stopProcess", name)
        self.call("startProcess", name)


class HopelessError(Exception):
    """Waiting longer cannot help."""


def probe(check: Check, supervisor: Supervisor) -> str | None:
    """None when the check passes, else why it does not, in words."""
    timeout = float(check.get("timeout", 5))
    try:
        return PROBES[check["type"]](check, timeout, supervisor)
    except (OSError, ValueError, http.client.HTTPException, subprocess.SubprocessError) as error:
        return str(error) or type(error).__name__


def probe_http(check: Check, timeout: float, supervisor: Supervisor) -> str | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(check["url"], timeout=timeout) as answer:
            return None if answer.status < 400 else f"{check['url']} answered {answer.status}"
    except urllib.error.HTTPError as error:
        return f"{check['url']} answered {error.code}"
    except urllib.error.URLError as error:
        return f"{check['url']}: {error.reason}"


def probe_tcp(check: Check, timeout: float, supervisor: Supervisor) -> str | None:
    try:
        with socket.create_connection(("127.0.0.1", int(check["port"])), timeout=timeout):
            return None
    except OSError as error:
        return f"port {check['port']}: {error.strerror or error}"


def probe_command(check: Check, timeout: float, supervisor: Supervisor) -> str | None:
    try:
        done = subprocess.run(
            ["/bin/bash", "-c", check["command"]],
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except subprocess.TimeoutExpired:
        return f"`{check['command']}` took longer than {timeout:g} s"
    if done.returncode == 0:
        return None
    last = done.stdout.decode(errors="replace").strip().splitlines()[-1:]
    return f"`{check['command']}` ended with status {done.returncode}" + (f": {last[0]}" if last else "")


def probe_process(check: Check, timeout: float, supervisor: Supervisor) -> str | None:
    name = check["process"]
    state, words = supervisor.state(name)
    if state == RUNNING or name in processes():
        return None
    return f"no process {name} is running" + (f" ({words})" if state is not None else "")


PROBES = {"http": probe_http, "tcp": probe_tcp, "command": probe_command, "process": probe_process}


def processes() -> set[str]:
    """The names of all processes: the kernel's, and that of the program they were started with."""
    found: set[str] = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read(4096).split(b"\0")[:2]
            with open(f"/proc/{entry}/comm", "rb") as file:
                found.add(file.read().strip().decode(errors="replace"))
        except OSError:
            continue
        found.update(os.path.basename(word).decode(errors="replace") for word in words)
    return found


def unready(app: dict[str, Any], supervisor: Supervisor) -> str | None:
    """None when the app is ready, else why not. Raises HopelessError when a service has given up."""
    for name in app["services"]:
        state, words = supervisor.state(name)
        if state == FATAL:
            raise HopelessError(f"service {name} does not stay up ({words})")
        if state == EXITED and not words.endswith("status 0"):
            raise HopelessError(f"service {name} {words}")
        if state not in (RUNNING, EXITED):
            return f"service {name} is {words}"
    return probe(app["check"], supervisor) if app["check"] else None


def check(config: dict[str, Any], deadline: float) -> int:
    supervisor = Supervisor(config["socket"])
    waiting = {app["app"]: app for app in config["apps"] if app["services"] or app["check"]}
    reasons: dict[str, str] = {}
    end = time.monotonic() + deadline
    while waiting:
        for name, app in list(waiting.items()):
            try:
                why = unready(app, supervisor)
            except HopelessError as error:
                print(f"app {name} is not ready: {error}", flush=True)
                return 1
            if why is None:
                del waiting[name]
                print(f"app {name} is ready", flush=True)
            elif reasons.get(name) != why:
                reasons[name] = why
                print(f"waiting for app {name}: {why}", flush=True)
        if waiting and time.monotonic() > end:
            for name in waiting:
                print(f"app {name} is not ready after {deadline:g} s: {reasons.get(name)}", flush=True)
            return 1
        if waiting:
            time.sleep(0.1)
    return 0


def watch(config: dict[str, Any]) -> int:
    supervisor = Supervisor(config["socket"])
    apps = [app for app in config["apps"] if app["watch"]]
    due = {app["app"]: time.monotonic() + float(app["watch"]["every"]) for app in apps}
    failures = dict.fromkeys(due, 0)
    while apps:
        time.sleep(max(0.0, min(due.values()) - time.monotonic()))
        for app in apps:
            name, rule = app["app"], app["watch"]
            if due[name] > time.monotonic():
                continue
            why = probe(rule, supervisor)
            due[name] = time.monotonic() + float(rule["every"])
            failures[name] = 0 if why is None else failures[name] + 1
            if why is not None:
                print(f"{stamp()} app {name}: failure {failures[name]} of {rule['retries']}: {why}", flush=True)
            if failures[name] >= int(rule["retries"]):
                failures[name] = 0
                react(rule.get("on_fail", "none"), name, supervisor)
    return 0


def react(action: str, app: str, supervisor: Supervisor) -> None:
    if action == "none":
        return
    print(f"{stamp()} app {app} is not healthy: {action}", flush=True)
    verb, _, service = action.partition(":")
    try:
        if verb == "restart_service":
            supervisor.restart(service)
        elif verb == "restart_vm":
            os.kill(1, 15)
    except (OSError, xmlrpc.client.Error) as error:
        print(f"{stamp()} {action}: {error}", flush=True)


def stamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("check", "watch"))
    parser.add_argument("--deadline", type=float, default=30.0)
    parser.add_argument("--config", default=CONFIG)
    arguments = parser.parse_args()
    with open(arguments.config, encoding="utf-8") as file:
        config = json.load(file)
    return check(config, arguments.deadline) if arguments.what == "check" else watch(config)


if __name__ == "__main__":
    sys.exit(main())
