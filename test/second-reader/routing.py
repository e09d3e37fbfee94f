"""
A second reader of NZ-ROUTING-01, written from its text and NZ-IDENTITY-01 §6 alone.

    routing.py VECTORS            recomputes everything in spec/vectors/routing.json
    routing.py --mutate VECTORS   changes the setups and answers in it: none may be taken
    routing.py --corrupt VECTORS  makes each field of the vectors untrue: it is noticed

Checked: offers and how they open a link, keys, sealed messages, each taken once (§2), what hellos measure (§3), the
bodies of messages (§3, §4, §7), feasibility and which routes follow, sequences of nodes (§4), setups from the private
keys, hop by hop, what a node does with those that come to it, codes and replays (§5, §8), answers and what they say
of delays (§6), what a relay passes on (§7), segments and acknowledgements (§9.1, §9.2). It has no clock: rates,
repetitions and what ends by time are not looked at, nor when a sender sends again (§9.3).
"""
import sys
from typing import Any, Callable, Dict, List, Tuple

sys.dont_write_bytecode = True  # before the import: the tree stays clean
import noise
from reading import Refused, Report, code_of, encode, run, touched
from routing_forms import (
    CODES, ORIGIN, code_number, is_origin, read_announcement, read_closed, read_hello, read_request, write_closed,
)  # fmt: skip
from routing_links import CONFIRMED, End, Measure, Offer, keys_of, read_offer, seal, write_offer
from routing_paths import (
    Node, Relay, Sequences, Source, create_answer, create_setup, delays, receive, take_answer,
)  # fmt: skip
from routing_segments import Stream, read_segment, write_segment
from routing_table import Table, is_smaller, own_sequence
from signatures import public_key, sign


def unhex(item: Dict[str, Any], *names: str) -> List[bytes]:
    return [bytes.fromhex(item[name]) for name in names]


def seeds_of(vectors: Dict[str, Any]) -> Dict[bytes, bytes]:
    """Private keys by public ones."""
    return {public_key(seed): seed for seed in unhex(vectors["seeds"], *vectors["seeds"])}


def check_link(vectors: Dict[str, Any], report: Report) -> None:
    """Section 2: the keys of a link, and what they seal."""
    link, seeds = vectors["link"], seeds_of(vectors)
    offers = []
    for index, item in enumerate(link["offers"]):
        offer = Offer(*unhex(item, "from", "to", "ephemeral", "heard"))
        report.same(f"link.offers[{index}]", item["message"], write_offer(offer, seeds[offer.sender]).hex())
        report.same(f"link.offers[{index}] is read", True, read_offer(bytes.fromhex(item["message"])) == offer)
        offers.append(offer)
    privates = [bytes.fromhex(seed) for seed in link["seeds"]]
    ephemerals = [noise.public(private).hex() for private in privates]
    report.same("link.seeds", [offer.ephemeral.hex() for offer in offers], ephemerals)
    own, theirs = keys_of(offers[0], privates[0], offers[1]), keys_of(offers[1], privates[1], offers[0])
    report.same("link.send", [link["send"]] * 2, [own.sending.hex(), theirs.receiving.hex()])
    report.same("link.receive", [link["receive"]] * 2, [own.receiving.hex(), theirs.sending.hex()])
    for index, item in enumerate(link["sealed"]):
        message = seal(own.sending, item["type"], item["counter"], bytes.fromhex(item["body"]))
        report.same(f"link.sealed[{index}]", item["message"], message.hex())
    confirmation = link["confirmation"]
    report.same("link.confirmation", confirmation["body"], confirmation["counter"].to_bytes(8, "big").hex())
    for index, message in enumerate(link["refusedOffers"]):
        end = End(seeds[offers[0].to], offers[0].sender, [privates[1]])
        report.same(f"link.refusedOffers[{index}]", True, code_of(lambda: end.hear(bytes.fromhex(message))) != "taken")


