"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const texts = data.texts, tablets = data.tablets;
  const at = (id) => document.getElementById(id);
  // Whatever is shown is text: nothing of a record becomes an element.
  const make = (name, kind, text) => {
    const element = document.createElement(name);
    if (kind) element.className = kind;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const took = (ms) => ms < 120000 ? (ms / 1000).toFixed(1) + " s" : Math.floor(ms / 60000) + " min " + Math.floor(ms / 1000) % 60 + " s";
  const when = (ms) => new Date(data.began_ms + ms).toISOString().slice(11, 19) + " +" + took(ms);
  const STATES = [["as it was", "usual"], ["serving", "warning"], ["redundant", "good"], ["left alone", "bad"]];

  // Timeline: how much each tablet had under way at a time.
  const KINDS = ["loads", "ops", "waits"], WORDS = ["loading", "operations", "waited for"];
  const unpacked = (runs) => {
    const values = [];
    for (let nth = 0; nth < runs.length; nth += 2) for (let n = 0; n < runs[nth]; n++) values.push(runs[nth + 1]);
    return values;
  };
  const highest = KINDS.map((_, kind) => {
    let most = 1;
    for (const lanes of data.lanes) for (let nth = 1; nth < lanes[kind].length; nth += 2) most = Math.max(most, lanes[kind][nth]);
    return most;
  });
  const draw = (canvas, lanes) => {
    const ratio = window.devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight;
    canvas.width = wide * ratio;
    canvas.height = high * ratio;
    const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    pen.scale(ratio, ratio);
    const strip = high / 3;
    lanes.forEach((runs, kind) => {
      pen.fillStyle = style.getPropertyValue("--" + KINDS[kind]);
      let bucket = 0;
      for (let nth = 0; nth < runs.length; nth += 2) {
        const left = bucket / data.buckets * wide, value = runs[nth + 1];
        bucket += runs[nth];
        if (!value) continue;
        const tall = Math.max(2, value / highest[kind] * (strip - 2));
        pen.fillRect(left, strip * (kind + 1) - tall, Math.max(1, bucket / data.buckets * wide - left), tall);
      }
    });
  };
  const drawn = new Map();
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target, drawn.get(entry.target));
  });
  const busy = tablets.map((name, nth) => [name, nth]).filter(([, nth]) => data.lanes[nth].some((runs) => runs.length > 2 || runs[1]));
  const line = ([name, nth]) => {
    const row = make("div", "tablet"), canvas = make("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "what was under way on " + name);
    row.append(make("span", "", name), canvas);
    drawn.set(canvas, data.lanes[nth]);
    canvas.addEventListener("pointermove", (event) => {
      const bucket = Math.min(data.buckets - 1, Math.floor(event.offsetX / canvas.clientWidth * data.buckets));
      const counts = data.lanes[nth].map((runs, kind) => unpacked(runs)[bucket] + " " + WORDS[kind]);
      at("at").textContent = name + " at " + when(bucket * data.bucket_ms) + ": " + counts.join(", ");
    });
    at("tablets").append(row);
    seen.observe(canvas);
  };
  const FIRST = 12;
  busy.slice(0, FIRST).forEach(line);
  if (busy.length > FIRST) {
    const others = make("button", "", "show all " + busy.length + " tablets");
    others.type = "button";
    others.addEventListener("click", () => { others.remove(); busy.slice(FIRST).forEach(line); });
    at("timeline").append(others);
  }
  if (drawn.size) {
    const scale = make("div", "scale");
    scale.append(make("span", "", "0 s"), make("span", "", took(data.took_ms)));
    at("tablets").before(scale);
  } else {
    at("timeline").hidden = true;
  }
  const again = () => drawn.forEach((lanes, canvas) => { if (canvas.isConnected) draw(canvas, lanes); });
  window.addEventListener("resize", again);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);

  // Stories.
  const events = (list, of) => {
    const items = make("ul", "events");
    const filled = (text) => !of ? text : text.replace(/\u0001/g, of.table).replace(/\u0002/g, of.tid).replace(/\u0003/g, of.pid);
    for (const [ms, kind, text, step, why, outcome, lasted] of list) {
      const item = make("li");
      item.append(make("span", "when", when(ms) + "  "));
      if (kind === 0) {
        item.append(make("code", "", filled(texts[text])), " ");
        const good = outcome === -1;
        item.append(make("span", good ? "good" : "bad", good ? "done" : outcome === -2 ? "how it went is not recorded" : texts[outcome]));
        if (lasted >= 0) item.append(make("span", "when", " in " + took(lasted)));
        item.append(make("div", "why", texts[step] + ": " + texts[why]));
      } else {
        item.append(make("span", kind === 2 ? "bad" : kind === 1 ? "why" : "", texts[text]));
      }
      items.append(item);
    }
    return items;
  };
  const fold = (title, list, of) => {
    const details = make("details");
    details.append(make("summary", "", title));
    details.addEventListener("toggle", () => { if (details.open && details.childElementCount === 1) details.append(events(list, of)); });
    return details;
  };
  const partitions = data.partitions.map(([table, tid, pid, state, serving, redundant, blocked, evidence, choice, list, failed]) =>
    ({ table: data.tables[table][1], tid, pid, state, serving, redundant, blocked, evidence, choice, list, failed, name: data.tables[table][0] + "/" + pid }));
  const story = (of, into) => {
    if (of.blocked >= 0) into.append(make("h3", "", "Why it was left alone"), make("p", "bad", texts[of.blocked]));
    if (of.evidence.length) {
      into.append(make("h3", "", "What was known before"));
      const list = make("ul");
      for (const [tablet, text] of of.evidence) list.append(make("li", "", tablets[tablet] + ": " + texts[text]));
      into.append(list);
    }
    if (of.choice) {
      const [ms, leader, how, why, rejected, lost] = of.choice;
      into.append(make("h3", "", "Who leads, and why"));
      into.append(make("p", "", when(ms) + "  " + tablets[leader] + " " + texts[how] + ": " + texts[why]));
      const list = make("ul");
      for (const [tablet, text] of rejected) list.append(make("li", "", "not " + tablets[tablet] + ": " + texts[text]));
      for (const text of lost) list.append(make("li", "bad", "given up: " + texts[text]));
      into.append(list);
    }
    if (of.list.length) into.append(fold("every call and wait (" + of.list.length + ")", of.list, of));
  };
  const PAGE = 50;
  let found = [], shown = 0;
  const more = () => {
    for (const of of found.slice(shown, shown + PAGE)) {
      const details = make("details"), summary = make("summary"), [word, tone] = STATES[of.state];
      const times = (of.serving >= 0 ? "serving +" + took(of.serving) : "") + (of.redundant >= 0 ? "  redundant +" + took(of.redundant) : "");
      summary.append(make("span", "tag " + tone, word), " ", make("span", "", of.name), " ", make("span", "right", times));
      details.append(summary);
      details.addEventListener("toggle", () => { if (details.open && details.childElementCount === 1) story(of, details); });
      at("partitions").append(details);
    }
    shown = Math.min(found.length, shown + PAGE);
    at("more").hidden = shown === found.length;
    at("found").textContent = shown === found.length ? found.length + " of " + partitions.length : shown + " of " + found.length + " shown";
  };
  const find = () => {
    const wanted = at("wanted").value.trim().toLowerCase(), state = at("state").value;
    const on = new Set(tablets.flatMap((name, nth) => wanted && name.toLowerCase().includes(wanted) ? [nth] : []));
    found = partitions.filter((of) =>
      (!wanted || of.name.toLowerCase().includes(wanted) || of.evidence.some(([tablet]) => on.has(tablet)))
      && (!state || (state === "f" ? of.failed : of.state === Number(state))));
    shown = 0;
    at("partitions").replaceChildren();
    more();
  };
  at("wanted").addEventListener("input", find);
  at("state").addEventListener("change", find);
  at("more").addEventListener("click", more);
  find();
  at("cluster").append(data.cluster.length ? fold("every call and note (" + data.cluster.length + ")", data.cluster) : make("p", "", "Nothing."));
  if (data.left_out) at("found").after(make("p", "warning", "Calls that succeeded are left out here, as there are " + data.left_out + "; `openmldb-ops record show` has them."));
  document.documentElement.dataset.ready = "yes";
})();
