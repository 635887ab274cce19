"""Makes the table of bench/run_tiers.sh out of the JSON of its runs.

tiers_table.py FOLDER COUNT LINES KEY=VALUE...: FOLDER/1.json ... COUNT.json are results of `warp
bench` (docs/BENCHMARKS.md), N.env beside each the label and what the cgroup said. Writes Markdown
to standard output and one line of JSON per engine to LINES.
"""

import json
import os
import sys

MIB = 1024.0 * 1024.0
# What each phase aims at: the rate beside the first peer's.
AIMS = {"ycsb-b": 2.0, "ycsb-a": 1.5}
NAMES = {
    "ycsb-b": "zipfian, 95/5",
    "ycsb-a": "zipfian, 50/50",
    "readrandom": "uniform reads",
    "overwrite": "overwrites",
}
RSS_SLACK = 1.05
SPACE_MOST = 1.3


def us(ns):
    return "%.0f" % (ns / 1e3) if ns >= 9950 else "%.1f" % (ns / 1e3)


def ms(ns):
    return "%.1f" % (ns / 1e6)


def verdict(holds):
    return "yes" if holds else "**no**"


def read(folder, number):
    with open(os.path.join(folder, "%d.env" % number)) as file:
        environment = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
    try:
        with open(os.path.join(folder, "%d.json" % number)) as file:
            return environment, json.load(file)
    except (OSError, ValueError):
        return environment, None


def table(heads, rows):
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def kinds(result):
    return [(kind, h) for kind, h in result["latency_by_kind_ns"].items() if h["count"] > 0]


