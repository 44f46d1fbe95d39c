"""Good inputs made bad: by chance, but the same from the same seed, target and number."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

#: What parsers stumble over; every one is tried in every format.
TOKENS: tuple[bytes, ...] = (
    b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    "\u202e".encode(), "\u2066x\u2069".encode(), "\u200b".encode(), "\u2028".encode(),
    b"\xcc\x81" * 40,
    b"\n", b"\r", b"\r\n", b"\n\r\n", b"\x0b\x0c", b"\t", b'"', b"'", b'""', b"`", b"\\",
    b"\\u0000",
    b"\\ud800", b"\\udc00\\ud800", b",", b";", b":", b"|", b"&", b"*", b"!", b"%", b"@", b"#",
    b"<", b">",
    b"[", b"]", b"{", b"}", b"(", b")", b"[" * 60, b"[" * 3000, b'{"a":' * 2000, b"list<" * 40,
    b"struct<a:" * 30, b"((((" * 40, b"null", b"None", b"true", b"NaN", b"nan", b"inf",
    b"-Infinity",
    b"1e999", b"-0", b"0x1F", b"1_000", b"9" * 25, b"9" * 400, b"9" * 5000, b"1e-400",
    b"2147483648",
    b"18446744073709551616", b"-9223372036854775809", b"0000-00-00", b"9999-12-31T23:59:60Z",
    b"*a", b"&a", b"&a [*a]", b"&a {? *a : *a}", b"!!python/object/apply:os.getcwd []",
    b"!!binary x",
    b"<<: *a", b"---\n", b"...\n", b"? ", b"- " * 300, b"%YAML 9.9\n", b"../..", b"/etc/passwd",
    b"~root",
    b"-rf", b"$(id)", b"%00", b"'; DROP TABLE x; --", b"\x1f\x8b", b"PAR1", b"PARE", b"PK\3\4",
    b"\x28\xb5\x2f\xfd",
    b">", b"\n>", b"\n;", b">>", b"__", b"usr__", b"usr_state", b"m__n", b"id", b"sequence",
    b"=1+1", b"\x1b[2J",
)  # fmt: skip
#: Numbers as a binary format writes them: lengths, offsets, counts.
BOMBS: tuple[bytes, ...] = (
    b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x07", b"\x80\x80\x80\x80\x08",
    b"\xfe\xff\xff\xff\x0f",
    b"\xff" * 9 + b"\x01", b"\x80" * 9 + b"\x01", b"\x80" * 12, b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"\x00" * 8, b"\xff" * 8, b"\xf8\xff\xff\xff\xff\x0f", b"\xfc\xff\xff\xff\xff\x0f", b"\x19\xfc",
    b"\x2c" * 40, b"\x1c" * 64, b"\x00", b"\x01", b"\x02", b"\x7f", b"\x15\x00", b"\x16\x01",
    b"\x15\xff\xff\x03",
)  # fmt: skip
BIG_EVERY = 40
_TAIL = 8


def pick(seed: int, target: str, number: int) -> random.Random:
    """The dice of one input."""
    return random.Random(f"{seed}:{target}:{number}")


def make(
    dice: random.Random, seeds: Sequence[bytes], *, binary: bool = False, footer: bool = False
) -> bytes:
    """Return one input.

    Parameters
    ----------
    seeds : sequence of bytes
        Good inputs.
    binary : bool
        Also insert binary numbers.
    footer : bool
        The input is a Parquet file: half of the damage hits its footer, whose stated length is
        mostly put right afterwards, so that a parser gets to see it.
    """
    roll = dice.random()
    if roll < 0.03:
        return dice.randbytes(dice.choice((0, 1, 7, 64, 700)))
    if roll < 0.05:
        return b"".join(dice.choice(TOKENS) for _ in range(dice.randint(1, 30)))
    if roll < 0.06:
        return bytes(dice.choice(seeds))
    data = bytearray(dice.choice(seeds))
    if footer and dice.random() < 0.5 and len(data) > 12:
        return _in_footer(dice, data, seeds)
    _damage(dice, data, seeds, binary=binary)
    return bytes(data)


def _in_footer(dice: random.Random, data: bytearray, seeds: Sequence[bytes]) -> bytes:
    length = struct.unpack("<I", data[-8:-4])[0]
    cut = max(4, len(data) - _TAIL - length)
    body, foot = bytes(data[:cut]), data[cut:-_TAIL]
    other = dice.choice(seeds)
    _damage(dice, foot, [other[-200:-8] or b"x"], binary=True)
    stated = len(foot) if dice.random() < 0.95 else dice.choice((0, 1, 2**31 - 1, 2**32 - 1))
    return body + bytes(foot) + struct.pack("<I", stated) + b"PAR1"


def _damage(dice: random.Random, data: bytearray, seeds: Sequence[bytes], *, binary: bool) -> None:
    for _ in range(min(12, 1 + int(dice.expovariate(0.6)))):
        at = dice.randint(0, len(data))
        if dice.random() < 0.3:
            # Near either end: there stand the lengths that a parser believes.
            near = min(len(data), dice.randint(0, 60))
            at = near if dice.random() < 0.5 else len(data) - near
        kind = dice.randrange(10)
        if kind <= 1 and at < len(data):
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 2 and at < len(data):
            data[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        elif kind == 3:
            data[at:at] = _token(dice, binary=binary)
        elif kind == 4:
            new = _token(dice, binary=binary)
            data[at : at + len(new)] = new
        elif kind == 5:
            del data[at : at + dice.choice((1, 2, 4, 8, 30))]
        elif kind == 6 and dice.random() < 0.4:
            del data[at:]
        elif kind == 7:
            length = dice.choice((1, 5, 20, 100))
            data[at:at] = data[at : at + length] * dice.choice((1, 2, 5))
        elif kind == 8:
            other = dice.choice(seeds)
            start = dice.randint(0, len(other))
            data[at : at + dice.choice((0, 10))] = other[start : start + dice.choice((5, 50, 300))]
        elif kind == 9 and dice.randrange(BIG_EVERY) == 0:
            data[at:at] = (
                dice.choice((b"A", b"[", b" ", b"\n", b'"', b"1", b"\0", b",")) * 1_000_000
            )


def _token(dice: random.Random, *, binary: bool) -> bytes:
    return dice.choice(BOMBS if binary and dice.random() < 0.7 else TOKENS)
