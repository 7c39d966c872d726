// Follows the JSON API and puts what it says into the page that the server has made.

const AXIS_TOP = 10, AXIS_BOTTOM = 22;
const MOST_MARKS = 120, LEAST_SLOTS = 20, SLOT = 9; // pixels that a mark needs
const WORDS = { ok: "ok", slow: "slow", fail: "failed", error: "error" };

const id = (name) => document.getElementById(name);
const icon = document.querySelector("link[rel=icon]");
const strip = id("strip"), graph = id("graph"), chart = id("chart");

let snapshot = null; // the last that came
let cameAt = 0; // by performance.now(), which no one sets
let answeredAt = Date.now(); // the page itself was an answer
let failures = 0; // polls in a row without an answer
let said = null; // the word that the page shows
let shown = []; // the checks that have a mark
let listed = ""; // what the list of changes was made from
let drawn = ""; // what the graph was drawn from
let chosen = null; // the key of the mark whose details are shown; null: the newest
const marks = new Map(); // by key

// Words

const cut = (text, most = 300) => {
  text = String(text ?? "");
  return text.length <= most ? text : `${text.slice(0, most - 1).replace(/[\ud800-\udbff]$/, "")}…`;
};

// Where no element keeps right-to-left marks from the text around: titles and labels.
const plain = (text) => text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\ufffd");

const duration = (seconds) => {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
};

const milliseconds = (ms) =>
  ms === null ? "–" : ms.toLocaleString([], ms < 10 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 0 });

const span = (ms) => (ms < 1000 ? `${milliseconds(ms)} ms` : `${(ms / 1000).toLocaleString()} s`);

const reason = (detail, phase) => {
  const said = !phase || phase === "check" || `${detail}`.match(`^(${phase}(: | at http)|timeout after )`);
  return `${said ? "" : `${phase}: `}${detail || (phase ? "no detail" : "")}`;
};

const clock = (date) => {
  const today = date.toDateString() === new Date().toDateString();
  return today ? date.toLocaleTimeString() : `${date.toLocaleDateString()} ${date.toLocaleTimeString()}`;
};

const expiry = (seconds) =>
  seconds < 0 ? `expired ${duration(-seconds)} ago` : `expires in ${duration(seconds)}`;

// Elements

const set = (element, name, value) => {
  if (element[name] !== value) element[name] = value;
};

const write = (element, text) => set(element, "textContent", text);

const make = (tag, ...children) => {
  const element = document.createElement(tag);
  element.append(...children);
  return element;
};

const draw = (tag, attributes, text) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  chart.append(element);
};

const moment = (date, element = document.createElement("time")) => {
  set(element, "dateTime", date.toISOString());
  set(element, "title", date.toISOString());
  write(element, clock(date));
  return element;
};

const at = (ts) => moment(new Date(ts * 1000));

const hint = (name, ts) => set(id(name), "title", new Date(ts * 1000).toISOString());

// The state

const lost = () => failures > 1;
const since = () => (performance.now() - cameAt) / 1000;

/** What goes on by itself between two answers: ages, the banner. */
const showAges = () => {
  if (!snapshot) return lost() && write(id("held"), "");
  const age = snapshot.last_check_age_s === null ? null : snapshot.last_check_age_s + since();
  const verdict = lost() || snapshot.stale ? `last verdict: ${cut(snapshot.state, 40)}` : null;
  write(id("held"), verdict ?? `for ${duration(snapshot.uptime_in_state_s + since())}`);
  write(id("age"), age === null ? "no check has ended yet" : `checked ${duration(age)} ago`);
};

const showBanner = () => {
  const banner = id("banner");
  set(banner, "hidden", !(lost() || snapshot?.stale));
  if (lost()) {
    const gone = new Date(answeredAt);
    if (banner.dataset.for !== gone.toISOString()) {
      banner.dataset.for = gone.toISOString();
      banner.replaceChildren("pingstate can't be reached since ", moment(gone), ". Trying again.");
    }
  } else if (snapshot?.stale) {
    delete banner.dataset.for;
    const age = snapshot.last_check_age_s;
    const when = age === null ? "since the start" : `for ${duration(age + since())}`;
    write(banner, `No check has ended ${when}: the verdict is stale.`);
  }
};

