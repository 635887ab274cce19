"""The console in a browser, under load: every number on the page against the metrics of the same moment.

console_test.py BROWSER WARP LOAD SCRATCH [SHOTS]
    LOAD is tests/serve/console_load; pictures go to the folder SHOTS if it is given.
"""
import decimal
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

from browser import Browser

passed = failed = 0


def check(held, what):
    global passed, failed
    if held:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {what}", flush=True)
    return held


# ---- what a number looks like on the page, made by another hand than the page's -------------------------------

def fixed(x, places):
    """As many places, halves upwards: what the page's language does."""
    return str(decimal.Decimal(x).quantize(decimal.Decimal(1).scaleb(-places), rounding=decimal.ROUND_HALF_UP))


def three(x):
    return fixed(x, 0 if x >= 100 else 1 if x >= 10 else 2)


def scaled(x, base, units):
    at = 0
    while x >= base and at + 1 < len(units):
        x /= base
        at += 1
    return x, units[at], at


def text_of(kind, x):
    if x is None:
        return "–"
    x = float(x)
    if kind == "percent":
        return fixed(x * 100, 1) + " %"
    if kind == "factor":
        return fixed(x, 2)
    if kind == "bytes":
        y, unit, at = scaled(x, 1024, ["B", "KiB", "MiB", "GiB", "TiB"])
        return (fixed(y, 0) if at == 0 else three(y)) + " " + unit
    if kind == "seconds":
        for limit, factor, unit in ((1e-3, 1e6, "µs"), (1, 1e3, "ms"), (120, 1, "s")):
            if x == 0:
                return "0 s"
            if x < 1e-6:
                return fixed(x * 1e9, 0) + " ns"
            if x < limit:
                return three(x * factor) + " " + unit
        for limit, factor, unit in ((7200, 60, "min"), (172800, 3600, "h"), (float("inf"), 86400, "d")):
            if x < limit:
                return three(x / factor) + " " + unit
    if x < 10000:
        return str(int(x)) if x == int(x) else fixed(x, 1 if x < 10 else 0)
    y, unit, _ = scaled(x, 1000, ["", "k", "M", "G", "T"])
    return three(y) + " " + unit


# ---- every snapshot that goes by ---------------------------------------------------------------------------

