"""
Routes of NZ-ROUTING-01 §4: those of one node to one destination, and the sequence that a node announces itself with.
"""
from typing import Any, Dict, List, Optional, Tuple

from routing_forms import UNREACHABLE

KEEP = 1.2
Distance = Tuple[int, int]


def is_smaller(distance: Distance, than: Optional[Distance]) -> bool:
    """4.2: higher sequences are smaller, then lower metrics; anything is smaller than none."""
    return than is None or distance[0] > than[0] or (distance[0] == than[0] and distance[1] < than[1])


class Table:
    """4.1 to 4.5: what the neighbours say of one destination, and what follows."""

    def __init__(self, costs: Dict[str, Optional[int]]) -> None:
        self.costs = dict(costs)
        self.routes: Dict[str, Distance] = {}
        self.counters: Dict[str, int] = {}
        self.feasibility: Optional[Distance] = None
        self.selected: Optional[str] = None

    def hear(self, neighbour: str, counter: int, distance: Distance) -> None:
        if counter < self.counters.get(neighbour, 0):
            return
        if distance[1] < UNREACHABLE and self.routes.get(neighbour, distance)[0] > distance[0]:
            return
        self.counters[neighbour] = counter
        self.routes.pop(neighbour, None)
        if distance[1] < UNREACHABLE:
            self.routes[neighbour] = distance
        self.select()

    def forget(self, neighbour: str) -> None:
        self.routes.pop(neighbour, None)
        self.counters.pop(neighbour, None)
        self.select()

    def metric(self, neighbour: str) -> int:
        """4.4: unreachable where no route leads."""
        cost, route = self.costs[neighbour], self.routes.get(neighbour)
        if cost is None or route is None or not is_smaller(route, self.feasibility):
            return UNREACHABLE
        return min(route[1] + max(1, cost), UNREACHABLE)

    def usable(self) -> List[str]:
        """The selected first, then by metric."""
        reached = [neighbour for neighbour in self.routes if self.metric(neighbour) < UNREACHABLE]
        return sorted(reached, key=lambda each: (each != self.selected, self.metric(each)))

    def select(self) -> None:
        best = min(self.usable(), key=self.metric, default=None)
        if best is None or self.selected is None or self.metric(self.selected) > KEEP * self.metric(best):
            self.selected = best

    def announce(self, neighbour: str) -> Optional[Dict[str, int]]:
        """4.1, 4.2: what is said to a neighbour; the feasibility distance is lowered before."""
        if self.selected is None:
            known = self.feasibility
            return None if known is None else {"sequence": known[0], "metric": UNREACHABLE}
        if self.selected == neighbour:
            return None
        distance = self.routes[self.selected][0], self.metric(self.selected)
        if is_smaller(distance, self.feasibility):
            self.feasibility = distance
        return {"sequence": distance[0], "metric": distance[1]}

    def asks(self) -> Optional[int]:
        """4.5: the sequence above which a newer one is asked for."""
        is_starving = self.selected is None and len(self.routes) > 0 and self.feasibility is not None
        return self.feasibility[0] if is_starving and self.feasibility is not None else None

    def follow(self, step: Dict[str, Any]) -> Dict[str, Any]:
        """An event of the vectors, and what follows from it."""
        told: Dict[str, Any] = {}
        if "hear" in step:
            self.hear(step["hear"], step["counter"], (step["sequence"], step["metric"]))
        elif "cost" in step:
            self.costs[step["cost"]] = step["is"]
            self.select()
        elif "forget" in step:
            self.forget(step["forget"])
        else:
            told["announces"] = self.announce(step["announceTo"])
        self.select()
        return {**told, "hops": self.usable(), "asks": self.asks()}


def own_sequence(own: int, meets: str, sequence: int) -> int:
    """4.5, 4.6: an own sequence that is asked above, or that is higher than this node's."""
    is_behind = sequence >= own if meets == "request" else sequence > own
    return sequence + 1 if is_behind else own
