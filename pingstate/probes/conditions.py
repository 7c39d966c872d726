"""What a condition is: on the head of an answer, on content, or by a callable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pingstate.text import describe_exception, one_line

if TYPE_CHECKING:
    from urllib3 import HTTPHeaderDict

    from pingstate.net.certificate import Certificate
    from pingstate.probes.stream import Content


class Outcome(NamedTuple):
    """What a condition came to.

    `seen` says what was seen, `expected` what would have been right. `undecided` says that the
    condition could not be evaluated: a failure, negated or not. `own_words` says that `seen` was
    written by the user's callable, `by_regex` that a regular expression decided, `by_status` that
    the status did. `quote` is what the target said about it.
    """

    ok: bool
    seen: str = ""
    expected: str = ""
    undecided: bool = False
    own_words: bool = False
    by_regex: bool = False
    by_status: bool = False
    quote: str = ""

    @property
    def detail(self) -> str:
        """One line for people."""
        detail = self.seen
        if self.expected and not self.ok:
            expected = f"expected {self.expected}"
            detail = f"{detail}, {expected}" if detail else expected
        return f"{detail}: {self.quote}" if self.quote else detail

    def negate(self, check: str) -> Outcome:
        """The outcome of `not:...`, which is `check`."""
        if self.undecided:
            return self
        return self._replace(ok=not self.ok, expected="" if self.own_words else check)


@dataclass(frozen=True)
class HTTPResponseSnapshot:
    """What a check callable gets: the final HTTP answer.

    `headers` looks names up in any case. `body` is decoded from its content coding, as it came
    where that can't be read, and cut at the probe's `max_body_bytes`; `text` is the body decoded by
    the declared charset, else that of its byte order mark, else UTF-8. `elapsed_ms` is milliseconds
    since the check began. `url` is the final one, `version` "1.0" or "1.1". `certificate` is what
    the target presented, None without TLS.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    text: str
    elapsed_ms: float
    url: str = ""
    version: str | None = None
    certificate: Certificate | None = None


class Head(NamedTuple):
    """The head of an HTTP answer; `remaining()` is the seconds left, or raises TimeoutError."""

    status: int
    headers: HTTPHeaderDict
    remaining: Callable[[], float]


class HeadCondition(NamedTuple):
    """A condition on the head of an HTTP answer.

    `statuses` are those that it names. With None, and no other condition that names any, the status
    must be a 2xx as well.
    """

    evaluate: Callable[[Head], Outcome]
    statuses: frozenset[int] | None = None

    def negate(self, check: str) -> HeadCondition:
        """The same condition, negated."""
        return self._replace(evaluate=lambda head: self.evaluate(head).negate(check))


Evaluate = Callable[["Content"], Outcome | None]


class ContentCondition(NamedTuple):
    """A condition on a body, or on what a TCP target says.

    `start` begins an evaluation: a function that is called for each piece that comes, and returns
    None until it is decided. `patience` is the seconds after which it is called though nothing
    came, None for never. `negated` says that it is about what must not come.
    """

    start: Callable[[], Evaluate]
    patience: float | None = None
    negated: bool = False

    def negate(self, check: str) -> ContentCondition:
        """The same condition, negated."""

        def start() -> Evaluate:
            evaluate = self.start()

            def evaluate_negated(content: Content) -> Outcome | None:
                outcome = evaluate(content)
                return outcome and outcome.negate(check)

            return evaluate_negated

        return self._replace(start=start, negated=True)


# What coroutines, iterators and a `ProbeResult` have: to Python they are true whatever they say.
_ALWAYS_TRUE = ("__await__", "__next__", "latency_ms")


class CallCondition(NamedTuple):
    """A callable that gets the `HTTPResponseSnapshot`, or the open socket, and judges it.

    It returns whether the check holds, or (whether, detail): anything that has a truth of its own.
    """

    function: Callable[[Any], Any]
    negated_as: str | None = None

    def negate(self, check: str) -> CallCondition:
        """The same condition, negated."""
        return self._replace(negated_as=check)

    def evaluate(self, subject: Any) -> Outcome:
        """The callable's verdict; one that raises is a failure that names the exception."""
        outcome = self._call(subject)
        return outcome if self.negated_as is None else outcome.negate(self.negated_as)

    def _call(self, subject: Any) -> Outcome:
        try:
            verdict = self.function(subject)
            words, own_words = "the check returned a false value", False
            if isinstance(verdict, tuple):
                verdict, detail = verdict
                said = "" if detail is None else one_line(str(detail))
                words, own_words = said or words, bool(said)
            if any(hasattr(verdict, name) for name in _ALWAYS_TRUE):
                kind = type(verdict).__name__
                seen = f"the check returned a {kind}, expected true or false"
                return Outcome(ok=False, seen=seen, undecided=True)
            ok = bool(verdict)
            return Outcome(ok, "" if ok and not own_words else words, own_words=own_words)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # noqa: BLE001  # the user's code may raise anything
            return Outcome(
                ok=False, seen=f"the check raised {describe_exception(exc)}", undecided=True
            )


Condition = HeadCondition | ContentCondition | CallCondition
Check = str | Callable[[Any], Any]
