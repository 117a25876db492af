# SPDX-License-Identifier: BSD-2-Clause
"""More than there is room for: urgent messages behind a deep backlog (T-32), a
customer who sends ten times his share (T-31), ten times what the database takes
(T-30), and 5,000 customers who come back at once (T-33).

The short forms are for every commit, the `slow` ones have the whole figures.
Latencies are those of a machine that does nothing else: read them there.
"""
import os

import pytest

from overload import Crowd, Overload, account, join, quantile
from harness import wait_until

# Links that let 200 a second through, each in its own way: a carrier whose
# answers take 100 ms, always or about so; a rate that was agreed on.
LINKS = {
    "window": dict(carrier=["--latency", "100ms"]),
    "spread": dict(carrier=["--latency", "50ms..150ms"]),
    "tps": dict(carrier=["--latency", "5ms"], link="tps = 200;"),
}
SANITIZED = bool(os.environ.get("HOPYARD_SANITIZED"))
SMALL = "ready_items = 1000; queue_items = 500;"


@pytest.fixture
def overload():
    made = []

    def make(*args, **kw):
        made.append(Overload(*args, **kw))
        return made[-1].start()
    yield make
    for s in made:
        s.stop()


def behind_backlog(s, names, depth, rate, seconds, figures, what):
    """Urgent messages at random times behind so many of bulk."""
    s.hold()
    fill = min(s.fill(name, depth // len(names)) for name in names)
    assert s.depth() == depth // len(names) * len(names)
    s.send_on()
    wait_until(lambda: len(s.submits()) > 0, 30, "the backlog moves")
    crowd = Crowd(s.smpp_port, ["otp"] * 4, rate / 4, seconds).start()
    sent = crowd.results()
    assert all(m.status == 0 for m in sent.values())
    came = []

    def all_there():
        came.extend(s.submits())
        return set(sent) <= {to for _, to, _ in came}
    wait_until(all_there, 30, "all urgent messages are sent")
    ms = list(join(sent, came).values())
    p50, p99 = quantile(ms, 0.5), quantile(ms, 0.99)
    bulk = sum(to not in sent for _, to, _ in came)
    figures("T-32 %s: behind %d of bulk (taken at %.0f/s, sent at %.0f/s) %d "
            "urgent: answer p50/p99 %.1f/%.1f ms, from there to the wire "
            "%.0f/%.0f, at most %.0f ms; bus %.0f MiB" % (
                what, depth, fill, len(came) / seconds, len(sent),
                quantile([m.took for m in sent.values()], 0.5),
                quantile([m.took for m in sent.values()], 0.99), p50, p99,
                max(ms), s.memory("bus")))
    assert len(sent) > rate * seconds / 2
    assert bulk > 0.2 * len(came)
    return p50, p99


@pytest.mark.parametrize("how", [
    "window", "tps", pytest.param("spread", marks=pytest.mark.faults)])
def test_urgent_behind_backlog(overload, figures, how):
    """Deeper than the bus has room for."""
    s = overload([account("otp", "otp"), account("bulk", "bulk")], bus=SMALL,
                 **LINKS[how])
    p50, p99 = behind_backlog(s, ["bulk"], 10000, 30, 4, figures, how)
    assert p99 < 1000 and (p50 < 50 or SANITIZED)


@pytest.mark.slow
@pytest.mark.parametrize("how", list(LINKS))
def test_urgent_behind_a_million(overload, figures, how):
    s = overload([account("otp", "otp"), account("bulk", "bulk")],
                 **LINKS[how])
    p50, p99 = behind_backlog(s, ["bulk"], 1000000, 10, 120, figures, how)
    assert p99 < 1000 and p50 < 50
    assert s.memory("bus") < 128


@pytest.mark.slow
def test_urgent_behind_many_backlogs(overload, figures):
    """Forty customers of bulk who fill the memory of the bus between them."""
    names = ["b%02d" % i for i in range(40)]
    s = overload([account("otp", "otp")] + [account(n, "bulk") for n in names],
                 **LINKS["window"])
    p50, p99 = behind_backlog(s, names, 400000, 10, 60, figures, "many")
    assert p99 < 1000 and p50 < 50
