"""
A second reader of NZ-HANDSHAKE-01, written from its text and the Noise Protocol Framework alone.

    handshake.py VECTORS            recomputes everything in spec/vectors/handshake.json
    handshake.py --mutate VECTORS   changes each byte of the messages in it: no handshake may come of them
    handshake.py --corrupt VECTORS  makes each field of the vectors untrue: it is noticed

Checked: static keys bound to identities (§2), every frame of both sides from the private keys (§3, §4), the checks of
§4.3 in their order, what both sides then have in common (§6, §7), the code of each refusal and the frame that tells
of it (§5, §9). It has no clock and no path: nothing is sent again here, and no table of half-open handshakes is kept
(§8).
"""
import sys
from hashlib import sha256
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

sys.dont_write_bytecode = True  # before the import: the tree stays clean
import noise
import wire
from handshake_forms import (
    CODES, LABEL, PATTERNS, VERSION, Own, Said, Session, Ticket, derive, read_hello, read_payload, refuse, require, u32,
)  # fmt: skip
from reading import Refused, Report, encode, run, touched
from signatures import public_key, sign, verifies

STATIC_KEY_PURPOSE = "nzcore/channel-static-key/1"
UNUSED = bytes(31) + b"\1"
# What becomes of a frame, by its number, on its way.
Change = Callable[[int, bytes], bytes]


class Ignored(Exception):
    """A frame for another index."""