def check_course(vectors: Dict[str, Any], report: Report) -> None:
    """Section 2: how a link is opened and opened anew, and what is taken on it."""
    course, (source, first) = vectors["course"], unhex(vectors["keys"], "source", "first")
    end = End(seeds_of(vectors)[source], first, [bytes.fromhex(seed) for seed in course["seeds"]])
    due = [end.offer()]
    for index, step in enumerate(course["steps"]):
        where = f"course.steps[{index}]"
        if "own" in step:
            report.same(where, step["own"], (due.pop(0) if due else end.offer()).hex())
            continue
        report.same(f"{where} all is said before", [], [each.hex() for each in due])
        try:
            is_new, due = end.hear(bytes.fromhex(step["peer"]))
            is_taken = True
        except Refused:
            is_taken = is_new = False
        report.same(where, [step["isTaken"], step["isNew"]], [is_taken, is_new])
    for index, item in enumerate(course["messages"]):
        result, confirms = "taken", None
        try:
            kind, counter = end.open(bytes.fromhex(item["message"]))
            confirms = counter if kind in CONFIRMED else None
            end.take(kind, counter)
        except Refused as refused:
            result = refused.code
        report.same(f"course.messages[{index}]", [item["result"], item["confirms"]], [result, confirms])


def check_bodies(vectors: Dict[str, Any], report: Report) -> None:
    """Sections 3, 4 and 7.4."""
    for index, item in enumerate(vectors["hellos"]):
        echo = item["echo"]
        told = [] if echo is None else [echo["stampMs"], echo["heldMs"]]
        body = [item["sequence"], item["stampMs"], item["heard"], item["expected"], told]
        report.same(f"hellos[{index}]", item["body"], encode(body).hex())
        report.same(f"hellos[{index}] is read", True, read_hello(bytes.fromhex(item["body"])) == body)
    seeds, announcement = seeds_of(vectors), vectors["announcement"]

    def origin(item: Dict[str, Any]) -> List[Any]:
        (key,) = unhex(item, "destination")
        return [key, item["sequence"], sign(seeds[key], encode([key, item["sequence"]]), ORIGIN)]

    body = [[*origin(route), route["metric"]] for route in announcement["routes"]]
    report.same("announcement", announcement["body"], encode(body).hex())
    for index, route in enumerate(read_announcement(bytes.fromhex(announcement["body"]))):
        is_signed = is_origin(*route[:3]) and not is_origin(route[0], 1, route[2])
        report.same(f"announcement.routes[{index}]", True, is_signed)
    request, closed = vectors["request"], vectors["closed"]
    report.same("request", request["body"], encode([*origin(request), request["hops"]]).hex())
    report.same("request is read", "taken", code_of(lambda: read_request(bytes.fromhex(request["body"]))))
    path, by = unhex(closed, "path", "by")
    report.same("closed", closed["body"], write_closed(path, closed["code"], by, closed["latest"]).hex())
    report.same("closed is read", code_number(closed["code"]), read_closed(bytes.fromhex(closed["body"]))[1])
    readers: Dict[str, Callable[[bytes], Any]] = {
        "hello": read_hello, "announcement": read_announcement, "request": read_request, "closed": read_closed,
    }  # fmt: skip
    for index, item in enumerate(vectors["malformed"]):
        code = code_of(lambda: readers[item["type"]](bytes.fromhex(item["body"])))
        report.same(f"malformed[{index}]", "NZ_ROUTE_MALFORMED", code)


def check_costs(vectors: Dict[str, Any], report: Report) -> None:
    for index, item in enumerate(vectors["costs"]):
        measure, samples = Measure(), [*item["roundTripsMs"], *[None] * len(item["sequences"])]
        for sequence, sample in zip(item["sequences"], samples):
            measure.hear(sequence, item["theirs"], sample)
        heard, expected = measure.delivery()
        computed = [heard, expected, measure.cost()]
        report.same(f"costs[{index}]", [item["heard"], item["expected"], item["cost"]], computed)


