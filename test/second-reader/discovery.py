"""
A second reader of NZ-DISCOVERY-01, written from its text (and those of NZ-IDENTITY-01 §6 and NZ-INVITE-01 §6).

    discovery.py VECTORS            recomputes everything in spec/vectors/discovery.json
    discovery.py --mutate VECTORS   changes the records in it, bit by bit: none may be read
    discovery.py --corrupt VECTORS  makes each field of the vectors untrue: it is noticed

It shares no code with the project. It has no table and no lookup, which are about whom to ask: nobody is believed
there.
"""
import re
import sys
import unicodedata
from hashlib import sha256
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

sys.dont_write_bytecode = True  # before the import: the tree stays clean
from reading import Refused, Report, code_of, decode, flipped, is_bytes, is_list, is_number, run
from signatures import verifies

RECORD_PURPOSE, INTRODUCTION_PURPOSE = "nzcore/discovery-record/1", "nzcore/introduction/1"
MAX_RECORD, MAX_VALUE, MAX_INTRODUCTION, MAX_MESSAGE, MAX_DATAGRAM = 2048, 1024, 4096, 262144, 9000
MAX_SEQUENCE, MAX_TTL, TOLERANCE = 1 << 48, 604800, 300_000
MAX_SECTION, MAX_LABELS = 64, 16
# Section 7, by number.
CODES = ("kept", "MALFORMED", "TOO_LARGE", "VERSION", "FORGED", "EXPIRED", "STALE", "WRONG_KEY", "FULL")
HEALTHS = ("unknown", "healthy", "degraded", "failing")

NAME = re.compile(r"[a-z0-9]([a-z0-9._/-]*[a-z0-9])?")
VERSION_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")
ADDRESS = re.compile(r"/(ip4|ip6|dns|dns4|dns6)/[A-Za-z0-9.:_-]+/[A-Za-z0-9/._:-]+")
SERVICE = [b"_nzcore", b"_udp", b"local"]


def refuse(name: str) -> Refused:
    return Refused(f"NZ_DISCOVERY_{name}", "")


def require(holds: bool, name: str = "MALFORMED") -> None:
    if not holds:
        raise refuse(name)


def parsed(data: bytes) -> Any:
    """Deterministic CBOR, or malformed."""
    return decode(data, "NZ_DISCOVERY_MALFORMED")


def digest(label: str, content: bytes) -> bytes:
    """Section 2."""
    return sha256(b"nzcore/discovery/1/" + label.encode() + content).digest()