class Side:
    """One side of one handshake; what it draws at random is given."""

    def __init__(self, own: Own, index: int, ephemeral: bytes) -> None:
        self.own, self.index, self.ephemeral = own, index, ephemeral
        self.session: Optional[Session] = None
        self.refusal: Optional[bytes] = None

    def start(self, pattern: str, is_initiator: bool, index: int, ticket: bytes) -> None:
        """4.1: the handshake of the framework, with its prologue."""
        self.pattern, self.is_initiator, self.initiators_index = pattern, is_initiator, index
        prologue = b"NZ-HANDSHAKE-01" + bytes([VERSION, PATTERNS.index(pattern)]) + u32(index) + ticket
        self.noise = noise.Handshake(pattern, is_initiator, prologue, self.own.static, self.ephemeral)
        if pattern != "XX":
            self.noise.knows(self.own.their_static if is_initiator else noise.public(self.own.static))

    def payload(self, peer: Optional[bytes]) -> bytes:
        own = self.own
        proof = None if self.pattern == "IKpsk1" else [own.identity, own.signature]
        return encode([own.versions, own.purpose, own.features, self.index, peer, proof])

    def hello(self, pattern: str) -> bytes:
        ticket = self.own.ticket
        id = ticket.id if pattern == "IKpsk1" and ticket is not None else b""
        self.start(pattern, True, self.index, id)
        if ticket is not None:
            self.noise.psk = ticket.key
        self.behind_cookie = id + self.noise.write(b"" if pattern == "XX" else self.payload(self.own.expected))
        return self.hello_with(b"")

    def hello_with(self, cookie: bytes) -> bytes:
        head = bytes([PATTERNS.index(self.pattern)]) + u32(self.index) + bytes([len(cookie)])
        return wire.write_frame(wire.HELLO, head + cookie + self.behind_cookie)

    def take_retry(self, data: bytes) -> bytes:
        """5.1: the same HELLO with the cookie."""
        return self.hello_with(self.meant(body_of(data, wire.RETRY)))

    def take_hello(self, data: bytes) -> bytes:
        """5.2: reads a HELLO and answers it, or refuses it."""
        if data[:1] != b"\1" and data[1:2] == bytes([wire.HELLO]) and len(data) >= wire.HEADER + 5:
            raise self.refused(refuse("VERSION"), wire.number(data, wire.HEADER + 1))
        hello = read_hello(body_of(data, wire.HELLO))
        try:
            ticket = self.own.ticket if hello.pattern == "IKpsk1" else None
            if hello.pattern == "IKpsk1":
                is_known = ticket is not None and (ticket.id, ticket.purpose) == (hello.ticket, self.own.purpose)
                require(is_known, "TICKET")
            self.start(hello.pattern, False, hello.index, hello.ticket)
            self.noise.psk = b"" if ticket is None else ticket.key
            payload = self.read(hello.message, "KEY")
            said = self.check(payload) if hello.pattern != "XX" else None
            answer = self.write(self.payload(None if said is None else self.peer(said)))
        except Refused as refused:
            raise self.refused(refused, hello.index) from None
        require(hello.pattern != "XX" or payload == b"", "MALFORMED")
        if said is not None:
            self.conclude(said)
        return wire.write_frame(wire.ANSWER, u32(hello.index) + answer)

    def refused(self, refused: Refused, index: int) -> Refused:
        """5.2: what is told to the initiator."""
        code = CODES.index(refused.code.replace("NZ_HANDSHAKE_", "")) + 1
        self.refusal = wire.write_frame(wire.REFUSE, u32(index) + bytes([code]))
        return refused

    def take_answer(self, data: bytes) -> Optional[bytes]:
        """5.1: reads an ANSWER; with XX there is a FINISH."""
        said = self.check(self.read(self.meant(body_of(data, wire.ANSWER)), "UNAUTHENTIC"))
        finish = None
        if self.pattern == "XX":
            finish = wire.write_frame(wire.FINISH, u32(said.index) + self.noise.write(self.payload(self.peer(said))))
        self.conclude(said)
        return finish

    def take_finish(self, data: bytes) -> None:
        payload = self.read(self.meant(body_of(data, wire.FINISH)), "UNAUTHENTIC")
        try:
            said = self.check(payload)
        except Refused as refused:
            raise self.refused(refused, self.initiators_index) from None
        self.conclude(said)

    def meant(self, body: bytes) -> bytes:
        """Section 3: what follows `to`; a frame for another index is ignored."""
        if wire.number(body, 0) != self.index:
            raise Ignored
        return body[4:]

    def read(self, message: bytes, otherwise: str) -> bytes:
        """5.3: a message that the framework cannot read."""
        try:
            return self.noise.read(message)
        except noise.Unreadable:
            raise refuse(otherwise) from None

    def write(self, payload: bytes) -> bytes:
        """Of an ANSWER: a key of low order in the HELLO of XX shows only here."""
        try:
            return self.noise.write(payload)
        except noise.Unreadable:
            raise refuse("KEY") from None

    def peer(self, said: Said) -> bytes:
        if said.proof is not None:
            return said.proof[0]
        assert self.own.ticket is not None
        return self.own.ticket.peer

    def check(self, payload: bytes) -> Said:
        """4.3: in its order."""
        said, own, is_of_initiator = read_payload(payload), self.own, not self.is_initiator
        require(not is_of_initiator or said.index == self.initiators_index, "MALFORMED")
        both = set(said.versions) & set(own.versions)
        require(len(both) > 0 and max(both) == VERSION, "DOWNGRADE")
        require(said.purpose == own.purpose, "PURPOSE")
        require(said.peer is None or said.peer == own.identity, "MISBOUND")
        require(not is_of_initiator or said.peer is not None, "MALFORMED")
        require((said.proof is None) == (self.pattern == "IKpsk1"), "MALFORMED")
        self.check_key(said)
        if self.is_initiator and own.expected is not None:
            require(self.peer(said) == own.expected, "WRONG_PEER")
        require(set(own.required) <= set(own.features) & set(said.features), "FEATURE_MISSING")
        require(self.is_initiator or own.is_allowed, "NOT_ALLOWED")
        return said

    def check_key(self, said: Said) -> None:
        """4.3, step 7."""
        static = self.noise.their_static
        if said.proof is None:
            require(self.own.ticket is not None and static == self.own.ticket.their_static, "FORGED")
        else:
            require(verifies(said.proof[0], static, said.proof[1], STATIC_KEY_PURPOSE), "FORGED")

    def conclude(self, said: Said) -> None:
        """Section 6."""
        ours, theirs = (self.own.identity, self.own.features), (self.peer(said), said.features)
        initiator, responder = (ours, theirs) if self.is_initiator else (theirs, ours)
        head = [f"{LABEL}session", self.noise.hash, VERSION, self.pattern, self.own.purpose]
        id = sha256(encode([*head, initiator[0], responder[0], initiator[1], responder[1]])).digest()
        secret = derive(b"".join(self.noise.split()), id, "secret")
        common = wire.in_common(self.own.features, said.features)
        self.session = Session(id, secret, common, theirs[0], self.noise.their_static, said.index)


