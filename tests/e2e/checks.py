"""Named checks that print how they ended, so that a log of an hour reads as a list."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field


class CheckError(Exception):
    """Something is not as it has to be; the sentence says what."""


def demand(condition: object, sentence: str) -> None:
    """Raise CheckError with the sentence unless the condition holds."""
    if not condition:
        raise CheckError(sentence)


@dataclass(kw_only=True)
class Checks:
    """What has been checked so far."""

    began: float = field(default_factory=time.monotonic)
    passed: dict[str, float] = field(default_factory=dict[str, float])

    @contextmanager
    def check(self, name: str) -> Generator[None]:
        """Print the name with its result. A failure is printed and raised: later checks build on earlier ones."""
        started = time.monotonic()
        print(f"e2e {self._clock()}   ...  {name}", flush=True)
        try:
            yield
        except BaseException as error:
            print(f"e2e {self._clock()}  FAIL  {name}: {type(error).__name__}: {error}", flush=True)
            raise
        self.passed[name] = time.monotonic() - started
        print(f"e2e {self._clock()}   ok   {name} ({self.passed[name]:.0f} s)", flush=True)

    def note(self, sentence: str) -> None:
        """Print a sentence that is no check."""
        print(f"e2e {self._clock()}        {sentence}", flush=True)

    def summary(self) -> None:
        """Print all that passed, with the seconds of each."""
        for name, seconds in self.passed.items():
            print(f"e2e: {seconds:5.0f} s  {name}")
        print(f"e2e: {len(self.passed)} checks passed in {self._clock()}", flush=True)

    def _clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        return f"{minutes:02d}:{seconds:02d}"
