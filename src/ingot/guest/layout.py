"""Where Ingot's own things lie inside a machine, and nothing about how they get there.

Programs and configuration are part of the golden; everything below `/run` is made anew at each start and may
hold secrets, so nothing below it ever reaches a layer.
"""

from __future__ import annotations

PROGRAMS = "/usr/lib/ingot"
CONFIG = "/etc/ingot"
STATE = "/var/lib/ingot"
RUN = "/run/ingot"
LOGS = "/var/log/ingot"

HEALTH_PROGRAM = f"{PROGRAMS}/health.py"
HEALTH_CONFIG = f"{CONFIG}/health.json"
SUPERVISOR_CONFIG = f"{CONFIG}/supervisord.conf"
SUPERVISOR_BUILD_CONFIG = f"{CONFIG}/supervisord-build.conf"
SUPERVISOR_SOCKET = f"{RUN}/supervisor.sock"
SUPERVISOR_PID = f"{RUN}/supervisord.pid"
ENVIRONMENT = f"{CONFIG}/environment"
PROFILE = "/etc/profile.d/ingot.sh"
FIRST_BOOT_MARK = f"{STATE}/first-boot"


def hook(name: str) -> str:
    """The script of a hook, such as `on_resume`."""
    return f"{CONFIG}/hooks/{name}"


def service_script(name: str) -> str:
    """What supervisord runs for a service."""
    return f"{CONFIG}/services/{name}"


def service_secrets(name: str) -> str:
    """A service's environment with secrets in it, written at launch, readable by its user alone."""
    return f"{RUN}/env/{name}"


def service_log(name: str) -> str:
    return f"{LOGS}/{name}.log"


def home(owner: str) -> str:
    """Where `~/` of a file leads: the home of the file's owner."""
    return "/root" if owner in ("root", "0") else f"/home/{owner}"
