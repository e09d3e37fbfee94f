"""
Paths of NZ-ROUTING-01: setups and what a node does with them (§5), answers and what the source reads in them (§6).
"""
from hashlib import sha256
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from reading import Refused, decode, encode, is_list
from routing_forms import (
    ANSWER, ANSWER_HOP, HOP, HOPS, KEY, NUMBER, SETUP, TTL, Signed, anything, number, octets, parsed, read_closed,
    read_signed, require, sized, write_closed,
)  # fmt: skip
from signatures import public_key, sign, verifies

SEQUENCES = 64
TOLERANCE = 300_000
LEAD, MOST_AHEAD, RENEWALS = 7_200_000, 604_800_000, 6
SETUP_TYPE, ANSWER_TYPE, CLOSED_TYPE = 4, 5, 6
PACKET_BYTES = 17_408


class Hop(NamedTuple):
    key: bytes
    ttl: int
    next: bytes
    signature: bytes


def is_hop(value: Any) -> bool:
    forms = KEY, number(TTL), KEY, sized(64)
    return is_list(value, 4, 4, anything) and all(is_one(each) for is_one, each in zip(forms, value))


class Setup(NamedTuple):
    """Section 5."""

    source: bytes
    destination: bytes
    path: bytes
    sequence: int
    hops: List[Hop]
    signed: Signed

    def before(self, at: int) -> bytes:
        """The setup as the hop with this place received it."""
        return encode([SETUP, self.signed.body, self.signed.signature, [list(hop) for hop in self.hops[:at]]])

    def passed(self, ttl: int, next: bytes, seed: bytes) -> "Setup":
        """5.1: with one hop more."""
        message = sha256(self.before(len(self.hops))).digest() + bytes([ttl]) + next
        hop = Hop(public_key(seed), ttl, next, sign(seed, message, HOP))
        return self._replace(hops=[*self.hops, hop])

    def encoded(self) -> bytes:
        return self.before(len(self.hops))

    def is_signed(self) -> bool:
        """5.1: all signatures."""
        own = verifies(self.source, self.signed.body, self.signed.signature, SETUP)
        return own and all(self.is_hop_signed(at) for at in range(len(self.hops)))

    def is_hop_signed(self, at: int) -> bool:
        hop = self.hops[at]
        return verifies(hop.key, sha256(self.before(at)).digest() + bytes([hop.ttl]) + hop.next, hop.signature, HOP)


def create_setup(seed: bytes, destination: bytes, path: bytes, sequence: int) -> Setup:
    """5.1: without hops."""
    body = encode([1, public_key(seed), destination, path, sequence])
    signed = Signed(SETUP, body, sign(seed, body, SETUP), [])
    return Setup(public_key(seed), destination, path, sequence, [], signed)


def version_of(body: bytes) -> Optional[int]:
    """5.2: what stands first in a body of any version; None where none stands."""
    try:
        value = decode(body, "")
    except Refused:
        return None
    return value[0] if isinstance(value, list) and len(value) > 0 and number((1 << 53) - 1)(value[0]) else None


def read_setup(data: bytes) -> Setup:
    """5.2: the form, version and purpose, in their order."""
    signed = read_signed(data, lambda hops: is_list(hops, 1, HOPS, is_hop))
    require(version_of(signed.body) in (1, None), "VERSION")
    require(signed.purpose == SETUP, "PURPOSE")
    body = parsed(signed.body, number(1, 1), KEY, KEY, sized(16), number(NUMBER, 1))
    require(body[1] != body[2])
    return Setup(*body[1:], [Hop(*hop) for hop in signed.rest[0]], signed)


def check_chain(setup: Setup, receiver: bytes, sender: bytes) -> None:
    """5.2: the hops follow each other."""
    hops = setup.hops
    keys = [hop.key for hop in hops]
    require(keys[0] == setup.source, "CHAIN")
    require([hop.next for hop in hops] == [*keys[1:], receiver], "CHAIN")
    require(all(a.ttl == b.ttl + 1 for a, b in zip(hops, hops[1:])), "CHAIN")
    require(len(set(keys)) == len(keys) and receiver not in keys and keys[-1] == sender, "CHAIN")


def receive(data: bytes, receiver: bytes, sender: bytes) -> Setup:
    """5.2: as far as it is the same for every receiver: form, hops and signatures."""
    setup = read_setup(data)
    check_chain(setup, receiver, sender)
    require(setup.is_signed(), "FORGED")
    return setup


