"""The session cookie on the wire: whose page may use it, and what is taken for one."""

import pytest

from ingot.api.session_cookie import Page, asking_page, clear_cookie, session_token, session_tokens, set_cookie
from ingot.errors import ForbiddenError, UnauthenticatedError

TOKEN = "A" * 43
HOST = ("host", "ingot.test:7070")


def headers(*pairs: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in (HOST, *pairs)]


@pytest.mark.parametrize(
    ("page", "scheme", "pairs"),
    [
        (Page.NONE, "http", []),
        (Page.NONE, "http", [("sec-fetch-site", "none")]),
        (Page.OWN, "http", [("origin", "http://ingot.test:7070")]),
        (Page.OWN, "http", [("origin", "http://INGOT.test:7070")]),
        (Page.OWN, "http", [("origin", "https://ingot.test:7070")]),  # a proxy that does not tell of its TLS
        (Page.OWN, "https", [("origin", "https://ingot.test:7070")]),
        (Page.OWN, "ws", [("origin", "http://ingot.test:7070")]),
        (Page.OWN, "http", [("sec-fetch-site", "same-origin"), ("origin", "http://proxy.test")]),
        (Page.FOREIGN, "https", [("origin", "http://ingot.test:7070")]),
        (Page.FOREIGN, "wss", [("origin", "http://ingot.test:7070")]),
        (Page.FOREIGN, "http", [("origin", "http://ingot.test:8080")]),
        (Page.FOREIGN, "http", [("origin", "http://ingot.test")]),
        (Page.FOREIGN, "http", [("origin", "http://ingot.test:7070.evil.test")]),
        (Page.FOREIGN, "http", [("origin", "http://ingot.test:7070@evil.test")]),
        (Page.FOREIGN, "http", [("origin", "null")]),
        (Page.FOREIGN, "http", [("origin", "")]),
        (Page.FOREIGN, "http", [("origin", "http://[")]),
        (Page.FOREIGN, "http", [("origin", "http://ingot.test:7070"), ("origin", "http://evil.test")]),
        (Page.FOREIGN, "http", [("sec-fetch-site", "same-site")]),
        (Page.FOREIGN, "http", [("sec-fetch-site", "cross-site"), ("origin", "http://ingot.test:7070")]),
        (Page.FOREIGN, "http", [("sec-fetch-site", "none"), ("origin", "http://evil.test")]),
        (Page.FOREIGN, "http", [("sec-fetch-site", "nonsense")]),
    ],
)
def test_whose_page_asks(page: Page, scheme: str, pairs: list[tuple[str, str]]) -> None:
    assert asking_page(headers(*pairs), scheme) is page


def test_no_origin_is_our_own_without_a_host() -> None:
    assert asking_page([(b"origin", b"null")], "http") is Page.FOREIGN


@pytest.mark.parametrize(
    "text",
    [
        f"ingot_session={TOKEN}",
        f"a=b; ingot_session={TOKEN}",
        f"a=b;ingot_session={TOKEN};c",
        f"; ingot_session={TOKEN}",
    ],
)
def test_the_cookie_is_found_among_others(text: str) -> None:
    assert session_token(headers(("cookie", text)), "http", changes=False) == TOKEN


@pytest.mark.parametrize(
    "text", ["", "a=b", f"ingot_sessions={TOKEN}", f"Ingot_session={TOKEN}", f"x=ingot_session={TOKEN}"]
)
def test_other_cookies_are_none(text: str) -> None:
    assert session_token(headers(("cookie", text)), "http", changes=True) is None


@pytest.mark.parametrize(
    "cookies",
    [
        [f'ingot_session="{TOKEN}"'],
        [f"ingot_session={TOKEN[1:]}"],
        [f"ingot_session={TOKEN}A"],
        [f"ingot_session={TOKEN[1:]}\xe9"],
        [f"ingot_session={TOKEN[1:]}\n"],
        ["ingot_session="],
        ["ingot_session"],
        [f"ingot_session={TOKEN}; ingot_session={TOKEN}"],
        [f"ingot_session={TOKEN}; ingot_session={'B' * 43}"],
        [f"ingot_session={TOKEN}", f"ingot_session={'B' * 43}"],
    ],
)
def test_a_cookie_that_is_not_ours_and_several_open_nothing(cookies: list[str]) -> None:
    sent = headers(*(("cookie", text) for text in cookies))
    with pytest.raises(UnauthenticatedError, match="delete the cookies of this address and sign in again"):
        session_token(sent, "http", changes=False)
    assert session_tokens(sent)


def test_a_change_needs_a_page_of_ours_and_a_look_no_other() -> None:
    cookie = ("cookie", f"ingot_session={TOKEN}")
    own = ("origin", "http://ingot.test:7070")
    foreign = ("sec-fetch-site", "same-site")
    assert session_token(headers(cookie, own), "http", changes=True) == TOKEN
    assert session_token(headers(cookie), "http", changes=False) == TOKEN
    for sent, changes in ((headers(cookie), True), (headers(cookie, foreign), True), (headers(cookie, foreign), False)):
        with pytest.raises(ForbiddenError) as refused:
            session_token(sent, "http", changes=changes)
        assert refused.value.code == "bad_origin"


def test_the_cookie_is_set_for_pages_of_this_address_alone() -> None:
    plain = f"ingot_session={TOKEN}; Max-Age=60; Path=/; HttpOnly; SameSite=Strict"
    assert set_cookie(TOKEN, 60, "http") == plain
    assert set_cookie(TOKEN, 60, "https") == plain + "; Secure"
    assert clear_cookie("http") == "ingot_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict"
