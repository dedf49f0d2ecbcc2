"""What every command in a machine finds in its environment, whatever the machine is made of."""

from __future__ import annotations

LOGIN_SHELL = ("/bin/bash", "--login")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
DEFAULT_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "SSL_CERT_FILE": CERTIFICATES,
    "REQUESTS_CA_BUNDLE": CERTIFICATES,
    "PIP_CERT": CERTIFICATES,
    "NODE_EXTRA_CA_CERTS": CERTIFICATES,
}
TERMINAL_ENVIRONMENT = {"TERM": "xterm-256color", "SHELL": "/bin/bash"}
"""What a shell on a terminal finds besides."""