class AnswerHop(NamedTuple):
    key: bytes
    waited: int
    signature: bytes


def is_answer_hop(value: Any) -> bool:
    return is_list(value, 3, 3, anything) and KEY(value[0]) and number()(value[1]) and sized(64)(value[2])


class Answer(NamedTuple):
    """Section 6."""

    path: bytes
    setup: bytes
    hops: List[AnswerHop]
    signed: Signed

    def before(self, at: int) -> bytes:
        return encode([ANSWER, self.signed.body, self.signed.signature, [list(hop) for hop in self.hops[:at]]])

    def encoded(self) -> bytes:
        return self.before(len(self.hops))

    def passed(self, waited: int, seed: bytes) -> "Answer":
        """6.1: with one hop more."""
        message = sha256(self.encoded()).digest() + waited.to_bytes(8, "big")
        return self._replace(hops=[*self.hops, AnswerHop(public_key(seed), waited, sign(seed, message, ANSWER_HOP))])

    def is_signed(self, destination: bytes) -> bool:
        if not verifies(destination, self.signed.body, self.signed.signature, ANSWER):
            return False
        for at, hop in enumerate(self.hops):
            message = sha256(self.before(at)).digest() + hop.waited.to_bytes(8, "big")
            if not verifies(hop.key, message, hop.signature, ANSWER_HOP):
                return False
        return True


def create_answer(setup: bytes, path: bytes, seed: bytes) -> Answer:
    body = encode([1, path, setup])
    return Answer(path, setup, [], Signed(ANSWER, body, sign(seed, body, ANSWER), []))


def read_answer(data: bytes) -> Answer:
    """6.2: the form; of the setup in it as well."""
    signed = read_signed(data, lambda hops: is_list(hops, 0, HOPS, is_answer_hop))
    require(signed.purpose == ANSWER)
    body = parsed(signed.body, number(1, 1), sized(16), octets)
    try:
        require(read_setup(body[2]).path == body[1])
    except Refused:
        require(False)
    return Answer(body[1], body[2], [AnswerHop(*hop) for hop in signed.rest[0]], signed)


def take_answer(data: bytes, sent: bytes) -> Answer:
    """6.2, by the source that has sent this setup."""
    answer, own = read_answer(data), read_setup(sent)
    setup = read_setup(answer.setup)
    is_own = setup.signed.body == own.signed.body and setup.hops[:1] == own.hops
    require(is_own, "FORGED")
    try:
        check_chain(setup, setup.destination, setup.hops[-1].key)
    except Refused:
        require(False, "FORGED")
    require([hop.key for hop in answer.hops] == [hop.key for hop in setup.hops[:0:-1]], "FORGED")
    require(setup.is_signed() and answer.is_signed(setup.destination), "FORGED")
    return answer


def delays(answer: Answer, round_trip: int) -> List[Dict[str, Any]]:
    """6.2: the round trip between each two: the difference of what both waited, at least 0. The end waits for nobody."""
    keys = [hop.key for hop in reversed(answer.hops)] + [read_setup(answer.setup).destination]
    waited = [round_trip, *(hop.waited for hop in reversed(answer.hops)), 0]
    return [{"key": key.hex(), "roundTripUs": max(0, a - b)} for key, a, b in zip(keys, waited, waited[1:])]


class Sequences:
    """5.3: of all sources."""

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.sources: Dict[bytes, List[int]] = {}

    def is_new(self, source: bytes, sequence: int) -> bool:
        seen = self.sources.get(source, [])
        least = seen[0] if len(seen) == SEQUENCES else self.floor
        return sequence > least and sequence not in seen

    def take(self, source: bytes, sequence: int) -> None:
        self.sources[source] = sorted([*self.sources.get(source, []), sequence])[-SEQUENCES:]

    def latest(self, source: bytes) -> int:
        """7.4."""
        return self.sources[source][-1] if source in self.sources else self.floor


Sent = Optional[Tuple[bytes, int, bytes]]


