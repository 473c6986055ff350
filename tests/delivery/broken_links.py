"""What can happen to the links to a broker."""

import time

from lab.proxy import Proxy


def cut_often(proxy: Proxy) -> None:
    """The links are reset every 50 ms for a while."""
    for _ in range(30):
        proxy.cut()
        time.sleep(0.05)


def out_of_reach(proxy: Proxy) -> None:
    """No link can be made for a second."""
    proxy.refuse()
    time.sleep(1)
    proxy.refuse(False)
