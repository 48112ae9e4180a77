# SPDX-License-Identifier: ISC
"""Whatever the agent may say, a manual explains; and what a manual explains,
the agent may say.

The texts come from the sources (aegis/messages.py).  Each has to fit a head of
its page's DIAGNOSTICS; one that is no line of the log but part of an error
(a value of "error", an answer, a reason) may stand in the text below a head
instead.
"""
import os
import re
import subprocess

import pytest

from aegis import messages

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

# Where the texts of a source are explained.
OF_CONFIG = ("agentd/config*.c", "agentd/dirs.c", "common/envfile.c",
             "common/pubkey.c")
OF_LOADING = ("agentd/broker_perf.c", "agentd/probes.c", "agentd/peer_probe.c")
PAGES = {
    "agentd.8": ("agentd/*.c", "common/imsg.c", "common/launch.c",
                 "common/sandbox.c", "common/worker.c",
                 *("!" + name for name in OF_CONFIG + OF_LOADING),
                 "!agentd/handover_record.c"),
    "agentd.env.5": OF_CONFIG,
    "verifyd.8": ("verifyd/[!d]*.c", "verifyd/describe.c"),
    "bpfd.8": ("bpfd/*.c", *OF_LOADING),
    "fetchd.8": ("fetchd/*.c", "common/jsonscan.c"),
    "telemd.8": ("telemd/*.c",),
    "apid.8": ("apid/*.c", "!apid/answer.c", "!apid/page.c",
               "!apid/prometheus.c"),
    "aegisctl.8": ("aegisctl/*.c", "!aegisctl/show.c"),
}
# What agentd answers is shown by aegisctl: its page explains that, too.
ANSWERS = {"aegisctl.8": ("agentd/control.c", "agentd/feed.c",
                          "agentd/reload.c", "agentd/retire.c")}

# Sources whose texts name a broken field of a record that one process of the
# agent made for another: nobody but its authors can do anything about them.
# The head under which the page says that.
RECORDS = {
    "agentd/handover_record.c":
        ("agentd.8", "the record of the agent before cannot be used: ..."),
    "common/artlist.c": ("agentd.8", "registry: list records: ..."),
    "common/keyset.c": ("agentd.8", "broke the protocol and was killed: ..."),
    "common/snapshot.c":
        ("aegisctl.8", "agentd's snapshot cannot be read (WHAT): is it of "
                       "the same version as this aegisctl?"),
    "common/loadplan.c": ("bpfd.8", "plan: ..."),
}

# Sources that say nothing but what was asked for: documents, tables, pages.
SHOW_ONLY = (
    "aegisctl/show.c", "apid/answer.c", "apid/page.c", "apid/prometheus.c",
    "common/clock.c", "common/log.c", "common/render*.c", "common/sandbox_*.c",
    "verifyd/describe_json.c", "verifyd/describe_text.c")

# Texts that are no messages: what a document shows, words of a protocol.
NOT_SAID = {
    "verifyd/describe.c": r"not checked|holds: ",
    "apid/routes.c": r"charset=|\\r$|^{\"status\"",
    "apid/server.c": r"^HTTP/1",
    "fetchd/http.c": r"^If-None-Match",
    "telemd/broker.c": r"^{\"status\"",
    "telemd/segment.c": r"^aegis spool 1$",  # how a file begins
    "aegisctl/dryrun.c": r"instructions verified|no entry asks for it",
    "aegisctl/events.c": r"packets, .* violations|programs loaded, up",
    "agentd/changes.c": r"^nothing changed$| \(after a restart of agentd\)$|"
                       r" \(what is in its file\)$",
    "agentd/spawner.c": r"^agentd: spawn$",  # the name of the process
    "bpfd/notes.c": r"prog '|verification time|stack depth",  # libbpf's
    "agentd/peer_probe.c": r"does not read its channel",  # in agentd.8
}

MANUALS = sorted(name for name in os.listdir(os.path.join(TOP, "man"))
                 if re.search(r"\.[1-9]$", name))


def page_path(name):
    return os.path.join(TOP, "man", name)


def texts_for(page):
    texts = messages.texts_of(TOP, *PAGES[page]) + [
        t for t in messages.texts_of(TOP, *ANSWERS.get(page, ()))
        if not t.logged]
    elsewhere = {t.where for other, names in ANSWERS.items() if other != page
                 for t in messages.texts_of(TOP, *names) if not t.logged}
    return [t for t in texts if not t.quiet and t.where not in elsewhere
            and not is_no_message(t)]


def is_no_message(text):
    if text.text.startswith("usage: "):
        return True
    pattern = NOT_SAID.get(text.where.partition(":")[0])
    return pattern and re.search(pattern, text.text)


@pytest.mark.parametrize("page", PAGES)
def test_every_message_is_explained(page):
    heads, shown = messages.diagnostics(page_path(page))
    missing = [t for t in texts_for(page)
               if not any(messages.explains(head, t) for head in heads)
               and (t.logged or t.piece not in shown)]
    assert not missing, "\n".join(map(repr, missing))


@pytest.mark.parametrize("page", PAGES)
def test_every_explanation_is_of_a_message(page):
    # A line for the record may be explained, too.
    texts = messages.texts_of(TOP, *PAGES[page], *ANSWERS.get(page, ()))
    heads, _ = messages.diagnostics(page_path(page))
    assert heads
    stale = {h: w for h in heads if (w := messages.unsaid(h, texts))}
    assert not stale, stale


@pytest.mark.parametrize("source", RECORDS)
def test_broken_records_have_a_head(source):
    page, head = RECORDS[source]
    assert messages.texts_of(TOP, source)
    assert head in messages.diagnostics(page_path(page))[0]


@pytest.mark.parametrize("page", MANUALS)
def test_page_is_clean(page):
    lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page_path(page)],
                          capture_output=True, text=True, check=False)
    assert (lint.returncode, lint.stdout) == (0, "")
    with open(page_path(page), encoding="utf-8") as text:
        titles = re.findall(r"^\.Sh (.*)$", text.read(), re.M)
    wanted = {"NAME", "DESCRIPTION", "SEE ALSO"}
    if page.endswith(".8"):
        wanted |= {"EXIT STATUS", "DIAGNOSTICS"}
    assert wanted <= set(titles)


def test_every_source_has_its_page():
    """A new file or folder cannot be forgotten in the tables above."""
    def files(*patterns):
        return {t.where.partition(":")[0]
                for t in messages.texts_of(TOP, *patterns)}

    told = set().union(*(files(*patterns) for patterns in PAGES.values()))
    every = files("*/*.c", "!bpf-progs/*.c", "!tests/*.c")
    assert every - told - set(RECORDS) - files(*SHOW_ONLY) == set()
