// Follows the JSON API and puts what it says into the page that the server has made.

const AXIS_TOP = 10, AXIS_BOTTOM = 22;
const MOST_MARKS = 120, LEAST_SLOTS = 20, SLOT = 9; // pixels that a mark needs

const id = (name) => document.getElementById(name);
const strip = id("strip"), graph = id("graph"), chart = id("chart"), banner = id("banner");

let snapshot = null; // the last that came
let askedAt = Date.now(); // for it, or for the page itself; this clock runs while a machine sleeps
let skew = 0; // milliseconds that the server's clock is ahead of ours
let failures = 0; // polls in a row without an answer; one that hung counts for two
let said = null; // the word that the page shows
let shown = []; // the checks that have a mark, and their marks
let chosen = null; // the one of them whose details are shown; null: the newest
let drawn = 0; // the width that they were drawn for
let listed = ""; // what the list of changes was made from

// Words

const cut = (text, most = 300) => {
  text = String(text ?? "");
  return text.length <= most ? text : `${text.slice(0, most - 1).replace(/[\ud800-\udbff]$/, "")}…`;
};

// Where no element keeps right-to-left marks from the text around: titles and labels.
const plain = (text) => text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\ufffd");

const duration = (seconds) => {
  const s = Math.max(0, Math.floor(seconds));
  const two = (unit, name, part, rest) => `${Math.floor(s / unit)} ${name} ${Math.floor((s % unit) / part)} ${rest}`;
  if (s < 60) return `${s} s`;
  return s < 3600 ? two(60, "min", 1, "s") : s < 86400 ? two(3600, "h", 60, "min") : two(86400, "d", 3600, "h");
};

const number = (value, options) => (value < 1e9 ? value.toLocaleString([], options) : value.toExponential(1));

const milliseconds = (ms) =>
  ms === null ? "–" : number(ms, ms < 10 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 0 });

const reason = (detail, phase) => {
  const said = !phase || phase === "check" || `${detail}`.match(`^(${phase}(: | at http)|timeout after )`);
  return `${said ? "" : `${phase}: `}${detail || (phase ? "no detail" : "")}`;
};

/** What came of a check; of one that passed too late its words tell nothing. */
const outcome = (event, text) => cut([event === "slow" && event, text].filter(Boolean).join(": "));

const clock = (ts, timeStyle = "medium") => {
  const date = new Date(ts * 1000);
  const today = date.toDateString() === new Date().toDateString();
  return today ? date.toLocaleTimeString() : date.toLocaleString([], { dateStyle: "medium", timeStyle });
};

const rhythm = ({ interval, slow_ms: slow, timeout }) =>
  [`every ${interval.toLocaleString()} s`,
    slow !== null && `slow above ${slow.toLocaleString()} ms`,
    timeout !== null && `timeout ${timeout.toLocaleString()} s`].filter(Boolean).join(", ");

// Elements

const set = (element, name, value) => element[name] === value || (element[name] = value);

const write = (element, text) => set(element, "textContent", text);

const make = (tag, ...children) => {
  const element = document.createElement(tag);
  element.append(...children);
  return element;
};

const draw = (tag, attributes, text = "") => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  chart.append(element);
};

const hint = (element, ts) => set(element, "title", new Date(ts * 1000).toISOString());

const moment = (ts, element = make("time")) => {
  hint(element, ts);
  set(element, "dateTime", element.title);
  write(element, clock(ts));
  return element;
};

// The state

const lost = () => failures > 1;
const since = () => Math.max(0, Date.now() - askedAt) / 1000;

