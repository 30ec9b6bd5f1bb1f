"""The page in a real browser: a slider moves, a file is uploaded, a link is restored.

Needs Chromium with its driver and the extras explore and browser; run by ``pytest -m browser``.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmft_rf import ScoreModel, read_covariance, solve, timescales

pytest.importorskip("panel", reason="needs Panel (extra explore)")
StaleElementReferenceException = pytest.importorskip(
    "selenium.common.exceptions", reason="needs Selenium (extra browser)"
).StaleElementReferenceException
webdriver = pytest.importorskip("selenium.webdriver", reason="needs Selenium (extra browser)")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        shutil.which("chromium") is None or shutil.which("chromedriver") is None,
        reason="needs Chromium and its driver",
    ),
]

# the first element that a selector finds, inside shadow roots too
_FIND = """
const find = (root) => {
  const hit = root.querySelectorAll(arguments[0])[arguments[1]];
  if (hit) return hit;
  for (const each of root.querySelectorAll('*')) {
    if (each.shadowRoot) { const found = find(each.shadowRoot); if (found) return found; }
  }
  return null;
};
return find(document);
"""
_PATIENCE = 60.0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the command serves the page."""
    command = [sys.executable, "-m", "dmft_rf", "explore", "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as served:
        assert served.stderr is not None
        said = served.stderr.readline()
        yield said.split()[2]
        served.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.add_argument("--window-size=1200,1400")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def element(browser: Any, selector: str, k: int = 0) -> Any:
    """An element, as soon as it is there."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        found = browser.execute_script(_FIND, selector, k)
        if found is not None:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{selector} does not appear")


def wait_for(browser: Any, selector: str, text: str) -> None:
    """Until an element says something."""
    until, said = time.monotonic() + _PATIENCE, ""
    while time.monotonic() < until:
        said = text_of(browser, selector)
        if text in said:
            return
        time.sleep(0.05)
    raise AssertionError(f"{selector} says {said!r}, not {text!r}")


def text_of(browser: Any, selector: str) -> str:
    """What an element says; it may be replaced at any moment."""
    with contextlib.suppress(StaleElementReferenceException):
        return str(element(browser, selector).get_attribute("textContent"))
    return ""


def tau_opt(**changes: Any) -> str:
    model = ScoreModel(0.01, 64.0, 8.0).replace(**changes)
    return f"{timescales(solve(model)).tau_opt:.4g}"


SHOWN = "td[data-time='tau_opt']"


def test_a_link_is_restored_and_a_moved_slider_is_in_the_link(browser: Any, address: str) -> None:
    browser.get(f"{address}/?psi_n=30&psi_p=inf&activation=relu")
    wait_for(browser, SHOWN, tau_opt(psi_n=30.0, psi_p=float("inf"), activation="relu"))
    browser.get(address)
    wait_for(browser, SHOWN, tau_opt())
    # the third slider is that of psi_n
    for _ in range(3):
        browser.execute_script(
            "arguments[0].dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', "
            "bubbles: true}))",
            sliders(browser)[2],
        )
    until = time.monotonic() + _PATIENCE
    shown, right = "", "the number of the library"
    while shown != right and time.monotonic() < until:
        time.sleep(0.05)
        psi_n = float(browser.current_url.partition("psi_n=")[2] or 8.0)
        shown = text_of(browser, SHOWN)
        if psi_n > 8.0:
            right = tau_opt(psi_n=psi_n)
    assert shown == right


def sliders(browser: Any) -> list[Any]:
    """The handles of all sliders."""
    return browser.execute_script("""
        const all = [];
        const walk = (root) => {
          for (const each of root.querySelectorAll('*')) {
            if (each.classList.contains('noUi-handle')) all.push(each);
            if (each.shadowRoot) walk(each.shadowRoot);
          }
        };
        walk(document);
        return all;
    """)


def test_a_file_is_read_and_a_bad_one_refused(browser: Any, address: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    np.save(tmp_path / "mine.npy", rng.standard_normal((60, 4)) * [1.0, 2.0, 3.0, 4.0])
    (tmp_path / "bad.npy").write_bytes(b"no array")
    browser.get(address)
    wait_for(browser, SHOWN, tau_opt())
    chooser = element(browser, "input[type=file]")
    chooser.send_keys(str(tmp_path / "bad.npy"))
    wait_for(browser, "p[data-error]", "bad.npy")
    assert str(tmp_path) not in text_of(browser, "p[data-error]")
    chooser.send_keys(str(tmp_path / "mine.npy"))
    law = read_covariance(tmp_path / "mine.npy").normalized()
    wait_for(browser, SHOWN, tau_opt(covariance=law))


def test_a_wrong_link_is_said(browser: Any, address: str) -> None:
    browser.get(f"{address}/?psi_n=many")
    wait_for(browser, "p[data-error]", "'many'")
