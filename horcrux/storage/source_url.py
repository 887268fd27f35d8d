"""Where an image may be fetched from.

`https` and `file` as they are; `http` only with a checksum, since anyone on the way could change what comes. The checksum also
keeps a fetch from being a spy: over plain http nothing can be read from a service of the inner network (metadata services, the
agent's neighbours) whose exact content the asker does not know already. Each redirect is held to the same rules, and never
leads to a file. `file` only leads below the folders that the settings name (checked where files are opened).
"""

from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from horcrux.errors import invalid_field

MAX_URL = 4096
MAX_REDIRECTS = 5


def check_image_url(url: str, sha256: str | None, field: str) -> str:
    """`url`, when an image may be fetched from there."""
    parts = _split(url, field)
    if parts.scheme == "file":
        if parts.hostname not in (None, "localhost") or parts.query or parts.fragment or not parts.path.startswith("/"):
            raise invalid_field(field, "file:/// and the absolute path of a file on the node")
        return url
    if parts.scheme not in ("http", "https"):
        raise invalid_field(field, "a URL that begins with https://, http:// or file:///")
    if not parts.hostname:
        raise invalid_field(field, "a URL with a host")
    if parts.scheme == "http" and sha256 is None:
        raise invalid_field("sha256", "needed for http: without it anyone on the way could change the image")
    return url


def next_url(url: str, location: str, sha256: str | None) -> str:
    """Where a redirect leads; Invalid when it may not be followed."""
    target = urljoin(url, location)
    if not target.startswith(("http://", "https://")):
        raise invalid_field("url", f"{shown_url(url)} redirects to something that is not a web address")
    return check_image_url(target, sha256, "url")


def file_of(url: str) -> str | None:
    """Path of a `file` URL, None for another."""
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" else None


def shown_url(url: str) -> str:
    """`url` as it may be logged: without user, password, query and fragment, which often are secrets."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(SplitResult(parts.scheme, host + port, parts.path, "", ""))


def _split(url: str, field: str) -> SplitResult:
    if len(url) > MAX_URL or not url.isprintable() or " " in url:
        raise invalid_field(field, f"a URL of up to {MAX_URL} characters without spaces")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise invalid_field(field, "this is not a URL") from None
    return parts