def main():
    folder, count, lines = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    given = dict(argument.split("=", 1) for argument in sys.argv[4:])
    cap, slack = int(given["cap"]), int(given["slack"])
    runs = []
    with open(lines, "w") as file:
        for number in range(1, count + 1):
            environment, result = read(folder, number)
            if result is None:
                print("%s: no result\n" % environment["label"])
                continue
            result["label"] = environment["label"]
            result["cgroup"] = {
                "used": given["grouped"] == "yes",
                "limit_bytes": cap + slack if given["grouped"] == "yes" else None,
                "peak_bytes": int(environment.get("cgroup_peak", "0").split()[-1]),
                "limit_hits": environment.get("cgroup_limit_hits", ""),
            }
            file.write(json.dumps(result, separators=(",", ":")) + "\n")
            runs.append(result)
    if not runs:
        return 1
    first = runs[0]
    configuration, machine = first["configuration"], first["environment"]
    live = configuration["records"] * (configuration["key_bytes"] + configuration["value_bytes"])
    print(
        "%s records of %d + %d bytes (%.0f MiB), values shrink to %.2f; cap %.0f MiB, %s; "
        "durability %s; %s threads; %s, %d CPUs; %s; %s\n"
        % (
            format(configuration["records"], ","),
            configuration["key_bytes"],
            configuration["value_bytes"],
            live / MIB,
            configuration["compression_ratio"],
            cap / MIB,
            "cgroup of %.0f MiB" % ((cap + slack) / MIB)
            if given["grouped"] == "yes"
            else "**no cgroup: the page cache may hide the disk**",
            configuration["durability"],
            first["results"][0]["threads"],
            machine["cpu_model"],
            machine["cpus"],
            machine["filesystem"],
            first["time"],
        )
    )
    for run in runs:
        row = run["results"][0]
        print("- %s: %s %s: %s" % (run["label"], row["engine"], row["engine_version"],
                                   row["engine_settings"]))
    print()

    print("### Load\n")
    rows = []
    for run in runs:
        row = run["results"][0]
        if row["failed"] and row["load_records"] == 0:
            rows.append([run["label"], "failed: " + row["message"]] + [""] * 5)
            continue
        seconds = row["load_s"]
        watch = row.get("load_watch", {})
        rows.append([
            run["label"],
            "%.0f" % (row["load_records"] / seconds / 1e3) if seconds > 0 else "-",
            "%.1f" % seconds,
            "%.0f" % (row["load_peak_rss_bytes"] / MIB),
            "%.2f" % (watch.get("disk_bytes_max", 0) / live),
            "%.2f" % (watch.get("device_written_bytes", 0) / live),
            "%.0f" % (run["cgroup"]["peak_bytes"] / MIB),
        ])
    table(["engine", "thousand/s", "seconds", "peak RSS, MiB", "disk / live, max",
           "device written / live", "cgroup peak of all phases, MiB"], rows)

    print("### Phases\n")
    rates, rows = {}, []
    for run in runs:
        for row in run["results"]:
            name = row["workload"]
            if row["failed"]:
                rows.append([NAMES.get(name, name), run["label"], "failed: " + row["message"]]
                            + [""] * 8)
                continue
            rates[(run["label"], name)] = row["operations_per_second"]
            tiers = row.get("tiers") or {}
            for index, (kind, h) in enumerate(kinds(row)):
                rows.append([
                    NAMES.get(name, name) if index == 0 else "",
                    run["label"] if index == 0 else "",
                    "%.1f" % (row["operations_per_second"] / 1e3) if index == 0 else "",
                    kind, us(h["p50"]), us(h["p99"]), us(h["p99_9"]), ms(h["max"]),
                    "%.2f" % row["cpu_seconds_per_million_operations"] if index == 0 else "",
                    "%.0f" % (row["watch"]["device_read_bytes"]
                              / max(1, row["operations"])) if index == 0 else "",
                    "%.3f" % tiers["hit_ratio"]
                    if index == 0 and tiers.get("hit_ratio") is not None else "",
                ])
    table(["phase", "engine", "thousand op/s", "kind", "p50, us", "p99, us", "p99.9, us",
           "max, ms", "CPU s / million", "device bytes read / op", "hit ratio"], rows)

    print("### Limits\n")
    rows = []
    for run in runs:
        for row in run["results"]:
            if row["failed"]:
                continue
            watch, device = row["watch"], row.get("device")
            put = row["put_bytes"]
            rows.append([
                NAMES.get(row["workload"], row["workload"]), run["label"],
                "%.0f" % (row["peak_rss_bytes"] / MIB),
                verdict(row["peak_rss_bytes"] <= cap * RSS_SLACK),
                "%.2f" % (watch["disk_bytes_max"] / live),
                "%.2f" % (watch["disk_bytes_mean"] / live),
                verdict(watch["disk_bytes_max"] <= live * SPACE_MOST),
                "%.2f" % (watch["device_written_bytes"] / put) if put > 0 else "-",
                row["slow"]["over_limit"],
                row.get("unexplained_over_limit", "-"),
                row.get("unexplained_over_limit_awake", "-"),
                ms(device["read_ns"]["max"]) if device else "-",
                ms(device["write_sync_ns"]["max"]) if device else "-",
                ms(device["wake_ns"]["max"]) if device else "-",
            ])
    table(["phase", "engine", "peak RSS, MiB", "<= cap + 5 %", "disk / live, max", "mean",
           "<= %.1f" % SPACE_MOST, "written / put", "over 50 ms", "not the device's",
           "nor late CPU's", "device read max, ms", "device write+sync max, ms",
           "CPU late, max, ms"], rows)

    ours = [run["label"] for run in runs if run["results"][0]["engine"] == "warp"]
    theirs = [run["label"] for run in runs if run["results"][0]["engine"] != "warp"]
    if ours and theirs:
        print("### Ratios\n")
        rows = []
        for name in NAMES:
            rate = rates.get((ours[0], name))
            for peer in theirs:
                other = rates.get((peer, name))
                if rate and other:
                    aim = AIMS.get(name)
                    rows.append([NAMES[name], peer, "%.2f" % (rate / other),
                                 aim or "-", verdict(rate / other >= aim) if aim else "-"])
        table(["phase", "peer", "warp / peer", "aim", "reached"], rows)

    for run in runs:
        right = sum(row["verified"]["right"] for row in run["results"])
        wrong = [row["verified"] for row in run["results"]
                 if row["verified"]["mismatched"] + row["verified"]["missing"]
                 + row["verified"]["stale"] > 0]
        print("%s: %s values read and verified%s" % (
            run["label"], format(right, ","),
            "" if not wrong else "; **WRONG**, the first: " + wrong[0]["first"]))
    return 0


sys.exit(main())
