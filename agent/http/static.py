"""The built browser console: its files, and index.html for every path that the browser's own router knows.

Only files that were there when the server started are served, by a table: no path is ever joined with what a client sent.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
_HASHED = "assets/"
"""Vite puts files whose names hold a hash of their content there."""
_PRECOMPRESSED = frozenset({".br", ".gz"})

NOT_BUILT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Horcrux</title><meta name="viewport" content="width=device-width">
<style>:root{color-scheme:light dark}body{font:16px/1.6 system-ui,sans-serif;max-width:38rem;margin:12vh auto;padding:0 1.5rem}
code,pre{font:14px ui-monospace,monospace}pre{padding:1rem;border:1px solid #8886;border-radius:8px;overflow:auto}</style></head>
<body><h1>The agent runs; its console is not built</h1>
<p>The API works: see <a href="/api/docs">the calls it knows</a>. To build the browser console, in the source folder:</p>
<pre>cd web &amp;&amp; npm ci &amp;&amp; npm run build</pre><p>Then restart the agent.
<code>sudo ./dev run</code> does both.</p></body></html>
"""


# Of our own: a host without /etc/mime.types would send scripts as text/plain, and browsers refuse those.
_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".ico": "image/x-icon",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8",
}


class Asset(NamedTuple):
    path: Path
    headers: Mapping[str, str]


class Pages:
    """The console's files. `folder` is its build, None when there is none."""

    def __init__(self, folder: Path | None) -> None:
        """Reads the folder's names; blocks, so call it before the loop serves."""
        self._assets = _scan(folder) if folder is not None else {}
        self._index = self._assets.get("index.html")
        self._folders = {name.partition("/")[0] for name in self._assets if "/" in name}

    def answer(self, raw: web.Request) -> web.StreamResponse:
        """A file, index.html, or the page that tells how to build. 404 for a file that a newer or older build has."""
        if self._index is None:
            headers = {"Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8"}
            return web.Response(body=NOT_BUILT.encode(), headers=headers)
        name = raw.path.lstrip("/")
        asset = self._assets.get(name)
        if asset is None and name.partition("/")[0] in self._folders:
            headers = {"Cache-Control": "no-store", "Content-Type": "text/plain; charset=utf-8"}
            return web.Response(
                status=404, body=b"this build of the console has no such file; load the page again", headers=headers
            )
        asset = asset or self._index
        # aiohttp picks the .br or .gz sibling by Accept-Encoding, and answers ranges and If-Modified-Since.
        return web.FileResponse(asset.path, headers=asset.headers)


def _scan(folder: Path) -> dict[str, Asset]:
    assets: dict[str, Asset] = {}
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file() or path.suffix in _PRECOMPRESSED:
            continue
        name = path.relative_to(folder).as_posix()
        headers = {
            "Cache-Control": IMMUTABLE if name.startswith(_HASHED) else REVALIDATE,
            "Content-Type": _TYPES.get(path.suffix, "application/octet-stream"),
            "Vary": "Accept-Encoding",
        }
        assets[name] = Asset(path, headers)
    return assets