def check_setup(vectors: Dict[str, Any], report: Report) -> None:
    """5.1, 6.1: the setup and the answer of one path, made by everybody on it."""
    item, answer, seeds = vectors["setup"], vectors["answer"], seeds_of(vectors)
    source, destination, path = unhex(item, "source", "destination", "path")
    setup = create_setup(seeds[source], destination, path, item["sequence"])
    for name, hop in zip(("sent", "passed", "arrived"), item["hops"]):
        key, next_hop = unhex(hop, "key", "next")
        setup = setup.passed(hop["ttl"], next_hop, seeds[key])
        report.same(f"setup.{name}", item[name], setup.encoded().hex())
        report.same(f"setup.{name} is taken", "taken", code_of(lambda: receive(setup.encoded(), next_hop, key)))
    made = create_answer(setup.encoded(), path, seeds[destination])
    for name, waited, hop in zip(("back", "home"), answer["waitedUs"], item["hops"][:0:-1]):
        if name == "back":
            report.same("answer.created", answer["created"], made.encoded().hex())
        made = made.passed(waited, seeds[bytes.fromhex(hop["key"])])
        report.same(f"answer.{name}", answer[name], made.encoded().hex())
    taken = take_answer(bytes.fromhex(answer["home"]), bytes.fromhex(item["sent"]))
    report.same("answer.hops", answer["hops"], delays(taken, answer["roundTripUs"]))


def check_refused(vectors: Dict[str, Any], report: Report) -> None:
    for index, item in enumerate(vectors["refused"]):
        data, receiver, sender = unhex(item, "bytes", "receiver", "from")
        report.same(f"refused[{index}]", item["code"], code_of(lambda: receive(data, receiver, sender)))
    sequences = Sequences(vectors["sequences"]["floor"])
    for index, step in enumerate(vectors["sequences"]["steps"]):
        (source,) = unhex(step, "source")
        is_new = sequences.is_new(source, step["sequence"])
        if is_new:
            sequences.take(source, step["sequence"])
        computed = [is_new, sequences.latest(source)]
        report.same(f"sequences.steps[{index}]", [step["isTaken"], step["latest"]], computed)


def check_nodes(vectors: Dict[str, Any], report: Report) -> None:
    """5.2, 5.3: what nodes do with setups that come, and a source with refusals and answers."""
    for index, item in enumerate(vectors["receivers"]):
        node = Node(bytes.fromhex(vectors["seeds"][item["receiver"]]), item)
        for at, step in enumerate(item["steps"]):
            sender, setup = unhex(step, "from", "setup")
            code, sent = node.take(setup, sender)
            told = None if sent is None else {"to": sent[0].hex(), "type": sent[1], "body": sent[2].hex()}
            report.same(f"receivers[{index}].steps[{at}]", [step["code"], step["sent"]], [code, told])
    relay = Relay(bytes.fromhex(vectors["seeds"][vectors["relay"]["node"]]), vectors["relay"])
    for at, step in enumerate(vectors["relay"]["steps"]):
        sender, body = unhex(step, "from", "body")
        sent = relay.take(sender, step["type"], body, step["atMs"])
        told = None if sent is None else {"to": sent[0].hex(), "type": sent[1], "body": sent[2].hex()}
        report.same(f"relay.steps[{at}]", step["sent"], told)
    seed, destination = bytes.fromhex(vectors["seeds"]["source"]), bytes.fromhex(vectors["keys"]["end"])
    path = bytes.fromhex(vectors["setup"]["path"])
    for index, item in enumerate(vectors["sources"]["renewals"]):
        origin = Source(seed, destination, path, item)
        report.same(f"sources.renewals[{index}].setup", item["setup"], origin.setup().hex())
        for at, step in enumerate(item["steps"]):
            setup = origin.refused(step["latest"])
            told = ["NZ_ROUTE_REPLAYED", None] if setup is None else ["taken", setup.hex()]
            report.same(f"sources.renewals[{index}].steps[{at}]", [step["code"], step["setup"]], told)
    for index, item in enumerate(vectors["sources"]["answers"]):
        hops, data = None, bytes.fromhex(item["answer"])
        sent = bytes.fromhex(vectors["setup"]["sent"])
        code = code_of(lambda: take_answer(data, sent))
        if code == "taken":
            hops = delays(take_answer(data, sent), vectors["answer"]["roundTripUs"])
        report.same(f"sources.answers[{index}]", [item["code"], item["hops"]], [code, hops])


