"""
A second reader of NZ-TRUST-01, written from its text alone.

    trust.py VECTORS            recomputes everything in spec/vectors/trust.json
    trust.py --mutate VECTORS   changes the updates in it, bit by bit: none may be read
    trust.py --corrupt VECTORS  makes each field of the vectors untrue: it is noticed

It shares no code with the project and keeps what the text calls a state as plainly as it can: a log here is the set of
updates seen, and its chain, fork, evidence and revocations are computed from that set (3.5). So it has no limits of a
replica (section 1) and no reconciliation (section 5).
"""
import sys
from hashlib import sha256
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

sys.dont_write_bytecode = True  # before the import: the tree stays clean
from reading import DETERMINISTIC, NOT_DETERMINISTIC, Report, code_of, decode, flipped, run
from updates import MALFORMED, ZEROS, Update, read_update

TRUST, VOUCH, WITHDRAW, REVOKE = 0, 1, 2, 3
KINDS = {TRUST: "trust", VOUCH: "trust", WITHDRAW: "withdraw", REVOKE: "revoke"}
HIGH = 3
WEIGHTS = (0, 250, 500, 750, 1000)  # 6.1
PATH_LENGTH = 4  # section 1


class Log:
    """Section 3: what a replica holds of one issuer, as a function of the set of its updates that were seen."""

    def __init__(self) -> None:
        self.seen: Dict[bytes, Update] = {}
        self.chain: List[Update] = []
        self.fork: Optional[int] = None
        self.evidence: Dict[bytes, Update] = {}
        self.revocations: Dict[bytes, Update] = {}

    def add(self, update: Update) -> None:
        """Takes an update as seen, and derives the log anew."""
        self.seen.setdefault(update.id, update)
        self._walk()
        self.revocations = self._smallest_revocations()

    def _asserting(self, sequence: int) -> Dict[bytes, Update]:
        """3.3: the ids asserted at `sequence`, each with the smallest update by (sequence, id) that asserts it."""
        asserted: Dict[bytes, Update] = {}
        for update in sorted(self.seen.values(), key=Update.place):
            if update.sequence == sequence:
                asserted.setdefault(update.id, update)
            if update.sequence == sequence + 1:
                asserted.setdefault(update.previous, update)
        return asserted

    def _walk(self) -> None:
        """3.1 and 3.3: follows the chain as far as it goes, or to the lowest fork."""
        self.chain, self.fork, self.evidence = [], None, {}
        while True:
            at = len(self.chain) + 1
            here = [update for update in self.seen.values() if update.sequence == at]
            asserted = self._asserting(at)
            if len(asserted) > 1:
                self.fork = at
                kept = [asserted[name] for name in sorted(asserted)[:2]]
                self.evidence = {update.id: update for update in kept}
                return
            if not here:
                return
            self.chain.append(here[0])

    def _smallest_revocations(self) -> Dict[bytes, Update]:
        """3.4: for each subject the first revocation seen, in the chain or not."""
        found: Dict[bytes, Update] = {}
        for update in sorted(self.seen.values(), key=Update.place):
            if update.kind == REVOKE:
                found.setdefault(update.subject, update)
        return found

    def holds(self, update: Update) -> bool:
        """3.1: is this update in the chain?"""
        return any(link.id == update.id for link in self.chain)

    def beside(self) -> Set[bytes]:
        """Section 4: the ids of evidence and of revocations that the chain does not hold, each once."""
        return set(self.evidence) | {each.id for each in self.revocations.values() if not self.holds(each)}

    def statement(self, subject: bytes, now: int) -> Optional[Update]:
        """2.2, 6.4, 6.5: the trust that stands: the last of the chain, not withdrawn, revoked or expired."""
        if self.fork is not None or subject in self.revocations:
            return None
        for update in reversed(self.chain):
            if update.subject == subject:
                return update if update.kind in (TRUST, VOUCH) and not update.expired(now) else None
        return None

    def state(self, issuer: bytes) -> bytes:
        """Section 4: the hash of this log."""
        last = self.chain[-1].id if self.chain else ZEROS
        ids = sorted(self.beside())
        numbers = len(self.chain).to_bytes(8, "big"), len(ids).to_bytes(4, "big")
        return sha256(b"nzcore/trust/1/state" + issuer + numbers[0] + last + numbers[1] + b"".join(ids)).digest()