def common_bits(a: bytes, b: bytes) -> int:
    return 256 - (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_length()


def is_nearer(target: bytes, a: bytes, b: bytes) -> bool:
    aim = int.from_bytes(target, "big")
    return aim ^ int.from_bytes(a, "big") < aim ^ int.from_bytes(b, "big")


def is_text(value: Any, pattern: "re.Pattern[str]", most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and pattern.fullmatch(value) is not None


def is_address(value: Any) -> bool:
    return is_text(value, ADDRESS, 160)


def are_capabilities(value: Any) -> bool:
    return is_list(value, 0, 8, lambda each: is_text(each, NAME, 64)) and all(a < b for a, b in zip(value, value[1:]))


class Record(NamedTuple):
    signer: bytes
    sequence: int
    ttl: int
    content: List[Any]

    def keys(self) -> List[bytes]:
        """3.3."""
        kind = self.content[0]
        if kind == 0:
            return [digest("peer", self.signer)]
        name = self.content[1].encode()
        if kind == 3:
            return [digest("value", self.signer + name)]
        return [digest("service", name), *(digest("capability", each.encode()) for each in self.content[-1])]

    def kind(self) -> str:
        return ("peer", "service", "withdrawn", "value")[self.content[0]]

    def slot(self) -> str:
        """3.3: the signer with the kind and the name."""
        kind = {"withdrawn": "service"}.get(self.kind(), self.kind())
        return f"{self.signer.hex()}/{kind}" + ("" if kind == "peer" else f"/{self.content[1]}")

    def current(self, now: int) -> bool:
        return is_current(self.sequence, self.ttl, now)


def is_current(since: int, ttl: int, now: int) -> bool:
    """3.2."""
    return now < since + ttl * 1000 and since <= now + TOLERANCE


def is_content(content: Any) -> bool:
    """Section 3."""
    if not isinstance(content, list) or len(content) == 0 or not is_number(content[0], 0, 3):
        return False
    kind, rest = content[0], content[1:]
    if kind == 0:
        return len(rest) == 1 and is_list(rest[0], 0, 8, is_address)
    if len(rest) == 0 or not is_text(rest[0], NAME, 64):
        return False
    if kind == 1:
        known = len(rest) == 4 and is_text(rest[1], VERSION_TEXT, 32) and is_number(rest[2], 0, 3)
        return known and are_capabilities(rest[3])
    if kind == 2:
        return len(rest) == 2 and are_capabilities(rest[1])
    return len(rest) == 2 and isinstance(rest[1], bytes) and len(rest[1]) <= MAX_VALUE


def read_signed(data: bytes, purpose: str) -> Tuple[bytes, List[Any], bytes]:
    """What records and introductions have in common: the signed bytes, what they say, the signature."""
    outer = parsed(data)
    require(isinstance(outer, list) and len(outer) == 3 and outer[0] == purpose)
    require(isinstance(outer[1], bytes) and is_bytes(outer[2], 64))
    body = parsed(outer[1])
    require(isinstance(body, list) and len(body) > 0 and is_number(body[0], 0, 2**53 - 1))
    return outer[1], body, outer[2]


def read_record(data: bytes, now: int) -> Record:
    """3.2: the checks in their order."""
    require(len(data) <= MAX_RECORD, "TOO_LARGE")
    signed, body, signature = read_signed(data, RECORD_PURPOSE)
    require(body[0] == 1, "VERSION")
    require(len(body) == 5 and is_bytes(body[1], 32))
    require(is_number(body[2], 1, MAX_SEQUENCE) and is_number(body[3], 1, MAX_TTL) and is_content(body[4]))
    record = Record(*body[1:])
    require(verifies(record.signer, signed, signature, RECORD_PURPOSE), "FORGED")
    require(record.current(now), "EXPIRED")
    return record


class Store:
    """Section 7, as far as nothing is full."""

    def __init__(self) -> None:
        self.slots: Dict[Tuple[bytes, str], int] = {}

    def put(self, key: bytes, data: bytes, now: int) -> int:
        try:
            record = read_record(data, now)
            require(key in record.keys(), "WRONG_KEY")
            place = key, record.slot()
            require(self.slots.get(place, 0) < record.sequence, "STALE")
            self.slots[place] = record.sequence
            return 0
        except Refused as refused:
            return CODES.index(refused.code.removeprefix("NZ_DISCOVERY_"))


def display_name(proposed: str) -> Optional[str]:
    """NZ-INVITE-01, section 6."""
    name = re.sub(r"\s+", " ", unicodedata.normalize("NFC", proposed))
    kept = [each for each in name if each in " ._+-" or re.match("[LMN]|So", unicodedata.category(each))]
    marked: List[str] = []
    for each in kept:
        if not (is_mark(each) and len(marked) > 1 and is_mark(marked[-1]) and is_mark(marked[-2])):
            marked.append(each)
    while marked and (is_mark(marked[0]) or marked[0] in " ._-"):
        marked.pop(0)
    name = unicodedata.normalize("NFC", re.sub(" +", " ", "".join(marked))[:32].rstrip())
    return None if name == "" or name.lower().startswith(("nz1", "nzi1", "12d3koo")) else name


def is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def is_introduced(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 3 or not is_bytes(value[0], 32) or not isinstance(value[1], str):
        return False
    return display_name(value[1]) == value[1] and is_list(value[2], 0, 8, is_address)


def read_introduction(data: bytes, now: int) -> Dict[str, Any]:
    """Section 10."""
    require(len(data) <= MAX_INTRODUCTION)
    signed, body, signature = read_signed(data, INTRODUCTION_PURPOSE)
    require(body[0] == 1 and len(body) == 5 and is_bytes(body[1], 32))
    require(is_list(body[2], 2, 2, is_introduced))
    require(is_number(body[3], 1, MAX_SEQUENCE) and is_number(body[4], 1, MAX_TTL))
    require(len({body[1], body[2][0][0], body[2][1][0]}) == 3)
    require(is_current(body[3], body[4], now))
    require(verifies(body[1], signed, signature, INTRODUCTION_PURPOSE))
    peers = [{"key": key.hex(), "name": name, "addresses": addresses} for key, name, addresses in body[2]]
    return {"id": sha256(signed).hexdigest()[:16], "introducer": body[1].hex(), "peers": peers}


def is_record_bytes(value: Any) -> bool:
    return isinstance(value, bytes) and 1 <= len(value) <= MAX_RECORD + 1


def read_message(kind: str, data: bytes) -> Any:
    """Section 5: what a request or an answer says, by the names that the vectors use."""
    require(len(data) <= MAX_MESSAGE)
    body = parsed(data)
    require(isinstance(body, list) and len(body) > 0 and is_number(body[0], 1, 1))
    if kind == "find":
        require(len(body) == 4 and is_bytes(body[1], 32) and is_number(body[2], 0, 3) and is_own(body[3]))
        flags = {"wantsRecords": body[2] & 1 != 0, "wantsOwn": body[2] & 2 != 0}
        return {"target": body[1].hex(), **flags, "own": body[3].hex() or None}
    if kind == "found":
        require(len(body) == 4 and is_list(body[1], 0, 64, is_record_bytes))
        require(is_list(body[2], 0, 20, is_record_bytes) and is_own(body[3]))
        told = {"records": [each.hex() for each in body[1]], "closer": [each.hex() for each in body[2]]}
        return {**told, "own": body[3].hex() or None}
    require(len(body) == 2)
    if kind == "store":
        require(is_list(body[1], 1, 16, is_stored_item))
        return [{"key": key.hex(), "record": record.hex()} for key, record in body[1]]
    require(is_list(body[1], 1, 16, lambda code: is_number(code, 0, 255)))
    return body[1]


def is_own(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) <= MAX_RECORD


def is_stored_item(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and is_bytes(value[0], 32) and is_record_bytes(value[1])


class Datagram:
    """Section 9: a DNS message (RFC 1035), read as far as is needed."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 12

    def number(self, length: int = 2) -> int:
        require(self.at + length <= len(self.data))
        self.at += length
        return int.from_bytes(self.data[self.at - length : self.at], "big")

    def name(self) -> List[bytes]:
        """Labels in lower case; a compressed name is none that could be meant."""
        labels: List[bytes] = []
        while len(labels) <= MAX_LABELS:
            length = self.number(1)
            if length >= 0xC0:
                self.number(1)
                return [*labels, b""]
            if length == 0:
                return labels
            require(length <= 63 and self.at + length <= len(self.data))
            labels.append(self.data[self.at : self.at + length].lower())
            self.at += length
        raise refuse("MALFORMED")

    def resource(self) -> Tuple[List[bytes], int, bytes]:
        name, kind = self.name(), self.number()
        self.number(), self.number(4)
        length = self.number()
        require(self.at + length <= len(self.data))
        self.at += length
        return name, kind, self.data[self.at - length : self.at]


def strings(data: bytes) -> Optional[bytes]:
    """What a TXT record says, as one; none of them is empty."""
    joined, at = b"", 0
    while at < len(data):
        length = data[at]
        if length == 0 or at + 1 + length > len(data):
            return None
        joined += data[at + 1 : at + 1 + length]
        at += 1 + length
    return joined if 0 < len(joined) <= MAX_RECORD else None


def read_datagram(data: bytes) -> Tuple[str, List[str]]:
    other: Tuple[str, List[str]] = ("other", [])
    if not 12 <= len(data) <= MAX_DATAGRAM:
        return other
    is_answer, questions, answers = data[2] >> 7 == 1, data[5] + (data[4] << 8), data[7] + (data[6] << 8)
    if max(questions, answers) > MAX_SECTION:
        return other
    reader, found = Datagram(data), []
    try:
        for _ in range(questions):
            name, kind = reader.name(), reader.number()
            reader.number()
            if not is_answer and kind == 12 and name == SERVICE:
                return "question", []
        for _ in range(answers if is_answer else 0):
            name, kind, content = reader.resource()
            record = strings(content) if kind == 16 and len(name) == 4 and name[1:] == SERVICE else None
            if record is not None:
                found.append(record.hex())
    except Refused:
        pass  # What stood before the end counts.
    return ("answer", found) if found else other


PARTS = ["distances", "introductions", "kept", "lan", "messages", "noMessages", "nowMs", "records", "refused"]


def check_records(vectors: Dict[str, Any], report: Report) -> None:
    now = vectors["nowMs"]
    for index, item in enumerate(vectors["records"]):
        data = bytes.fromhex(item["hex"])
        record = read_record(data, now)
        told = {"signer": record.signer.hex(), "sequence": record.sequence, "ttlS": record.ttl, "kind": record.kind()}
        keys = [key.hex() for key in record.keys()]
        written = {name: value for name, value in item.items() if name not in ("name", "hex")}
        report.fields(f"records[{index}]", written, {**told, "keys": keys, "slot": record.slot()})
    for index, item in enumerate(vectors["refused"]):
        data = bytes.fromhex(item["hex"])
        report.same(f"refused[{index}]", item["code"], code_of(lambda: read_record(data, now)))
    store = Store()
    for index, item in enumerate(vectors["kept"]):
        code = store.put(bytes.fromhex(item["key"]), bytes.fromhex(item["hex"]), now)
        report.same(f"kept[{index}]", item["code"], code)


def check(vectors: Dict[str, Any], report: Report) -> None:
    """Recomputes all that the vectors hold."""
    check_records(vectors, report)
    for index, item in enumerate(vectors["messages"]):
        report.same(f"messages[{index}]", item["says"], read_message(item["kind"], bytes.fromhex(item["hex"])))
    for index, item in enumerate(vectors["noMessages"]):
        data = bytes.fromhex(item["hex"])
        code = code_of(lambda: read_message(item["kind"], data))
        report.same(f"noMessages[{index}]", "NZ_DISCOVERY_MALFORMED", code)
    for index, item in enumerate(vectors["distances"]):
        target, a, b = (bytes.fromhex(item[name]) for name in ("target", "a", "b"))
        report.same(f"distances[{index}].isNearer", item["isNearer"], is_nearer(target, a, b))
        report.same(f"distances[{index}].bits", item["bits"], [common_bits(target, a), common_bits(target, b)])
    for index, item in enumerate(vectors["introductions"]):
        told: Dict[str, Any] = {"id": None, "introducer": None, "peers": None}
        try:
            told = read_introduction(bytes.fromhex(item["hex"]), vectors["nowMs"])
        except Refused:
            pass
        report.fields(f"introductions[{index}]", {name: item[name] for name in told}, told)
    for index, item in enumerate(vectors["lan"]):
        kind, records = read_datagram(bytes.fromhex(item["hex"]))
        report.same(f"lan[{index}]", [item["kind"], item["records"]], [kind, records])


def mutate(vectors: Dict[str, Any], report: Report) -> None:
    """No record and no introduction with one bit changed, a byte more or a byte less is read."""
    now = vectors["nowMs"]
    kinds: List[Tuple[str, Callable[[bytes, int], Any]]] = [("records", read_record), ("introductions", read_introduction)]
    for part, read in kinds:
        for index, item in enumerate(vectors[part]):
            data = bytes.fromhex(item["hex"])
            if code_of(lambda: read(data, now)) != "taken":
                continue
            for at, other in [*flipped(data), (len(data), data + b"\0"), (len(data) - 1, data[:-1])]:
                is_refused = code_of(lambda: read(other, now)) != "taken"
                report.same(f"{part}[{index}] changed at {at} is refused", True, is_refused)


if __name__ == "__main__":
    sys.exit(run("discovery", PARTS, check, mutate))
