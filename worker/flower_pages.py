"""Flower's own metrics, behind the login that its other pages have.

As Flower 2 comes, `/metrics` is open to whoever reaches the port, although it names tasks and workers. `/healthcheck` says
nothing and stays open.
"""

import sys

from tornado.web import authenticated


def close_flower_metrics() -> None:
    """Lets Flower ask for its login at `/metrics` too, if this process is one that has Flower loaded."""
    if (monitor := sys.modules.get("flower.views.monitor")) is not None and not hasattr(monitor.Metrics.get, "__wrapped__"):
        monitor.Metrics.get = authenticated(monitor.Metrics.get)
