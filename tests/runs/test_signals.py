from __future__ import annotations

import os
import signal
import threading

import pytest

from rl_discrete.runs.errors import Interrupted
from rl_discrete.runs.signals import StopSignal


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request(signum: signal.Signals) -> None:
    with StopSignal() as stop:
        stop.raise_if_requested()
        assert not stop.requested
        os.kill(os.getpid(), signum)
        assert stop.requested
        assert stop.signum == signum
        with pytest.raises(Interrupted) as raised:
            stop.raise_if_requested()
    assert raised.value.signum == signum
    assert raised.value.exit_code == 128 + signum


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_does_not_wait(second: signal.Signals) -> None:
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)
        assert stop.signum == signal.SIGTERM


def test_the_handlers_are_put_back() -> None:
    before = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    with StopSignal():
        assert all(signal.getsignal(signum) not in before for signum in (signal.SIGINT, signal.SIGTERM))
    assert [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)] == before


def test_outside_the_main_thread_nothing_is_requested() -> None:
    seen: list[bool] = []

    def work() -> None:
        with StopSignal() as stop:
            seen.append(stop.requested)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
    assert signal.getsignal(signal.SIGINT) == before


def test_a_patient_context_takes_any_number_of_signals() -> None:
    with StopSignal(patient=True) as stop:
        for signum in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(signum)
        assert stop.signum == signal.SIGTERM


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_where_nothing_can_be_lost_a_signal_leaves_at_once(signum: signal.Signals) -> None:
    with StopSignal() as stop:
        with pytest.raises(Interrupted) as raised, stop.at_once():
            signal.raise_signal(signum)
        assert raised.value.signum == signum
        assert raised.traceback[-1].name == "_handle"  # it came from the handler, not at the end of the context
        with pytest.raises(Interrupted), stop.at_once():
            pytest.fail("a signal came before")


def test_after_such_work_a_signal_is_a_request_again() -> None:
    with StopSignal() as stop:
        with stop.at_once():
            pass
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
