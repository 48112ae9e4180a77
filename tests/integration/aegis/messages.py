# SPDX-License-Identifier: ISC
"""What the sources can say, and what a manual's DIAGNOSTICS explains.

Every string literal with words in it counts as a message, whatever function it
is given to: a new way of saying something is found without a change here.  What
is no message is named below, by the call that it stands in.
"""
import functools
import glob
import html
import os
import re
import subprocess

# Calls whose literals no operator has to look up: lines for the record, output
# that was asked for, formats of other things.
NO_MESSAGE = {
    "log_info", "log_debug", "notify_status", "notify_stopping", "_Static_assert",
    "printf", "fprintf", "fputs", "table_add", "table_text", "family", "single",
    "strftime", "sscanf", "strspn", "strcspn", "strtok_r", "strstr", "asprintf",
    "strcmp", "strncmp", "memcmp", "__asm__", "memmem", "config_words"}
LOGS = {"log_warn", "log_error", "log_line", "fatal", "pipeline_note", "warn",
        "warnx", "err", "errx"}
SHORTEST = 4  # characters of the longest constant part of a text

# Tables of what a program can be asked for.
TABLE = re.compile(r"^static const struct command commands.*?^\};", re.S | re.M)

CONVERSION = re.compile(
    r"%(?:%|[-+ #0]*[\d*]*(?:\.[\d*]+)?(?:hh|h|ll|l|z|j|t)?[a-zA-Z])")
TOKEN = re.compile(r"""
    (?P<comment>/\*.*?\*/)
  | (?P<directive>^[ \t]*\#[^\n]*(?:\\\n[^\n]*)*)
  | (?P<char>'(?:\\.|[^'\\\n])*')
  | (?P<string>"(?:[^"\\\n]|\\.)*")
  | (?P<word>[A-Za-z_]\w*)
  | (?P<open>\()
  | (?P<close>\))
  | (?P<other>[^\s])
""", re.S | re.M | re.X)


class Text:
    """A literal: its text, where it stands, whether a log call has it, and
    whether nobody has to look it up (QUIET)."""

    def __init__(self, text, where, calls, logged, quiet):
        self.text = text = re.sub(r"\s+", " ", text)
        self.where = where
        self.calls = calls
        self.logged = logged
        self.quiet = quiet
        pieces = CONVERSION.split(text)
        self.piece = max((p.strip(" :;,()") for p in pieces), key=len)
        # As a pattern for a line that is said, or a head that explains it.
        self.pattern = re.compile(".*".join(map(re.escape, pieces)), re.S)

    def __repr__(self):
        return f"{self.where}: {self.text!r}"


def unescape(literal):
    return literal[1:-1].replace('\\"', '"').replace("\\n", "").replace(
        "\\\\", "\\").replace("\\t", "")


def expand(word, macros):
    """What an identifier between literals adds to the text."""
    if word.startswith("PRI"):
        return "d"  # PRIu64 and its like, after a "%"
    if word in macros:
        return unescape(macros[word])
    return "%s" if word.isupper() else ""


def without_tables(code):
    return TABLE.sub(lambda found: "\n" * found.group().count("\n"), code)


def texts_in(code, name):
    """All literals with words in them that stand in no call of NO_MESSAGE."""
    macros = dict(re.findall(r'^#define[ \t]+(\w+)[ \t]+("[^"\n]*")$', code,
                             re.M))
    calls = []      # of (name, whether it is for the record only)
    word = ""       # the token before, if it is an identifier
    run = None      # [text, line, calls] of the literals seen last
    found = []

    def close_run():
        if run is not None:
            found.append(run)

    for token in TOKEN.finditer(code):
        kind = token.lastgroup
        if kind in ("comment", "directive"):
            continue
        if kind == "string":
            text = unescape(token.group())
            if run is None:
                line = code.count("\n", 0, token.start()) + 1
                run = [expand(word, macros) + text, line, list(calls)]
            else:
                run[0] += text
            word = ""
            continue
        if kind == "word" and run is not None and token.group().isupper() | \
                token.group().startswith("PRI"):
            run[0] += expand(token.group(), macros)
            continue
        close_run()
        run = None
        if kind == "open":
            calls.append([word, code[token.end():]])
        elif kind == "close" and calls:
            calls.pop()
        word = token.group() if kind == "word" else ""
    close_run()
    return [Text(text, f"{name}:{line}", [c[0] for c in stack],
                 any(c[0] in LOGS for c in stack),
                 any(map(for_the_record, stack)))
            for text, line, stack in found
            if " " in text.strip() or any(c[0] in LOGS for c in stack)]


def for_the_record(call):
    name, rest = call
    if name in ("fprintf", "fputs"):
        return "stderr" not in rest.partition(");")[0]
    if name not in ("log_line", "pipeline_note"):
        return name in NO_MESSAGE
    level = rest[:200].partition('"')[0]
    return re.search("LOG_LEVEL_(INFO|DEBUG)", level) and not re.search(
        "LOG_LEVEL_(WARN|ERROR)", level)


@functools.cache
def texts_of(top, *names):
    """The messages of sources: FOLDER/*.c patterns, relative to TOP; those of
    patterns after a "!" are left out."""
    paths = set()
    for name in names:
        if name.startswith("!"):
            paths -= set(glob.glob(os.path.join(top, name[1:])))
        else:
            paths |= set(glob.glob(os.path.join(top, name)))
    found = []
    for path in sorted(paths):
        with open(path, encoding="utf-8") as source:
            found += texts_in(without_tables(source.read()),
                              os.path.relpath(path, top))
    return [t for t in found if len(t.piece) >= SHORTEST]


@functools.cache
def diagnostics(path):
    """A page's DIAGNOSTICS as it is shown: its heads, and all of its text."""
    shown = subprocess.run(["mandoc", "-Thtml", "-Ofragment", path], text=True,
                           capture_output=True, check=True).stdout
    section = re.search(r'<h[12] class="Sh" id="DIAGNOSTICS">.*?(?=<h[12] '
                        r'class="Sh"|\Z)', shown, re.S)
    if not section:
        return [], ""

    def plain(markup):
        text = html.unescape(re.sub(r"<[^>]*>", "", markup))
        # Typographic quotes and hyphens are mandoc's; sources have none.
        for fancy, ascii_ in ("“\"", "”\"", "‘'", "’'", "−-", "‐-"):
            text = text.replace(fancy, ascii_)
        return re.sub(r"\s+", " ", text).strip()

    heads = [plain(h) for h in re.findall(r"<dt[^>]*>(.*?)</dt>",
                                          section.group(), re.S)]
    return heads, plain(section.group())


def explains(head, text):
    """Does HEAD, as a manual has it, stand for TEXT?

    In a head "..." and words in capitals stand for what changes.  What does not
    change must be there to the letter: the constant parts of the text, in order.
    """
    return text.piece in head and text.pattern.search(head) is not None


def unsaid(head, texts):
    """Words of HEAD that no text has which HEAD explains."""
    said = " ".join(t.text for t in texts if t.piece in head)
    if not said:
        return [head]
    bare = re.sub(r'"[^"]*"', " ", head)
    return [w for w in re.findall(r"[a-z][a-z'-]{3,}", bare) if w not in said]
