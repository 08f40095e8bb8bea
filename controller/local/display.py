"""What a person sees of a running search: a line for everything that happens, one live line for what goes on."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from autosel_runtime.progress import format_seconds
from autosel_runtime.report.words import recipe_words
from controller.reconcile.model import Observed, Plan, StepResult, Trial

LIVE_INTERVAL_SECONDS = 0.5
NAME_WIDTH = 30


@dataclass(kw_only=True)
class Display:
    """Prints to standard error. Knows what it has printed, nothing else."""

    folder: Path
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    _told: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    _trials: set[str] = field(default_factory=set[str])
    _live_at: float = 0.0
    _started: float = field(default_factory=time.monotonic)
    _message: str = ""
    _first: bool = True

    def show(self, observed: Observed, plan: Plan) -> None:
        """Tell what is new since the last call."""
        first, self._first = self._first, False
        for trial in observed.trials:
            if trial.name not in self._trials:
                self._trials.add(trial.name)
                if not first:
                    self._line(f"{trial.name:<{NAME_WIDTH}} new        {_intent(trial)}")
        for name, result in observed.steps.items():
            key = (name, result.attempt)
            if result.state == "running" or key in self._told:
                continue
            self._told.add(key)
            if not first or result.state == "failed":
                self._line(f"{name:<{NAME_WIDTH}} {_outcome(result)}")
        if first and self._told:
            self._line(
                f"going on: {len(self._told)} steps and {len(self._trials)} trials are done or under way"
            )
        self._live(observed, plan)

    def close(self) -> None:
        """Leave the live line."""
        self._erase()

    def _live(self, observed: Observed, plan: Plan) -> None:
        now = time.monotonic()
        if not self.stream.isatty():
            if plan.state.message != self._message:
                self._message = plan.state.message
                self._line(plan.state.message)
            return
        if now - self._live_at < LIVE_INTERVAL_SECONDS:
            return
        self._live_at = now
        running = [
            f"{name} {_progress(result)}".strip()
            for name, result in sorted(observed.steps.items())
            if result.state == "running"
        ]
        budget = observed.search.spec.budget.evaluations
        best = "" if plan.state.best_score is None else f", best {plan.state.best_score:.4f}"
        left = _time_left(now - self._started, plan.state.evaluations, budget)
        text = f"{plan.state.evaluations}/{budget} evaluations{best}{left} | {'; '.join(running) or plan.state.message}"
        self._erase()
        self.stream.write(text[:118])
        self.stream.flush()

    def _line(self, text: str) -> None:
        self._erase()
        self.stream.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
        self.stream.flush()

    def _erase(self) -> None:
        if self.stream.isatty():
            self.stream.write("\r\x1b[2K")


def _intent(trial: Trial) -> str:
    words = recipe_words(trial.recipe) if trial.role != "untuned" else "the model as it is"
    size = f", {trial.size:,} samples" if trial.size is not None else ""
    return f"{words}{size}"


def _outcome(result: StepResult) -> str:
    seconds = format_seconds((result.finished_at or 0.0) - result.started_at)
    if result.state == "failed":
        return f"failed     attempt {result.attempt}: {result.reason}"
    done = "found" if result.summary.get("cached") else "done"
    return f"{done:<10} {seconds:>10}  {_facts(result.summary)}".rstrip()


def _facts(summary: Any) -> str:
    parts: list[str] = []
    if "objective" in summary:
        parts.append(f"score {summary['objective']['mean']:.4f} ± {summary['objective']['stderr']:.4f}")
    if "rows" in summary:
        parts.append(f"{summary['rows']:,} samples")
    if "signals" in summary and isinstance(summary["signals"], list):
        parts.append(f"{len(summary['signals'])} signals")
    if "final_loss" in summary:
        parts.append(f"loss {summary['final_loss']:.4f}, {summary['tokens_per_second']:,.0f} tokens/s")
    if "size" in summary and "state" in summary:
        parts.append(f"{summary['size']:,} samples")
    if "chosen" in summary:
        parts.append(f"trial {summary['chosen']}")
    return ", ".join(parts)


def _progress(result: StepResult) -> str:
    if result.progress is None:
        return ""
    done, total = result.progress.get("done", 0), result.progress.get("total")
    return f"{done:,}/{total:,}" if total else f"{done:,}"


def _time_left(seconds: float, done: int, budget: int) -> str:
    if done == 0 or done >= budget:
        return ""
    return f", about {format_seconds(seconds / done * (budget - done))} left"
