"""
A second reader of NZ-WIRE-01, written from its text and RFCs 1951 and 8878 alone.

    wire.py VECTORS            recomputes everything in spec/vectors/wire.json
    wire.py --mutate VECTORS   changes the frames and chunks in it: another frame is read, and no chunk holds more or less
                               than it says
    wire.py --corrupt VECTORS  makes each field of the vectors untrue: it is noticed

Checked: headers of frames in the order of §2, bodies of §4, what a receiver of messages answers to each frame (§5),
chunks and bombs (§6), lists of features and what two have in common (§7).
"""
import re
import sys
import zlib
from hashlib import sha256
from typing import Any, Dict, List, NamedTuple, Optional, Union

sys.dont_write_bytecode = True  # before the import: the tree stays clean
import zstandard
from reading import Refused, Report, code_of, flipped, run

CHUNK_BYTES, MESSAGE_BYTES, MESSAGES, INITIAL_CREDIT = 65_536, 67_108_864, 64, 16_384
RATIO, WINDOW, FEATURES = 1_024, 131_072, 32
NONE, DEFLATE, ZSTD = 0, 1, 2
CODECS = {"deflate": DEFLATE, "zstd": ZSTD}
FEATURE = re.compile(r"[a-z0-9][a-z0-9.-]{0,31}")
HEADER = 8

HELLO, ANSWER, FINISH, RETRY, REFUSE, PACKET = 1, 2, 3, 4, 5, 0x10
OPEN, CHUNK, CREDIT, DONE, CANCEL, REJECT = 0x20, 0x21, 0x22, 0x23, 0x24, 0x25
COMPRESSED = 1


class Kind(NamedTuple):
    """Section 3: what a type of frame allows."""

    least: int
    most: int
    flags: int = 0


KINDS = {
    HELLO: Kind(38, 2_048),
    ANSWER: Kind(36, 2_048),
    FINISH: Kind(36, 2_048),
    RETRY: Kind(20, 20),
    REFUSE: Kind(5, 5),
    PACKET: Kind(33, 65_633),
    OPEN: Kind(9, 9),
    CHUNK: Kind(9, 65_544, COMPRESSED),
    CREDIT: Kind(8, 8),
    DONE: Kind(4, 256),
    CANCEL: Kind(4, 4),
    REJECT: Kind(5, 5),
}


class Frame(NamedTuple):
    type: int
    flags: int
    body: bytes


def refuse(name: str) -> Refused:
    return Refused(f"NZ_WIRE_{name}")


def require(holds: bool, name: str) -> None:
    if not holds:
        raise refuse(name)


def number(data: bytes, at: int, size: int = 4) -> int:
    return int.from_bytes(data[at : at + size], "big")


def read_frame(data: bytes) -> Frame:
    """Section 2: the one frame that a packet is."""
    require(len(data) >= HEADER, "MALFORMED")
    require(data[0] == 1, "VERSION")
    kind = KINDS.get(data[1])
    if kind is None:
        raise refuse("TYPE")
    flags, length = number(data, 2, 2), number(data, 4)
    require(flags & ~kind.flags == 0, "FLAGS")
    require(length <= kind.most, "TOO_LARGE")
    require(length >= kind.least, "MALFORMED")
    require(len(data) == HEADER + length, "MALFORMED")
    return Frame(data[1], flags, data[HEADER:])


def write_frame(type: int, body: bytes, flags: int = 0) -> bytes:
    return bytes([1, type]) + flags.to_bytes(2, "big") + len(body).to_bytes(4, "big") + body


def inflate(codec: int, data: bytes, plain: int) -> bytes:
    """Section 6: what the compressed bytes of a chunk hold."""
    require(plain <= RATIO * len(data), "BOMB")
    out = inflate_deflate(data, plain) if codec == DEFLATE else inflate_zstd(data, plain)
    require(len(out) == plain, "COMPRESSION")
    return out


def inflate_deflate(data: bytes, plain: int) -> bytes:
    stream = zlib.decompressobj(-15)
    try:
        out = stream.decompress(data, plain + 1)
    except zlib.error:
        raise refuse("COMPRESSION") from None
    require(len(out) <= plain, "BOMB")
    require(stream.eof and stream.unused_data == b"", "COMPRESSION")
    return out


def inflate_zstd(data: bytes, plain: int) -> bytes:
    try:
        return zstandard.decompress(data, plain, WINDOW)
    except zstandard.TooMuch:
        raise refuse("BOMB") from None
    except zstandard.Corrupt:
        raise refuse("COMPRESSION") from None