class Watcher(threading.Thread):
    """Asks /metrics and /debug/shards again and again, and keeps what they said by database and snapshot."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url = url
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.metrics, self.debug = {}, {}
        self.ends = False

    def page(self, path, accept=""):
        request = urllib.request.Request(self.url + path, headers={"Accept": accept} if accept else {})
        with self.opener.open(request, timeout=30) as answer:
            return answer.read().decode()

    def look(self):
        of = {}
        for line in self.page("/metrics?shards=1").splitlines():
            found = re.match(r'(warp_[a-z0-9_]+)\{database="([^"]*)"(?:,shard="(\d+)")?\} (\S+)$', line)
            if found:
                name, database, shard, value = found.groups()
                of.setdefault(database, {})[name, shard] = float(value)
        for database, values in of.items():
            number = values.get(("warp_metrics_publishes_total", None))
            if number is not None:
                self.metrics[database, int(number)] = values
        for one in json.loads(self.page("/debug/shards"))["databases"]:
            if "values" in one:
                self.debug[one["database"], one["values"]["warp_metrics_publishes_total"]] = one

    def run(self):
        while not self.ends:
            try:
                self.look()
            except OSError:
                return  # the exporter has ended; who waits for a snapshot says so
            time.sleep(0.02)


NUMBERS = """(() => {
    const main = document.getElementById('main');
    return JSON.stringify({main: {...main.dataset}, all: [...document.querySelectorAll('data')].map((one) =>
        ({data: {...one.dataset}, text: one.textContent}))});
})()"""


def expected(one, now, before, debug):
    """What the metrics say should be on the page; None: nothing."""
    data = one["data"]
    shard = data.get("shard")
    span = None if before is None else now["warp_uptime_seconds", None] - before["warp_uptime_seconds", None]
    if "metric" in data:
        return now.get((data["metric"], shard))
    if "rate" in data:
        if before is None or (data["rate"], shard) not in now:
            return None
        return (now[data["rate"], shard] - before[data["rate"], shard]) / span
    if "hit" in data:
        if before is None:
            return None
        gets = now["warp_gets_total", None] - before["warp_gets_total", None]
        cold = now["warp_cold_gets_total", None] - before["warp_cold_gets_total", None]
        return max(0, 1 - cold / gets) if gets > 0 else None
    if "histogram" in data:
        if data["part"] == "count":
            return now[data["histogram"] + "_count", None]
        return debug["histograms"][data["histogram"]][data["part"]]
    more, less = data["less"].split()
    return max(0, now[more, None] - now[less, None])


def near(text, kind, want):
    """The same text, or that of a number that differs in the last digit of a double."""
    if want is None:
        return text == "–"
    return any(text == text_of(kind, float(want) * (1 + off)) for off in (0, 1e-12, -1e-12))


def compare(browser, watcher, what, times=1, least=60, rates=True):
    """Numbers of the page, until so many times all of their snapshots were seen by the watcher."""
    done = numbers = 0
    end = time.monotonic() + 60
    seen = set()
    while done < times and time.monotonic() < end:
        page = json.loads(browser.run(NUMBERS))
        main = page["main"]
        database, number = main.get("database", ""), main.get("snapshot", "")
        key = (database, int(number)) if number else None
        past = (database, int(main["before"])) if main.get("before") else None
        if key is None or key in seen or (rates and past is None):
            time.sleep(0.05)
            continue
        give_up = time.monotonic() + 1
        while time.monotonic() < give_up and not (key in watcher.metrics and key in watcher.debug):
            time.sleep(0.02)
        if key not in watcher.metrics or key not in watcher.debug or (past and past not in watcher.metrics):
            continue
        seen.add(key)
        done += 1
        now, before = watcher.metrics[key], watcher.metrics[past] if past else None
        for one in page["all"]:
            data = one["data"]
            kind = data.get("kind", "percent" if "hit" in data else "count")
            want = expected(one, now, before, watcher.debug[key])
            numbers += 1
            check(near(one["text"], kind, want),
                  f"{what}: {data} shows {one['text']!r}, and the metrics say {want} ({text_of(kind, want)!r})")
    check(done == times and numbers >= least * times, f"{what}: {done} moments, {numbers} numbers compared")
    return numbers


# ---- the page itself ----------------------------------------------------------------------------------------

# Digits that are in no <data>: words, and those that have no metric.
LOOSE = """(() => {
    const out = [], walk = document.createTreeWalker(document.getElementById('main'), NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const up = walk.currentNode.parentElement;
        if (/[0-9]/.test(walk.currentNode.data) &&
            !up.closest('data, dt, th, .scale, #slow, #mass-words, #nothing, [hidden]')) out.push(walk.currentNode.data);
    }
    return out.join('|');
})()"""

CONTRAST = """(() => {
    const part = (c) => { c /= 255; return c <= .03928 ? c / 12.92 : Math.pow((c + .055) / 1.055, 2.4); };
    const rgb = (text) => (text.match(/[0-9.]+/g) || [0, 0, 0, 0]).map(Number);
    const light = ([r, g, b]) => .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
    const bad = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const one = walk.currentNode.parentElement;
        if (!walk.currentNode.data.trim() || one.closest('script, style, [hidden], .skip') || !one.checkVisibility()) continue;
        let back = one;
        while (back && rgb(getComputedStyle(back).backgroundColor)[3] === 0) back = back.parentElement;
        const a = light(rgb(getComputedStyle(one).color)), b = light(rgb(getComputedStyle(back || document.body).backgroundColor));
        const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        if (ratio < 4.5) bad.push(walk.currentNode.data.trim().slice(0, 20) + ' ' + ratio.toFixed(2));
    }
    return bad.join('|');
})()"""


def state_is(browser, state, seconds=30):
    return browser.until(f"document.getElementById('state').textContent === {json.dumps(state)}", seconds)


def keyboard(browser):
    """Everything that can be done can be done with the keys, and one sees where one is."""
    browser.run("document.activeElement.blur(); scrollTo(0, 0)")
    reached, unseen = [], []
    for _ in range(12):
        browser.press("Tab")
        at = browser.run("""(() => { const a = document.activeElement, s = getComputedStyle(a);
            return [a.id || a.className || a.tagName, s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2,
                    a.getBoundingClientRect().width > 0].join(); })()""")
        name, outline, there = at.split(",")
        if name == "BODY" or name in reached:
            break
        reached.append(name)
        if outline != "true" or there != "true":
            unseen.append(name)
    for name in ("skip", "database", "pause", "scroll"):
        check(name in reached, f"the Tab key does not come to {name}: {reached}")
    check(not unseen, f"no outline around {unseen}")
    # The page stands still when it is told to, and goes on.
    browser.run("document.activeElement.blur()")
    browser.press("p", "p")
    check(browser.run("document.getElementById('pause').getAttribute('aria-pressed')") == "true", "p does not pause")
    one = browser.run(NUMBERS)
    time.sleep(1.6)
    check(one == browser.run(NUMBERS), "numbers move although it is paused")
    browser.run("document.getElementById('pause').focus()")
    browser.press("Enter", "\r")
    check(browser.run("document.getElementById('pause').getAttribute('aria-pressed')") == "false", "Enter does not go on")
    check(browser.until(f"({NUMBERS}) !== {json.dumps(one)}", 20), "numbers do not go on")


def named(browser):
    """Whoever does not see it is told what is what."""
    wanting = []
    roles = {}
    for node in browser.call("Accessibility.getFullAXTree")["nodes"]:
        role = node.get("role", {}).get("value")
        roles[role] = roles.get(role, 0) + 1
        if role in ("button", "combobox", "link", "img", "image", "meter", "region", "table") and not node.get("ignored"):
            if not node.get("name", {}).get("value") and role != "table":
                wanting.append(role)
    check(not wanting, f"without a name: {wanting}")
    for role in ("heading", "main", "banner", "columnheader", "rowheader", "meter", "status"):
        check(roles.get(role, 0) > 0, f"no {role} in {roles}")


def main():
    chromium, warp, load, scratch = sys.argv[1:5]
    shots = sys.argv[5] if len(sys.argv) > 5 else None
    os.chdir(scratch)
    loads = {}
    for name, arguments in (("one", ["4", "2"]), ("two", ["2", "1"])):
        loads[name] = subprocess.Popen([load, name, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    exporter = browser = None
    try:
        for name, process in loads.items():
            check(process.stdout.readline() == b"loaded\n", f"{name} is not loaded")
        exporter = subprocess.Popen(
            [warp, "exporter", "--listen", "127.0.0.1:0", "one=one", "two=two", "gone=gone"], stdout=subprocess.PIPE)
        url = exporter.stdout.readline().decode().split()[-1]
        watcher = Watcher(url)
        watcher.look()
        watcher.start()
        browser = Browser(chromium, os.path.join(scratch, "profile"))
        browser.size(1280, 900)
        browser.scheme("light")
        browser.call("Page.navigate", url=url + "/")
        if not check(browser.until("Boolean(document.getElementById('main')) && "
                                   "Boolean(document.getElementById('main').dataset.before)", 90), "no page"):
            return
        check(state_is(browser, "running"), "the state is not told")
        watched = compare(browser, watcher, "under load", times=6)
        check(browser.run(LOOSE) == "", f"numbers that are no metric: {browser.run(LOOSE)}")
        moved = "Number(document.getElementById('sky').dataset.moved || 0)"
        check(browser.until(f"{moved} > 0", 60), "no slot is seen to move although gravity is on")
        check(browser.until("document.querySelectorAll('#slow tbody tr').length > 0", 60), "no slow call is shown")
        check(browser.run("document.querySelectorAll('#shards tbody tr').length") == 4, "not a row for each shard")
        check(browser.run("document.querySelectorAll('#histograms figure').length") >= 5, "histograms are missing")
        named(browser)
        keyboard(browser)
        for scheme in ("light", "dark"):
            browser.scheme(scheme)
            time.sleep(0.7)
            bad = browser.run(CONTRAST)
            check(bad == "", f"{scheme}: too little contrast: {bad}")
            if shots:
                browser.run("document.activeElement.blur(); scrollTo(0, 0)")
                time.sleep(8)
                browser.shot(os.path.join(shots, f"console-{scheme}.png"), 1460)
        for width, height in ((390, 844), (320, 568)):
            browser.size(width, height, phone=True)
            time.sleep(0.7)
            check(browser.run("document.documentElement.scrollWidth <= innerWidth"), f"wider than {width}")
            check(browser.run("innerWidth") == width, f"not {width} wide: {browser.run('innerWidth')}")
            small = browser.run("[...document.querySelectorAll('select, button')].filter((b) => b.checkVisibility() && "
                                "b.getBoundingClientRect().height < 36).length")
            check(small == 0, "too small for a finger")
            if shots and width == 390:
                for scheme in ("light", "dark"):
                    browser.scheme(scheme)
                    time.sleep(1.5)
                    browser.shot(os.path.join(shots, f"console-phone-{scheme}.png"), 1400)
        browser.scheme("light", reduced=True)
        browser.size(1280, 900)
        compare(browser, watcher, "again", times=2)

        # Another database, by keys; one that is not there; and back.
        browser.run("document.getElementById('database').focus()")
        browser.press("ArrowDown")
        check(browser.until("document.getElementById('main').dataset.database === 'two'", 20), "the other one is not shown")
        compare(browser, watcher, "the other one", times=2, least=50)
        check(browser.run("document.querySelectorAll('#shards tbody tr').length") == 2, "not its shards")
        browser.run("document.getElementById('database').focus()")
        browser.press("ArrowDown")
        check(state_is(browser, "absent"), "what is not there is not told")
        check(browser.run("document.getElementById('everything').hidden"), "numbers of nothing")
        browser.run("document.getElementById('database').focus()")
        browser.press("ArrowUp")
        browser.press("ArrowUp")
        check(browser.until("document.getElementById('main').dataset.database === 'one' && "
                            "!document.getElementById('everything').hidden", 20), "the first one is not shown again")

        # Stopped, going on, dead: the page says so, and shows what was last counted.
        compare(browser, watcher, "before it is stopped", times=1)
        loads["one"].send_signal(signal.SIGSTOP)
        check(state_is(browser, "stopped"), "that it is stopped is not told")
        time.sleep(1.2)
        compare(browser, watcher, "stopped", times=1, rates=False)
        loads["one"].send_signal(signal.SIGCONT)
        check(state_is(browser, "running"), "that it goes on is not told")
        compare(browser, watcher, "going on", times=1)
        loads["one"].kill()
        loads["one"].wait()
        check(state_is(browser, "died"), "that it died is not told")
        compare(browser, watcher, "dead", times=1, rates=False)

        # Nobody else was asked for anything, and nothing went wrong.
        asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
        others = [u for u in asked if not u.startswith((url, "data:"))]
        check(asked and not others, f"the page asks others: {others}")
        wrong = [e["params"] for e in browser.events if e["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
        check(not wrong, f"errors: {json.dumps(wrong)[:600]}")
        print(f"{watched} numbers compared under load, {browser.run(moved)} slots seen to move")

        # The exporter ends although somebody is looking, and the page says that it is gone.
        exporter.terminate()
        check(exporter.wait(timeout=20) == 0, "the exporter does not end")
        check(state_is(browser, "no connection", 20), "that the exporter is gone is not told")
        watcher.ends = True
    finally:
        if browser is not None:
            browser.end()
        for process in loads.values():
            if process.poll() is None:
                process.stdin.close()
                try:
                    process.wait(timeout=60)
                except subprocess.TimeoutExpired:
                    process.kill()
        if exporter is not None and exporter.poll() is None:
            exporter.kill()


try:
    main()
except (OSError, RuntimeError, TimeoutError, ValueError, KeyError) as error:
    check(False, f"{type(error).__name__}: {error}")
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
