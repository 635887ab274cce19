"""What can be wrong with rules and a dashboard without anybody noticing.

check_monitoring.py static CATALOGUE RULES RULE_TESTS DASHBOARD
    CATALOGUE is what `warp metrics --catalogue --json` prints. Every name in every expression is in it;
    counters are looked at through rate() or increase() and gauges are not; each alert has a unit test
    that makes it fire and one that does not; panels have what a panel needs. Prints the expressions as
    a file of recording rules, for promtool to parse.
check_monitoring.py live SERVER DASHBOARD
    Every expression of the dashboard is answered by a Prometheus server that scrapes an exporter.
"""
import json
import re
import sys
import urllib.parse
import urllib.request

problems = []


def problem(text):
    problems.append(text)


def dashboard_expressions(path):
    for panel in json.load(open(path))["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def concrete(expression):
    """With values for Grafana's variables."""
    return (expression.replace("$__rate_interval", "1m").replace("$job", ".*")
            .replace("$database", ".*"))


def rule_fields(path, field):
    """The values of a field of a rule file, one line or folded; no YAML parser is taken for granted."""
    lines = open(path).read().splitlines()
    for at, line in enumerate(lines):
        found = re.match(r"( *)(?:- )?%s: (.*)$" % field, line)
        if not found:
            continue
        value = found.group(2)
        if value == ">-":
            indent = len(found.group(1))
            parts = []
            for more in lines[at + 1:]:
                if len(more) - len(more.lstrip()) <= indent:
                    break
                parts.append(more.strip())
            value = " ".join(parts)
        yield value


OVER_TIME = ("rate", "irate", "increase")


def enclosing(expression, at):
    """The functions around a place, the nearest first."""
    depth = 0
    names = []
    for i in range(at - 1, -1, -1):
        if expression[i] == ")":
            depth += 1
        elif expression[i] == "(":
            if depth > 0:
                depth -= 1
            else:
                names.append(re.search(r"(\w*)\s*$", expression[:i]).group(1))
    return names


def check_expression(where, expression, catalogue):
    names = 0
    for found in re.finditer(r"\bwarp_\w+", re.sub(r'"[^"]*"', lambda s: '"' + " " * (len(s.group(0)) - 2) + '"',
                                                   expression)):
        names += 1
        name, kind = found.group(0), None
        if name in catalogue:
            kind = catalogue[name]["kind"]
            if kind == "histogram":
                problem(f"{where}: {name} is a histogram and has no value of its own")
        else:
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            if base in catalogue and catalogue[base]["kind"] == "histogram":
                kind = "counter"
            else:
                problem(f"{where}: there is no metric {name}")
                continue
        around = enclosing(expression, found.start())
        over_time = bool(around) and around[0] in OVER_TIME
        if kind == "counter" and not over_time:
            problem(f"{where}: the counter {name} without rate() or increase()")
        if kind == "gauge" and over_time:
            problem(f"{where}: {around[0]}() of the gauge {name}")
    if names == 0:
        problem(f"{where}: an expression without a metric of ours: {expression}")


def check_dashboard(path, catalogue):
    dashboard = json.load(open(path))
    ids = set()
    used = []
    for panel in dashboard["panels"]:
        where = f"panel {panel['title']}"
        if panel["id"] in ids:
            problem(f"{where}: its id is there twice")
        ids.add(panel["id"])
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            problem(f"{where}: it is wider than the page")
        for other_where, other in used:
            if (place["x"] < other["x"] + other["w"] and other["x"] < place["x"] + place["w"] and
                    place["y"] < other["y"] + other["h"] and other["y"] < place["y"] + place["h"]):
                problem(f"{where}: it lies over {other_where}")
        used.append((where, place))
        if panel["type"] == "row":
            continue
        if not panel.get("description") or not panel["fieldConfig"]["defaults"].get("unit"):
            problem(f"{where}: no description, or no unit")
        if not panel.get("targets"):
            problem(f"{where}: it shows nothing")
        for target in panel.get("targets", []):
            if target["datasource"]["uid"] != "${datasource}":
                problem(f"{where}: a data source that others do not have")
            for variable in re.findall(r"\$(\w+)", target["expr"]):
                if variable not in ("__rate_interval", "job", "database"):
                    problem(f"{where}: there is no variable {variable}")
    variables = {v["name"] for v in dashboard["templating"]["list"]}
    if variables != {"datasource", "job", "database"}:
        problem(f"variables: {variables}")
    for variable in dashboard["templating"]["list"]:
        for name in re.findall(r"\bwarp_\w+", variable.get("definition", "")):
            if name not in catalogue:
                problem(f"variable {variable['name']}: there is no metric {name}")
    for title, expression in dashboard_expressions(path):
        check_expression(f"panel {title}", expression, catalogue)


def check_rules(rules, tests, catalogue):
    alerts = list(rule_fields(rules, "alert"))
    expressions = list(rule_fields(rules, "expr"))
    if len(alerts) != len(expressions) or len(alerts) < 15 or len(set(alerts)) != len(alerts):
        problem(f"{len(alerts)} alerts, {len(expressions)} expressions")
    for alert, expression in zip(alerts, expressions):
        check_expression(f"alert {alert}", expression, catalogue)
    for field in ("summary", "description"):
        if len(list(rule_fields(rules, field))) != len(alerts):
            problem(f"not every alert has a {field}")
    text = open(tests).read()
    for alert in alerts:
        fires = re.search(r"alertname: %s\n +exp_alerts:\n +- exp_labels" % alert, text)
        calm = re.search(r"name: %s does not fire\n(?:(?!  - name:).*\n)*? +alertname: %s\n +exp_alerts: \[\]" %
                         (alert, alert), text)
        if not fires or not calm:
            problem(f"alert {alert}: no test that it fires, or none that it does not")
    return expressions


def static(catalogue_path, rules, tests, dashboard):
    catalogue = {row["name"]: row for row in json.load(open(catalogue_path))}
    expressions = check_rules(rules, tests, catalogue)
    check_dashboard(dashboard, catalogue)
    print("groups:\n  - name: all\n    rules:")
    for number, (_, expression) in enumerate(dashboard_expressions(dashboard)):
        print(f"      - record: warp:expression:{number}\n        expr: {json.dumps(concrete(expression))}")
    return len(expressions) + len(list(dashboard_expressions(dashboard)))


def live(server, dashboard):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    empty = []
    count = 0
    for title, expression in dashboard_expressions(dashboard):
        count += 1
        query = urllib.parse.urlencode({"query": concrete(expression)})
        try:
            answer = json.load(opener.open(f"{server}/api/v1/query?{query}", timeout=30))
        except OSError as error:
            problem(f"panel {title}: {error}: {expression}")
            continue
        if answer["status"] != "success":
            problem(f"panel {title}: {answer}")
        elif not answer["data"]["result"]:
            empty.append((title, expression))
    # A database that has made no checkpoint and read nothing has nothing to show there.
    may_be_empty = ("Answered from memory", "Checkpoints", "Calls that shared a write", "Gets take")
    for title, expression in empty:
        if title not in may_be_empty:
            problem(f"panel {title}: nothing to show: {expression}")
    return count


if __name__ == "__main__":
    done = static(*sys.argv[2:]) if sys.argv[1] == "static" else live(*sys.argv[2:])
    for line in problems:
        print(line, file=sys.stderr)
    print(f"{done} expressions, {len(problems)} problems", file=sys.stderr)
    sys.exit(1 if problems else 0)
