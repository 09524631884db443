"""The page in a real Chromium: search, copy, change, live updates; by keyboard, on a phone, in the dark."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sqlalchemy import insert

from scitex_ssh.gateway import secrets
from scitex_ssh.gateway.ports import Pool
from scitex_ssh.gateway.service import here
from scitex_ssh.gateway.settings import Settings
from scitex_ssh.gateway.store import Store
from scitex_ssh.gateway.tables import MACHINES

from .model import SHARED, key, served, until, url, wish

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no browser here: apt-get install chromium chromium-driver"
)


class Page:
    """A browser that looks at a gateway which knows a thousand machines."""

    def __init__(self, driver: webdriver.Chrome, store: Store, address: str, admin: str) -> None:
        self.driver, self.store, self.address, self.admin = driver, store, address, admin

    def names(self) -> list[str]:
        """The machines that are shown."""
        script = "return [...document.querySelectorAll('tbody .name')].map((one) => one.textContent)"
        return list(self.driver.execute_script(script))

    def focused(self) -> str:
        """What has the focus, in its own words."""
        one = self.driver.switch_to.active_element
        return one.get_attribute("aria-label") or one.text

    def press(self, keys: str) -> None:
        """Type, wherever the focus is."""
        self.driver.switch_to.active_element.send_keys(keys)

    def sign_in(self) -> None:
        """Sign in, as an admin does."""
        self.driver.find_element(By.LINK_TEXT, "Sign in").click()
        self.driver.find_element(By.ID, "token").send_keys(self.admin + Keys.ENTER)
        until(lambda: self.driver.find_elements(By.XPATH, "//button[text()='Sign out']"))

    def broken(self) -> list[str]:
        """What the browser complains of."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser for all tests here."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    for flag in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", *sandbox):
        options.add_argument(flag)
    options.add_argument("--window-size=1280,900")
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium: webdriver.Chrome, tmp_path: Path) -> Iterator[Page]:
    """The page of a gateway with a thousand machines."""
    settings = Settings(url(tmp_path), public_host="gw.example.com")
    store = Store(settings.database, Pool(20000, 21999), bastion=here(settings), busy=lambda port: False)
    now = store.clock()
    with store.writing() as db:
        rows = [
            {
                "id": f"id{n}",
                "name": f"lab{n:04}",
                "state": "active",
                "port": 22000 + n,
                "bind": "localhost",
                "public_key": str(key()),
                "fingerprint": f"SHA256:{n}",
                "owner": "key:abc",
                "login": "alice",
                "created": now,
                "seen": now,
                "expires": now + 10**6,
                "up": now + 10**6,
                "proof": "verified",
            }
            for n in range(1000)
        ]
        db.execute(insert(MACHINES), rows)
        admin = secrets.create(db, "root", "admin", now, None, None)
    with served(settings, store) as address:
        chromium.delete_all_cookies()
        chromium.get(address)
        yield Page(chromium, store, address, admin)
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_thousand_machines_are_searched_by_keyboard(page: Page) -> None:
    """A hundred at a time; found as one types; the arrow keys lead to the commands; Enter copies."""
    assert page.names() == [f"lab{n:04}" for n in range(100)]
    page.driver.find_element(By.LINK_TEXT, "Next").click()
    until(lambda: page.names()[:1] == ["lab0100"])
    page.press("/")
    assert page.focused() == "Search machines"
    page.press("lab099")
    until(lambda: page.names() == [f"lab{n:04}" for n in range(990, 1000)])
    page.press(Keys.ARROW_DOWN + "")
    page.press(Keys.ARROW_DOWN + "")
    assert page.focused() == "Copy the command for lab0991"
    page.driver.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    page.press(Keys.ENTER)
    until(lambda: page.driver.switch_to.active_element.text == "Copied")
    copied = page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == "ssh -J gw.example.com -p 22991 -o HostKeyAlias=lab0991 alice@localhost"
    assert page.broken() == []


def test_what_changes_is_seen_without_a_reload(page: Page) -> None:
    """A machine that enrols comes, one that is revoked shows it; an open menu and its text stay."""
    page.sign_in()
    page.driver.execute_script("window.notReloaded = true")
    menu = page.driver.find_element(By.CSS_SELECTOR, "#m-id3 summary")
    menu.click()
    field = page.driver.find_element(By.CSS_SELECTOR, "#m-id3 input[name=name]")
    field.send_keys("-renamed")
    page.store.register(wish(name="a-new-one"), SHARED)
    page.store.revoke("lab0001")
    until(lambda: page.names()[0] == "a-new-one")
    state = page.driver.find_element(By.CSS_SELECTOR, "#m-id1 .standing")
    until(lambda: state.text == "revoked")
    assert page.driver.execute_script("return window.notReloaded")
    assert field.get_attribute("value") == "lab0003-renamed"
    assert page.driver.switch_to.active_element == field
    field.send_keys(Keys.ENTER)
    until(lambda: "lab0003-renamed" in page.names())
    assert page.store.find("lab0003-renamed").id == "id3"
    assert page.broken() == []


def test_an_admin_revokes_and_a_guest_cannot(page: Page) -> None:
    """Signed out, there is nothing to press; signed in, the machine's menu revokes it."""
    assert page.driver.find_elements(By.CSS_SELECTOR, "summary, .acts") == []
    page.sign_in()
    page.driver.find_element(By.CSS_SELECTOR, "#m-id5 summary").click()
    page.driver.find_element(By.XPATH, "//button[text()='Revoke lab0005']").click()
    until(lambda: page.store.find("lab0005").state == "revoked")
    cookie = page.driver.get_cookie("scitex-ssh-gateway")
    assert cookie is not None
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert page.driver.execute_script("return document.cookie") == ""
    page.driver.find_element(By.XPATH, "//button[text()='Sign out']").click()
    until(lambda: page.driver.find_elements(By.LINK_TEXT, "Sign in"))


def test_on_a_phone_and_in_the_dark(page: Page, tmp_path: Path) -> None:
    """Nothing is wider than the screen, what is pressed is large enough, and dark is dark until told."""
    size = {"width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    page.sign_in()
    assert page.driver.execute_script("return document.documentElement.scrollWidth") <= 360
    heights = page.driver.execute_script(
        "return [...document.querySelectorAll('.copy, summary')].slice(0, 20).map((e) => e.offsetHeight)"
    )
    assert min(heights) >= 40
    paper = "return getComputedStyle(document.body).backgroundColor"
    assert _light(page.driver.execute_script(paper)) < 60
    page.driver.find_element(By.ID, "theme").click()
    assert _light(page.driver.execute_script(paper)) > 200
    page.driver.execute_script("localStorage.clear()")


def test_a_gateway_that_ends_is_told(page: Page) -> None:
    """What is shown is then called old."""
    page.driver.execute_cdp_cmd("Network.enable", {})
    page.driver.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
    )
    try:
        until(lambda: "does not answer" in page.driver.find_element(By.ID, "link").text)
    finally:
        page.driver.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
        )
    until(lambda: page.driver.find_element(By.ID, "link").text == "")


def _light(colour: str) -> float:
    """How light a colour of CSS is, from 0 to 255."""
    numbers = colour[colour.index("(") + 1 : -1].split(",")[:3]
    return sum(map(float, numbers)) / 3
