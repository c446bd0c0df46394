"""Which unit starts when: needs, urgency, workers, failures. Real threads, no Prefect."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future as Promise
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.schedule import Schedule, Unit, duration
from flows.stage_run import StageFailed, StageRun

RUN = StageRun(seconds=1.0, startup=0.1, cached=False, stages={}, cpu_seconds=0.9, continued=False)
PATIENCE = 60.0


class Later:
    """As much of a Prefect future as a schedule asks for."""

    def __init__(self, promise: Promise[Any]) -> None:
        self._promise = promise

    def add_done_callback(self, told: Callable[[Any], None]) -> None:
        self._promise.add_done_callback(lambda _: told(self))

    def result(self, *, raise_on_failure: bool) -> Any:
        assert not raise_on_failure
        return self._promise.exception() or self._promise.result()


@contextmanager
def machine(work: Callable[[str], StageRun]) -> Iterator[tuple[list[str], Any]]:
    """The order in which units were started, and the function that starts one."""
    started: list[str] = []
    with ThreadPoolExecutor(8) as pool:

        def start(unit: Unit, place: str, upstream: list[Any], devices: list[str] | None) -> Any:
            gpus = "" if devices is None else f" on {','.join(devices)}"
            started.append(f"{unit.name}{gpus}")
            return Later(pool.submit(work, unit.name))

        yield started, start


def unit(name: str, *needs: str, urgency: float = 0.0, devices: int = 0) -> Unit:
    return Unit(name, (name,), frozenset(needs), urgency, devices)


def test_what_is_needed_goes_first_then_the_urgent_then_by_name() -> None:
    units = [unit("d", "b"), unit("b", urgency=1), unit("c"), unit("a"), unit("e", urgency=5)]
    with machine(lambda _: RUN) as (started, start):
        ended: list[str] = []
        schedule = Schedule(units, 1)
        schedule.run(start, lambda done, _: ended.append(done.name))
    assert started == ended == ["e", "b", "a", "c", "d"]
    assert set(schedule.runs) == set("abcde")
    assert not schedule.waiting and not schedule.failed


def test_workers_run_side_by_side_and_no_more_of_them() -> None:
    both, lock, now, most = threading.Barrier(2), threading.Lock(), [0], [0]

    def work(name: str) -> StageRun:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        both.wait(PATIENCE)  # nobody passes alone
        with lock:
            now[0] -= 1
        both.wait(PATIENCE)
        return RUN

    with machine(work) as (started, start):
        Schedule([unit(name) for name in "abcdef"], 2).run(start)
    assert sorted(started) == list("abcdef")
    assert most == [2]


def test_units_side_by_side_have_gpus_of_their_own() -> None:
    three, last = threading.Barrier(3), threading.Event()

    def work(name: str) -> StageRun:
        if name == "c":
            last.set()
            return RUN
        three.wait(PATIENCE)  # a, b and d run at once
        if name != "a":
            last.wait(PATIENCE)
        return RUN

    units = [unit("a", devices=2), unit("b", devices=1), unit("c", devices=1), unit("d")]
    with machine(work) as (started, start):
        Schedule(units, 4, devices=["3", "5", "7"]).run(start)
    assert started == ["a on 3,5", "b on 7", "d on ", "c on 3"]


def test_a_unit_that_waits_for_gpus_is_not_passed_by_others() -> None:
    units = [
        unit("small", urgency=3, devices=1),
        unit("large", urgency=2, devices=2),
        unit("later", urgency=1, devices=1),
        unit("all", devices=8),
    ]
    with machine(lambda _: RUN) as (started, start):
        Schedule(units, 4, devices=["0", "1"]).run(start)
    assert started == ["small on 0", "large on 0,1", "later on 0", "all on 0,1"]


@pytest.mark.parametrize(
    ("keep_going", "started", "waiting"),
    [(False, "ab", "cd"), (True, "abd", "c")],
    ids=["stops", "keeps going"],
)
def test_after_a_failure(keep_going: bool, started: str, waiting: str) -> None:
    def work(name: str) -> StageRun:
        if name == "b":
            raise StageFailed("b", 2, "DataError: no")
        return RUN

    units = [unit("a"), unit("b"), unit("c", "b"), unit("d")]
    with machine(work) as (order, start):
        schedule = Schedule(units, 1, keep_going=keep_going)
        schedule.run(start)
    assert order == list(started)
    assert schedule.waiting == set(waiting)
    assert {name: error.code for name, error in schedule.failed.items()} == {"b": 2}


def test_a_fault_of_our_own_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr("flows.schedule.stop_all", lambda: stopped.append(True))

    def work(name: str) -> StageRun:
        raise KeyError("ours")

    with machine(work) as (_, start), pytest.raises(KeyError, match="ours"):
        Schedule([unit("a")], 1).run(start)
    assert stopped == [True]


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(-9, 9), st.sets(st.integers(0, 9))), min_size=1, max_size=10),
    st.sets(st.integers(0, 9)),
)
def test_nothing_runs_twice_or_before_what_it_needs(
    workers: int, drawn: list[tuple[float, set[int]]], bad: set[int]
) -> None:
    """A unit needs only earlier ones; what needs a failure, at any depth, waits for ever."""
    names = [str(number) for number in range(len(drawn))]
    units = [
        unit(names[place], *(names[n] for n in needs if n < place), urgency=urgency)
        for place, (urgency, needs) in enumerate(drawn)
    ]
    failing = {names[n] for n in bad if n < len(names)}
    lost: set[str] = set()
    for each in units:
        if each.needs & (failing | lost):
            lost.add(each.name)
    over: set[str] = set()

    def work(name: str) -> StageRun:
        if name in failing:
            raise StageFailed(name, 1, "no")
        return RUN

    with machine(work) as (started, start):

        def checked(one: Unit, place: str, upstream: list[Any], devices: list[str] | None) -> Any:
            assert one.needs <= over and len(upstream) == len(one.needs)
            return start(one, place, upstream, devices)

        schedule = Schedule(units, workers, keep_going=True)
        schedule.run(checked, lambda done, _: over.add(done.name))
    assert sorted(started) == sorted(set(names) - lost)
    assert schedule.waiting == lost
    assert set(schedule.failed) == failing - lost


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5.4, "00:05"), (65, "01:05"), (3600, "1:00:00"), (90061, "1 day, 1:01:01")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
