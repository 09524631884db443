"""The HTTP server."""

from __future__ import annotations

import gc
import logging
import ssl
import sys
from typing import Any

import uvicorn

from scitex_ssh.errors import error
from scitex_ssh.gateway import app, bounds, upkeep
from scitex_ssh.gateway.service import opened
from scitex_ssh.gateway.settings import Settings


def run(settings: Settings) -> None:
    """Serve until a signal ends it.

    Raises:
        SSHError: ``gateway-plain-http`` for an address that others can reach, without TLS;
            ``gateway-settings`` for a certificate that cannot be used.
    """
    if not (settings.loopback or settings.certificate or settings.plain_http):
        raise error("gateway-plain-http", host=settings.host)
    _check_certificate(settings)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    store = opened(settings)
    served = bounds.Bounded(app.made(settings, store))
    # What is loaded by now stays: to look through it for garbage takes 50 ms, in which nobody is answered.
    gc.collect()
    gc.freeze()
    with upkeep.Ticker(settings, store):
        uvicorn.run(served, **options(settings))


def _check_certificate(settings: Settings) -> None:
    """See that the certificate and its key can be read and belong together."""
    if settings.certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.certificate, settings.certificate_key
        )
    except (OSError, ssl.SSLError) as problem:
        why = f"{settings.certificate} and {settings.certificate_key}: {problem.strerror or problem}"
        raise error("gateway-settings", name="--tls-cert and --tls-key", why=why.lower()) from problem


def options(settings: Settings) -> dict[str, Any]:
    """What uvicorn is told."""
    return {
        "host": settings.host,
        "port": settings.port,
        "http": bounds.Impatient,
        "ws": "none",
        "loop": "asyncio",
        "log_config": None,
        # Its lines hold the whole URL; ours hold what matters.
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": 10,
        "limit_concurrency": 512,
        "backlog": 1024,
        "timeout_graceful_shutdown": 5,
        "proxy_headers": bool(settings.proxy),
        "forwarded_allow_ips": settings.proxy or None,
        "ssl_certfile": settings.certificate,
        "ssl_keyfile": settings.certificate_key,
    }