const showVerdict = () => {
  const state = snapshot ? snapshot.state : id("word").textContent;
  const word = lost() ? "unreachable" : snapshot?.stale ? "stale" : state;
  if (word === said) return;
  const symbol = id(`shape-${word}`) ?? id("shape-unknown");
  const picture = id("picture").cloneNode();
  picture.append(...symbol.cloneNode(true).childNodes);
  document.body.dataset.face = symbol.id.slice(6);
  id("shape").setAttribute("href", `#${symbol.id}`);
  icon.href = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(picture))}`;
  write(id("word").firstElementChild, cut(word, 40));
  document.title = `${plain(cut(word, 40))} · ${plain(cut(id("target").textContent, 80))}`;
  if (said !== null) {
    const why = lost() ? "pingstate can't be reached" : snapshot.stale ? "no check has ended" : lastReason();
    write(id("spoken"), plain(cut(`${cut(word, 40)}: ${why}`)));
  }
  said = word;
};

const lastReason = () => reason(snapshot.last_detail, snapshot.last_phase);

const showFacts = () => {
  write(id("target"), cut(snapshot.probe));
  write(id("latency"), milliseconds(snapshot.last_latency_ms));
  write(id("detail"), cut(lastReason()));
  for (const [event, count] of Object.entries(snapshot.checks)) {
    const number = id(`count-${event}`);
    write(number, count.toLocaleString());
    set(number.parentElement, "hidden", event === "error" && count === 0);
  }
  moment(new Date(snapshot.started * 1000), id("started").firstElementChild);
  write(id("transitions"), snapshot.transitions.toLocaleString());
  hint("held", snapshot.changes.at(-1)?.ts ?? snapshot.started);
  if (snapshot.recent.length) hint("age", snapshot.recent.at(-1).ts);
  const changes = JSON.stringify(snapshot.changes);
  if (listed !== changes) {
    listed = changes;
    id("changes").replaceChildren(...snapshot.changes.map(change).reverse());
  }
  const certificate = snapshot.certificate;
  set(id("certificate"), "hidden", !certificate);
  if (certificate) {
    const left = certificate.expires - Date.now() / 1000;
    write(id("expiry"), expiry(left));
    id("expiry").classList.toggle("soon", left < 14 * 86400);
    id("expires").replaceChildren(at(certificate.expires));
    write(id("subject"), cut(certificate.subject));
    write(id("issuer"), cut(certificate.issuer));
  }
};

const change = ({ ts, from, to, detail }) => {
  const move = make("span", make("bdi", cut(from, 40)), " → ", make("b", make("bdi", cut(to, 40))));
  return make("li", at(ts), " ", move, " ", make("bdi", cut(detail)));
};

// The strip

const axis = () => strip.offsetLeft;
const plotWidth = () => Math.max(60, graph.clientWidth - axis());
const slots = () => Math.max(shown.length, LEAST_SLOTS);

const tell = (check) =>
  [WORDS[check.event] ?? check.event, check.latency_ms === null ? "" : `${milliseconds(check.latency_ms)} ms`,
    cut(reason(check.detail, check.phase))].filter(Boolean);

const mark = (check) => {
  const shape = make("i");
  shape.className = WORDS[check.event] ? check.event : "";
  const element = make("div", shape);
  element.role = "option";
  element.ariaLabel = plain([clock(new Date(check.ts * 1000)), ...tell(check)].join(", "));
  return element;
};

const showRecent = () => {
  set(id("recent"), "hidden", snapshot.recent.length === 0);
  if (snapshot.recent.length === 0) return;
  const most = Math.min(MOST_MARKS, Math.floor(plotWidth() / SLOT));
  const keys = new Map(); // checks may have ended alike in the same millisecond
  shown = snapshot.recent.slice(-most).map((check) => {
    const key = JSON.stringify(check);
    const same = keys.get(key) ?? 0;
    keys.set(key, same + 1);
    return { ...check, key: `${same} ${key}` };
  });
  const wanted = JSON.stringify([shown.map((check) => check.key), plotWidth()]);
  if (wanted === drawn) return;
  drawn = wanted;
  const focused = strip.contains(document.activeElement);
  const before = chosen; // a mark that is removed takes the focus, and with it the choice, along
  const kept = new Set(shown.map((check) => check.key));
  for (const [key, element] of marks) {
    if (!kept.has(key)) {
      element.remove();
      marks.delete(key);
    }
  }
  const width = `${plotWidth() / slots()}px`;
  for (const check of shown) {
    let element = marks.get(check.key);
    if (!element) {
      element = mark(check);
      marks.set(check.key, element);
      strip.append(element);
    }
    element.style.width = width;
  }
  choose(marks.has(before) ? before : focused ? shown[0].key : null);
  if (focused && !strip.contains(document.activeElement)) marks.get(chosen).focus();
};

/** Show the details of a check; null is the newest, whichever that is. */
const choose = (key) => {
  chosen = key;
  const check = shown.find((one) => one.key === key) ?? shown.at(-1);
  for (const [name, element] of marks) {
    element.tabIndex = name === check.key ? 0 : -1;
    element.ariaSelected = String(name === key);
  }
  const [word, ...rest] = tell(check);
  id("readout").replaceChildren(at(check.ts), " · ", make("b", word));
  for (const text of rest) id("readout").append(" · ", make("bdi", text));
  drawChart();
};

const checkUnder = (event) => {
  if (!event.target.closest("#strip, #chart")) return null;
  const place = (event.clientX - graph.getBoundingClientRect().left - axis()) / (plotWidth() / slots());
  return shown[Math.floor(place) - (slots() - shown.length)]?.key ?? null;
};

for (const type of ["pointermove", "pointerdown"]) {
  graph.addEventListener(type, (event) => {
    const key = checkUnder(event);
    if (key !== null && key !== chosen) choose(key);
  });
}
graph.addEventListener("pointerleave", (event) => {
  // A finger that is lifted leaves too, and what it chose is still to be read.
  if (event.pointerType === "mouse" && shown.length && !strip.contains(document.activeElement)) choose(null);
});
strip.addEventListener("focusin", (event) => {
  for (const [key, element] of marks) if (element === event.target && key !== chosen) choose(key);
});
strip.addEventListener("focusout", (event) => {
  if (!strip.contains(event.relatedTarget) && shown.length) choose(null);
});
strip.addEventListener("keydown", (event) => {
  const here = shown.findIndex((check) => check.key === chosen);
  const goal = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: shown.length - 1 }[event.key];
  if (goal === undefined) return;
  event.preventDefault();
  marks.get(shown[Math.min(Math.max(goal, 0), shown.length - 1)].key).focus();
});

// The chart

/** A round step, so that at most four of them reach the highest value. */
const step = (highest) => {
  const power = 10 ** Math.floor(Math.log10(highest / 4));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one * 4 >= highest);
};

const drawChart = () => {
  const width = graph.clientWidth, height = chart.clientHeight;
  const left = axis(), slot = plotWidth() / slots(), bottom = height - AXIS_BOTTOM;
  const passed = shown.filter((check) => check.event !== "fail" && check.latency_ms !== null);
  const timed = shown.filter((check) => check.latency_ms !== null);
  const highest = Math.max(0.1, ...(passed.length ? passed : timed).map((check) => check.latency_ms));
  const limits = [["slow", snapshot.slow_ms], ["timeout", snapshot.timeout && snapshot.timeout * 1000]]
    .filter(([, ms]) => ms && ms <= 2.5 * highest);
  const most = Math.max(highest, ...limits.map(([, ms]) => ms)) * 1.05;
  const by = step(most), top = by * Math.ceil(most / by);
  const x = (index) => left + (index + slots() - shown.length + 0.5) * slot;
  const y = (ms) => bottom - (Math.min(ms, top) / top) * (bottom - AXIS_TOP);

  chart.replaceChildren();
  const place = shown.findIndex((check) => check.key === chosen);
  if (place >= 0) draw("rect", { class: "column", x: x(place) - slot / 2, y: AXIS_TOP - 4, width: slot, height: bottom - AXIS_TOP + 4 });
  for (let ms = 0; ms <= top * 1.001; ms += by) {
    draw("line", { class: "grid", x1: left, x2: width, y1: y(ms), y2: y(ms) });
    const text = ms ? Number(ms.toPrecision(6)).toLocaleString() : "0 ms";
    draw("text", { x: left - 8, y: y(ms) + 4, "text-anchor": "end" }, text);
  }
  for (const [name, ms] of limits) {
    draw("line", { class: "limit", x1: left, x2: width, y1: y(ms), y2: y(ms) });
    draw("text", { class: "label", x: width - 4, y: y(ms) + (y(ms) < AXIS_TOP + 14 ? 15 : -5) }, `${name} ${span(ms)}`);
  }
  let path = "";
  let pen = "M";
  shown.forEach((check, index) => {
    if (check.event === "fail" || check.latency_ms === null) pen = "M";
    else {
      path += `${pen}${x(index).toFixed(1)} ${y(check.latency_ms).toFixed(1)}`;
      pen = "L";
    }
  });
  if (path) draw("path", { class: "curve", d: path });
  shown.forEach((check, index) => {
    if (check.latency_ms === null) return;
    const [cx, cy] = [x(index), y(check.latency_ms)];
    if (check.event === "fail") draw("path", { class: "cross", d: `M${cx - 4} ${cy - 4}l8 8m0-8l-8 8` });
    else draw("circle", { class: "dot", cx, cy, r: slot > 14 ? 3.5 : 2 });
  });
  draw("text", { x: width, y: height - 4, "text-anchor": "end" }, clock(new Date(shown.at(-1).ts * 1000)));
  if (shown.length > LEAST_SLOTS / 2) {
    draw("text", { x: x(0) - slot / 2, y: height - 4 }, clock(new Date(shown[0].ts * 1000)));
  }
  const values = passed.map((check) => check.latency_ms);
  chart.ariaLabel = values.length
    ? `Latency of the last ${shown.length} checks: ${milliseconds(Math.min(...values))} to ${milliseconds(Math.max(...values))} ms`
    : `Latency: none of the last ${shown.length} checks was ok`;
};

// Following

const show = () => {
  if (snapshot && !lost()) {
    showFacts();
    showRecent();
  }
  showVerdict();
  showBanner();
  showAges();
};

let timer = 0;
let asking = false;

const poll = async () => {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  try {
    const answer = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    const came = await answer.json();
    if (!answer.ok || typeof came.state !== "string") throw new TypeError("not pingstate's answer");
    [snapshot, cameAt, answeredAt, failures] = [came, performance.now(), Date.now(), 0];
  } catch (error) {
    failures += 1;
    console.info(`no answer: ${error.message}`);
  }
  asking = false;
  const rhythm = Math.min(Math.max((snapshot?.interval ?? 2) * 500, 250), 5000);
  const next = failures === 0 ? rhythm : failures === 1 ? 500 : 2000;
  timer = setTimeout(poll, document.hidden ? 60000 : next);
  show();
};

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) poll();
});
setInterval(() => {
  if (document.hidden) return;
  showBanner();
  showAges();
}, 1000);
new ResizeObserver(() => snapshot && !lost() && showRecent()).observe(graph);
for (const element of document.querySelectorAll("time")) moment(new Date(element.dateTime), element);
graph.hidden = false;
poll();
