"use strict";
/* What /events sends is put into the elements that ask for it by their data attributes:
 *   data-metric       a value (of a shard: data-shard)     data-rate      how fast it grows, a second
 *   data-less         the first less the second            data-hit       gets answered from memory, lately
 *   data-histogram    data-part of it: count, p50, ...
 * main says which snapshot is shown (data-snapshot), and which one rates begin at (data-before). */
(() => {
  const $ = (id) => document.getElementById(id);
  const SHARDS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&*+-.:;=";
  const PRESSURE = ["calm", "a checkpoint is due", "writes wait a little", "writes are held up"];
  const TITLES = {
    warp_get_seconds: "Gets", warp_write_seconds: "Puts, deletes, adds",
    warp_log_flush_seconds: "Writes of the log", warp_log_sync_seconds: "Syncs of the log",
    warp_disk_read_seconds: "Values read from disk",
  };
  const ORDER = Object.keys(TITLES);
  const KEPT = 120;
  let source = null, paused = false, shown = null, before = null, names = "", history = {};
  let layout = "", owners = null, flights = [];

  /* ---- numbers as text ---- */
  const digits = (x) => x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);
  const steps = (x, base, units) => {
    let i = 0;
    while (x >= base && i + 1 < units.length) { x /= base; i++; }
    return [x, units[i], i];
  };
  const format = {
    count(x) {
      if (x < 10000) return Number.isInteger(x) ? String(x) : x < 10 ? x.toFixed(1) : x.toFixed(0);
      const [y, unit] = steps(x, 1000, ["", "k", "M", "G", "T"]);
      return digits(y) + " " + unit;
    },
    bytes(x) {
      const [y, unit, i] = steps(x, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
      return (i === 0 ? y.toFixed(0) : digits(y)) + " " + unit;
    },
    seconds(x) {
      if (x === 0) return "0 s";
      if (x < 1e-6) return (x * 1e9).toFixed(0) + " ns";
      if (x < 1e-3) return digits(x * 1e6) + " µs";
      if (x < 1) return digits(x * 1e3) + " ms";
      if (x < 120) return digits(x) + " s";
      if (x < 7200) return digits(x / 60) + " min";
      if (x < 172800) return digits(x / 3600) + " h";
      return digits(x / 86400) + " d";
    },
    percent(x) { return (x * 100).toFixed(1) + " %"; },
    factor(x) { return x.toFixed(2); },
  };
  const text = (kind, x) => x === null || x === undefined || Number.isNaN(x) ? "–" : format[kind](x);

  /* ---- what is shown, and what was before ---- */
  const value = (d, name, shard) => shard === undefined ? d.values[name] : (d.shards[shard] || {})[name];
  const span = () => before === null ? 0 : shown.values.warp_uptime_seconds - before.values.warp_uptime_seconds;
  const rate = (name, shard) => {
    const now = value(shown, name, shard), then = before === null ? null : value(before, name, shard);
    return span() > 0 && now !== undefined && then !== undefined && then !== null ? (now - then) / span() : null;
  };
  const hit = () => {
    if (before === null) return null;
    const gets = shown.values.warp_gets_total - before.values.warp_gets_total;
    const cold = shown.values.warp_cold_gets_total - before.values.warp_cold_gets_total;
    return gets > 0 ? Math.max(0, 1 - cold / gets) : null;
  };
  const read = (data) => {
    if (data.metric !== undefined) return value(shown, data.metric, data.shard);
    if (data.rate !== undefined) return rate(data.rate, data.shard);
    if (data.hit !== undefined) return hit();
    if (data.histogram !== undefined) return (shown.histograms[data.histogram] || {})[data.part];
    const [more, less] = data.less.split(" ");
    return Math.max(0, shown.values[more] - shown.values[less]);
  };
  const cell = (data, kind) => {
    const one = document.createElement("data");
    Object.assign(one.dataset, data);
    if (kind) one.dataset.kind = kind;
    return one;
  };
  const make = (tag, content, name) => {
    const one = document.createElement(tag);
    if (name) one.className = name;
    one.append(content);
    return one;
  };
  const color = (shard, count) => `hsl(${Math.round(360 * shard / count + 205) % 360} 62% ${dark.matches ? 64 : 44}%)`;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  /* ---- parts that depend on how many shards and histograms there are ---- */
  const build = () => {
    const histograms = Object.keys(shown.histograms)
      .sort((a, b) => (ORDER.indexOf(a) + 99) % 99 - (ORDER.indexOf(b) + 99) % 99);
    const now = shown.shards.length + " " + histograms.join() + dark.matches;
    if (now === layout) return;
    layout = now;
    const rows = shown.shards.map((_, i) => {
      const row = document.createElement("tr"), head = make("th", "");
      const dot = make("span", "", "dot");
      dot.style.background = color(i, shown.shards.length);
      head.scope = "row";
      head.append(dot, String(i));
      row.append(head);
      for (const [name, kind, grows] of [
        ["warp_shard_slots", "count"], ["warp_shard_records", "count"],
        ["warp_shard_load_ratio", "percent"], ["warp_shard_record_bytes", "bytes"],
        ["warp_shard_cache_bytes", "bytes"], ["warp_shard_cold_records", "count"],
        ["warp_shard_puts_total", "count", true], ["warp_shard_messages_total", "count", true],
        ["warp_shard_stalls_total", "count"]]) {
        row.append(make("td", cell({[grows ? "rate" : "metric"]: name, shard: i}, kind)));
      }
      return row;
    });
    document.querySelector("#shards tbody").replaceChildren(...rows);
    $("histograms").replaceChildren(...histograms.map((name) => {
      const figure = document.createElement("figure"), list = make("dl", "", "inline");
      const bars = make("div", "", "bars"), scale = make("div", "", "scale");
      bars.id = "bars-" + name;
      bars.setAttribute("role", "img");
      for (const [part, title, kind] of [["count", "in all", "count"], ["p50", "half within", "seconds"],
        ["p99", "99 %", "seconds"], ["p999", "99.9 %", "seconds"], ["max", "longest", "seconds"]]) {
        const pair = make("div", make("dt", title));
        pair.append(make("dd", cell({histogram: name, part}, kind)));
        list.append(pair);
      }
      figure.append(make("figcaption", TITLES[name] || name), bars, scale, list);
      return figure;
    }));
  };

  /* Bars of what came since the one before, or of all if nothing did; empty ones at both ends are left out. */
  const drawHistograms = () => {
    for (const [name, h] of Object.entries(shown.histograms)) {
      const bars = $("bars-" + name);
      if (bars === null) continue;
      const then = before === null ? null : before.histograms[name];
      const lately = h.buckets.map(([, n], i) => n - (then ? then.buckets[i][1] : 0));
      const counts = lately.some((n) => n > 0) ? lately : h.buckets.map(([, n]) => n);
      const first = counts.findIndex((n) => n > 0), most = Math.max(...counts);
      let last = counts.length - 1;
      while (last > 0 && counts[last] === 0) last--;
      if (first < 0) {
        bars.replaceChildren();
        bars.setAttribute("aria-label", "nothing yet");
        bars.nextSibling.replaceChildren(make("span", "nothing yet"));
        continue;
      }
      const from = Math.max(0, Math.min(first, last - 5)), to = Math.min(counts.length - 1, Math.max(last, from + 5));
      bars.replaceChildren(...counts.slice(from, to + 1).map((n, i) => {
        const bar = document.createElement("i");
        bar.style.height = (n > 0 ? Math.max(2, 100 * n / most) : 0) + "%";
        bar.title = `up to ${format.seconds(h.buckets[from + i][0])}: ${format.count(n)}`;
        return bar;
      }));
      bars.setAttribute("aria-label", "Most took up to " + format.seconds(h.buckets[counts.indexOf(most)][0]));
      bars.nextSibling.replaceChildren(make("span", from > 0 ? "from " + format.seconds(h.buckets[from - 1][0]) : "from 0"),
        make("span", "to " + format.seconds(h.buckets[to][0])));
    }
  };

  const drawSparks = () => {
    for (const svg of document.querySelectorAll("[data-spark]")) {
      const points = (history[svg.dataset.spark] || []).slice(-KEPT);
      const most = svg.dataset.spark === "hit" ? 1 : Math.max(1, ...points);
      svg.setAttribute("viewBox", `0 0 ${KEPT - 1} 20`);
      svg.setAttribute("preserveAspectRatio", "none");
      let path = svg.firstChild;
      if (path === null) {
        path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        svg.append(path);
      }
      path.setAttribute("d", points.length < 2 ? "" : "M" + points.map((y, i) =>
        `${KEPT - points.length + i} ${(19 - 18 * y / most).toFixed(2)}`).join("L"));
    }
  };

  const drawSlow = () => {
    const calls = shown.slow || [];
    $("slow").hidden = calls.length === 0;
    document.querySelector("#slow tbody").replaceChildren(...calls.slice(0, 12).map((call) => {
      const row = document.createElement("tr"), key = make("td", call.key + (call.key_bytes > 32 ? "…" : ""), "key");
      key.title = `${call.key_bytes} bytes, slot ${call.slot}`;
      row.append(make("td", String(call.number), "text"), make("td", call.operation, "text"), key,
        make("td", String(call.shard)), make("td", format.seconds(call.seconds)));
      for (const stage of ["wait", "execute", "room", "durable", "disk", "memory", "pace"]) {
        row.append(make("td", call.stages[stage] > 0 ? format.seconds(call.stages[stage]) : "–"));
      }
      return row;
    }));
  };

  /* ---- the sky: a body for each shard, as heavy as its mass; slots fly when they move ---- */
  const unpack = (slots, shards) => {
    const out = [];
    for (const [, far, count] of (slots || "").matchAll(/([^0-9])([0-9]*)/g)) {
      for (let n = count === "" ? 1 : Number(count); n > 0; n--) out.push((SHARDS.indexOf(far) + out.length) % shards);
    }
    return out;
  };
  const massOf = () => {
    const load = shown.shards.map((s) => s.warp_shard_load_ratio || 0);
    if (load.some((x) => x > 0)) return [load, "how much of a processor its work takes"];
    return [shown.shards.map((s) => s.warp_shard_record_bytes), "the memory of its records"];
  };
  let bodies = [], stars = [];
  const place = () => {
    const [mass] = massOf(), all = mass.reduce((a, b) => a + b, 0), n = mass.length;
    bodies = mass.map((m, i) => {
      /* On an ellipse, clockwise: the first one left, on top, or in the upper left corner. */
      const old = bodies[i], angle = n === 2 ? Math.PI * (i + 1) :
        n % 2 ? 2 * Math.PI * i / n - Math.PI / 2 : 2 * Math.PI * (i + .5) / n - Math.PI;
      const share = all > 0 ? m / all : 1 / n;
      return {x: n === 1 ? 0 : Math.cos(angle), y: n === 1 ? 0 : Math.sin(angle), share,
        wanted: Math.sqrt(share), size: old ? old.size : Math.sqrt(share)};
    });
  };
  const moveSlots = () => {
    const now = unpack(shown.slots, shown.shards.length);
    if (owners !== null && owners.length === now.length) {
      let moved = 0;
      for (let i = 0; i < now.length; i++) {
        if (now[i] !== owners[i]) {
          moved++;
          if (flights.length < 300) {
            flights.push({from: owners[i], to: now[i], begun: performance.now() + Math.random() * 600,
              bend: Math.random() * .5 - .25});
          }
        }
      }
      sky.dataset.moved = Number(sky.dataset.moved || 0) + moved;
    }
    owners = now;
  };
  const sky = $("sky"), pen = sky.getContext("2d");
  const drawSky = (time) => {
    const wide = sky.clientWidth, high = sky.clientHeight, sharp = devicePixelRatio || 1;
    if (wide === 0 || shown === null) return;
    if (sky.width !== Math.round(wide * sharp) || sky.height !== Math.round(high * sharp)) {
      sky.width = Math.round(wide * sharp);
      sky.height = Math.round(high * sharp);
    }
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.clearRect(0, 0, wide, high);
    const n = bodies.length, unit = Math.min(wide, high);
    const rx = n === 1 ? 0 : wide * .33, ry = n === 1 ? 0 : high * (n === 2 ? 0 : .32);
    const biggest = unit * Math.min(n <= 2 ? .26 : .165, .5 / Math.sqrt(n));
    const peak = Math.max(...bodies.map((b) => b.wanted), 1e-9);
    const spot = (b) => [wide / 2 + b.x * rx, high / 2 - 8 + b.y * ry];
    const ink = getComputedStyle(document.body).getPropertyValue("--ink");
    const turn = still.matches ? 0 : time / 9000;
    bodies.forEach((b, i) => {
      b.size += (b.wanted - b.size) * (still.matches ? 1 : .06);
      b.radius = Math.max(6, biggest * b.size / peak);
      [b.cx, b.cy] = spot(b);
      /* A cloud of its slots, one point for 64 of them. */
      const slots = shown.shards[i].warp_shard_slots, points = Math.round(slots / 64);
      pen.fillStyle = color(i, n);
      pen.globalAlpha = .55;
      for (let k = 0; k < points; k++) {
        const a = k * 2.39996 + turn * (1 + k % 5 / 4), r = b.radius + 6 + (k * 7 % 23) / 23 * biggest * .6;
        pen.fillRect(b.cx + Math.cos(a) * r, b.cy + Math.sin(a) * r * .8, 1.6, 1.6);
      }
      pen.globalAlpha = 1;
      const shade = pen.createRadialGradient(b.cx - b.radius / 3, b.cy - b.radius / 3, b.radius / 8, b.cx, b.cy, b.radius);
      shade.addColorStop(0, `hsl(${Math.round(360 * i / n + 205) % 360} 75% 74%)`);
      shade.addColorStop(1, color(i, n));
      pen.fillStyle = shade;
      pen.beginPath();
      pen.arc(b.cx, b.cy, b.radius, 0, 2 * Math.PI);
      pen.fill();
    });
    flights = flights.filter((f) => time - f.begun < 1400 && bodies[f.from] && bodies[f.to]);
    pen.fillStyle = ink;
    for (const f of still.matches ? [] : flights) {
      const t = (time - f.begun) / 1400;
      if (t < 0) continue;
      const a = bodies[f.from], b = bodies[f.to], e = t * t * (3 - 2 * t), arc = Math.sin(Math.PI * e) * f.bend;
      pen.beginPath();
      pen.arc(a.cx + (b.cx - a.cx) * e + (b.cy - a.cy) * arc, a.cy + (b.cy - a.cy) * e - (b.cx - a.cx) * arc,
        2.6, 0, 2 * Math.PI);
      pen.fill();
    }
    pen.textAlign = "center";
    pen.font = "600 13px system-ui, sans-serif";
    pen.fillStyle = ink;
    pen.strokeStyle = getComputedStyle(document.body).getPropertyValue("--sky");
    pen.lineWidth = 4;
    pen.lineJoin = "round";
    bodies.forEach((b, i) => {
      const words = `${i}: ${(b.share * 100).toFixed(0)} %`, y = Math.min(high - 8, b.cy + b.radius + 18);
      pen.strokeText(words, b.cx, y);
      pen.fillText(words, b.cx, y);
    });
  };
  const frame = (time) => {
    if (!document.hidden) drawSky(time);
    requestAnimationFrame(frame);
  };

  /* ---- an event ---- */
  const show = (list, chosen) => {
    const now = list[chosen], box = $("database");
    const all = JSON.stringify(list.map((d) => [d.database, d.state]));
    if (all !== names) {
      names = all;
      box.replaceChildren(...list.map((d, i) => {
        const option = make("option", (d.database || "this one") + (d.state === "running" ? "" : ` (${d.state})`));
        option.value = d.database;
        option.selected = i === chosen;
        return option;
      }));
      box.disabled = list.length < 2;
    }
    const good = now.not_ready === "";
    const state = good ? now.state : now.state === "running" ? "not ready" : now.state;
    if ($("state").textContent !== state) $("state").textContent = state;
    $("state").className = "pill " + (good ? "good" : "bad");
    $("age").textContent = now.values === undefined ? "" : `numbers are ${format.seconds(now.age)} old`;
    $("nothing").hidden = good;
    $("nothing").textContent = good ? "" : `Not ready: ${now.not_ready}.`;
    $("everything").hidden = now.values === undefined;
    document.title = `${now.database || "WarpEngine"}: ${state}`;
    if (now.values === undefined) {
      shown = before = null;
      return;
    }
    if (shown !== null && shown.opened_ms === now.opened_ms && shown.database === now.database) {
      if (now.values.warp_uptime_seconds > shown.values.warp_uptime_seconds) before = shown;
    } else {
      before = null;
      owners = null;
      history = {};
      flights = [];
    }
    const fresh = shown === null || before === shown;
    shown = now;
    build();
    if (fresh && before !== null) {
      for (const name of ["warp_gets_total", "warp_puts_total", "hit"]) {
        const y = name === "hit" ? hit() : rate(name), kept = history[name] = (history[name] || []).slice(1 - KEPT);
        kept.push(y === null ? kept.length ? kept[kept.length - 1] : 0 : y);
      }
    }
    place();
    moveSlots();
    for (const one of document.querySelectorAll("data")) {
      const x = read(one.dataset), kind = one.dataset.kind || (one.dataset.hit !== undefined ? "percent" : "count");
      const t = text(kind, x);
      if (one.textContent !== t) one.textContent = t;
    }
    const v = shown.values, level = v.warp_background_pressure || 0;
    $("pressure").value = level;
    $("pressure-words").textContent = PRESSURE[Math.min(3, level)];
    $("memory").value = v.warp_memory_limit_bytes > 0 ? v.warp_memory_bytes / v.warp_memory_limit_bytes : 0;
    $("replay").value = v.warp_checkpoint_log_limit_bytes > 0 ? v.warp_checkpoint_log_bytes / v.warp_checkpoint_log_limit_bytes : 0;
    const [, what] = massOf(), heavy = bodies.reduce((a, b, i) => b.share > bodies[a].share ? i : a, 0);
    $("mass-words").textContent = `The mass of a body is ${what}. A point is 64 slots; one that flies is a slot on its way.`;
    sky.setAttribute("aria-label", `${bodies.length} shards as bodies; the heaviest is shard ${heavy} with ` +
      `${(bodies[heavy].share * 100).toFixed(0)} percent of the mass. The table below has the numbers.`);
    $("about").textContent = `WarpEngine ${now.version}, process ${now.pid}, ${now.why}. ` +
      "Point at /metrics for Prometheus, /debug/shards and /debug/slow for JSON.";
    drawHistograms();
    drawSparks();
    drawSlow();
    $("main").dataset.before = before === null ? "" : before.values.warp_metrics_publishes_total;
    $("main").dataset.snapshot = v.warp_metrics_publishes_total;
    $("main").dataset.database = now.database;
  };

  const follow = (name) => {
    if (source !== null) source.close();
    source = new EventSource("events" + (name === null ? "" : "?database=" + encodeURIComponent(name)));
    source.addEventListener("databases", (event) => {
      const data = JSON.parse(event.data);
      if (!paused) show(data.databases, data.shown);
    });
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED && name !== null) {
        follow(null); /* there is none of that name any more */
        return;
      }
      $("state").textContent = "no connection";
      $("state").className = "pill bad";
    };
  };
  const pause = () => {
    paused = !paused;
    $("pause").setAttribute("aria-pressed", String(paused));
    $("pause").textContent = paused ? "Go on" : "Pause";
  };
  $("pause").addEventListener("click", pause);
  document.addEventListener("keydown", (event) => {
    if (event.key === "p" && !event.ctrlKey && !event.metaKey && !event.altKey &&
        event.target.tagName !== "SELECT") pause();
  });
  $("database").addEventListener("change", (event) => {
    location.hash = encodeURIComponent(event.target.value);
    names = "";
    follow(event.target.value);
  });
  dark.addEventListener("change", () => { layout = ""; });
  const asked = decodeURIComponent(location.hash.slice(1));
  follow(asked === "" ? null : asked);
  requestAnimationFrame(frame);
})();
