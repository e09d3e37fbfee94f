"""
A second reader of NZ-CHANNEL-01, written from its text and those of NZ-HANDSHAKE-01 and NZ-WIRE-01 alone.

    channel.py VECTORS            recomputes everything in spec/vectors/channel.json
    channel.py --mutate VECTORS   changes each byte of the packets in it: none may open
    channel.py --corrupt VECTORS  makes each field of the vectors untrue: it is noticed

Checked: every packet of both sides from the private keys, through all epochs (§2, §3, §5), what opening each gives,
once (§4), each refusal (§4, §8), agreements that cross, come twice, late or from a thief (§5), and the window (§4).
It has no clock: what §1 bounds by time, and when a side proposes, is not looked at.
"""
import sys
from collections import deque
from typing import Any, Deque, Dict, NamedTuple, Optional, Tuple

sys.dont_write_bytecode = True  # before the import: the tree stays clean
import noise
import wire
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from handshake_forms import derive, u32
from reading import Refused, Report, run, touched

WINDOW = 2_048
MAX_COUNTER, CONTROL_ROOM = 1 << 24, 1_024
DATA, CONTROL = 0, 1
PING, PONG, PROPOSE, ACCEPT, CLOSE = 0, 1, 2, 3, 4
OTHER = {"initiator": "responder", "responder": "initiator"}
NAMES = {PING: "ping", PONG: "pong", PROPOSE: "propose", ACCEPT: "accept", CLOSE: "close"}
SIZES = {PING: 1, PONG: 1, PROPOSE: 37, ACCEPT: 53, CLOSE: 1}


def refuse(name: str) -> Refused:
    return Refused(f"NZ_CHANNEL_{name}")


def require(holds: bool, name: str) -> None:
    if not holds:
        raise refuse(name)


class Window:
    """Section 4: which counters of an epoch were taken."""

    def __init__(self) -> None:
        self.highest, self.taken = -1, set()  # type: int, set[int]

    def says(self, counter: int) -> str:
        if counter in self.taken:
            return "replayed"
        return "new" if counter > self.highest - WINDOW else "tooOld"

    def mark(self, counter: int) -> None:
        self.highest = max(self.highest, counter)
        self.taken = {each for each in self.taken if each > self.highest - WINDOW} | {counter}


class Epoch:
    """Section 3, of one side: the keys of an epoch, counters and the window."""

    def __init__(self, number: int, session: bytes, secret: bytes, is_initiator: bool) -> None:
        self.number, self.chain, self.confirm = number, b"", b""
        keys = [derive(secret, session, label) for label in ("initiator", "responder")]
        self.sealing, self.opening = keys if is_initiator else keys[::-1]
        self.chain = derive(secret, session, "chain")
        self.confirm = derive(secret, session, "confirm", size=16)
        self.next, self.window, self.has_opened = 0, Window(), False


def sealed_with(key: bytes, counter: int) -> Tuple[ChaCha20Poly1305, bytes]:
    return ChaCha20Poly1305(key), bytes(4) + counter.to_bytes(8, "little")


class Proposal(NamedTuple):
    """What a side made for the next epoch."""

    private: bytes
    message: bytes


