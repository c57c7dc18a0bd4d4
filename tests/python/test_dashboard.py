"""The operator's page in a real browser, against a gateway under load: every view, the playground from the keyboard alone, both themes, and
what it must never do.

With UPDATE=1 the pictures of docs/images are made anew.
"""

import asyncio
import os
import pathlib
import re
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from selenium.webdriver.common.keys import Keys

from browser import Browser
from gateway import TOP, Gateway, shipped
from load import Load, Person
from test_streams import PROTO as TALKS_PROTO, ROUTES as TALKS_ROUTES, Talks

HOSTILE = "<img src=x onerror=window.owned=1>"
PEOPLE = 9
VIEWS = ["overview", "routes", "backends", "connections", "reloads", "errors", "playground"]


def files():
    """What is shipped, with markup where people write text."""
    files = shipped()
    echo = "proto/protogate/echo/v1/echo.proto"
    files[echo] = files[echo].replace("// Answers with", f"// {HOSTILE} Answers with")
    return files


class Page(unittest.TestCase):
    """Somebody who looks at the page of `cls.gateway`."""

    def setUp(self):
        self.browser = Browser()
        self.addCleanup(self.browser.close)
        # What the console may say in a test, because the test asked for it.
        self.expected = []

    def open(self, view="overview"):
        link = self.gateway.cli("dashboard", "--config", self.gateway.folder / "routes", "--data", self.gateway.folder / "data", "--admin", self.gateway.admin)
        self.assertEqual((link.returncode, link.stderr), (0, ""))
        self.browser.open(link.stdout.strip())
        self.browser.shows("Overview", "h1")
        if view != "overview":
            self.browser.click(f"nav a[href='#/{view}']")
            self.browser.shows(view.capitalize(), "h1")

    def blameless(self):
        """What holds whatever was done: no error, nothing forbidden, nothing from elsewhere, and no markup that somebody else wrote."""
        said = [entry["message"] for entry in self.browser.console() if not any(expected in entry["message"] for expected in self.expected)]
        self.assertEqual(said, [])
        self.assertEqual(self.browser.violations(), [])
        ours = (f"http://{self.gateway.admin}/", self.gateway.url, "data:")
        self.assertEqual([url for url in self.browser.requests() if not url.startswith(ours)], [])
        self.assertIsNone(self.browser.run("return window.owned ?? null"))


