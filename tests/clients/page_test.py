"""The live page in headless Chromium: what its document shows, and what its pictures show."""

import json
import os
import shutil
import time
import unittest

from serving import DEMO, Server

CHROMIUM = shutil.which("chromium")
WAIT_MS = 15000
# The colours of the heat map's pixels.
PIXELS = """() => { const c = document.getElementById("heat");
  return Array.from(c.getContext("2d").getImageData(0, 0, c.width, c.height).data).join(); }"""


@unittest.skipUnless(CHROMIUM, "chromium is not installed")
class PageTest(unittest.TestCase):
    FLAGS = ()

    @classmethod
    def setUpClass(cls):
        from playwright.sync_api import sync_playwright

        cls.server = Server("--served-model-name", "demo", *cls.FLAGS, model=DEMO)
        cls.addClassCleanup(cls.server.stop)
        playwright = sync_playwright().start()
        cls.addClassCleanup(playwright.stop)
        cls.browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        cls.addClassCleanup(cls.browser.close)

    def open(self, **options):
        page = self.browser.new_page(**options)
        self.addCleanup(page.close)
        self.complaints, self.requests = [], []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(f"http://127.0.0.1:{self.server.port}/")
        page.wait_for_selector("#state.good", timeout=WAIT_MS)
        return page

    def until(self, page, true):
        """Waits for an expression. Playwright's own waiting would need eval, which the page forbids."""
        end = time.monotonic() + WAIT_MS / 1000
        while not page.evaluate(true):
            self.assertLess(time.monotonic(), end, true[:200])
            page.wait_for_timeout(50)

    def say(self, page, text):
        n = page.locator("#talk .assistant").count()
        page.fill("#text", text)
        page.press("#text", "Enter")
        self.until(page, f"document.querySelectorAll('#talk small').length > {n}")
        answers = page.locator("#talk .assistant")
        return answers.last.inner_text() if answers.count() > n else ""


class OpenPage(PageTest):
    def test_it_answers_and_the_map_moves(self):
        page = self.open()
        self.until(page, "document.getElementById('heat').width > 1")
        before = page.evaluate(PIXELS)
        self.assertIn("82", self.say(page, "What is 47 + 35?"))
        self.until(page, f"({PIXELS})() !== {json.dumps(before)}")
        self.assertIn("50", self.say(page, "What is 20 + 30?"))
        self.assertEqual(page.inner_text("#model"), "demo")
        self.until(page, "document.querySelector('#latency path').getAttribute('d').includes('L')")
        page.hover("#heat")
        self.until(page, "document.getElementById('note').textContent.includes('tokens since')")
        # Reading the map back is this test's, and makes Chromium talk of speed.
        self.assertEqual([text for text in self.complaints if not text.startswith("Canvas2D")], [])

    def test_nothing_comes_from_elsewhere(self):
        page = self.open()
        self.say(page, "hello")
        page.evaluate("fetch('http://127.0.0.1:9/').catch(() => {})")
        self.assertTrue(any("Content Security Policy" in text for text in self.complaints), self.complaints)
        mine = f"http://127.0.0.1:{self.server.port}/"
        self.assertEqual([url for url in self.requests if not url.startswith((mine, "data:", "http://127.0.0.1:9/"))], [])

    def test_text_of_a_model_is_no_markup(self):
        page = self.open()
        page.select_option("#kind", "completion")
        self.say(page, "<img src=x onerror=alert(1)>")
        self.assertEqual(page.locator("#talk img").count(), 0)

    def test_pictures(self):
        for scheme in ("light", "dark"):
            page = self.open(color_scheme=scheme, viewport={"width": 1280, "height": 860})
            self.say(page, "Write a short story about a fox.")
            box = page.locator(".chat").bounding_box()
            self.assertLessEqual(box["x"] + box["width"], 1280)
            self.assertEqual(page.evaluate("document.documentElement.scrollWidth"), 1280)
            folder = os.environ.get("POLYMATH_SCREENSHOTS")
            picture = page.screenshot(path=f"{folder}/page_{scheme}.png" if folder else None)
            self.assertGreater(len(picture), 10000)
        narrow = self.open(viewport={"width": 390, "height": 800})
        self.assertEqual(narrow.evaluate("document.documentElement.scrollWidth"), 390)


class KeyedPage(PageTest):
    FLAGS = ("--api-key", "secret")

    def test_it_asks_for_the_key(self):
        page = self.open()
        page.wait_for_selector("#secret:not([hidden])", timeout=WAIT_MS)
        page.fill("#secret", "secret")
        self.until(page, "document.getElementById('model').textContent === 'demo'")
        self.assertIn("82", self.say(page, "What is 47 + 35?"))


# The base class has no tests of its own.
del PageTest


if __name__ == "__main__":
    unittest.main()
