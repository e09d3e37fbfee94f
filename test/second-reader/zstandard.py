"""Frames of Zstandard, read by RFC 8878; only NZ-WIRE-01 §6 uses them. A frame that is corrupt raises Corrupt."""
from typing import Dict, List, NamedTuple, Optional, Tuple

MAGIC = bytes.fromhex("28b52ffd")
MAX_BLOCK = 128 * 1024
MAX_HUFFMAN_BITS = 11

LITERAL_LENGTHS = (
    (4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1),
    6,
)
OFFSETS = ((1, 1, 1, 1, 1, 1, 2, 2, 2, *[1] * 15, -1, -1, -1, -1, -1), 5)
MATCH_LENGTHS = ((1, 4, 3, 2, 2, 2, 2, 2, 2, *[1] * 37, -1, -1, -1, -1, -1, -1, -1), 6)


class Corrupt(Exception):
    """No frame of RFC 8878, or one that asks for more than is allowed."""


class TooMuch(Exception):
    """More comes out than was said."""


def need(holds: bool, why: str) -> None:
    if not holds:
        raise Corrupt(why)


def bases(first: int, bits: List[int]) -> List[Tuple[int, int]]:
    """For codes that follow one another: what each stands for and how many bits are added."""
    found = []
    for count in bits:
        found.append((first, count))
        first += 1 << count
    return found