class Dashboard(Page):
    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(files())
        cls.load = Load(cls.gateway.url, PEOPLE)

    @classmethod
    def tearDownClass(cls):
        try:
            cls.load.stop()
        finally:
            assert cls.gateway.stop() == 0

    def number(self, name):
        """The large number of a tile."""
        text = self.browser.run("return [...document.querySelectorAll('.tile')].find((tile) => tile.innerText.startsWith(arguments[0]))?.querySelector('.big').innerText ?? ''", name)
        found = re.match(r"[\d.,]+", text)
        return float(found[0].replace(",", "")) if found else None

    def test_every_view_shows_what_is_there_and_its_numbers_move(self):
        self.open()
        browser = self.browser
        browser.until("calls a second", lambda: (self.number("Calls") or 0) > 1)
        browser.until("connections", lambda: (self.number("Connections") or 0) >= PEOPLE)
        browser.until("latency", lambda: (self.number("99 % within") or 0) > 0)
        total = lambda: int(re.search(r"([\d,]+) in all", browser.text(".tile:nth-child(3)"))[1].replace(",", ""))
        before = total()
        browser.until("more calls", lambda: total() > before)
        browser.until("a line", lambda: browser.run("return document.querySelectorAll('.plot .stroke').length") >= 4)

        browser.click("nav a", "Routes")
        browser.shows("game.join_room")
        calls = lambda: int(browser.text("tr:has(a[href='#/routes/9001']) td:nth-child(6)").replace(",", ""))
        before = calls()
        browser.until("more echoes", lambda: calls() > before)
        browser.find("input[type=search]").send_keys("join_room")
        browser.shows("2 of 2", ".bar")
        browser.click("a[href='#/routes/2003']")
        browser.shows("protogate.game.v1.GameService/JoinRoom")
        browser.shows("routes/game.yaml:", "table")

        browser.click("nav a", "Backends")
        for backend in ["echo", "auth", "game", "chat", "notify"]:
            browser.shows(backend)

        browser.click("nav a", "Connections")
        browser.until("everybody", lambda: browser.run("return document.querySelectorAll('tbody a').length") >= PEOPLE)
        browser.click("nav a", "Errors")
        browser.shows("ROOM_NOT_FOUND")
        browser.click("summary", "ROOM_NOT_FOUND")
        browser.shows("game.join_room", "details[open] .examples")
        count = lambda: int(browser.text("details[open] .count").replace(",", ""))
        before = count()
        browser.until("more failures", lambda: count() > before)
        self.blameless()

    def test_a_connection_is_found_and_closed(self):
        async def wait_and_be_closed():
            person = await Person(self.gateway.url).connect()
            await person.call(1002, username="carol", password="correct horse", email="carol@example.com")
            ready = await person.hear(3)
            user = ready["payload"]["user"]
            await asyncio.to_thread(close, user)
            while (said := await person.read())["protocol"] != 11:
                pass
            return said

        def close(user):
            self.open("connections")
            browser = self.browser
            browser.find("input[type=search]").send_keys(user)
            browser.shows("1 shown")
            browser.click("tbody a")
            browser.shows(user, "main")
            browser.click("button", "Close the connection")
            browser.click("button", "Close it, really")
            browser.shows("It is being closed.")
            browser.shows("any more")

        # The connection is asked for once more when it is gone.
        self.expected = ["404"]
        goodbye = asyncio.run(wait_and_be_closed())
        self.assertTrue(goodbye["payload"]["code"] < 4500, goodbye)
        self.blameless()

    def test_a_reload_says_what_is_wrong_and_where(self):
        self.open("reloads")
        browser = self.browser
        routes = self.gateway.folder / "routes/routes.yaml"
        sound = routes.read_text()
        # Refused files are answered 422.
        self.expected = ["422"]
        try:
            routes.write_text(sound.replace("rate_limits: [per_caller]", f"rate_limits: ['{HOSTILE}']"))
            browser.click("button", "Check the files")
            browser.shows("the files are wrong", ".result")
            browser.shows(HOSTILE, ".diagnostics")
            self.assertRegex(browser.text(".result"), r"routes/routes\.yaml:\d+:\d+")
            browser.click("button", "Reload")
            browser.shows("refused", ".result")
            browser.shows("refused", ".reloads")
        finally:
            routes.write_text(sound)
        browser.click("button", "Check the files")
        browser.shows("the files are sound", ".result")
        routes.write_text(sound + "# changed\n")
        browser.click("button", "Reload")
        browser.until("a new table", lambda: re.search("swapped|unchanged", browser.text(".result")))
        self.blameless()

    def test_the_playground_works_from_the_keyboard_alone(self):
        async def play_together():
            alice = await Person(self.gateway.url).connect()
            await alice.call(1002, username="alice", password="correct horse", email="alice@example.com")
            room = (await alice.call(2002, name="chess", capacity=4))["payload"]["room"]["id"]
            tea = (await alice.call(3003, name="Tea"))["payload"]["room"]["id"]

            async def hear_and_answer():
                joined = await alice.hear(2101)
                said = await alice.hear(3101)
                await alice.call(3001, roomId=tea, text=f"e4 {HOSTILE}")
                return joined["payload"], said["payload"]

            _, heard = await asyncio.gather(asyncio.to_thread(self.play, room, tea), hear_and_answer())
            await alice.socket.close()
            return heard

        joined, said = asyncio.run(play_together())
        self.assertIn("joined", joined)
        self.assertEqual((said["number"], said["text"]), ("1", f"your move {HOSTILE}"))
        self.blameless()

    def play(self, room, tea):
        """A person without a mouse: registers, logs in, joins a game and a chat room, and says something."""
        self.open()
        browser = self.browser
        browser.tab_to("Playground")
        browser.press(Keys.ENTER)
        browser.shows("Playground", "h1")
        browser.until("the address of the edge", lambda: browser.run("return document.querySelector('.connect input').value") == self.gateway.url)
        browser.tab_to("Gateway")
        browser.press(Keys.ENTER)
        browser.shows("Hello", ".journal")
        browser.shows("as nobody", ".who")

        self.pick("1002", "username")
        browser.press("dora", Keys.TAB, "correct horse", Keys.TAB, "dora@example.com", Keys.ENTER)
        browser.shows("Connected as", ".who")
        self.assertNotIn("correct horse", browser.text(".journal"), "a password is not for whoever looks at the screen")
        self.pick("auth.login", "username")
        browser.press("dora", Keys.TAB, "correct horse", Keys.ENTER)
        browser.until("two replies", lambda: browser.text(".journal").count("accessToken") == 2)

        self.pick("2003", "roomId")
        browser.press(room, Keys.ENTER)
        browser.shows(f"room/{room}", ".more")
        self.pick("3004", "roomId")
        browser.press(tea, Keys.ENTER)
        browser.shows(f"chat/{tea}", ".more")
        # Form and JSON are in step, both ways.
        self.pick("3001", "roomId")
        browser.press(tea)
        browser.tab_to("JSON")
        self.assertIn(tea, browser.run("return document.activeElement.value"))
        browser.chord(Keys.CONTROL, "a")
        browser.press('{"roomId": "' + tea + '", "text": "your move ' + HOSTILE + '"}')
        self.assertEqual(browser.run("return [...document.querySelectorAll('.fields input')].map((input) => input.value).includes(arguments[0])", f"your move {HOSTILE}"), True)
        browser.chord(Keys.CONTROL, Keys.ENTER)
        browser.shows(f"e4 {HOSTILE}", ".journal")
        browser.tab_to("Filter messages")
        browser.press("3101")
        browser.until("nothing but those", lambda: browser.run("return [...document.querySelectorAll('.journal > li')].filter((entry) => entry.checkVisibility()).every((entry) => entry.textContent.includes('3101'))"))
        browser.tab_to("Clear")
        browser.press(Keys.ENTER)
        browser.shows("Nothing was said yet.", ".journal")
        browser.tab_to(f"Leave chat/{tea}", back=True)

    def pick(self, typed, first):
        """Chooses a route, and is in the first field of its request."""
        browser = self.browser
        browser.tab_to("Route", back=browser.run("return document.activeElement.closest('.request, .log, .more') !== null"))
        browser.press(typed, Keys.ENTER)
        browser.until(first, lambda: browser.focused() == first)

    def test_what_others_are_called_is_text(self):
        async def be_there():
            token = self.gateway.token(HOSTILE, ["player"])
            person = await Person(self.gateway.url).connect()
            await person.call(2, token=token)
            await asyncio.to_thread(look)
            await person.socket.close()

        def look():
            self.open("connections")
            self.browser.find("input[type=search]").send_keys("onerror")
            self.browser.shows(HOSTILE, "tbody")
            self.browser.click("tbody a")
            self.browser.shows(HOSTILE, "main")
            self.browser.run("location.hash = '#/playground/9001'")
            self.browser.shows(HOSTILE, ".request")
            # So is what stands in the address.
            self.expected = ["400", "404"]
            for place in ["routes", "connections", "playground"]:
                self.browser.run("location.hash = arguments[0]", f"#/{place}/{HOSTILE}")
                time.sleep(0.5)
            self.assertEqual(self.browser.run("return document.querySelectorAll('main img').length"), 0)

        asyncio.run(be_there())
        self.blameless()

    def test_the_token_is_asked_for_and_is_in_no_address(self):
        browser = self.browser
        self.expected = ["401"]
        browser.open(f"http://{self.gateway.admin}/")
        browser.shows("The operator's token", "h1")
        self.assertEqual(browser.focused(), "Token")
        browser.press("a wrong one", Keys.ENTER)
        browser.shows("This token is not the gateway's.")
        browser.press((self.gateway.folder / "data/admin.token").read_text(), Keys.ENTER)
        browser.shows("Overview", "h1")
        self.open()
        self.assertNotIn("token", browser.driver.current_url)
        self.assertEqual(browser.run("return Object.keys(localStorage)"), [])
        browser.click("button", "Forget the token")
        browser.shows("The operator's token", "h1")
        self.assertEqual(browser.run("return Object.keys(sessionStorage)"), [])
        self.blameless()

    def test_it_is_light_and_dark_and_readable_and_has_names_for_everything(self):
        browser = self.browser
        ground = lambda: browser.run("return getComputedStyle(document.body).backgroundColor")
        browser.prefer("light")
        self.open()
        light = ground()
        browser.prefer("dark")
        self.assertNotEqual(ground(), light)
        browser.run("theme.value = 'light'; theme.dispatchEvent(new Event('change'))")
        self.assertEqual(ground(), light)
        browser.driver.refresh()
        browser.shows("Overview", "h1")
        self.assertEqual(ground(), light, "what was chosen is remembered")
        for theme in ["light", "dark"]:
            browser.run("theme.value = arguments[0]; theme.dispatchEvent(new Event('change'))", theme)
            for view in [*VIEWS, "routes/2003", "playground/2006"]:
                browser.run("location.hash = arguments[0]", f"#/{view}")
                browser.shows(view.split("/")[0].capitalize(), "h1")
                time.sleep(1)
                with self.subTest(theme=theme, view=view):
                    self.assertEqual(browser.faint(), [])
                    self.assertEqual(browser.unnamed(), [])
        self.blameless()

    def test_it_fits_a_narrow_screen(self):
        self.open()
        for view in [*VIEWS, "routes/2003", "playground/2006"]:
            self.browser.run("location.hash = arguments[0]", f"#/{view}")
            self.browser.shows(view.split("/")[0].capitalize(), "h1")
            time.sleep(1)
            for width in [390, 320]:
                self.browser.resize(width, 800)
                with self.subTest(view=view, width=width):
                    self.assertLessEqual(self.browser.run("return document.documentElement.scrollWidth"), width)
        self.blameless()

    def test_the_page_is_served_to_be_held_to_its_policy(self):
        for path in ["/", "/dashboard/app.js", "/dashboard/views/playground.js", "/dashboard/style.css"]:
            with urllib.request.urlopen(f"http://{self.gateway.admin}{path}") as answer:
                policy = answer.headers["Content-Security-Policy"]
                self.assertIn("default-src 'none'", policy)
                self.assertNotIn("unsafe", policy)
                self.assertEqual((answer.headers["X-Content-Type-Options"], answer.headers["Referrer-Policy"]), ("nosniff", "no-referrer"))
        for path in ["/dashboard/mod.rs", "/dashboard/../api/v1/statistics", "/dashboard/views/", "/index.html"]:
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"http://{self.gateway.admin}{path}")
            self.assertIn(refused.exception.code, (401, 404), path)
            refused.exception.close()

    def test_pictures(self):
        """What the documents show. Without UPDATE=1 they are made, looked at, and thrown away."""
        renew = os.environ.get("UPDATE") == "1"
        with tempfile.TemporaryDirectory() as spare:
            folder = TOP / "docs/images" if renew else pathlib.Path(spare)
            folder.mkdir(exist_ok=True)
            self.open()
            browser = self.browser
            browser.until("some history", lambda: browser.run("return (document.querySelector('.plot .stroke')?.getAttribute('d') ?? '').length") > 20)
            # A picture for people shows more than a moment.
            time.sleep(100 if renew else 0)
            for theme in ["light", "dark"]:
                browser.run("theme.value = arguments[0]; theme.dispatchEvent(new Event('change'))", theme)
                self.picture(folder, f"overview-{theme}")
            browser.run("theme.value = 'light'; theme.dispatchEvent(new Event('change'))")
            for view, seen in [("routes", "chat.join_room"), ("connections", "json"), ("errors", "ROOM_NOT_FOUND")]:
                browser.click(f"nav a[href='#/{view}']")
                browser.shows(seen)
                if view == "errors":
                    browser.click("summary", "ROOM_NOT_FOUND")
                self.picture(folder, view)
            browser.run("location.hash = '#/playground/2002'")
            browser.click(".connect button")
            browser.shows("Hello", ".journal")
            self.pick("1001", "username")
            browser.press("player2", Keys.TAB, "correct horse", Keys.ENTER)
            browser.shows("Connected as", ".who")
            self.pick("2002", "name")
            browser.press("chess", Keys.TAB, Keys.BACKSPACE, "2", Keys.ENTER)
            browser.shows("room/", ".journal")
            self.picture(folder, "playground")

    def picture(self, folder, name):
        time.sleep(1)
        path = folder / f"dashboard-{name}.png"
        self.browser.picture(path)
        self.assertLess(path.stat().st_size, 150 << 10, name)


