"""What a person sees of a running search: a line for everything that happens, one live line for what goes on."""

import os
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from autosel_runtime.progress import plural
from controller.local.words import intent_words, outcome_words, progress_words, shown_name, time_left_words
from controller.reconcile.model import Observed, Plan, StepResult

LIVE_INTERVAL_SECONDS = 0.5
# Steps that take so little time that the trial they belong to says enough; they are told when they took long.
QUIET_STEPS = frozenset({"suggest", "materialize"})
QUIET_SECONDS = 10.0
OWNER_WIDTH = 18
STEP_WIDTH = 15
CLOCK_WIDTH = 10
NARROWEST = 40
STOPPING = "the search stops; what runs is finished first"


@dataclass(kw_only=True)
class Display:
    """Prints to standard error. Knows what it has printed, nothing else."""

    folder: Path
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    _told: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    _trials: set[str] = field(default_factory=set[str])
    _live_at: float = 0.0
    _message: str = ""
    _first: bool = True

    def show(self, observed: Observed, plan: Plan) -> None:
        """Tell what is new since the last call."""
        first, self._first = self._first, False
        for name, result in observed.steps.items():
            key = (name, result.attempt)
            if result.state == "running" or key in self._told:
                continue
            self._told.add(key)
            if result.state == "failed" or not (first or _is_quiet(name, result)):
                ends = plan.state.cause is not None and plan.state.cause.step == name
                self._event(*shown_name(name), outcome_words(result, reason=not ends))
        for trial in (*observed.trials, *plan.create):
            if trial.name not in self._trials:
                self._trials.add(trial.name)
                if not first:
                    self._event(trial.name, "new", intent_words(trial))
        if first and self._told:
            there = f"{plural(len(self._told), 'step')} and {plural(len(self._trials), 'trial')}"
            self._line(f"going on: {there} are there already")
        message = plan.state.message
        if plan.state.stalled:  # why is said once, as the run's error, when all has ended
            running = any(result.state == "running" for result in observed.steps.values())
            message = STOPPING if running else ""
        if message != self._message:
            self._message = message
            if message:
                self._line(message)
        self._live(observed, plan)

    def close(self) -> None:
        """Leave the live line."""
        if self.stream.isatty():
            self.stream.write("\r\x1b[K")
            self.stream.flush()

    def _live(self, observed: Observed, plan: Plan) -> None:
        now = time.monotonic()
        if not self.stream.isatty() or now - self._live_at < LIVE_INTERVAL_SECONDS or plan.state.finished:
            return
        self._live_at = now
        parts = [f"{plan.state.evaluations}/{observed.search.spec.budget.evaluations} evaluations"]
        if plan.state.best_score is not None:
            parts.append(f"best {100 * plan.state.best_score:.1f}")
        left = time_left_words(observed, plan.state.evaluations, time.time())
        running = [
            " ".join((*shown_name(name), progress_words(result))).strip()
            for name, result in sorted(observed.steps.items())
            if result.state == "running"
        ]
        waiting = f"next try in {plan.requeue_after:.0f} s" if plan.requeue_after else plan.state.message
        text = f"{', '.join([*parts, left] if left else parts)} | {'; '.join(running) or waiting}"
        # Over the old line, its rest erased after it, in one write: no flicker; never wider than the screen: no wrap.
        self.stream.write(f"\r{text[: self._width() - 1]}\x1b[K")
        self.stream.flush()

    def _event(self, owner: str, step: str, text: str) -> None:
        start = f"{owner:<{OWNER_WIDTH}} {step:<{STEP_WIDTH}} "
        room = self._width() - CLOCK_WIDTH - len(start) - 1
        if self.stream.isatty() and room >= NARROWEST:
            text = f"\n{' ' * (CLOCK_WIDTH + len(start))}".join(textwrap.wrap(text, room))
        self._line(start + text)

    def _line(self, text: str) -> None:
        before = "\r\x1b[K" if self.stream.isatty() else ""
        self.stream.write(f"{before}{time.strftime('%H:%M:%S')}  {text}\n")
        self.stream.flush()
        self._live_at = 0.0

    def _width(self) -> int:
        try:
            return max(os.get_terminal_size(self.stream.fileno()).columns, NARROWEST)
        except (OSError, ValueError):
            return 80


def _is_quiet(name: str, result: StepResult) -> bool:
    took = (result.finished_at or 0.0) - result.started_at
    return shown_name(name)[1] in QUIET_STEPS and took < QUIET_SECONDS