/** What goes on by itself between two answers: ages, the banner. */
const showAges = () => {
  if (!snapshot && !lost()) return;
  const stale = snapshot?.stale, age = snapshot && snapshot.last_check_age_s;
  set(banner, "hidden", !lost() && !stale);
  if (lost()) {
    write(banner, `pingstate can't be reached since ${clock(askedAt / 1000)}. Trying again.`);
    hint(banner, askedAt / 1000);
  } else if (stale) {
    const when = age === null ? "since the start" : `for ${duration(age + since())}`;
    write(banner, `No check has ended ${when}: the verdict is stale.`);
    banner.title = "";
  }
  if (!snapshot) return id("held").replaceChildren(), id("age").replaceChildren();
  const verdict = lost() || stale ? `last verdict: ${cut(snapshot.state, 40)}` : null;
  write(id("held"), verdict ?? `for ${duration(snapshot.uptime_in_state_s + since())}`);
  write(id("age"), age === null ? "no check has ended yet" : `checked ${duration(age + since())} ago`);
};

const lastOutcome = () => outcome(snapshot.last_event, reason(snapshot.last_detail, snapshot.last_phase));

const showVerdict = () => {
  const word = lost() ? "unreachable" : snapshot?.stale ? "stale" : snapshot?.state ?? id("word").textContent;
  set(document, "title", plain(`${cut(word, 40)} · ${cut(id("target").textContent, 80)}`));
  if (word === said) return;
  const symbol = id(`shape-${word}`) ?? id("shape-unknown");
  const picture = id("picture").cloneNode();
  picture.append(...symbol.cloneNode(true).childNodes);
  document.body.dataset.face = symbol.id.slice(6);
  id("shape").setAttribute("href", `#${symbol.id}`);
  document.querySelector("link[rel=icon]").href =
    `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(picture))}`;
  write(id("word").firstElementChild, cut(word, 40));
  if (said !== null) {
    const why = lost() ? "pingstate can't be reached" : snapshot.stale ? "no check has ended" : lastOutcome();
    write(id("spoken"), plain(cut(`${cut(word, 40)}: ${why}`)));
  }
  said = word;
};

const showFacts = () => {
  write(id("target"), cut(snapshot.probe));
  write(id("latency"), milliseconds(snapshot.last_latency_ms));
  write(id("detail"), lastOutcome());
  set(id("now").dataset, "event", snapshot.last_event ?? "");
  for (const [event, count] of Object.entries(snapshot.checks)) {
    const place = id(`count-${event}`);
    write(place, count.toLocaleString());
    set(place.parentElement, "hidden", event === "error" && count === 0);
  }
  moment(snapshot.started, id("started").firstElementChild);
  write(id("rhythm"), rhythm(snapshot));
  write(id("transitions"), snapshot.transitions.toLocaleString());
  hint(id("held"), snapshot.changes.at(-1)?.ts ?? snapshot.started);
  if (snapshot.recent.length) hint(id("age"), snapshot.recent.at(-1).ts);
  const changes = JSON.stringify(snapshot.changes);
  if (listed !== changes) {
    listed = changes;
    id("changes").replaceChildren(...snapshot.changes.map(change).reverse());
  }
  const certificate = snapshot.certificate;
  set(id("certificate"), "hidden", !certificate);
  if (certificate) {
    const left = certificate.expires - (Date.now() + skew) / 1000;
    write(id("expiry"), left < 0 ? `expired ${duration(-left)} ago` : `expires in ${duration(left)}`);
    id("expiry").classList.toggle("soon", left < 14 * 86400);
    id("expires").replaceChildren(moment(certificate.expires));
    write(id("subject"), cut(certificate.subject));
    write(id("issuer"), cut(certificate.issuer));
  }
};

const change = ({ ts, from, to, detail, event }) =>
  make("li", moment(ts), " ",
    make("span", make("bdi", cut(from, 40)), " → ", make("b", make("bdi", cut(to, 40)))), " ",
    make("bdi", outcome(event, detail)));

// The strip

const slots = () => Math.max(shown.length, LEAST_SLOTS);

const tell = (check) =>
  [check.event === "fail" ? "failed" : check.event, check.latency_ms === null ? "no latency" : `${milliseconds(check.latency_ms)} ms`,
    cut(reason(check.detail, check.phase))];