class End:
    """One side of a channel. What it would say next, if it may, is in `due`."""

    def __init__(self, item: Dict[str, Any], role: str) -> None:
        own, peer = item[role], item[OTHER[role]]
        self.is_initiator, self.index, self.their_index = role == "initiator", own["index"], peer["index"]
        self.static = bytes.fromhex(own["staticSeed"])
        self.their_static = noise.public(bytes.fromhex(peer["staticSeed"]))
        self.draws: Deque[bytes] = deque(bytes.fromhex(each) for each in own["random"])
        self.session = bytes.fromhex(item["session"])
        self.epochs = {0: Epoch(0, self.session, bytes.fromhex(item["secret"]), self.is_initiator)}
        self.present = 0
        self.is_closed = False
        self.proposal: Optional[Proposal] = None
        self.accepted: Optional[Tuple[bytes, bytes]] = None
        self.due: Deque[bytes] = deque()

    def packet(self, kind: int, payload: bytes) -> bytes:
        """Section 2: the next packet that this side seals."""
        epoch = self.epochs[self.present]
        head = u32(self.their_index) + u32(self.present) + epoch.next.to_bytes(8, "big")
        header = wire.write_frame(wire.PACKET, bytes(len(head) + 1 + len(payload) + 16))[: wire.HEADER]
        cipher, nonce = sealed_with(epoch.sealing, epoch.next)
        epoch.next += 1
        return header + head + cipher.encrypt(nonce, bytes([kind]) + payload, header + head)

    def open(self, data: bytes) -> Tuple[int, bytes]:
        """Section 4: the checks in their order; kind and payload."""
        require(not self.is_closed, "CLOSED")
        try:
            frame = wire.read_frame(data)
        except Refused:
            raise refuse("MALFORMED") from None
        counter = wire.number(frame.body, 8, 8)
        require(frame.type == wire.PACKET and counter < 1 << 48, "MALFORMED")
        require(wire.number(frame.body, 0) == self.index, "UNKNOWN")
        epoch = self.epochs.get(wire.number(frame.body, 4))
        if epoch is None:
            raise refuse("EPOCH")
        require(counter < MAX_COUNTER + CONTROL_ROOM, "EXHAUSTED")
        said = epoch.window.says(counter)
        require(said != "replayed", "REPLAYED")
        require(said != "tooOld", "TOO_OLD")
        cipher, nonce = sealed_with(epoch.opening, counter)
        try:
            plain = cipher.decrypt(nonce, frame.body[16:], data[:24])
        except InvalidTag:
            raise refuse("FORGED") from None
        epoch.window.mark(counter)
        epoch.has_opened = True
        self.follow(epoch.number)
        require(plain[0] in (DATA, CONTROL), "MALFORMED")
        if plain[0] == CONTROL:
            self.control(epoch.number, plain[1:])
        return plain[0], plain[1:]

    def follow(self, number: int) -> None:
        """5.4: the accepter seals in the next epoch once it has opened a packet of it."""
        if number == self.present + 1:
            self.switch()

    def switch(self) -> None:
        """5.4: the epoch before this one still opens, the one before that does not."""
        self.present += 1
        self.proposal = self.accepted = None
        self.epochs.pop(self.present - 2, None)

    def control(self, number: int, message: bytes) -> None:
        """Section 6; agreements count only in the present epoch."""
        require(len(message) > 0 and len(message) == SIZES.get(message[0], -1), "MALFORMED")
        if message[0] == PING:
            self.due.append(bytes([PONG]))
        if message[0] == PROPOSE and number == self.present:
            self.accept(wire.number(message, 1), message[5:])
        if message[0] == ACCEPT and number == self.present:
            self.confirm(wire.number(message, 1), message[5:37], message[37:])
        if message[0] == CLOSE:
            self.is_closed = True

    def propose(self) -> bytes:
        """5.1, 5.2."""
        private = self.draws.popleft()
        message = bytes([PROPOSE]) + u32(self.present + 1) + noise.public(private)
        self.proposal = Proposal(private, message)
        return message

    def may_propose(self) -> bool:
        """5.1, but for the bounds."""
        return self.epochs[self.present].has_opened and self.accepted is None and self.proposal is None

    def accept(self, wanted: int, key: bytes) -> None:
        """5.2, 5.3, 5.5."""
        if wanted != self.present + 1 or (self.is_initiator and self.proposal is not None):
            return
        if self.accepted is not None:
            if self.accepted[0] == key:
                self.due.append(self.accepted[1])
            return
        private = self.draws[0]
        try:
            epoch = self.derive(private, key)
        except noise.Unreadable:
            return
        self.draws.popleft()
        self.proposal = None
        self.epochs[wanted] = epoch
        message = bytes([ACCEPT]) + u32(wanted) + noise.public(private) + epoch.confirm
        self.accepted = key, message
        self.due.append(message)

    def confirm(self, wanted: int, key: bytes, confirmation: bytes) -> None:
        """5.4."""
        if self.proposal is None or wanted != self.present + 1:
            return
        try:
            epoch = self.derive(self.proposal.private, key)
        except noise.Unreadable:
            return
        if epoch.confirm == confirmation:
            self.epochs[wanted] = epoch
            self.switch()

    def derive(self, private: bytes, theirs: bytes) -> Epoch:
        """Section 3: the epoch after the present one."""
        own, number = noise.public(private), self.present + 1
        with_static, from_static = noise.agree(private, self.their_static), noise.agree(self.static, theirs)
        # es is of the initiator's fresh key and the responder's static one, se the other way.
        agreements = (with_static, from_static) if self.is_initiator else (from_static, with_static)
        fresh = (own, theirs) if self.is_initiator else (theirs, own)
        material = self.epochs[self.present].chain + noise.agree(private, theirs) + b"".join(agreements)
        secret = derive(material, self.session, "epoch", u32(number) + b"".join(fresh))
        return Epoch(number, self.session, secret, self.is_initiator)

    def may_ping(self) -> bool:
        """5.4: in an epoch in which it seals, until it has opened a packet of it."""
        return not self.epochs[self.present].has_opened


