"""The page in a browser: inputs, answers, switches, explanations, chat; by keyboard, on a phone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.whole, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZES = {"phone": (390, 844), "desk": (1280, 900)}
WAIT = 200_000  # milliseconds that anything may take
# Faults that shut people out.
GRAVE = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if find_spec("playwright") is None:
        pytest.skip("playwright drives the browser: pip install playwright")
    from playwright.sync_api import Error, sync_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as drive:
        try:
            opened = drive.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except Error as error:
            pytest.skip(f"no browser can be started: playwright install chromium ({error})"[:300])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any, request: Any) -> Iterator[Callable[..., Any]]:
    """A page of a server, which asks nobody else and says nothing of errors."""
    contexts = []

    def opened(server: Any, size: str = "desk", scheme: str = "light") -> Any:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, bypass_csp=False
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.asked, page.wrong = [], []
        page.on("request", lambda one: page.asked.append(one.url))
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("console", lambda one: one.type == "error" and page.wrong.append(one.text))
        page.goto(str(server.client.base_url))
        page.get_by_role("button", name="Predict").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()


def faults(page: Any) -> list[str]:
    """What axe finds that shuts people out; skipped where no package brings axe."""
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe looks for faults: pip install axe-playwright-python")
    script = Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8")
    page.evaluate(script)
    told = page.evaluate("axe.run()")
    return [
        f"{one['id']}: {node['html'][:200]}"
        for one in told["violations"]
        if one["impact"] in GRAVE
        for node in one["nodes"]
    ]


def fill(page: Any, make: Any, tmp_path: Path) -> None:
    """Every kind of input."""
    (tmp_path / "a.png").write_bytes(make.png(1))
    (tmp_path / "a.wav").write_bytes(make.sound(1))
    page.get_by_label(re.compile("^note")).fill("good and new")
    page.get_by_label(re.compile("^price")).fill("12.5")
    page.get_by_label(re.compile("^colour")).select_option("blue")
    page.get_by_label(re.compile("^tags")).fill("a; b")
    page.get_by_label(re.compile("^signal")).first.fill("0.1, 1, 2, 1.5")
    page.locator("input[type=file][accept='image/*']").set_input_files(tmp_path / "a.png")
    page.locator("input[type=file][accept='audio/*']").set_input_files(tmp_path / "a.wav")


def test_every_input_answers_is_explained_and_can_be_left_out(
    start: Callable[..., Any], open_page: Callable[..., Any], make: Any, tmp_path: Path
) -> None:
    server = start()
    page = open_page(server)
    fill(page, make, tmp_path)
    assert page.locator(".drop img").count() == 1 and page.locator(".drop audio").count() == 1
    page.get_by_role("button", name="Predict").click()
    page.locator("#answer .answer").first.wait_for()
    assert page.locator("#answer .answer").first.inner_text() in ("yes", "no")
    shown = page.locator("#answer .line .much").all_inner_texts()
    assert any(one.endswith("%") for one in shown)
    assert page.locator("#answer .note").count() == 0
    page.locator("[name=absent][value=photo]").check()
    page.get_by_text("Answered without photo.").wait_for()
    page.locator("[name=absent][value=photo]").uncheck()
    page.get_by_role("button", name="Explain").click()
    page.get_by_role("heading", name="What carried kept").wait_for()
    names = page.locator("#why .line .what").all_inner_texts()
    assert {"photo", "clip", "note", "signal", "table"} <= set(names)
    (tmp_path / "b.png").write_bytes(b"no picture")
    page.locator("input[type=file][accept='image/*']").set_input_files(tmp_path / "b.png")
    page.get_by_role("button", name="Predict").click()
    assert "photo" in page.get_by_role("alert").inner_text()
    own = str(server.client.base_url)
    assert all(one.startswith((own, "blob:", "data:")) for one in page.asked), page.asked
    assert not [one for one in page.wrong if "400" not in one], page.wrong


def test_a_run_that_writes_chats_as_it_writes(
    start: Callable[..., Any],
    open_page: Callable[..., Any],
    writing: Path,
    make: Any,
    tmp_path: Path,
) -> None:
    server = start(f"chat={writing}")
    page = open_page(server)
    assert not page.get_by_role("heading", name="Chat").is_visible()
    page.get_by_label("Model").select_option("chat")
    page.get_by_role("heading", name="Chat").wait_for()
    (tmp_path / "a.png").write_bytes(make.shot(True))
    page.locator("input[type=file]").set_input_files(tmp_path / "a.png")
    # By keyboard alone.
    page.get_by_label("Message").focus()
    page.keyboard.type("good and new")
    page.keyboard.press("Enter")
    page.get_by_text("pieces in").wait_for()
    mine, other = page.locator(".turn").all()
    assert "good and new" in mine.inner_text() and "with 1 file" in mine.inner_text()
    text = {"type": "text", "text": "good and new"}
    picture = f"data:image/png;base64,{make.coded(make.shot(True))}"
    content = [text, {"type": "image_url", "image_url": {"url": picture}}]
    asked = {"model": "chat", "messages": [{"role": "user", "content": content}]}
    told = server.client.post("/v1/chat/completions", json=asked).json()
    assert other.locator(".text").inner_text() == told["choices"][0]["message"]["content"]
    assert f"wrote {told['usage']['completion_tokens']} pieces" in other.inner_text()
    page.get_by_role("button", name="Clear").click()
    assert page.locator(".turn").count() == 0
    assert not page.wrong


def test_nobody_is_shut_out(
    start: Callable[..., Any],
    open_page: Callable[..., Any],
    writing: Path,
    make: Any,
    tmp_path: Path,
) -> None:
    """On a phone and on a desk, in light and in the dark."""
    server = start(f"chat={writing}")
    for size, scheme in product(SIZES, ("light", "dark")):
        page = open_page(server, size, scheme)
        fill(page, make, tmp_path)
        page.get_by_role("button", name="Predict").click()
        page.locator("#answer .answer").first.wait_for()
        page.locator("[name=absent][value=clip]").check()
        page.get_by_text("Answered without clip.").wait_for()
        page.get_by_role("button", name="Explain").click()
        page.get_by_role("heading", name="What carried kept").wait_for()
        for part in page.locator("#why summary").all():
            part.click()
        page.screenshot(path=str(tmp_path / f"answer-{size}-{scheme}.png"), full_page=True)
        assert faults(page) == []
        page.get_by_label("Model").select_option("chat")
        assert page.locator("#answer .answer").count() == 0  # it was another's
        assert page.locator("#why").inner_text() == ""
        page.get_by_label("Message").fill("good and new")
        page.get_by_role("button", name="Send").click()
        page.get_by_text("pieces in").wait_for()
        page.screenshot(path=str(tmp_path / f"chat-{size}-{scheme}.png"), full_page=True)
        assert faults(page) == []
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0  # nothing to be scrolled sideways