class Message:
    """A message of one side; `done`: how many of its plain bytes have travelled."""

    def __init__(self, total: int, codec: int) -> None:
        self.total, self.codec, self.payload, self.done = total, codec, b"", 0
        self.credit = min(total, INITIAL_CREDIT)
        self.is_refused = False

    def is_whole(self) -> bool:
        return self.done == self.total


Answer = Union[str, Dict[str, Any]]


class Carrier:
    """Section 5: one side of a carrier; what it sends itself is told to it, and judged as well."""

    def __init__(self) -> None:
        self.theirs: Dict[int, Message] = {}
        self.ours: Dict[int, Message] = {}
        self.next_of_theirs = self.next_of_ours = 0

    def take(self, data: bytes) -> Answer:
        """What this side says to a frame of the peer."""
        frame = read_frame(data)
        require(frame.type >= OPEN, "TYPE")
        body, id = frame.body, number(frame.body, 0)
        if frame.type == OPEN:
            require(id == self.next_of_theirs, "MESSAGE")
            message = opened(number(body, 4), body[8])
            require(len(self.theirs) < MESSAGES, "MESSAGES")
            self.next_of_theirs += 1
            self.theirs[id] = message
            return self.told(id)
        if frame.type == CHUNK:
            return self.chunk(id, number(body, 4), body[8:], frame.flags & COMPRESSED != 0)
        if frame.type == CANCEL:
            require(id in self.theirs and not self.theirs[id].is_whole(), "MESSAGE")
            return "none" if self.theirs.pop(id).is_refused else "cancelled"
        return self.heard(frame.type, body, id)

    def chunk(self, id: int, plain: int, data: bytes, is_compressed: bool) -> Answer:
        """5.7: id, the bounds of `plain`, credit, compression, length."""
        require(id in self.theirs, "MESSAGE")
        message = self.theirs[id]
        require(1 <= plain <= CHUNK_BYTES, "MALFORMED")
        require(message.done + plain <= message.credit, "CREDIT")
        require(not is_compressed or message.codec != NONE, "COMPRESSION")
        require(is_compressed or plain == len(data), "MALFORMED")
        message.payload += inflate(message.codec, data, plain) if is_compressed else data
        message.done += plain
        return self.told(id)

    def told(self, id: int) -> Answer:
        """A message that is whole, when it has become so and nobody here has refused it."""
        message = self.theirs[id]
        if not message.is_whole() or message.is_refused:
            return "none"
        return {"id": id, "bytes": message.total, "sha256": sha256(message.payload).hexdigest()}

    def heard(self, type: int, body: bytes, id: int) -> Answer:
        """CREDIT, DONE and REJECT: of messages of this side; for those that have ended they are ignored."""
        if type == DONE:
            return self.all_taken(body)
        require(id < self.next_of_ours, "MESSAGE")
        if id not in self.ours or self.ours[id].is_refused:
            return "none"
        if type == CREDIT:
            self.ours[id].credit = min(self.ours[id].credit + number(body, 4), self.ours[id].total)
            return "none"
        self.ours[id].is_refused = True
        return {"rejected": id, "reason": body[4]}

    def all_taken(self, body: bytes) -> Answer:
        require(len(body) % 4 == 0, "MALFORMED")
        ids = []
        for at in range(0, len(body), 4):
            id = number(body, at)
            require(id < self.next_of_ours, "MESSAGE")
            if id not in self.ours or self.ours[id].is_refused:
                continue
            require(self.ours[id].is_whole(), "MESSAGE")
            del self.ours[id]
            ids.append(id)
        return {"taken": ids}

    def say(self, data: bytes) -> bool:
        """May this side send the frame now?"""
        frame = read_frame(data)
        body, id = frame.body, number(frame.body, 0)
        if frame.type == OPEN:
            is_next, self.next_of_ours = id == self.next_of_ours, id + 1
            self.ours[id] = opened(number(body, 4), body[8])
            return is_next and len(self.ours) <= MESSAGES
        if frame.type in (CHUNK, CANCEL) and id in self.ours:
            message = self.ours[id]
            if frame.type == CANCEL:
                return not self.ours.pop(id).is_whole()
            message.done += number(body, 4)
            return message.done <= message.credit and len(body) - 8 == number(body, 4)
        if frame.type == CREDIT and id in self.theirs:
            self.theirs[id].credit += number(body, 4)
            return self.theirs[id].credit <= self.theirs[id].total and self.has_room(id)
        if frame.type == REJECT and id in self.theirs:
            self.theirs[id].is_refused = True
            return not self.theirs[id].is_whole()
        ids = [number(body, at) for at in range(0, len(body), 4)]
        return frame.type == DONE and all(id in self.theirs and self.theirs.pop(id).is_whole() for id in ids)

    def has_room(self, id: int) -> bool:
        """5.3: room for all that were asked for, the whole of each, and none is passed over that needs some."""
        asked = [message.credit > INITIAL_CREDIT for _, message in sorted(self.theirs.items())]
        wants = [message.total > INITIAL_CREDIT for _, message in sorted(self.theirs.items())]
        totals = [message.total for message in self.theirs.values() if message.credit > INITIAL_CREDIT]
        kept = sum(total - INITIAL_CREDIT for total in totals)
        waiting = [is_asked for is_asked, is_wanted in zip(asked, wants) if is_wanted]
        return kept <= MESSAGE_BYTES and waiting == sorted(waiting, reverse=True)