def told(end: End, item: Dict[str, Any]) -> Optional[bytes]:
    """The packet that a side sends where the vectors have one; None where it may not send such."""
    kind = item["kind"]
    if kind == "data":
        return end.packet(DATA, item["plain"].encode())
    if kind == "ping":
        return end.packet(CONTROL, bytes([PING])) if end.may_ping() else None
    if kind == "propose":
        return end.packet(CONTROL, end.propose()) if end.may_propose() else None
    if len(end.due) == 0 or NAMES[end.due[0][0]] != kind:
        return None
    return end.packet(CONTROL, end.due.popleft())


def check_session(where: str, item: Dict[str, Any], report: Report) -> None:
    """Each side makes the packets of the vectors, bit by bit; the other opens each once."""
    ends = {role: End(item, role) for role in OTHER}
    for index, packet in enumerate(item["packets"]):
        here = f"{where}.packets[{index}]"
        data = bytes.fromhex(packet["hex"])
        made = told(ends[packet["from"]], packet)
        report.same(here, packet["hex"], "nothing" if made is None else made.hex())
        receiver = ends[OTHER[packet["from"]]]
        plain = {"control": packet["kind"]} if packet["kind"] != "data" else {"payload": packet["plain"].encode().hex()}
        report.same(f"{here} opens", plain, answer_of(receiver, data))
        report.same(f"{here} opens again", "NZ_CHANNEL_REPLAYED", answer_of(receiver, data))
    report.same(f"{where} epochs", [2, 2], [end.present for end in ends.values()])


def answer_of(end: End, data: bytes) -> Any:
    """What a side says to a packet, in the words of the vectors."""
    try:
        kind, payload = end.open(data)
    except Refused as refused:
        return refused.code
    return {"payload": payload.hex()} if kind == DATA else {"control": NAMES[payload[0]]}


def check_reading(where: str, item: Dict[str, Any], report: Report) -> None:
    """One side says to each packet, and sends, what the vectors have; in the end nothing more is due."""
    end = End(item, item["reader"])
    for at, step in enumerate(item["steps"]):
        if "peer" in step:
            report.same(f"{where}[{at}]", step["answer"], answer_of(end, bytes.fromhex(step["peer"])))
            continue
        made = told(end, {**step, "plain": step.get("plain", "")})
        report.same(f"{where}[{at}]", step["own"], "nothing" if made is None else made.hex())
    report.same(f"{where} is silent", [], [NAMES[each[0]] for each in end.due])


def check(vectors: Dict[str, Any], report: Report) -> None:
    """Recomputes all that the vectors hold."""
    for index, item in enumerate(vectors["sessions"]):
        check_session(f"sessions[{index}]", item, report)
    for index, item in enumerate(vectors["readings"]):
        check_reading(f"readings[{index}]", item, report)
    for index, item in enumerate(vectors["windows"]):
        window, results = Window(), []
        for counter in item["counters"]:
            results.append(window.says(counter))
            if results[-1] == "new":
                window.mark(counter)
        report.same(f"windows[{index}].results", item["results"], results)


def mutate(vectors: Dict[str, Any], report: Report) -> None:
    for index, item in enumerate(vectors["sessions"]):
        ends = {role: End(item, role) for role in OTHER}
        for which, packet in enumerate(item["packets"]):
            data, receiver = bytes.fromhex(packet["hex"]), ends[OTHER[packet["from"]]]
            told(ends[packet["from"]], packet)
            for at, other in touched(data):
                where = f"sessions[{index}].packets[{which}] changed at {at}"
                report.same(f"{where} is refused", True, isinstance(answer_of(receiver, other), str))
            report.same(f"sessions[{index}].packets[{which}] is not", False, isinstance(answer_of(receiver, data), str))


PARTS = ["sessions", "readings", "windows"]

if __name__ == "__main__":
    sys.exit(run("channel", PARTS, check, mutate))