class Replica:
    """The logs of all issuers."""

    def __init__(self) -> None:
        self.logs: Dict[bytes, Log] = {}

    def log(self, issuer: bytes) -> Log:
        return self.logs.setdefault(issuer, Log())

    def deliver(self, update: Update, now: int) -> str:
        """
        Section 8: takes an update and says what became of it. What is where in the log decides, before expiry: an
        update that waits is a gap, expired or not.
        """
        log = self.log(update.issuer)
        kept, fork = log.beside(), log.fork
        if log.holds(update) or (fork is not None and update.id in kept):
            return "NZ_TRUST_REPLAYED"
        log.add(update)
        if log.holds(update):
            return "NZ_TRUST_EXPIRED" if update.expired(now) else "taken"
        if log.fork is None:
            return "NZ_TRUST_GAP"
        if log.fork != fork or update.id in log.evidence:
            return "NZ_TRUST_FORKED"
        return "taken" if update.id in log.beside() else "NZ_TRUST_REPLAYED"

    def states(self) -> Dict[bytes, bytes]:
        """Section 4: the states of issuers of whom more is held than what waits, in ascending order."""
        held = {issuer: log for issuer, log in self.logs.items() if log.chain or log.beside()}
        return {issuer: held[issuer].state(issuer) for issuer in sorted(held)}

    def root(self) -> bytes:
        """Section 4."""
        return sha256(b"nzcore/trust/1/root" + b"".join(self.states().values())).digest()


class Route(NamedTuple):
    """6.2: the peers of a path behind the viewer, each with the weight there."""

    steps: Tuple[Tuple[bytes, int], ...]

    def rank(self) -> Tuple[int, int, Tuple[bytes, ...]]:
        """The best sorts first: the largest weight, the shorter, the smaller keys."""
        return -self.steps[-1][1], len(self.steps), tuple(key for key, _ in self.steps)


class View:
    """Section 6: what follows from a replica for one viewer at one time."""

    def __init__(self, replica: Replica, viewer: bytes, now: int) -> None:
        self.replica, self.viewer, self.now = replica, viewer, now

    def is_forked(self, peer: bytes) -> bool:
        return peer in self.replica.logs and self.replica.logs[peer].fork is not None

    def says(self, issuer: bytes, subject: bytes) -> Optional[Update]:
        """The statement of trust of `issuer` about `subject` that counts."""
        log = self.replica.logs.get(issuer)
        return log.statement(subject, self.now) if log else None

    def revokes(self, issuer: bytes, subject: bytes) -> bool:
        return issuer in self.replica.logs and subject in self.replica.logs[issuer].revocations

    def revoked_by(self, peer: bytes) -> List[bytes]:
        """6.3: the issuers whose revocation of `peer` counts for the viewer."""
        issuers = (issuer for issuer in sorted(self.replica.logs) if self.revokes(issuer, peer))
        return [issuer for issuer in issuers if self.heeds(issuer, peer)]

    def heeds(self, issuer: bytes, peer: bytes) -> bool:
        """6.3, 6.4: does a revocation by `issuer` of `peer` count? Of itself and by the viewer always."""
        if issuer in (peer, self.viewer):
            return True
        if peer == self.viewer or self.says(self.viewer, peer):
            return False
        own = self.says(self.viewer, issuer)
        return own is not None and own.level >= HIGH and not self.is_forked(issuer) and not self.revoked_by(issuer)

    def subjects(self, issuer: bytes) -> List[bytes]:
        """Whom the chain of `issuer` says something about."""
        return sorted({update.subject for update in self.replica.logs.get(issuer, Log()).chain})

    def paths(self, peer: bytes, steps: Tuple[Tuple[bytes, int], ...] = (), reach: int = PATH_LENGTH) -> List[Route]:
        """6.2: all paths to `peer` that begin with `steps`; `reach` is how many more the depths so far allow."""
        here = steps[-1][0] if steps else self.viewer
        found: List[Route] = []
        for subject in self.subjects(here) if reach > 0 else []:
            told = self.says(here, subject)
            if told is None or subject in [self.viewer, *(key for key, _ in steps)]:
                continue
            longer = (*steps, (subject, step_weight(steps, told.level)))
            if subject == peer:
                found.append(Route(longer))
            elif not self.revoked_by(subject) and not (steps and self.says(self.viewer, subject)):
                found += self.paths(peer, longer, min(reach - 1, told.depth))
        return found

    def decide(self, peer: bytes) -> Tuple[str, int, Tuple[Tuple[bytes, int], ...]]:
        """6.1 to 6.3: what decides about `peer`, the weight, and the path to it."""
        if self.revoked_by(peer):
            return "revoked", 0, ()
        if peer == self.viewer:
            return "self", WEIGHTS[-1], ()
        own = self.says(self.viewer, peer)
        if own is not None:
            return "own", WEIGHTS[own.level], ((peer, WEIGHTS[own.level]),)
        paths = sorted(self.paths(peer), key=Route.rank)
        return ("path", paths[0].steps[-1][1], paths[0].steps) if paths else ("none", 0, ())

    def effective(self, peer: bytes) -> Dict[str, Any]:
        """The answer in the words of the vectors. A forked peer is LOW at most (6.4), but for itself."""
        because, weight, steps = self.decide(peer)
        if self.is_forked(peer) and because != "self":
            weight = min(weight, WEIGHTS[1])
        return {
            "level": max(level for level, least in enumerate(WEIGHTS) if least <= weight),
            "weight": weight,
            "because": because,
            "isForked": self.is_forked(peer),
            "revokedBy": [issuer.hex() for issuer in self.revoked_by(peer)],
            "path": [{"subject": key.hex(), "weight": there} for key, there in steps],
        }


