"""The page ``/docs`` in a browser: a person logs in, and tries requests."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from falcorest.auth import create_user
from falcorest.openapi.headers import REQUEST
from tests.conftest import MakeApi
from tests.features.test_declared_examples import served

pytestmark = [pytest.mark.live, pytest.mark.long]

#: Where screenshots are left, if anywhere.
SHOTS = os.environ.get("DOCS_PAGE_SHOTS")

OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1280,1400"),
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("There is no chromium with a chromedriver on the PATH.")
    options = ChromeOptions()
    options.binary_location = program
    for option in (*OPTIONS, f"--user-data-dir={tmp_path / 'browser'}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options, ChromeService(driver))
    yield chrome
    chrome.quit()


class Page:
    """The page, as a person uses it."""

    def __init__(self, browser: Chrome, url: str) -> None:
        self.browser = browser
        browser.get(url)
        self.operation("listRockets")

    def find(self, selector: str) -> Any:
        """Return what is shown, once it is."""

        def look(browser: Any) -> Any:
            found = browser.find_elements(By.CSS_SELECTOR, selector)
            return next((one for one in found if one.is_displayed()), None)

        return WebDriverWait(self.browser, 40, 0.05).until(look, f"there is no {selector}")

    def click(self, selector: str) -> None:
        found = self.find(selector)
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def write(self, selector: str, text: str) -> None:
        found = self.find(selector)
        found.clear()
        found.send_keys(text)

    def operation(self, name: str) -> str:
        """Return a selector for an operation, which is there."""
        selector = f"[id$='-{name}']"
        self.find(selector)
        return selector

    def run(self, name: str, body: Any = ...) -> tuple[str, str]:
        """Try an operation; return the status and the body of the answer."""
        selector = self.operation(name)
        if "is-open" not in self.find(selector).get_attribute("class"):
            self.click(f"{selector} .opblock-summary-control")
        self.find(f"{selector} .try-out__btn")
        if not self.browser.find_elements(By.CSS_SELECTOR, f"{selector} .execute"):
            self.click(f"{selector} .try-out__btn")
        if body is not ...:
            self.write(f"{selector} textarea.body-param__text", json.dumps(body))
        if self.browser.find_elements(By.CSS_SELECTOR, f"{selector} .btn-clear"):
            self.click(f"{selector} .btn-clear")
        self.click(f"{selector} .execute")
        live = f"{selector} .live-responses-table"
        status = self.find(f"{live} .response .response-col_status").text
        return status, self.find(f"{live} .highlight-code").text

    def overflow(self) -> list[str]:
        """Return what makes the page wider than the window."""
        found: list[str] = self.browser.execute_script(
            """
            const width = document.documentElement.clientWidth;
            const clips = (e) => e !== null &&
              (getComputedStyle(e).overflowX !== "visible" || clips(e.parentElement));
            return document.documentElement.scrollWidth <= width ? [] :
              [...document.body.querySelectorAll("*")]
                .filter((e) => e.getBoundingClientRect().right > width && !clips(e.parentElement))
                .map((e) => `${e.tagName} ${e.className}`);
            """
        )
        return found

    def shoot(self, name: str) -> None:
        """Take a screenshot of the whole page, if they are wanted."""
        if SHOTS is not None:
            Path(SHOTS).mkdir(exist_ok=True)
            self.browser.save_screenshot(str(Path(SHOTS) / f"{name}.png"))


def complaints(browser: Any) -> list[str]:
    """Return what the console has to say."""
    return [f"{entry['level']}: {entry['message']}" for entry in browser.get_log("browser")]


def requested(browser: Any) -> set[str]:
    """Return the addresses that were asked for."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }


@pytest.mark.parametrize("prefix", ["", "/below/here"])
def test_a_person_logs_in_and_tries_requests(
    browser: Chrome, make_api: MakeApi, mongo_uri: str, prefix: str
) -> None:
    api = make_api(mongo_uri)
    api.rockets.insert_many({"name": name, "burn_time": 5} for name in ("Merlin", "Vulcain"))
    create_user(api.database["mangorest_users"], "ada", "correct horse")
    with served(below(prefix, api.app)) as origin:
        page = Page(browser, f"{origin}{prefix}/docs")
        page.shoot(f"anonymous{len(prefix)}")
        status, shown = page.run("listRockets")
        assert status.startswith("200"), shown
        assert "Vulcain" in shown

        page.write("[name=username]", "ada")
        page.write("[name=password]", "wrong")
        page.click("#login button")
        assert "username or the password is wrong" in page.find("#failure").text
        page.shoot(f"refused{len(prefix)}")
        # NOTE: the browser itself notes each answer of 401.
        assert len(complaints(browser)) == 1

        page.write("[name=username]", "ada")
        page.write("[name=password]", "correct horse")
        page.click("#login button")
        assert page.find("#caller b").text == "ada"
        status, shown = page.run("createRockets", {"name": "Raptor"})
        assert status.startswith("201"), shown
        assert api.rockets.count_documents({"name": "Raptor"}) == 1
        sent = page.find("[id$='-createRockets'] .curl-command").text
        assert "Raptor" in sent
        # NOTE: nothing that nobody has asked for.
        assert not [name for name in REQUEST if name.lower() in sent.lower()], sent
        assert page.run("me")[0].startswith("200")
        page.shoot(f"logged-in{len(prefix)}")

        browser.set_window_size(390, 900)
        page.run("listRockets")
        page.shoot(f"narrow{len(prefix)}")
        assert page.overflow() == []
        page.click("#caller button")
        assert page.find("#login").is_displayed()

        said = complaints(browser)
        assert said == [], "\n".join(said)
        asked = requested(browser)
        assert f"{origin}{prefix}/openapi.json" in asked
        # NOTE: the browser's own empty page has addresses too.
        outside = {one for one in asked if one.startswith(("http", "ws"))}
        assert {one for one in outside if not one.startswith(f"{origin}{prefix}/")} == set()


def below(prefix: str, app: Any) -> Any:
    """Mount an application at a prefix."""

    def mounted(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        assert path.startswith(prefix) or path == "/favicon.ico", path
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = prefix, path.removeprefix(prefix)
        return app(environ, start_response)

    return mounted
