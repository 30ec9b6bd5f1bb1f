"""The command ``dmft-rf explore``: a local page whose sliders move exact curves."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from dmft_rf.cli._frame import say
from dmft_rf.cli._parameters import option
from dmft_rf.errors import ModelError


@dataclass(frozen=True)
class ExploreOptions:
    """Page: where it is served."""

    port: int = option("Port of the page; 0 takes a free one.", default=5006)
    address: str = option(
        "Network address; any other than this machine's own shows the page to others.",
        default="127.0.0.1",
    )
    browser: bool = option(
        "Open the page in a browser.", default=True, flag="--browser/--no-browser"
    )


def explore(options: ExploreOptions) -> None:
    """Serve the page until Ctrl-C."""
    if find_spec("panel") is None:
        raise ModelError("the explorer needs Panel: pip install 'dmft_rf[explore]'")
    from dmft_rf.explorer.server import LOOPBACK, serve

    if options.address not in LOOPBACK:
        say("warning", f"everybody who reaches {options.address} can use this page")
    if not 0 <= options.port < 1 << 16:
        raise ModelError(f"--port is {options.port}; it must be from 0 to 65535")
    serve(
        options.address,
        options.port,
        options.browser,
        lambda url: say("dmft-rf explore", f"{url} (Ctrl-C ends it)"),
    )
