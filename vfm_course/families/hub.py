"""Whether the model hub answers, found out in seconds: its own client tries again and again for minutes."""

import os
import threading
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen


def switched_off() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def host() -> str:
    """The hub's name; HF_ENDPOINT may set another than the public one."""
    from huggingface_hub.constants import ENDPOINT

    return urlsplit(ENDPOINT).hostname or ENDPOINT


def reachable(limit: float = 4.0) -> bool:
    """Whether anything answers at the hub's address, also through a proxy, within `limit` seconds."""
    if switched_off():
        return False
    from huggingface_hub.constants import ENDPOINT

    answered = threading.Event()

    def call() -> None:
        try:
            urlopen(Request(ENDPOINT, method="HEAD"), timeout=limit).close()
        except HTTPError:  # an answer, if not a friendly one
            pass
        except (OSError, ValueError):
            return
        answered.set()

    caller = threading.Thread(target=call, daemon=True)  # of its own: looking up a name heeds no time limit
    caller.start()
    caller.join(limit)
    return answered.is_set()