LITERAL_CODES = bases(0, [0] * 16 + [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
MATCH_CODES = bases(3, [0] * 32 + [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
OFFSET_CODES = [(1 << code, code) for code in range(32)]


class Bits:
    """A bit stream that is read from its end (4.1.1); before its beginning stand zeros."""

    def __init__(self, data: bytes) -> None:
        need(len(data) > 0 and data[-1] != 0, "a stream without its end")
        self.bits = int.from_bytes(data, "little")
        self.left = self.bits.bit_length() - 1

    def peek(self, count: int) -> int:
        at = self.left - count
        return (self.bits >> at if at >= 0 else self.bits << -at) & ((1 << count) - 1)

    def read(self, count: int) -> int:
        value = self.peek(count)
        self.left -= count
        return value


class Table(NamedTuple):
    """A decoding table of finite state entropy: symbol, bits to read, and what they are added to, for each state."""

    accuracy: int
    states: List[Tuple[int, int, int]]


def build(counts: Tuple[int, ...], accuracy: int) -> Table:
    """4.1.1: spreads the symbols over the states."""
    size = 1 << accuracy
    symbols, high = [0] * size, size
    following: Dict[int, int] = {}
    for symbol, count in enumerate(counts):
        if count == -1:
            high -= 1
            symbols[high], following[symbol] = symbol, 1
    at, step = 0, (size >> 1) + (size >> 3) + 3
    for symbol, count in enumerate(counts):
        if count > 0:
            following[symbol] = count
        for _ in range(max(count, 0)):
            symbols[at] = symbol
            at = (at + step) % size
            while at >= high:
                at = (at + step) % size
    need(at == 0, "a table that is not filled")
    states = []
    for symbol in symbols:
        bits = accuracy - following[symbol].bit_length() + 1
        states.append((symbol, bits, (following[symbol] << bits) - size))
        following[symbol] += 1
    return Table(accuracy, states)


def read_counts(data: bytes, most: int, symbols: int) -> Tuple[Table, int]:
    """4.1.1: a table as it is written, and how many bytes it took."""
    bits, at = int.from_bytes(data, "little"), 4
    need(len(data) > 0, "no table")
    accuracy = (bits & 15) + 5
    need(accuracy <= most, "a table that is too exact")
    left, counts = 1 << accuracy, []
    while left > 0:
        need(len(counts) < symbols, "too many symbols")
        width = (left + 1).bit_length()
        value = bits >> at & ((1 << width) - 1)
        low, short = (1 << (width - 1)) - 1, (1 << width) - 2 - left
        at += width
        if value & low < short:
            value, at = value & low, at - 1
        elif value > low:
            value -= short
        counts.append(value - 1)
        left -= abs(value - 1)
        again = 3 if value == 1 else 0
        while again == 3:
            again = bits >> at & 3
            at += 2
            counts += [0] * again
    need(left == 0 and len(counts) <= symbols and (at + 7) // 8 <= len(data), "a table that does not add up")
    return build(tuple(counts), accuracy), (at + 7) // 8


class Huffman:
    """4.2.1: a decoding table for literals."""

    def __init__(self, weights: List[int]) -> None:
        total = sum(1 << (weight - 1) for weight in weights if weight > 0)
        need(total > 0, "no weights")
        self.bits = total.bit_length()
        left = (1 << self.bits) - total
        need(self.bits <= MAX_HUFFMAN_BITS and left & (left - 1) == 0, "weights that do not add up")
        weights = [*weights, left.bit_length()]
        need(len(weights) <= 256, "too many weights")
        self.codes: List[Tuple[int, int]] = []
        for weight in range(1, self.bits + 1):
            for symbol in (symbol for symbol, own in enumerate(weights) if own == weight):
                self.codes += [(symbol, self.bits + 1 - weight)] * (1 << (weight - 1))
        need(len(self.codes) == 1 << self.bits, "weights that do not add up")

    def decode(self, data: bytes, count: int) -> bytes:
        stream, found = Bits(data), bytearray()
        for _ in range(count):
            symbol, bits = self.codes[stream.peek(self.bits)]
            stream.left -= bits
            found.append(symbol)
        need(stream.left == 0, "a stream that does not end with its literals")
        return bytes(found)


def read_huffman(data: bytes) -> Tuple[Huffman, int]:
    """4.2.1.1: weights, plain or by finite state entropy."""
    need(len(data) > 0, "no weights")
    if data[0] >= 128:
        count = data[0] - 127
        end = 1 + (count + 1) // 2
        need(end <= len(data), "truncated")
        return Huffman([half for byte in data[1:end] for half in (byte >> 4, byte & 15)][:count]), end
    end = 1 + data[0]
    need(end <= len(data), "truncated")
    table, used = read_counts(data[1:end], 6, MAX_HUFFMAN_BITS + 2)
    stream = Bits(data[1 + used : end])
    states = [stream.read(table.accuracy), stream.read(table.accuracy)]
    weights: List[int] = []
    need(stream.left >= 0, "truncated")
    while stream.left >= 0:
        need(len(weights) < 255, "too many weights")
        symbol, bits, base = table.states[states[0]]
        weights.append(symbol)
        states = [states[1], base + stream.read(bits)]
    return Huffman([*weights, table.states[states[0]][0]]), end


class Block:
    """Blocks of one frame (3.1.1.2), what they keep for the next, and what came out."""

    def __init__(self, most: int, window: int) -> None:
        self.most, self.window, self.out = most, window, bytearray()
        self.huffman: Optional[Huffman] = None
        self.tables: Dict[str, Table] = {}
        self.repeated = [1, 4, 8]

    def put(self, content: bytes) -> None:
        self.out += content
        if len(self.out) > self.most:
            raise TooMuch

    def literals(self, data: bytes) -> Tuple[bytes, int]:
        """3.1.1.3.1: the literals and where the sequences begin."""
        need(len(data) > 0, "no literals")
        kind, form = data[0] & 3, data[0] >> 2 & 3
        if kind < 2:
            size, shift = ((1, 3), (2, 4), (1, 3), (3, 4))[form]
            need(size <= len(data), "truncated")
            count = int.from_bytes(data[:size], "little") >> shift
            end = size + (count if kind == 0 else 1)
            need(count <= MAX_BLOCK and end <= len(data), "truncated")
            return (data[size:end] if kind == 0 else data[size:end] * count), end
        size, width = ((3, 10), (3, 10), (4, 14), (5, 18))[form]
        need(size <= len(data), "truncated")
        value, mask = int.from_bytes(data[:size], "little") >> 4, (1 << width) - 1
        count, end = value & mask, size + (value >> width)
        need(count <= MAX_BLOCK and end <= len(data), "truncated")
        if kind == 2:
            self.huffman, used = read_huffman(data[size:end])
            size += used
        need(self.huffman is not None, "no table before")
        return self.streams(data[size:end], count, form > 0), end

    def streams(self, data: bytes, count: int, are_four: bool) -> bytes:
        assert self.huffman is not None
        if not are_four:
            return self.huffman.decode(data, count)
        need(len(data) >= 6 and count >= 6, "truncated")
        sizes = [data[at] + (data[at + 1] << 8) for at in (0, 2, 4)]
        share, at, found = (count + 3) // 4, 6, b""
        need(at + sum(sizes) <= len(data), "truncated")
        for size in sizes:
            found += self.huffman.decode(data[at : at + size], share)
            at += size
        need(count >= 3 * share, "streams that are too short")
        return found + self.huffman.decode(data[at:], count - 3 * share)

    def table(self, name: str, mode: int, data: bytes) -> Tuple[Table, int]:
        """3.1.1.3.2.1: one of the three tables of the sequences."""
        known, most, symbols = {
            "literal": (LITERAL_LENGTHS, 9, len(LITERAL_CODES)),
            "offset": (OFFSETS, 8, len(OFFSET_CODES)),
            "match": (MATCH_LENGTHS, 9, len(MATCH_CODES)),
        }[name]
        if mode == 0:
            return build(*known), 0
        if mode == 1:
            need(len(data) > 0 and data[0] < symbols, "no symbol")
            return Table(0, [(data[0], 0, 0)]), 1
        if mode == 2:
            return read_counts(data, most, symbols)
        need(name in self.tables, "no table before")
        return self.tables[name], 0

    def sequences(self, data: bytes, literals: bytes) -> None:
        """3.1.1.3.2: literals and matches by turns."""
        need(len(data) > 0, "no sequences")
        size = 1 if data[0] < 128 else 2 if data[0] < 255 else 3
        need(size <= len(data), "truncated")
        count = data[0]
        if size == 2:
            count = (data[0] - 128 << 8) + data[1]
        if size == 3:
            count = data[1] + (data[2] << 8) + 0x7F00
        if count == 0:
            need(size == len(data), "bytes behind no sequences")
            return self.put(literals)
        need(size < len(data) and data[size] & 3 == 0, "modes")
        modes, at = data[size], size + 1
        for name, shift in (("literal", 6), ("offset", 4), ("match", 2)):
            self.tables[name], used = self.table(name, modes >> shift & 3, data[at:])
            at += used
        rest = self.execute(Bits(data[at:]), count, literals)
        self.put(literals[rest:])

    def execute(self, stream: Bits, count: int, literals: bytes) -> int:
        """3.1.1.4: carries the sequences out; how many literals they used."""
        tables = [self.tables[name] for name in ("literal", "offset", "match")]
        states = [stream.read(table.accuracy) for table in tables]
        used = 0
        for left in reversed(range(count)):
            symbols = [table.states[state] for table, state in zip(tables, states)]
            offset, bits = OFFSET_CODES[symbols[1][0]]
            offset += stream.read(bits)
            base, bits = MATCH_CODES[symbols[2][0]]
            length = base + stream.read(bits)
            base, bits = LITERAL_CODES[symbols[0][0]]
            plain = base + stream.read(bits)
            if left > 0:
                for which in (0, 2, 1):
                    states[which] = symbols[which][2] + stream.read(symbols[which][1])
            need(stream.left >= 0 and used + plain <= len(literals), "truncated")
            self.put(literals[used : used + plain])
            used += plain
            self.match(self.distance(offset, plain == 0), length)
        need(stream.left == 0, "a stream that does not end with its sequences")
        return used

    def distance(self, value: int, is_bare: bool) -> int:
        """3.1.1.5: one of the last three distances, or a new one."""
        if value > 3:
            self.repeated = [value - 3, *self.repeated[:2]]
            return value - 3
        which = value - 1 + is_bare
        distance = self.repeated[which] if which < 3 else self.repeated[0] - 1
        need(distance > 0, "no distance")
        self.repeated = [distance, *(each for at, each in enumerate(self.repeated) if at != min(which, 2))]
        return distance

    def match(self, distance: int, length: int) -> None:
        need(distance <= min(len(self.out), self.window), "a match before the beginning")
        if len(self.out) + length > self.most:
            raise TooMuch
        start = len(self.out) - distance
        piece = bytes(self.out[start : start + min(distance, length)])
        self.put((piece * (length // len(piece) + 1))[:length])


def xxh64(data: bytes) -> int:
    """The checksum of a frame's content, with seed 0."""
    one, two, three, four, five = (
        0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5,
    )  # fmt: skip
    mask = (1 << 64) - 1

    def turned(value: int, by: int) -> int:
        return (value << by | value >> (64 - by)) & mask

    def mixed(lane: int, word: int) -> int:
        return turned((lane + word * two) & mask, 31) * one & mask

    at, total = 0, five
    if len(data) >= 32:
        lanes = [(one + two) & mask, two, 0, -one & mask]
        while at + 32 <= len(data):
            words = [int.from_bytes(data[at + place : at + place + 8], "little") for place in (0, 8, 16, 24)]
            lanes = [mixed(lane, word) for lane, word in zip(lanes, words)]
            at += 32
        total = sum(turned(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18))) & mask
        for lane in lanes:
            total = ((total ^ mixed(0, lane)) * one + four) & mask
    total = (total + len(data)) & mask
    for size, factor, by, times, plus in ((8, 0, 27, one, four), (4, one, 23, two, three), (1, five, 11, one, 0)):
        while at + size <= len(data):
            word = int.from_bytes(data[at : at + size], "little")
            total = turned(total ^ (mixed(0, word) if size == 8 else word * factor & mask), by) * times + plus & mask
            at += size
    for by, factor in ((33, two), (29, three), (32, 1)):
        total = (total ^ total >> by) * factor & mask
    return total


def read_header(data: bytes, widest: int) -> Tuple[int, int, Optional[int], bool]:
    """3.1.1.1: where the blocks begin, the window, the size of the content if it is told, and whether a checksum is."""
    need(data[:4] == MAGIC and len(data) > 4, "another magic number")
    told, at = data[4], 5
    is_single = told >> 5 & 1 == 1
    need(told >> 3 & 1 == 0, "a reserved bit")
    window = 0
    if not is_single:
        need(at < len(data), "truncated")
        base = 1 << (10 + (data[at] >> 3))
        window, at = base + (base >> 3) * (data[at] & 7), at + 1
    width = (0, 1, 2, 4)[told & 3]
    need(int.from_bytes(data[at : at + width], "little") == 0, "a dictionary")
    at += width
    width = (1 if is_single else 0, 2, 4, 8)[told >> 6]
    need(at + width <= len(data), "truncated")
    size = int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0) if width else None
    window = size if is_single and size is not None else window
    need(window <= widest, "a window that is too large")
    return at + width, window, size, told >> 2 & 1 == 1


def decompress(data: bytes, most: int, widest: int) -> bytes:
    """The content of the one frame that `data` is; raises TooMuch as soon as more than `most` bytes come out."""
    at, window, size, has_checksum = read_header(data, widest)
    block, is_last = Block(most, window), False
    while not is_last:
        need(at + 3 <= len(data), "truncated")
        told = int.from_bytes(data[at : at + 3], "little")
        is_last, kind, length, before = told & 1 == 1, told >> 1 & 3, told >> 3, len(block.out)
        need(kind < 3 and length <= min(window, MAX_BLOCK), "a block that is too large")
        content = data[at + 3 : at + 3 + (1 if kind == 1 else length)]
        need(len(content) == (1 if kind == 1 else length), "truncated")
        at += 3 + len(content)
        if kind < 2:
            block.put(content * length if kind == 1 else content)
        else:
            literals, end = block.literals(content)
            block.sequences(content[end:], literals)
        need(len(block.out) - before <= min(window, MAX_BLOCK), "a block that is too large")
    need(size is None or size == len(block.out), "another size than was told")
    out = bytes(block.out)
    if has_checksum:
        need(data[at : at + 4] == (xxh64(out) & 0xFFFFFFFF).to_bytes(4, "little"), "another checksum")
        at += 4
    need(at == len(data), "bytes behind the frame")
    return out
