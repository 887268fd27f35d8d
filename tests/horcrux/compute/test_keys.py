import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horcrux.compute.keys import KEYS, chords_for, key_codes
from horcrux.errors import Invalid

TYPEABLE = string.ascii_letters + string.digits + string.punctuation + " \n\t"


def typed(chords: list[tuple[str, ...]]) -> str:
    """What a US keyboard shows for `chords`: two rows of caps, as they are printed on the keys."""
    plain = dict(
        zip(
            [
                "grave",
                "minus",
                "equal",
                "leftbrace",
                "rightbrace",
                "backslash",
                "semicolon",
                "apostrophe",
                "comma",
                "dot",
                "slash",
                "space",
                "enter",
                "tab",
            ],
            "`-=[]\\;',./ \n\t",
            strict=True,
        )
    )
    upper = dict(zip("`1234567890-=[]\\;',./", '~!@#$%^&*()_+{}|:"<>?', strict=True))

    def one(chord: tuple[str, ...]) -> str:
        char = plain.get(chord[-1], chord[-1])
        return upper.get(char, char.upper()) if chord[:-1] == ("shift",) else char

    return "".join(map(one, chords))


@given(st.text(TYPEABLE))
def test_the_chords_of_a_text_type_that_text(text: str) -> None:
    chords = chords_for(text)
    assert typed(chords) == text
    for chord in chords:
        assert len(key_codes(chord)) == len(chord)


@given(st.text())
def test_text_is_either_typed_whole_or_refused_with_the_characters_named(text: str) -> None:
    bad = sorted({char for char in text.replace("\r", "\n") if char not in TYPEABLE})
    if not bad:
        assert typed(chords_for(text)) == text.replace("\r\n", "\n").replace("\r", "\n")
        return
    with pytest.raises(Invalid) as refusal:
        chords_for(text)
    assert refusal.value.details["characters"] == bad
    assert all(f"U+{ord(char):04X}" in str(refusal.value) for char in bad)


def test_both_kinds_of_line_end_are_one_enter() -> None:
    assert chords_for("a\r\nb\rc") == [("a",), ("enter",), ("b",), ("enter",), ("c",)]


def test_key_numbers_are_those_of_linux() -> None:
    """From linux/input-event-codes.h."""
    codes = key_codes(
        ["ctrl", "alt", "delete", "esc", "a", "z", "1", "f1", "f12", "up", "kpenter", "102nd", "meta", "menu"]
    )
    assert codes == [29, 56, 111, 1, 30, 44, 2, 59, 88, 103, 96, 86, 125, 127]


def test_names_are_taken_in_any_case_and_by_their_other_names() -> None:
    assert key_codes(["Ctrl", "ALT", "Del"]) == key_codes(["control", "leftalt", "delete"])


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(Invalid, match="'warp'"):
        key_codes(["ctrl", "warp"])


def test_an_empty_chord_is_refused() -> None:
    with pytest.raises(Invalid):
        key_codes([])


def test_no_key_has_two_meanings_but_by_alias() -> None:
    names = [name for name, code in KEYS.items() if code == 28]
    assert sorted(names) == ["enter", "return"]
