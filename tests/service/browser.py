"""Headless Chromium for page_test.py, by Debian's python3-selenium and chromium-driver."""

import base64
import os
import shutil
import tempfile
import time

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service as DriverService
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
except ImportError:
    webdriver = Keys = None

WIDE = (1280, 800)
PHONE = (360, 740)

# Each visible text whose contrast with what is behind it is below 4.5 : 1 (WCAG AA).
CONTRAST = """
const channel = (value) => {
  const share = value / 255;
  return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
};
const numbers = (color) => color.match(/[0-9.]+/g).map(Number);
const luminance = ([r, g, b]) =>
  0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = numbers(getComputedStyle(at).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!hasText || !element.checkVisibility() || element.disabled) continue;
  const [one, other] = [numbers(getComputedStyle(element).color), ground(element)].map(luminance);
  const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (contrast < 4.5) found.push(`${element.className}: ${element.textContent.slice(0, 30)}: ` +
                                 contrast.toFixed(2));
}
return found;
"""
# Controls without a name, tables without headers, and the like.
SEMANTICS = """
const found = [];
const say = (element, text) => found.push(`${element.outerHTML.slice(0, 80)}: ${text}`);
for (const field of document.querySelectorAll("input, select")) {
  if (!field.labels?.length && !field.getAttribute("aria-label")) say(field, "no label");
}
for (const button of document.querySelectorAll("button, a")) {
  if (!button.textContent.trim() && !button.getAttribute("aria-label")) say(button, "no name");
}
for (const table of document.querySelectorAll("table")) {
  if (!table.caption) say(table, "no caption");
  for (const header of table.querySelectorAll("th")) if (!header.scope) say(header, "no scope");
  if (!table.querySelector("thead th")) say(table, "no headers");
}
if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
if (document.querySelectorAll("main").length !== 1) found.push("not one main");
const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`id ${id} twice`);
return found;
"""
# Whether each canvas has something on it, read from a copy: Chromium advises a page whose canvas is
# read more than once, as it is where the first look comes too early, and advice is a complaint.
IS_DRAWN = """
return [...document.querySelectorAll("canvas")].map((canvas) => {
  if (canvas.width === 0 || canvas.height === 0) return false;
  const copy = new OffscreenCanvas(canvas.width, canvas.height)
    .getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  return copy.getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value !== 0);
});
"""


def missing():
    """What is not installed here, as text; empty where nothing is missing."""
    names = [package for package, is_there in (
        ("chromium", shutil.which("chromium")),
        ("chromium-driver", shutil.which("chromedriver")),
        ("python3-selenium", webdriver),
        ("libjs-chart.js", os.path.exists("/usr/share/javascript/chart.js"))) if not is_there]
    return ", ".join(names)


class Browser:
    def __init__(self):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for argument in ("--headless=new", "--disable-dev-shm-usage", "--disable-gpu",
                         "--hide-scrollbars", "--lang=en-US", "--disable-component-update",
                         "--disable-background-networking", "--no-first-run"):
            options.add_argument(argument)
        if os.geteuid() == 0:  # Chromium has no sandbox for root
            options.add_argument("--no-sandbox")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # What Chromium leaves behind goes with the folder.
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        service = DriverService(shutil.which("chromedriver"),
                                env={**os.environ, "TMPDIR": self.folder.name})
        self.driver = webdriver.Chrome(service=service, options=options)
        self.driver.set_page_load_timeout(60)
        self.driver.set_script_timeout(30)
        self.page_count = 0
        self.look(WIDE, is_dark=False)
        self.block()

    def quit(self):
        self.driver.quit()
        self.folder.cleanup()

    def look(self, size, is_dark):
        self.command("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1],
                     deviceScaleFactor=1, mobile=False)
        self.command("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}])

    def block(self, *patterns):
        """From now on requests to these fail."""
        self.command("Network.enable")
        self.command("Network.setBlockedURLs", urls=list(patterns))

    def command(self, name, **parameters):
        return self.driver.execute_cdp_cmd(name, parameters)

    def open(self, address):
        """A fresh page: the same address with another # would only change its view."""
        self.page_count += 1
        path, _, view = address.partition("#")
        self.driver.get_log("browser")
        self.driver.get(f"{path}?{self.page_count}#{view}")

    def run(self, script, *values):
        return self.driver.execute_script(script, *values)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.until(lambda: next(iter(self.all(selector)), None), f"no {selector}")

    def texts(self, selector):
        """Text of each element, also of hidden ones."""
        return self.run("return [...document.querySelectorAll(arguments[0])]"
                        ".map((element) => element.textContent)", selector)

    def press(self, *keys):
        """Keys to what has the focus, as a keyboard sends them."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def until(self, condition, message, seconds=15):
        """What the condition is, as soon as it is true."""
        end = time.monotonic() + seconds
        while True:
            if value := condition():
                return value
            if time.monotonic() > end:
                raise AssertionError(message() if callable(message) else message)
            time.sleep(0.05)

    def screenshot(self, path):
        answer = self.command("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    def complaints(self):
        """What the browser has against the page since it was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")
                if entry["level"] in ("SEVERE", "WARNING")]