def body_of(data: bytes, type: int) -> bytes:
    """The body of a frame of this type; any other is none of this text."""
    try:
        frame = wire.read_frame(data)
    except Refused:
        raise refuse("MALFORMED") from None
    require(frame.type == type, "MALFORMED")
    return frame.body


class Person(NamedTuple):
    """One of the vectors' identities."""

    identity: bytes
    static: bytes
    signature: bytes


def read_people(vectors: Dict[str, Any]) -> Dict[str, Person]:
    people = {}
    for name, item in vectors["identities"].items():
        seed, static = bytes.fromhex(item["seed"]), bytes.fromhex(item["staticSeed"])
        people[name] = Person(public_key(seed), static, sign(seed, noise.public(static), STATIC_KEY_PURPOSE))
    return people


def sides_of(item: Dict[str, Any], people: Dict[str, Person]) -> Tuple[Side, Side]:
    """The two sides of one of the vectors' handshakes, before its first message."""
    sides = []
    for role, other in (("initiator", "responder"), ("responder", "initiator")):
        person, peer = people[item[role]["is"]], people[item[other]["is"]]
        ticket = None
        if "ticket" in item:
            id, key = bytes.fromhex(item["ticket"]["id"]), bytes.fromhex(item["ticket"]["key"])
            ticket = Ticket(id, key, item["purpose"], peer.identity, noise.public(peer.static))
        own = Own(
            person.identity, person.static, item["purpose"], item[role]["features"], signature=person.signature,
            expected=peer.identity, their_static=noise.public(peer.static), ticket=ticket,
        )  # fmt: skip
        sides.append(side_of(own, item["random"][role]))
    return sides[0], sides[1]


def side_of(own: Own, draws: List[str]) -> Side:
    """A side that refuses before it draws an ephemeral key has drawn none."""
    index, ephemeral = (*(bytes.fromhex(each) for each in draws), UNUSED)[:2]
    return Side(own, int.from_bytes(index, "big"), ephemeral)


def shake(item: Dict[str, Any], people: Dict[str, Person], change: Change) -> Tuple[Side, Side, List[bytes]]:
    """Runs a handshake of the vectors between two sides of ours; `change` says what comes of each frame on its way."""
    initiator, responder = sides_of(item, people)
    frames: List[bytes] = []

    def sent(frame: bytes) -> bytes:
        frames.append(frame)
        return change(len(frames) - 1, frame)

    hello = sent(initiator.hello(item["pattern"]))
    if "cookie" in item:
        index = read_hello(hello[wire.HEADER :]).index
        retry = wire.write_frame(wire.RETRY, u32(index) + bytes.fromhex(item["cookie"]))
        hello = sent(initiator.take_retry(sent(retry)))
    finish = initiator.take_answer(sent(responder.take_hello(hello)))
    if finish is not None:
        responder.take_finish(sent(finish))
    return initiator, responder, frames