const mark = (check) => {
  const shape = make("i");
  const element = make("div", shape);
  shape.className = element.className = check.event;
  element.role = "option";
  element.ariaLabel = plain([clock(check.ts), ...tell(check)].join(", "));
  return element;
};

const showRecent = () => {
  set(id("recent"), "hidden", snapshot.recent.length === 0);
  if (snapshot.recent.length === 0) return;
  const before = shown, width = strip.clientWidth, focused = strip.contains(document.activeElement);
  const known = new Map(before.map((one) => [one.key, one]));
  const alike = {}; // checks may have ended alike in the same millisecond
  shown = snapshot.recent.slice(-Math.max(1, Math.min(MOST_MARKS, Math.floor(width / SLOT)))).map((check) => {
    const text = JSON.stringify(check);
    alike[text] = (alike[text] ?? 0) + 1;
    const key = `${alike[text]} ${text}`;
    return known.get(key) ?? { ...check, key, element: mark(check) };
  });
  if (width === drawn && shown.length === before.length && shown.every((one, index) => one === before[index])) return;
  drawn = width;
  strip.style.setProperty("--slots", slots());
  let goal = chosen; // a mark that is removed takes the focus, and with it the choice, along
  for (const one of before) if (!shown.includes(one)) one.element.remove();
  shown.forEach(({ element }, index) => {
    const here = strip.children[index];
    if (here !== element) strip.insertBefore(element, here ?? null);
  });
  if (!shown.includes(goal)) goal = focused ? shown[0] : null;
  choose(goal);
  drawChart();
  if (focused && document.activeElement !== goal.element) goal.element.focus();
};

/** Show the details of a check; null is the newest, whichever that is. */
const choose = (goal) => {
  chosen = goal;
  const check = goal ?? shown.at(-1);
  for (const one of shown) {
    one.element.tabIndex = one === check ? 0 : -1;
    one.element.ariaSelected = String(one === goal);
  }
  const [word, latency, words] = tell(check);
  id("readout").replaceChildren(moment(check.ts), " · ", make("b", word), ` · ${latency}`);
  if (goal && words) id("readout").append(" · ", make("bdi", words)); // the newest one's stand above
};

const chooseAt = (element) => {
  const goal = shown.find((one) => one.element === element);
  if (goal && goal !== chosen) choose(goal);
};

for (const type of ["pointermove", "pointerdown"]) {
  // A finger's moves are told to the mark that it touched first.
  strip.addEventListener(type, ({ clientX, clientY }) =>
    chooseAt(document.elementFromPoint(clientX, clientY)?.closest("[role=option]")));
}
strip.addEventListener("pointerleave", (event) => {
  // A finger that is lifted leaves too, and what it chose is still to be read.
  if (event.pointerType === "mouse" && shown.length && !strip.contains(document.activeElement)) choose(null);
});
strip.addEventListener("focusin", (event) => chooseAt(event.target));
strip.addEventListener("focusout", (event) => {
  if (!strip.contains(event.relatedTarget) && shown.length) choose(null);
});
strip.addEventListener("keydown", (event) => {
  const here = shown.indexOf(chosen), last = shown.length - 1;
  const goal = { ArrowLeft: Math.max(here - 1, 0), ArrowRight: Math.min(here + 1, last), Home: 0, End: last }[event.key];
  if (goal === undefined) return;
  event.preventDefault();
  shown[goal].element.focus();
});

// The chart

const timed = (check) => check.event !== "fail" && check.latency_ms !== null;

/** A round step, so that at most four of them reach the highest value. */
const step = (highest) => {
  const power = 10 ** Math.floor(Math.log10(highest / 4));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one * 4 >= highest);
};

