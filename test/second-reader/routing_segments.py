"""Segments of NZ-ROUTING-01 §9.1, in the words of the vectors, and what a receiver acknowledges (§9.2)."""
from typing import Any, Dict, List, Optional

from routing_forms import require


def read_segment(data: bytes) -> Dict[str, Any]:
    """9.1, in the words of the vectors."""
    at = 1

    def take(size: int) -> int:
        nonlocal at
        require(at + size <= len(data))
        at += size
        return int.from_bytes(data[at - size : at], "big")

    require(len(data) > 0 and data[0] < 6)
    if data[0] == 0:
        stream, flags, offset = take(4), take(1), take(6)
        require(flags < 2 and len(data) - at <= 16_384)
        return {"type": "data", "stream": stream, "offset": offset, "isLast": flags == 1, "bytes": data[at:].hex()}
    if data[0] == 1:
        told = {"type": "ack", "stream": take(4), "next": take(6), "limit": take(6)}
        ranges = [{"from": take(6), "to": take(6)} for _ in range(take(1))]
        ends = [told["next"], *(end for each in ranges for end in (each["from"], each["to"]))]
        require(len(ranges) <= 16 and all(a < b for a, b in zip(ends, ends[1:])) and at == len(data))
        return {**told, "ranges": ranges}
    if data[0] < 4:
        told = {"type": ("reset", "resetSeen")[data[0] - 2], "stream": take(4)}
    else:
        told = {"type": ("probe", "echo")[data[0] - 4], "stamp": take(6)}
    require(at == len(data))
    return told


WINDOW = 1_048_576
RANGES = 16


class Stream:
    """9.2: the receiving half of a stream, byte by byte."""

    def __init__(self, number: int) -> None:
        self.number, self.bytes, self.read_bytes = number, {}, 0  # type: int, Dict[int, int], int
        self.end: Optional[int] = None

    def take(self, segment: Dict[str, Any]) -> None:
        data, offset = bytes.fromhex(segment["bytes"]), segment["offset"]
        end = offset + len(data)
        if end > self.read_bytes + WINDOW:
            return
        if self.end is not None and (end > self.end or (segment["isLast"] and end != self.end)):
            return
        if segment["isLast"]:
            if any(at >= end for at in self.bytes):
                return
            self.end = end
        self.bytes.update({offset + at: value for at, value in enumerate(data)})

    def next(self) -> int:
        """The first byte that has not come; the end is one more."""
        came = next(at for at in range(len(self.bytes) + 1) if at not in self.bytes)
        return came + 1 if came == self.end else came

    def read(self) -> bytes:
        whole = [self.bytes[at] for at in range(self.next()) if at in self.bytes]
        self.read_bytes = len(whole)
        return bytes(whole)

    def acknowledgement(self) -> bytes:
        come, ranges = sorted(self.bytes), []  # type: List[int], List[Dict[str, int]]
        for at in [at for at in come if at > self.next()]:
            if ranges and ranges[-1]["to"] == at:
                ranges[-1]["to"] = at + 1
            else:
                ranges.append({"from": at, "to": at + 1})
        if ranges and ranges[-1]["to"] == self.end:
            ranges[-1]["to"] += 1
        told = {"next": self.next(), "limit": self.read_bytes + WINDOW, "ranges": ranges[:RANGES]}
        return write_segment({"type": "ack", "stream": self.number, **told})


def write_segment(item: Dict[str, Any]) -> bytes:
    kind = ("data", "ack", "reset", "resetSeen", "probe", "echo").index(item["type"])
    if kind > 3:
        return bytes([kind]) + item["stamp"].to_bytes(6, "big")
    head = bytes([kind]) + item["stream"].to_bytes(4, "big")
    if kind == 0:
        return head + bytes([item["isLast"]]) + item["offset"].to_bytes(6, "big") + bytes.fromhex(item["bytes"])
    if kind > 1:
        return head
    numbers = b"".join(each[name].to_bytes(6, "big") for each in item["ranges"] for name in ("from", "to"))
    head += item["next"].to_bytes(6, "big") + item["limit"].to_bytes(6, "big")
    return head + bytes([len(item["ranges"])]) + numbers
