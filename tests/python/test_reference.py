"""The page of the protocol reference in a browser: alone, by keyboard, in both themes, and with comments that would like to be more than that."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

from browser import FAINT, UNNAMED, Browser, Keys
from gateway import BINARY

PROTO = """
syntax = "proto3";
package evil.v1;
service Evil {
  // </script><script>window.hurt = 1</script><img src=x onerror="window.hurt = 2"> Does harm.
  rpc Harm(Request) returns (Request);
  rpc Watch(Request) returns (stream Request);
}
message Request { string whereabouts = 1 [json_name = "\\"><img src=x onerror=window.hurt=3>"]; Inner inner = 2; }
message Inner { string text = 1; }
"""


class Reference(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="protogate-reference-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        (cls.folder / "protos").mkdir()
        (cls.folder / "protos/evil.proto").write_text(PROTO)
        for arguments in (["init", "--from", "protos"], ["docs", "--format", "html", "--out", "evil.html"], ["init", "--out", "shipped"],
                          ["docs", "--format", "html", "--config", "shipped", "--out", "shipped.html"]):
            subprocess.run([BINARY, *arguments], check=True, cwd=cls.folder, capture_output=True)
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def open(self, name):
        self.browser.open(f"file://{self.folder}/{name}")

    def shown(self):
        return self.browser.run("return [...document.querySelectorAll('nav a')].filter((a) => a.checkVisibility()).map((a) => a.textContent)")

    def test_it_needs_nothing_else_and_forbids_nothing_of_its_own(self):
        self.open("shipped.html")
        self.assertEqual(self.browser.run("return window.violations"), [])
        self.assertEqual(self.browser.driver.get_log("browser"), [])
        asked = self.browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        self.assertEqual([name for name in asked if not name.startswith("data:")], [])

    def test_it_can_be_read_in_both_themes_and_on_a_small_screen(self):
        self.open("shipped.html")
        for theme in ("light", "dark"):
            self.browser.prefer(theme)
            self.assertEqual(self.browser.run(FAINT), [], theme)
        self.assertEqual(self.browser.run(UNNAMED), [])
        self.browser.resize(420, 800)
        self.addCleanup(self.browser.resize, 1280, 800)
        self.assertLessEqual(self.browser.run("return document.documentElement.scrollWidth"), 420, "nothing stands out at the side")

    def test_it_is_searched_by_keyboard(self):
        self.open("shipped.html")
        all_of_them = len(self.shown())
        self.browser.run("document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '/', bubbles: true }))")
        find = self.browser.driver.switch_to.active_element
        self.assertEqual(find.get_attribute("id"), "find")
        find.send_keys("capacity 2002")
        self.assertEqual(self.shown(), ["2002game.create_room"], "by the name of a field, and by number")
        find.send_keys(Keys.ENTER)
        self.assertEqual(self.browser.run("return location.hash"), "#route-2002")
        find.send_keys(Keys.ESCAPE)
        self.assertEqual(len(self.shown()), all_of_them)
        find.send_keys("nothing is called so")
        self.assertEqual(self.shown(), [])
        self.assertIn("Nothing is called so", self.browser.text())
        # Every link of the page leads somewhere.
        lost = self.browser.run("return [...document.querySelectorAll('a[href^=\"#\"]')].filter((a) => !document.getElementById(a.hash.slice(1))).map((a) => a.hash)")
        self.assertEqual(lost, [])

    def test_what_comments_say_is_text(self):
        self.open("evil.html")
        self.assertIsNone(self.browser.run("return window.hurt ?? null"))
        self.assertEqual(self.browser.run("return window.violations"), [])
        self.assertEqual(self.browser.run("return document.querySelectorAll('img').length"), 0)
        self.assertIn("window.hurt = 1</script>", self.browser.text())


if __name__ == "__main__":
    unittest.main()
