"""A headless Chromium, and what it noticed: what a page logged, what it asked for, and what its policy forbade."""

import io
import json
import shutil
import tempfile
import time

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]

# How long a page may take to show what it is to show, on a machine that does much else.
PATIENCE = 60

# What an accessible page needs and a person would not notice: unique ids, a name for everything that takes the focus, one heading of the
# first rank, labels that lead somewhere.
UNNAMED = """
const wrong = [];
const seen = new Set();
for (const element of document.querySelectorAll("[id]")) {
  if (seen.has(element.id)) wrong.push(`two have the id ${element.id}`);
  seen.add(element.id);
}
const shown = (element) => element.checkVisibility();
for (const element of document.querySelectorAll("a, button, input, select, textarea, summary, [tabindex='0']")) {
  if (!shown(element)) continue;
  const labels = [...(element.labels ?? [])].map((label) => label.textContent).join(" ");
  if (!(element.getAttribute("aria-label") || labels || element.textContent).trim()) wrong.push(`no name: ${element.outerHTML.slice(0, 120)}`);
}
for (const element of document.querySelectorAll("[aria-describedby], [aria-controls], label[for]")) {
  for (const key of ["aria-describedby", "aria-controls", "for"]) {
    const id = element.getAttribute(key);
    if (id && !document.getElementById(id)) wrong.push(`${key} leads nowhere: ${id}`);
  }
}
if ([...document.querySelectorAll("h1")].filter(shown).length !== 1) wrong.push("not one h1");
return wrong;
"""

# Every text that is shown, and its contrast to what it stands on.
FAINT = """
const parse = (color) => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
const ground = (element) => {
  const colors = [];
  for (let at = element; at; at = at.parentElement) colors.unshift(parse(getComputedStyle(at).backgroundColor));
  return colors.reduce((below, color) => over(color, below), [255, 255, 255, 1]);
};
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((value) => value / 255).map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const wrong = [];
for (const element of document.body.querySelectorAll("*")) {
  const says = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
  if (!says || !element.checkVisibility() || element.disabled || element.closest("svg")) continue;
  const style = getComputedStyle(element);
  const below = ground(element);
  const [a, b] = [light(over(parse(style.color), below)), light(below)].sort((a, b) => b - a);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) wrong.push(`${ratio.toFixed(2)}: ${element.textContent.trim().slice(0, 60)}`);
}
return wrong;
"""


class Browser:
    """One window with a profile of its own."""

    def __init__(self, width=1280, height=800):
        self.profile = tempfile.mkdtemp(prefix="protogate-chromium-")
        options = webdriver.ChromeOptions()
        for argument in [*ARGUMENTS, f"--user-data-dir={self.profile}", f"--window-size={width},{height}"]:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.resize(width, height)
        # Counted on the page itself, because a violation that a report hides is one too.
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {
            "source": "window.violations = []; addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective + ' ' + event.blockedURI));"})
        # What the browser's own first page asked for is not the page's.
        self.driver.get("about:blank")
        self.driver.get_log("performance")
        self.requested = []

    def close(self):
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def resize(self, width, height):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def prefer(self, scheme):
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def open(self, url):
        self.driver.get(url)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, what, found):
        """Waits until `found()` is something, and returns that."""
        deadline = time.monotonic() + PATIENCE
        while not (answer := found()):
            if time.monotonic() > deadline:
                raise AssertionError(f"never came: {what}; the page shows:\n{self.text()}")
            time.sleep(0.1)
        return answer

    def text(self, selector="body"):
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def shows(self, text, selector="body"):
        self.until(f"{text!r} in {selector}", lambda: text in self.text(selector))

    def find(self, selector):
        return self.until(selector, lambda: next(iter(self.driver.find_elements(By.CSS_SELECTOR, selector)), None))

    def click(self, selector, text=""):
        def clicked():
            return self.run("""
                const [selector, text] = arguments;
                const found = [...document.querySelectorAll(selector)].find((element) => element.textContent.includes(text) && element.checkVisibility() && !element.disabled);
                found?.scrollIntoView({ block: "center" });
                return found;
            """, selector, text)
        self.until(f"{selector} with {text!r}", clicked).click()

    # The keyboard.

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def chord(self, held, key):
        ActionChains(self.driver).key_down(held).send_keys(key).key_up(held).perform()

    def focused(self):
        """What a screen reader would call what has the focus."""
        return self.run("""
            const element = document.activeElement;
            return (element.getAttribute("aria-label") || [...(element.labels ?? [])].map((label) => label.textContent).join(" ") || element.textContent || "").trim();
        """)

    def tab_to(self, name, back=False):
        """Goes on by Tab, or back by Shift and Tab, until something of this name has the focus."""
        passed = []
        for _ in range(80):
            self.chord(Keys.SHIFT, Keys.TAB) if back else self.press(Keys.TAB)
            passed.append(self.focused())
            if passed[-1] == name:
                # The focus is to be seen.
                assert self.run("return document.activeElement.matches(':focus-visible') && getComputedStyle(document.activeElement).outlineStyle !== 'none'"), name
                return
        raise AssertionError(f"Tab never comes to {name!r}, but to {passed}")

    # What it noticed.

    def console(self):
        return [entry for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def violations(self):
        return self.run("return window.violations ?? []")

    def requests(self):
        """Every URL that was asked for since it was started, sockets included."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requested.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                self.requested.append(message["params"]["url"])
        return self.requested

    def unnamed(self):
        return self.run(UNNAMED)

    def faint(self):
        return self.run(FAINT)

    def picture(self, path):
        """A small one: a palette of the colours that there are most of, and of the others those that are nearest."""
        shot = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        counted = sorted(shot.getcolors(1 << 24), reverse=True)[:256]
        palette = Image.new("P", (1, 1))
        palette.putpalette([part for _, color in counted for part in color])
        shot.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)