def opened(total: int, codec: int) -> Message:
    """5.7: what an OPEN announces, checked in the order of the table."""
    require(codec in (NONE, DEFLATE, ZSTD), "COMPRESSION")
    require(total <= MESSAGE_BYTES, "MESSAGE_TOO_LARGE")
    return Message(total, codec)


def converse(steps: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """A conversation of the vectors, with what this reader says to each frame."""
    carrier, said = Carrier(), []  # type: Carrier, List[Dict[str, Any]]
    for step in steps:
        if "own" in step:
            said.append({"own": step["own"] if carrier.say(bytes.fromhex(step["own"])) else "not allowed"})
            continue
        try:
            answer = carrier.take(bytes.fromhex(step["peer"]))
        except Refused as refused:
            answer = refused.code
        said.append({"peer": step["peer"], "answer": answer})
    return said


def are_features(names: Any) -> bool:
    """Section 7: a list of features that may be sent."""
    if not isinstance(names, list) or len(names) > FEATURES:
        return False
    if not all(isinstance(name, str) and FEATURE.fullmatch(name) for name in names):
        return False
    return all(a < b for a, b in zip(names, names[1:]))


def in_common(ours: List[str], theirs: List[str]) -> List[str]:
    return sorted(set(ours) & set(theirs))


def result_of(item: Dict[str, Any]) -> str:
    try:
        return inflate(CODECS[item["codec"]], bytes.fromhex(item["bytes"]), item["plain"]).hex()
    except Refused as refused:
        return refused.code


def check_frames(vectors: Dict[str, Any], report: Report) -> None:
    for index, item in enumerate(vectors["frames"]):
        where = f"frames[{index}]"
        data = bytes.fromhex(item["hex"])
        report.same(f"{where} is read", "taken", code_of(lambda: read_frame(data)))
        made = write_frame(item["type"], bytes.fromhex(item["body"]), item["flags"])
        report.same(where, item["hex"], made.hex())
    for index, item in enumerate(vectors["refusedFrames"]):
        data = bytes.fromhex(item["hex"])
        report.same(f"refusedFrames[{index}]", item["code"], code_of(lambda: read_frame(data)))


def check(vectors: Dict[str, Any], report: Report) -> None:
    """Recomputes all that the vectors hold."""
    check_frames(vectors, report)
    for index, item in enumerate(vectors["chunks"]):
        report.same(f"chunks[{index}]", item["result"], result_of(item))
    for index, steps in enumerate(vectors["conversations"]):
        for at, (written, computed) in enumerate(zip(steps, converse(steps))):
            report.same(f"conversations[{index}][{at}]", written, computed)
    for index, item in enumerate(vectors["features"]["lists"]):
        report.same(f"features.lists[{index}]", item["isGood"], are_features(item["list"]))
    for index, item in enumerate(vectors["features"]["pairs"]):
        report.same(f"features.pairs[{index}]", item["common"], in_common(item["ours"], item["theirs"]))


def mutate(vectors: Dict[str, Any], report: Report) -> None:
    for index, item in enumerate(vectors["frames"]):
        data = bytes.fromhex(item["hex"])
        for at, other in flipped(data[:HEADER]):
            is_same = read_or_none(other + data[HEADER:]) == read_frame(data)
            report.same(f"frames[{index}] changed at {at} is another", False, is_same)
    for index, item in enumerate(vectors["chunks"]):
        for at, other in flipped(bytes.fromhex(item["bytes"])):
            result = result_of({**item, "bytes": other.hex()})
            is_right = result in ("NZ_WIRE_BOMB", "NZ_WIRE_COMPRESSION") or len(result) == 2 * item["plain"]
            report.same(f"chunks[{index}] changed at {at} is refused or as long as it says", True, is_right)


def read_or_none(data: bytes) -> Optional[Frame]:
    try:
        return read_frame(data)
    except Refused:
        return None


PARTS = ["frames", "refusedFrames", "chunks", "conversations", "features"]

if __name__ == "__main__":
    sys.exit(run("wire", PARTS, check, mutate))
