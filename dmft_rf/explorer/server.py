"""Serves the page on this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import panel as pn

from dmft_rf.errors import ModelError
from dmft_rf.explorer.page import Page
from dmft_rf.explorer.state import State
from dmft_rf.explorer.upload import MOST_BYTES

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    address: str = "127.0.0.1",
    port: int = 5006,
    show: bool = True,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve the page until it is interrupted.

    Parameters
    ----------
    address : str
        Of the network interface; any other than the loopback shows the page to others.
    port : int
        0 takes a free one.
    show : bool
        Opens a browser.
    ready : callable
        Called with the page's address when it is there.

    Raises
    ------
    ModelError
        If the address or the port cannot be had.
    """
    port = _free(address, port)
    url = f"http://{address}:{port}"
    pn.extension(notifications=False)
    server = pn.serve(
        {"/": _page},
        address=address,
        port=port,
        title="dmft-rf explore",
        show=False,
        start=False,
        verbose=False,
        websocket_origin=[f"{name}:{port}" for name in (*LOOPBACK[:2], address)],
        websocket_max_message_size=2 * MOST_BYTES,
    )
    server.start()
    ready(url)
    if show:
        server.io_loop.add_callback(server.show, "/")
    try:
        server.io_loop.start()
    finally:
        server.stop()


def _page() -> Any:
    """A new visitor: the state of the link, and a page that keeps the link up to date."""
    location = pn.state.location
    query = {name: values[-1].decode("utf-8", "replace") for name, values in _arguments().items()}
    try:
        state, wrong = State.from_query(query), ""
    except ModelError as error:
        state, wrong = State(), str(error)

    def remember(state: State) -> None:
        if location is not None:
            said = state.query()
            location.search = "?" + "&".join(f"{k}={v}" for k, v in said.items()) if said else ""

    page = Page(state, remember)
    if wrong:
        page.complain(wrong)
    return page.view


def _arguments() -> dict[str, list[bytes]]:
    return dict(pn.state.session_args or {})


def _free(address: str, port: int) -> int:
    """The port, or a free one for 0."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except (OSError, OverflowError) as error:
            raise ModelError(
                f"port {port} of {address!r} cannot be used ({error}); --port 0 takes a free one"
            ) from None
        return int(trial.getsockname()[1])
