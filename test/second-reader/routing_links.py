"""
Links of NZ-ROUTING-01: offers and how a link is opened by them, its keys, sealed messages (§2), and what hellos
measure (§3).
"""
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import noise
from reading import encode
from routing_forms import KEY, LINK, MESSAGE_BYTES, number, parsed, read_signed, refuse, require, sized
from signatures import public_key, sign, verifies

BEHIND = 1_024
HEAD = 25
PACKET, CONFIRMATION = 7, 8
HELLOS = 16
CONFIRMED = range(2, 7)


class Offer(NamedTuple):
    """2.2."""

    sender: bytes
    to: bytes
    ephemeral: bytes
    heard: bytes


def read_offer(message: bytes) -> Offer:
    require(message[:1] == b"\0")
    signed = read_signed(message[1:])
    require(signed.purpose == LINK)
    offer = Offer(*parsed(signed.body, number(1, 1), KEY, KEY, KEY, sized(0, 32))[1:])
    require(verifies(offer.sender, signed.body, signed.signature, LINK), "FORGED")
    return offer


def write_offer(offer: Offer, seed: bytes) -> bytes:
    body = encode([1, *offer])
    return b"\0" + encode([LINK, body, sign(seed, body, LINK)])


class Keys(NamedTuple):
    """2.3: as one end of a link sees them."""

    sending: bytes
    receiving: bytes


def keys_of(own: Offer, private: bytes, theirs: Offer) -> Keys:
    ends = sorted([own, theirs], key=lambda offer: offer.sender)
    info = LINK.encode() + b"".join(offer.sender for offer in ends) + b"".join(offer.ephemeral for offer in ends)
    secret, keys = noise.keyed(bytes(32), noise.agree(private, theirs.ephemeral)), b""
    for n in (1, 2):
        keys += noise.keyed(secret, keys[-32:], info, bytes([n]))
    both = keys[:32], keys[32:]
    return Keys(*(both if own is ends[0] else both[::-1]))


def seal(key: bytes, type: int, counter: int, body: bytes) -> bytes:
    """2.4."""
    head = bytes([type]) + counter.to_bytes(8, "big")
    return head + noise.keyed(key, head, body)[:16] + body


class Heard:
    """2.4: the counters of one kind that were taken."""

    def __init__(self) -> None:
        self.taken, self.highest = set(), -1  # type: set[int], int

    def take(self, counter: int) -> None:
        require(counter > self.highest - BEHIND and counter not in self.taken, "REPLAYED")
        self.taken.add(counter)
        self.highest = max(self.highest, counter)


class End:
    """One end of a link; the private halves that it draws are given."""

    def __init__(self, seed: bytes, neighbour: bytes, draws: List[bytes]) -> None:
        self.seed, self.key, self.neighbour, self.draws = seed, public_key(seed), neighbour, draws
        self.fresh: Optional[bytes] = None
        self.heard = b""
        self.link: Optional[Tuple[bytes, Offer, Keys]] = None
        self.packets, self.others = Heard(), Heard()

    def write(self, private: bytes, heard: bytes) -> bytes:
        return write_offer(Offer(self.key, self.neighbour, noise.public(private), heard), self.seed)

    def offer(self) -> bytes:
        """2.2, 2.3: the offer it makes of itself."""
        if self.link is not None:
            return self.write(self.link[0], self.link[1].ephemeral)
        return self.write(self.own(), self.heard)

    def own(self) -> bytes:
        """The key that was offered and not used yet."""
        if self.fresh is None:
            self.fresh = self.draws.pop(0)
        return self.fresh

    def hear(self, message: bytes) -> Tuple[bool, List[bytes]]:
        """2.2: is a new link open now, and what is answered?"""
        offer = read_offer(message)
        require(offer.sender == self.neighbour and offer.to == self.key, "FORGED")
        if self.link is not None and offer.ephemeral == self.link[1].ephemeral:
            return False, [] if offer.heard else [self.offer()]
        self.heard = offer.ephemeral
        private = self.own()
        if offer.heard != noise.public(private):
            return False, [self.write(private, offer.ephemeral)]
        try:
            keys = keys_of(Offer(self.key, self.neighbour, noise.public(private), offer.ephemeral), private, offer)
        except noise.Unreadable:
            raise refuse("FORGED") from None
        self.link, self.fresh = (private, offer, keys), None
        self.packets, self.others = Heard(), Heard()
        return True, [self.offer()]

    def open(self, message: bytes) -> Tuple[int, int]:
        """2.4: type and counter, whether it was taken before or not."""
        assert self.link is not None
        require(HEAD <= len(message) <= MESSAGE_BYTES and 1 <= message[0] <= CONFIRMATION, "FORGED")
        counter = int.from_bytes(message[1:9], "big")
        require(message == seal(self.link[2].receiving, message[0], counter, message[HEAD:]), "FORGED")
        return message[0], counter

    def take(self, type: int, counter: int) -> None:
        (self.packets if type == PACKET else self.others).take(counter)


class Measure:
    """Section 3: hellos that came, and what a hop costs by them."""

    def __init__(self) -> None:
        self.came, self.latest, self.first = set(), 0, 0  # type: set[int], int, int
        self.round_trip: Optional[float] = None
        self.theirs: Dict[str, int] = {}

    def hear(self, sequence: int, theirs: Dict[str, int], sample: Optional[int]) -> None:
        if self.came and sequence <= self.latest:
            if sequence > self.latest - HELLOS:
                self.came.add(sequence)
                self.first = min(self.first, sequence)
            return
        self.first = self.first if self.came else sequence
        self.latest, self.theirs = sequence, theirs
        self.came.add(sequence)
        if sample is not None:
            before = sample if self.round_trip is None else self.round_trip
            self.round_trip = before + (sample - before) / 8

    def delivery(self) -> Tuple[int, int]:
        """How many of how many of the last 16 came."""
        begin = max(self.first, self.latest - HELLOS + 1)
        return len([each for each in self.came if each >= begin]), self.latest - begin + 1

    def cost(self) -> Any:
        heard, expected = self.delivery()
        if self.theirs["heard"] == 0:
            return None
        share = heard / expected * self.theirs["heard"] / self.theirs["expected"]
        return max(1, rounded(256 / share) + min(rounded(self.round_trip or 0), 10_000))


def rounded(value: float) -> int:
    """To the nearest whole number; a half up."""
    return int(value + 0.5)
