"""`ingot console`: an address that signs in, for a person, a program and this host's browser."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.cli.fake_server import FakeServer, fake_server

CODE = {"code": "code_abc-DEF_1", "expires_at": "2026-06-08T17:10:00Z"}


def with_codes(fake: FakeServer) -> FakeServer:
    fake.answers["POST", "/api/session/codes"] = (201, CODE)
    return fake


async def test_the_address_is_the_result_and_its_code_stays_in_the_browser(ingot: Run) -> None:
    async with fake_server() as fake:
        with_codes(fake)
        ran = await ingot("console", url=fake.url)
        shown = await ingot("console", "--json", url=fake.url)
    address = f"{fake.url}/console/sign-in#code={CODE['code']}"
    assert (ran.status, ran.out) == (0, f"{address}\n")
    assert "once, until 2026-06-08T17:10:00Z" in ran.err
    assert json.loads(shown.out) == {"url": address, "expires_at": CODE["expires_at"]}


async def test_a_browser_is_given_a_file_and_never_the_code(ingot: Run, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > argument; cp "${1#file://}" page; stat -c %a "${1#file://}" > mode\n')
    browser.chmod(0o755)
    async with fake_server() as fake:
        with_codes(fake)
        ran = await ingot("console", "--open", url=fake.url, BROWSER=f"{browser} %s")
    assert ran.status == 0, ran.err
    argument = (tmp_path / "argument").read_text()
    assert argument.startswith("file:///")
    assert "code_" not in argument
    assert (tmp_path / "mode").read_text() == "600\n"
    assert f'url={fake.url}/console/sign-in#code={CODE["code"]}"' in (tmp_path / "page").read_text()
    assert not Path(argument.strip().removeprefix("file://")).exists()


async def test_without_a_browser_or_a_key_it_says_so(ingot: Run) -> None:
    async with fake_server() as fake:
        with_codes(fake)
        ran = await ingot("console", "--open", url=fake.url, BROWSER="false")
        refused = await ingot("console", url=fake.url, key="sk_live_wrong")
    assert ran.status == 0
    assert ran.out.startswith(fake.url)
    assert "open the address yourself" in ran.err
    assert refused.status != 0
    assert "Invalid API key" in refused.err