def check_routes(vectors: Dict[str, Any], report: Report) -> None:
    """4.2 to 4.6."""
    for index, item in enumerate(vectors["distances"]):
        than = None if item["feasible"] is None else (item["feasible"][0], item["feasible"][1])
        is_feasible = is_smaller((item["announced"][0], item["announced"][1]), than)
        report.same(f"distances[{index}]", item["isFeasible"], is_feasible)
    for index, item in enumerate(vectors["tables"]):
        table = Table(item["costs"])
        for at, step in enumerate(item["steps"]):
            told = table.follow(step)
            report.same(f"tables[{index}].steps[{at}]", {name: step[name] for name in told}, told)
    own = vectors["own"]["clockMs"] // 1_000
    for at, step in enumerate(vectors["own"]["steps"]):
        own = own_sequence(own, step["meets"], step["sequence"])
        report.same(f"own.steps[{at}]", step["own"], own)


def check(vectors: Dict[str, Any], report: Report) -> None:
    """Recomputes all that the vectors hold."""
    report.same("codes", vectors["codes"], [f"NZ_ROUTE_{name}" for name in CODES])
    keys = vectors["keys"]
    report.same("keys", keys, {name: public_key(bytes.fromhex(seed)).hex() for name, seed in vectors["seeds"].items()})
    check_link(vectors, report)
    check_course(vectors, report)
    check_bodies(vectors, report)
    check_costs(vectors, report)
    check_setup(vectors, report)
    check_refused(vectors, report)
    check_nodes(vectors, report)
    check_routes(vectors, report)
    for index, item in enumerate(vectors["segments"]):
        told = read_segment(bytes.fromhex(item["segment"]))
        report.fields(f"segments[{index}]", item, {**told, "segment": write_segment(item).hex()})
    for index, item in enumerate(vectors["acknowledgements"]):
        segments = [read_segment(bytes.fromhex(segment)) for segment in item["segments"]]
        stream = Stream(segments[0]["stream"] if segments else 4)
        for segment in segments:
            stream.take(segment)
        told = [stream.acknowledgement().hex(), stream.read().hex(), stream.acknowledgement().hex()]
        report.same(f"acknowledgements[{index}]", [item["acknowledgement"], item["read"], item["afterReading"]], told)
    for index, segment in enumerate(vectors["noSegments"]):
        code = code_of(lambda: read_segment(bytes.fromhex(segment)))
        report.same(f"noSegments[{index}]", "NZ_ROUTE_MALFORMED", code)


def mutate(vectors: Dict[str, Any], report: Report) -> None:
    hops, sent = vectors["setup"]["hops"], bytes.fromhex(vectors["setup"]["sent"])
    receiver, sender = unhex(hops[-1], "next", "key")
    takes: List[Tuple[str, str, Callable[[bytes], Any]]] = [
        ("setup", vectors["setup"]["arrived"], lambda data: receive(data, receiver, sender)),
        ("answer", vectors["answer"]["home"], lambda data: take_answer(data, sent)),
    ]
    for name, written, take in takes:
        data = bytes.fromhex(written)
        report.same(name, "taken", code_of(lambda: take(data)))
        for at, other in touched(data):
            report.same(f"{name} changed at {at} is refused", True, code_of(lambda: take(other)) != "taken")


PARTS = [
    "keys", "seeds", "codes", "link", "course", "hellos", "announcement", "request", "closed", "costs", "malformed",
    "setup", "refused", "sequences", "receivers", "relay", "sources", "answer", "distances", "tables", "own",
    "segments", "acknowledgements", "noSegments",
]  # fmt: skip

if __name__ == "__main__":
    sys.exit(run("routing", PARTS, check, mutate))