class Streams(Page):
    """The playground with methods that say or take many messages."""

    @classmethod
    def setUpClass(cls):
        cls.talks = Talks()
        cls.gateway = Gateway({"proto/talks.proto": TALKS_PROTO, "routes/routes.yaml": TALKS_ROUTES.format(port=cls.talks.port)})

    @classmethod
    def tearDownClass(cls):
        cls.talks.server.stop(None)
        assert cls.gateway.stop() == 0

    def test_streams_of_all_kinds_are_opened_listed_and_ended(self):
        self.open("playground")
        browser = self.browser
        browser.until("the address of the edge", lambda: browser.run("return document.querySelector('.connect input').value") == self.gateway.url)
        browser.click("button", "Connect")
        browser.shows("as nobody", ".who")

        # More than is granted at first: it goes on as it is read.
        self.say(5002, "Open the stream", text="70")
        browser.until("all of them", lambda: browser.text(".journal").count('"text":') >= 70)
        browser.shows('"69"', ".journal")
        self.assertEqual(self.running(), [], "the service has ended it")

        self.say(5002, "Open the stream", text="1", sleepMs="60000")
        browser.until("the stream", lambda: self.running() == ["5002 talks.count, id 2"])
        browser.click("button", "Cancel")
        browser.shows("CANCELLED", ".journal")
        self.assertTrue(self.talks.cancelled.acquire(timeout=10), "the service hears of it")
        self.assertEqual(self.running(), [])

        self.say(5003, "Open the stream", text="one")
        self.say(5003, "Send on the stream", text="two")
        browser.click("button", "End")
        browser.shows("one two", ".journal")

        self.say(5004, "Open the stream", text="hello")
        browser.shows("you say hello", ".journal")
        self.say(5004, "Send on the stream", text="again")
        browser.shows("you say again", ".journal")
        browser.click("button", "End")
        browser.until("it has ended", lambda: self.running() == [])
        # The next one is another stream; what the service says no to is a failure.
        self.say(5004, "Open the stream", text="no more")
        browser.shows("that was enough", ".journal")
        browser.click("button", "Disconnect")
        browser.shows("Not connected.", ".who")
        self.blameless()

    def say(self, route, button, **message):
        browser = self.browser
        browser.run("location.hash = arguments[0]", f"#/playground/{route}")
        browser.shows({5002: "Count", 5003: "Join", 5004: "Talk"}[route], ".request")
        browser.run("""
            const json = [...document.querySelectorAll('.request textarea')].at(-1);
            json.value = JSON.stringify(arguments[0]);
            json.dispatchEvent(new Event("input"));
        """, message)
        browser.click(".request button", button)

    def running(self):
        return self.browser.run("return [...document.querySelectorAll('[aria-label=Streams] li > span')].map((name) => name.textContent)")


if __name__ == "__main__":
    unittest.main()