def step_weight(steps: Tuple[Tuple[bytes, int], ...], level: int) -> int:
    """6.2: the weight one step behind `steps`."""
    if not steps:
        return WEIGHTS[level]
    return min(steps[-1][1] * WEIGHTS[level] // 1000 * 800 // 1000, WEIGHTS[HIGH])


def shown(update: Update) -> Dict[str, Any]:
    """An update in the words of the vectors, but for its bytes."""
    statement: Dict[str, Any] = {"kind": KINDS[update.kind], "subject": update.subject.hex()}
    if update.kind in (TRUST, VOUCH):
        statement.update(level=update.level, expiresS=update.expires, vouchDepth=update.depth)
    if update.kind == REVOKE:
        statement.update(reason=update.reason)
    return {
        "issuer": update.issuer.hex(),
        "sequence": update.sequence,
        "previous": update.previous.hex(),
        "issued": update.issued,
        "statement": statement,
        "id": update.id.hex(),
    }


def replay(updates: List[Optional[Update]], order: List[int], now: int) -> Tuple[Replica, List[str]]:
    """A replica to which the updates came in this order, and what it said to each."""
    replica = Replica()
    chosen = [updates[index] for index in order]
    return replica, ["unreadable" if update is None else replica.deliver(update, now) for update in chosen]


def check(vectors: Dict[str, Any], report: Report) -> None:
    """Recomputes all that the vectors hold."""
    updates: List[Optional[Update]] = []
    for index, item in enumerate(vectors["updates"]):
        data = bytes.fromhex(item["bytes"])
        code = code_of(lambda: read_update(data))
        report.same(f"updates[{index}]", "taken", code)
        updates.append(read_update(data) if code == "taken" else None)
        if updates[-1] is not None:
            report.fields(f"updates[{index}]", item, {**shown(updates[-1]), "bytes": data.hex()})
    for index, item in enumerate(vectors["refused"]):
        data = bytes.fromhex(item["bytes"])
        report.same(f"refused[{index}]", item["code"], code_of(lambda: read_update(data)))
    for index, item in enumerate(vectors["deliveries"]):
        replica, codes = replay(updates, item["order"], item["now"])
        states = {issuer.hex(): state.hex() for issuer, state in replica.states().items()}
        computed = {"codes": codes, "states": states, "root": replica.root().hex()}
        report.fields(f"deliveries[{index}]", item, {"order": item["order"], "now": item["now"], **computed})
    keys = {name: bytes.fromhex(key) for name, key in vectors["keys"].items()}
    for index, item in enumerate(vectors["questions"]):
        replica, _ = replay(updates, item["order"], item["now"])
        asked = {name: item[name] for name in ("order", "viewer", "peer", "now")}
        answer = View(replica, keys[item["viewer"]], item["now"]).effective(keys[item["peer"]])
        report.fields(f"questions[{index}]", item, {**asked, **answer})


def mutate(vectors: Dict[str, Any], report: Report) -> None:
    """No update with one bit changed, a byte more or a byte less is read, and no CBOR that is not deterministic."""
    for index, item in enumerate(vectors["updates"]):
        data = bytes.fromhex(item["bytes"])
        report.same(f"updates[{index}]", "taken", code_of(lambda: read_update(data)))
        for at, other in [*flipped(data), (len(data), data + b"\0"), (len(data) - 1, data[:-1])]:
            code = code_of(lambda: read_update(other))
            report.same(f"updates[{index}] changed at {at} is refused", True, code != "taken")
    for text in DETERMINISTIC:
        report.same(f"CBOR {text}", "taken", code_of(lambda: decode(bytes.fromhex(text), MALFORMED)))
    for text in NOT_DETERMINISTIC:
        report.same(f"CBOR {text} is refused", MALFORMED, code_of(lambda: decode(bytes.fromhex(text), MALFORMED)))


PARTS = ["deliveries", "keys", "questions", "refused", "updates"]

if __name__ == "__main__":
    sys.exit(run("trust", PARTS, check, mutate))
