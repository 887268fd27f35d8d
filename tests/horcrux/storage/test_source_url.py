import pytest
from hypothesis import given
from hypothesis import strategies as st

from horcrux.errors import Invalid, InvalidFields
from horcrux.storage.source_url import check_image_url, file_of, next_url, shown_url

SUM = "ab" * 32


@pytest.mark.parametrize(
    "url", ["https://example.org/a.qcow2", "https://u:p@example.org:8443/a?sig=x", "file:///srv/a%20b.iso"]
)
def test_https_and_files_need_no_checksum(url: str) -> None:
    assert check_image_url(url, None, "url") == url


def test_plain_http_needs_one() -> None:
    assert check_image_url("http://example.org/a", SUM, "url")
    with pytest.raises(InvalidFields) as caught:
        check_image_url("http://example.org/a", None, "url")
    assert caught.value.problems[0].field == "sha256"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.qcow2",
        "/srv/a",
        "ftp://example.org/a",
        "gopher://x/",
        "https://",
        "https:///a",
        "https://[::1/a",
        "https://x:99999/a",
        "file://other/srv/a",
        "file:srv/a",
        "file:///a?b",
        "https://exa mple.org/",
        "https://example.org/\n",
        "https://example.org/" + "a" * 5000,
    ],
)
def test_other_urls_are_refused_by_field(url: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        check_image_url(url, SUM, "url")
    assert caught.value.problems[0].field == "url"


def test_a_redirect_is_held_to_the_same_rules() -> None:
    assert next_url("https://a/b/c", "../d", None) == "https://a/d"
    assert next_url("https://a/b", "https://c/d", None) == "https://c/d"
    assert next_url("https://a/b", "http://c/d", SUM) == "http://c/d"
    for location, sha256 in (
        ("http://c/d", None),
        ("file:///etc/shadow", SUM),
        ("ftp://c/d", SUM),
        ("FILE:///etc/shadow", SUM),
    ):
        with pytest.raises(Invalid):
            next_url("https://a/b", location, sha256)


def test_what_is_shown_holds_no_secret() -> None:
    assert shown_url("https://user:secret@[::1]:8443/a/b?sig=secret#secret") == "https://[::1]:8443/a/b"


def test_a_file_url_is_decoded() -> None:
    assert file_of("file:///srv/a%20b") == "/srv/a b"
    assert file_of("https://a/b") is None


@given(st.text(max_size=100))
def test_any_text_is_taken_or_refused(url: str) -> None:
    try:
        taken = check_image_url(url, SUM, "url")
    except InvalidFields:
        return
    assert shown_url(taken)
