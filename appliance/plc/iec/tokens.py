"""A file of structured text as tokens, each with the comments before it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from appliance.plc.iec.tree import StructuredTextError

TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>\(\*.*?\*\))|(?P<time>T#\d+(?:MS|S)\b)|(?P<number>\d+(?!\.\d)\b)|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<sign>:=|<>|<=|>=|\.\.|[-+*=<>()\[\],;:.])",
    re.DOTALL,
)


@dataclass
class Token:
    """One token. ``behind``: comments in the line of the token before; ``above``: the others before this one."""

    kind: str
    text: str
    line: int
    behind: list[str] = field(default_factory=list)
    above: list[str] = field(default_factory=list)


def tokens(source: str) -> list[Token]:
    """All tokens of a file, with one of the kind "end" behind them."""
    found: list[Token] = []
    behind: list[str] = []
    above: list[str] = []
    at, line, fresh = 0, 1, True  # fresh: no token yet in this line
    while at < len(source):
        match = TOKEN.match(source, at)
        if match is None:
            raise StructuredTextError(f"line {line}: {source[at : at + 20]!r} is not known")
        text, kind = match.group(), str(match.lastgroup)
        if kind == "comment":
            (above if fresh or above else behind).append(comment_text(text[2:-2]))
        elif kind != "space":
            found.append(Token(kind, text, line, behind, above))
            behind, above, fresh = [], [], False
        if kind == "space" and "\n" in text:
            fresh = True
        line += text.count("\n")
        at = match.end()
    return [*found, Token("end", "", max(line - 1, 1), behind, above)]


def comment_text(inner: str) -> str:
    """A comment's words, a line for each paragraph and each item of a list in it."""
    paragraphs = re.split(r"\n\s*\n|\n\s*(?=- )", inner)
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs).strip()


class Stream:
    """The tokens, one after the other, and the comments that were passed over."""

    def __init__(self, source: str) -> None:
        self._tokens = tokens(source)
        self._at = 0
        self._comments: list[str] = []

    @property
    def token(self) -> Token:
        """The one that comes next."""
        return self._tokens[self._at]

    def peek(self) -> str:
        """The text that comes next."""
        return self.token.text

    def next(self, kind: str = "") -> str:
        """Pass over a token, of this kind where one is named, and give its text."""
        token = self.token
        if kind and token.kind != kind:
            raise StructuredTextError(f"line {token.line}: {token.text!r} in place of a {kind}")
        self._comments += [*token.behind, *token.above]
        self._at += 1
        return token.text

    def skip(self, text: str) -> bool:
        """Whether this comes next; then it is passed over."""
        found = self.peek() == text
        if found:
            self.next()
        return found

    def need(self, *texts: str) -> None:
        """Pass over these, which must come."""
        for text in texts:
            if not self.skip(text):
                raise self.error(f"{self.peek()!r} in place of {text!r}")

    def error(self, what: str) -> StructuredTextError:
        """An error in the line that has been come to."""
        return StructuredTextError(f"line {self.token.line}: {what}")

    def comments(self) -> tuple[str, ...]:
        """The comments that were passed over since the last time."""
        found, self._comments = self._comments, []
        return tuple(found)

    def remark(self) -> str:
        """The comment behind what was read last, in the same line."""
        found, self.token.behind = self.token.behind, []
        return " ".join(found)