const drawChart = () => {
  const left = strip.offsetLeft, slot = strip.clientWidth / slots(), width = left + strip.clientWidth;
  const height = chart.clientHeight, bottom = height - AXIS_BOTTOM;
  const x = (index) => left + (index + slots() - shown.length + 0.5) * slot;
  const text = (words, x, y, anchor = "end") => draw("text", { x, y, "text-anchor": anchor }, words);
  chart.replaceChildren();
  const values = shown.filter(timed).map((check) => check.latency_ms);
  const highest = Math.max(0.1, ...values);
  const limits = [["slow", snapshot.slow_ms], ["timeout", snapshot.timeout && snapshot.timeout * 1000]]
    .filter(([, ms]) => ms && ms <= 2.5 * highest);
  const most = Math.max(highest, ...limits.map(([, ms]) => ms)) * 1.05;
  const by = step(most), top = values.length ? by * Math.ceil(most / by) : 0;
  const y = (ms) => bottom - (top && ms / top) * (bottom - AXIS_TOP);
  for (let ms = 0; ms <= top * 1.001; ms += by) {
    draw("line", { class: "grid", x1: left, x2: width, y1: y(ms), y2: y(ms) });
    text(ms ? number(Number(ms.toPrecision(6))) : "0 ms", left - 8, y(ms) + 4);
  }
  let path = "", pen = "M";
  shown.forEach((check, index) => {
    if (timed(check)) {
      const cx = x(index).toFixed(1), cy = y(check.latency_ms).toFixed(1);
      draw("circle", { class: "dot", cx, cy, r: slot > 14 ? 3.5 : 2 });
      path += `${pen}${cx} ${cy}`;
    }
    pen = timed(check) ? "L" : "M";
  });
  draw("path", { class: "curve", d: path });
  for (const [name, ms] of values.length ? limits : []) {
    draw("line", { class: "limit", x1: left, x2: width, y1: y(ms), y2: y(ms) });
    text(`${name} ${ms < 1000 ? `${milliseconds(ms)} ms` : `${(ms / 1000).toLocaleString()} s`}`,
      left + 4, y(ms) + (y(ms) < AXIS_TOP + 14 ? 15 : -5), "start");
  }
  text(clock(shown.at(-1).ts, "short"), width, height - 4);
  if (shown.length > LEAST_SLOTS / 2) text(clock(shown[0].ts, "short"), x(0) - slot / 2, height - 4, "start");
  const range = values.length && `${milliseconds(Math.min(...values))} to ${milliseconds(Math.max(...values))} ms`;
  chart.ariaLabel = range
    ? `Latency of the last ${shown.length} checks: ${range}`
    : `Latency: none of the last ${shown.length} checks was ok`;
};

// Following

const show = () => {
  if (snapshot && !lost()) {
    showFacts();
    showRecent();
  }
  showVerdict();
  showAges();
};

let timer = 0;
let asking = false;

const poll = async () => {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  const asked = Date.now(); // what comes late is no younger than the question
  try {
    const answer = await fetch(`status?recent=${MOST_MARKS}`, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    const came = await answer.json();
    if (!answer.ok || typeof came.state !== "string") throw new TypeError("not pingstate's answer");
    [snapshot, askedAt, failures] = [came, asked, 0];
    skew = (Date.parse(answer.headers.get("date")) || asked) - asked;
  } catch (error) {
    failures += error.name === "TimeoutError" ? 2 : 1;
    console.info(`no answer: ${error.message}`);
  }
  asking = false;
  const pause = [Math.min(Math.max((snapshot?.interval ?? 2) * 500, 250), 5000), 500][failures] ?? 2000;
  timer = setTimeout(poll, document.hidden ? 60000 : pause);
  show();
};

document.addEventListener("visibilitychange", () => document.hidden || poll());
setInterval(() => document.hidden || showAges(), 1000);
new ResizeObserver(() => snapshot && !lost() && showRecent()).observe(graph);
for (const element of document.querySelectorAll("time")) moment(Date.parse(element.dateTime) / 1000, element);
graph.hidden = false;
poll();
