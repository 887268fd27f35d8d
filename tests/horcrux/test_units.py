from horcrux.units import GIB, KIB, MIB, bytes_to_gib


def test_a_size_is_told_in_two_decimals_unless_they_would_say_nothing() -> None:
    assert bytes_to_gib(103 * MIB) == 0.1
    assert bytes_to_gib(3 * MIB) == 0.0029
    assert bytes_to_gib(5 * GIB + 512 * KIB) == 5.0
    assert bytes_to_gib(0) == 0.0