def check_handshake(where: str, item: Dict[str, Any], people: Dict[str, Person], report: Report) -> None:
    """Both sides make the frames of the vectors, bit by bit, and have the same session."""
    initiator, responder, frames = shake(item, people, lambda _, frame: frame)
    report.same(f"{where}.frames", item["frames"], [frame.hex() for frame in frames])
    for side in (initiator, responder):
        session = side.session
        assert session is not None
        report.same(f"{where}.session", item["session"], session.id.hex())
        report.same(f"{where}.secret", item["secret"], session.secret.hex())
        report.same(f"{where}.common", item["common"], session.features)
        for role in ("initiator", "responder"):
            id, key = session.ticket(role)
            report.same(f"{where}.tickets.{role}", item["tickets"][role], {"id": id.hex(), "key": key.hex()})


def reader_of(reader: Dict[str, Any]) -> Side:
    """The side that reads the last frame of one of the vectors' readings."""

    def known(name: str, among: Dict[str, Any] = reader) -> bytes:
        return bytes.fromhex(among[name])

    ticket, told = None, reader["ticket"]
    if told is not None:
        id, key, identity, static = (known(name, told) for name in ("id", "key", "identity", "static"))
        ticket = Ticket(id, key, told["purpose"], identity, static)
    own = Own(
        known("identity"), known("staticSeed"), reader["purpose"], reader["features"], reader["required"],
        reader["versions"], known("signature"), known("expected") if reader["expected"] is not None else None,
        known("calls") if reader["calls"] is not None else b"", ticket, reader["isAllowed"],
    )  # fmt: skip
    return side_of(own, reader["random"])


def check_reading(where: str, item: Dict[str, Any], report: Report) -> None:
    side, frames = reader_of(item["reader"]), [bytes.fromhex(frame) for frame in item["frames"]]
    code: Optional[str] = "taken"
    try:
        if item["reader"]["role"] == "initiator":
            report.same(f"{where}.frames[0]", item["frames"][0], side.hello(item["pattern"]).hex())
            side.take_answer(frames[1])
        else:
            answer = side.take_hello(frames[0])
            if len(frames) > 1:
                report.same(f"{where}.frames[1]", item["frames"][1], answer.hex())
                side.take_finish(frames[2])
    except Refused as refused:
        code = refused.code
    except Ignored:
        code = None
    report.same(f"{where}.code", item["code"], code)
    report.same(f"{where}.refuse", item["refuse"], None if side.refusal is None else side.refusal.hex())
    report.same(f"{where} has a session", code == "taken", side.session is not None)


def check(vectors: Dict[str, Any], report: Report) -> None:
    """Recomputes all that the vectors hold."""
    people = read_people(vectors)
    report.same("codes", vectors["codes"], [f"NZ_HANDSHAKE_{name}" for name in CODES])
    for name, item in vectors["identities"].items():
        person = people[name]
        told = {"identity": person.identity, "static": noise.public(person.static), "signature": person.signature}
        for field, value in told.items():
            report.same(f"identities.{name}.{field}", item[field], value.hex())
    for index, item in enumerate(vectors["handshakes"]):
        check_handshake(f"handshakes[{index}]", item, people, report)
    for index, item in enumerate(vectors["readings"]):
        check_reading(f"readings[{index}]", item, report)


def mutate(vectors: Dict[str, Any], report: Report) -> None:
    people = read_people(vectors)
    for index, item in enumerate(vectors["handshakes"]):
        # A cookie is not covered (4.1), nor a HELLO that was answered by RETRY: both may change.
        frames = [] if "cookie" in item else shake(item, people, lambda _, frame: frame)[2]
        for which, frame in enumerate(frames):
            for at, other in touched(frame):
                where = f"handshakes[{index}].frames[{which}] changed at {at}"
                report.same(f"{where} ends in no session", False, is_shaken(item, people, which, other))


def is_shaken(item: Dict[str, Any], people: Dict[str, Person], which: int, instead: bytes) -> bool:
    """Does a session come of a handshake in which one frame is exchanged on the way?"""
    try:
        shake(item, people, lambda at, frame: instead if at == which else frame)
        return True
    except (Refused, Ignored):
        return False


PARTS = ["codes", "identities", "handshakes", "readings"]

if __name__ == "__main__":
    sys.exit(run("handshake", PARTS, check, mutate))