class Node:
    """5.2: a node to which setups come, one after another and not too many."""

    def __init__(self, seed: bytes, item: Dict[str, Any]) -> None:
        self.seed, self.key = seed, public_key(seed)
        self.may_reach, self.may_relay = item["mayReach"], item["mayRelay"]
        self.next = None if item["next"] is None else bytes.fromhex(item["next"])
        self.sequences = Sequences(item["clockMs"] - TOLERANCE)
        self.paths: set = set()

    def take(self, data: bytes, sender: bytes) -> Tuple[str, Sent]:
        """The code and what is sent: a setup, an answer or the end of the path."""
        try:
            setup = read_setup(data)
        except Refused as refused:
            return refused.code, None
        try:
            return "taken", self.use(setup, data, sender)
        except Refused as refused:
            latest = self.sequences.latest(setup.source) if refused.code == "NZ_ROUTE_REPLAYED" else 0
            return refused.code, (sender, CLOSED_TYPE, write_closed(setup.path, refused.code, self.key, latest))

    def use(self, setup: Setup, data: bytes, sender: bytes) -> Sent:
        check_chain(setup, self.key, sender)
        is_end = setup.destination == self.key
        require(self.may_reach if is_end else self.may_relay, "REFUSED")
        is_new = self.sequences.is_new(setup.source, setup.sequence) and setup.path not in self.paths
        require(is_new, "REPLAYED")
        require(setup.is_signed(), "FORGED")
        self.sequences.take(setup.source, setup.sequence)
        if is_end:
            self.paths.add(setup.path)
            return sender, ANSWER_TYPE, create_answer(data, setup.path, self.seed).encoded()
        require(setup.hops[-1].ttl > 0 and len(setup.hops) < HOPS, "TTL")
        is_there = self.next is not None and self.next not in [hop.key for hop in setup.hops]
        require(is_there, "NONE")
        assert self.next is not None
        self.paths.add(setup.path)
        return self.next, SETUP_TYPE, setup.passed(setup.hops[-1].ttl - 1, self.next, self.seed).encoded()


class Relayed:
    """7.1: a path through a node, with the neighbours the setup came from and went to."""

    def __init__(self, before: bytes, behind: bytes, at: int) -> None:
        self.before, self.behind, self.at, self.is_open = before, behind, at, False


class Relay:
    """Section 7: a relay, and what it does with what comes for its paths."""

    def __init__(self, seed: bytes, item: Dict[str, Any]) -> None:
        self.node = Node(seed, {**item, "mayReach": False})
        self.paths: Dict[bytes, Relayed] = {}

    def take(self, sender: bytes, type: int, body: bytes, at: int) -> Sent:
        """What is sent because of it; `at` in milliseconds."""
        if type == SETUP_TYPE:
            code, sent = self.node.take(body, sender)
            if code == "taken" and sent is not None:
                self.paths[read_setup(body).path] = Relayed(sender, sent[0], at)
            return sent
        try:
            return self.follow(sender, type, body, at)
        except Refused:
            return None

    def follow(self, sender: bytes, type: int, body: bytes, at: int) -> Sent:
        answer = read_answer(body) if type == ANSWER_TYPE else None
        id = answer.path if answer else read_closed(body)[0] if type == CLOSED_TYPE else body[:16]
        path = self.paths.get(id)
        if path is None or sender not in (path.before, path.behind):
            return None
        other = path.behind if sender == path.before else path.before
        if answer is not None:
            if path.is_open or sender != path.behind:
                return None
            path.is_open = True
            return other, type, answer.passed((at - path.at) * 1_000, self.node.seed).encoded()
        if type == CLOSED_TYPE:
            del self.paths[id]
            return other, type, body
        return (other, type, body) if path.is_open and len(body) <= 16 + PACKET_BYTES else None


class Source:
    """5.3: a source that sets a path up, and again where its sequence was refused."""

    def __init__(self, seed: bytes, destination: bytes, path: bytes, item: Dict[str, Any]) -> None:
        self.seed, self.destination, self.path, self.next = seed, destination, path, bytes.fromhex(item["next"])
        self.ttl, self.clock, self.renewals = item["ttl"], item["clockMs"], 0
        self.sequence = self.clock + 1

    def setup(self) -> bytes:
        created = create_setup(self.seed, self.destination, self.path, self.sequence)
        return created.passed(self.ttl, self.next, self.seed).encoded()

    def refused(self, latest: int) -> Optional[bytes]:
        """None: the path has failed."""
        most = self.clock + MOST_AHEAD
        if latest >= most or self.renewals == RENEWALS:
            return None
        self.sequence = max(self.sequence + 1, min(latest + LEAD * 4**self.renewals, most))
        self.renewals += 1
        return self.setup()
