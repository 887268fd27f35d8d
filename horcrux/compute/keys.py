"""Keys by name, and text as the chords that type it on a US keyboard.

Numbers are Linux's (linux/input-event-codes.h); libvirt calls that set `linux`. A guest that has another layout chosen
will show other characters: a keyboard sends keys, not letters.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from horcrux.errors import Invalid

Chord = tuple[str, ...]
"""Keys pressed together, modifiers first."""

_ROWS: Sequence[tuple[int, str]] = (
    (2, "1 2 3 4 5 6 7 8 9 0 minus equal backspace tab"),
    (16, "q w e r t y u i o p leftbrace rightbrace enter ctrl"),
    (30, "a s d f g h j k l semicolon apostrophe grave shift backslash"),
    (44, "z x c v b n m comma dot slash rightshift kpasterisk alt space capslock"),
    (59, "f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 numlock scrolllock"),
    (71, "kp7 kp8 kp9 kpminus kp4 kp5 kp6 kpplus kp1 kp2 kp3 kp0 kpdot"),
    (86, "102nd f11 f12"),
    (96, "kpenter rightctrl kpslash sysrq rightalt"),
    (102, "home up pageup left right end down pagedown insert delete"),
    (125, "meta rightmeta menu"),
)

_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "escape": "esc",
        "return": "enter",
        "control": "ctrl",
        "leftctrl": "ctrl",
        "leftshift": "shift",
        "leftalt": "alt",
        "altgr": "rightalt",
        "super": "meta",
        "win": "meta",
        "del": "delete",
        "ins": "insert",
        "pgup": "pageup",
        "pgdn": "pagedown",
        "printscreen": "sysrq",
    }
)


def _numbers() -> dict[str, int]:
    numbers = {"esc": 1, "pause": 119, "compose": 127}
    for first, names in _ROWS:
        numbers.update({name: first + offset for offset, name in enumerate(names.split())})
    return numbers | {alias: numbers[name] for alias, name in _ALIASES.items()}


KEYS: Mapping[str, int] = MappingProxyType(_numbers())
"""Every name with its Linux key code."""

_PLAIN = "abcdefghijklmnopqrstuvwxyz0123456789"
_NAMED: Mapping[str, str] = MappingProxyType(
    {
        " ": "space",
        "\n": "enter",
        "\t": "tab",
        "-": "minus",
        "=": "equal",
        "[": "leftbrace",
        "]": "rightbrace",
        ";": "semicolon",
        "'": "apostrophe",
        "`": "grave",
        "\\": "backslash",
        ",": "comma",
        ".": "dot",
        "/": "slash",
    }
)
_SHIFTED: Mapping[str, str] = MappingProxyType(
    dict(zip('!@#$%^&*()_+{}:"~|<>?', "1234567890-=[];'`\\,./", strict=True))
)


def key_codes(chord: Sequence[str]) -> list[int]:
    """Linux codes of `chord`, in its order; names are taken in any case. Invalid for an empty chord or an unknown name."""
    if not chord:
        raise Invalid("a chord needs at least one key")
    unknown = [name for name in chord if name.lower() not in KEYS]
    if unknown:
        raise Invalid(
            f"no such key: {', '.join(map(repr, unknown))}; keys are named as in {', '.join(sorted(KEYS)[:5])}, …"
        )
    return [KEYS[name.lower()] for name in chord]


def chords_for(text: str) -> list[Chord]:
    """The chords that type `text`; a line's end (also `\\r\\n`) is Enter. Invalid, naming them, for characters that no key
    of a US keyboard gives."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    refused = sorted({char for char in text if _chord(char) is None})
    if refused:
        named = ", ".join(f"{char!r} (U+{ord(char):04X})" for char in refused)
        raise Invalid(f"these characters cannot be typed on a US keyboard: {named}", characters=refused)
    return [chord for char in text if (chord := _chord(char)) is not None]


def _chord(char: str) -> Chord | None:
    if char in _PLAIN:
        return (char,)
    if char in _NAMED:
        return (_NAMED[char],)
    if char in _SHIFTED:
        plain = _SHIFTED[char]
        return ("shift", _NAMED.get(plain, plain))
    if char.isascii() and char.isupper():
        return ("shift", char.lower())
    return None
