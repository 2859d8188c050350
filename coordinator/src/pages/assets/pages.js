// Live updates and conveniences. Every page works without this; nothing here makes HTML of its own.
"use strict";

// What goes on by itself: durations, and how long ago something was. By the coordinator's clock.
const skew = Number(document.body.dataset.now || Date.now()) - Date.now();
const now = () => Date.now() + skew;

const span = (ms) => {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n) => String(n).padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${two(Math.floor(s / 60) % 60)} min`;
};

const ago = (ms) => {
  const s = Math.floor((now() - ms) / 1000);
  if (s < 60) return "just now";
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
};

const say = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

const tick = () => {
  for (const element of document.querySelectorAll("[data-since]")) say(element, span(now() - element.dataset.since));
  for (const element of document.querySelectorAll("[data-ago]")) say(element, ago(Number(element.dataset.ago)));
};
setInterval(tick, 1000);

// Replaces a part; whoever stood in it with the keyboard goes on standing there.
const put = (id, html) => {
  const old = document.getElementById(id);
  if (!old) return;
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const fresh = holder.content.firstElementChild;
  if (!fresh || fresh.outerHTML === old.outerHTML) return;
  const all = (root) => [...root.querySelectorAll("a, button, input, select, summary, [tabindex]")];
  const at = old.contains(document.activeElement) ? all(old).indexOf(document.activeElement) : -1;
  const scrolled = [...old.querySelectorAll(".graph, .scroll")].map((element) => element.scrollLeft);
  old.replaceWith(fresh);
  fresh.querySelectorAll(".graph, .scroll").forEach((element, i) => { element.scrollLeft = scrolled[i] || 0; });
  if (at >= 0) all(fresh)[at]?.focus({ preventScroll: true });
};

// A step that is opened gets its log.
const fill = async (step) => {
  const body = step.querySelector(".body");
  const answer = await fetch(step.dataset.src);
  if (answer.ok && answer.url.includes("/step")) body.innerHTML = await answer.text();
};

// One message after another, also where one has to wait for a page of a log: what comes meanwhile is not lost.
let queue = Promise.resolve();
const inTurn = (work) => { queue = queue.then(work).catch(() => {}); };

document.addEventListener("toggle", (event) => {
  const step = event.target;
  if (!step.matches?.("details.step") || !step.open) return;
  inTurn(() => (step.querySelector(".log") ? undefined : fill(step)));
}, true);

// Following the log.
const ROWS_MAX = 5000;
const follows = () => document.getElementById("follow")?.checked;

// Whoever has opened or closed a step decides alone what is open from then on.
let decided = false;
document.addEventListener("click", (event) => {
  if (event.target.closest?.("details.step > summary")) decided = true;
});

const open = async (step) => {
  if (!step.querySelector(".log")) await fill(step);
  step.open = true;
};

const rows = async ({ step, first, next, html }) => {
  document.getElementById("quiet")?.remove();
  const details = document.getElementById(`step-${step}`);
  if (!details) return;
  if (follows()) await open(details);
  const list = details.querySelector(".log[data-tail]");
  if (!list || next <= Number(list.dataset.tail)) return;
  // Loaded in between: what is missing comes with the whole page of it.
  if (first < Number(list.dataset.tail)) return fill(details);
  list.insertAdjacentHTML("beforeend", html);
  list.dataset.tail = next;
  while (list.childElementCount > ROWS_MAX) {
    list.firstElementChild.remove();
    // It does not begin where a page does any more: what was before it is behind the links.
    delete list.dataset.first;
  }
  if (follows()) list.lastElementChild?.scrollIntoView({ block: "end" });
};

const addStep = ({ step, html }) => {
  const steps = document.getElementById("steps");
  if (!steps || document.getElementById(`step-${step}`)) return;
  steps.insertAdjacentHTML("beforeend", html);
  document.getElementById("quiet")?.remove();
  return follows() || !decided ? open(document.getElementById(`step-${step}`)) : undefined;
};

const behind = async () => {
  for (const list of document.querySelectorAll(".log[data-tail]")) await fill(list.closest("details"));
};

// Whoever scrolls to the end of what is shown of a log gets the page behind it, and at its beginning the one before it. As many
// pages as below are kept; what goes at the other end comes back the same way. Without a script there are the links.
const PAGES_KEPT = 6;
let scrolls = false;

// Changes what is above or below what is in view, which stays where it is.
const around = (seen, change) => {
  const root = document.documentElement;
  const before = seen.getBoundingClientRect().top;
  // Some browsers hold still by themselves, and twice is once too often.
  root.style.overflowAnchor = "none";
  change();
  window.scrollBy({ top: seen.getBoundingClientRect().top - before, behavior: "instant" });
  requestAnimationFrame(() => { root.style.overflowAnchor = ""; });
};

// What leads from a list that is shown to other pages.
const linksOf = new WeakMap();
const lists = (step) => [...step.querySelectorAll(".body > .log")];

const scrollOn = async (step, later) => {
  const edge = later ? lists(step).at(-1) : lists(step)[0];
  if (!wants(step, later)) return;
  const page = later ? Number(edge.dataset.last) + 1 : Number(edge.dataset.first) - 1;
  step.setAttribute("aria-busy", "true");
  const answer = await fetch(`${step.dataset.src}&page=${page}`).finally(() => step.removeAttribute("aria-busy"));
  if (!answer.ok || !answer.url.includes("/step")) return;
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  const fresh = holder.content.querySelector(".log");
  // A log that was made anew in between has other pages.
  if (!edge.isConnected || Number(fresh?.dataset.first) !== page) return;
  const links = (root) => [...root.querySelectorAll(".pager")];
  for (const [list, root] of [[edge, step], [fresh, holder.content]]) {
    if (!linksOf.has(list)) linksOf.set(list, links(root).at(later === (list === edge) ? -1 : 0)?.cloneNode(true));
  }
  around(edge, () => {
    if (later) edge.after(fresh); else edge.before(fresh);
    if (lists(step).length > PAGES_KEPT) (later ? lists(step)[0] : lists(step).at(-1)).remove();
    // The links above are those of the first page shown, and the ones below those of the last.
    const [above, ...below] = links(step);
    for (const [place, list] of [[above, lists(step)[0]], [below.at(-1), lists(step).at(-1)]]) {
      const wanted = linksOf.get(list);
      if (wanted && place && !place.contains(document.activeElement)) place.replaceChildren(...wanted.cloneNode(true).childNodes);
    }
  });
};

// Whether there is a page on that side, and its end is less than a window away.
const wants = (step, later) => {
  const edge = later ? lists(step).at(-1) : lists(step)[0];
  if (!step.open || !edge) return false;
  const { top, bottom } = edge.getBoundingClientRect();
  if (later) return edge.dataset.tail === undefined && bottom < 2 * innerHeight && bottom > -innerHeight;
  return Number(edge.dataset.first) > 1 && top > -innerHeight && top < innerHeight;
};

document.addEventListener("scroll", () => {
  if (scrolls) return;
  scrolls = true;
  inTurn(async () => {
    try {
      for (const step of document.querySelectorAll("details.step[open]")) {
        for (const later of [true, false]) if (wants(step, later)) await scrollOn(step, later);
      }
    } finally {
      scrolls = false;
    }
  });
}, { passive: true });

// Plots have the newest on the right: that is in view where not all of it fits.
for (const picture of document.querySelectorAll(".picture")) picture.scrollLeft = picture.scrollWidth;

// The connection: comes back by itself, is let go while nobody looks, and says when it is gone.
const RETRY_FIRST_MS = 500;
const RETRY_LAST_MS = 10000;
let source = null;
let retry = RETRY_FIRST_MS;
let timer = 0;
let ended = false;
let last = "";

const told = (text) => {
  const element = document.getElementById("connection");
  if (element) say(element, text);
};

const address = () => {
  const url = new URL(document.body.dataset.live, location);
  const steps = document.getElementById("steps");
  if (steps) {
    const [record, line] = last ? last.split(".") : [steps.dataset.record, steps.dataset.line];
    url.searchParams.set("record", record);
    url.searchParams.set("line", line);
  }
  return url;
};

const close = () => {
  source?.close();
  source = null;
  clearTimeout(timer);
};

const connect = () => {
  close();
  if (ended || document.hidden) return;
  source = new EventSource(address());
  source.onopen = () => { retry = RETRY_FIRST_MS; told(""); };
  source.onerror = () => {
    // Whether the browser would try again by itself depends on what went wrong: so it is always done here.
    close();
    told("Connection lost; trying again");
    timer = setTimeout(connect, retry);
    retry = Math.min(2 * retry, RETRY_LAST_MS);
  };
  const on = (name, work) => source.addEventListener(name, (event) => {
    if (event.lastEventId) last = event.lastEventId;
    inTurn(() => work(event.data));
  });
  on("parts", (data) => { for (const [id, html] of Object.entries(JSON.parse(data))) put(id, html); tick(); });
  on("step", (data) => addStep(JSON.parse(data)));
  on("rows", (data) => rows(JSON.parse(data)));
  on("behind", behind);
  on("end", () => { ended = true; close(); });
};

if (document.body.dataset.live) {
  connect();
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : connect()));
}

// A link to a line that is on another page of the log leads there.
const toLine = () => {
  const line = /^#L(\d+)$/.exec(location.hash)?.[1];
  if (!line || document.getElementById(`L${line}`) || !document.getElementById("steps")) return;
  const url = new URL(location);
  if (url.searchParams.get("line") === line) return;
  url.searchParams.set("line", line);
  url.searchParams.delete("page");
  location.replace(url);
};
window.addEventListener("hashchange", toLine);
toLine();

// Whoever came by a link from elsewhere brought no cookie along, and may be signed in all the same.
const next = document.querySelector("[data-next]")?.dataset.next;
if (next) {
  fetch("/session").then((answer) => answer.text()).then((text) => { if (text === "yes") location.replace(next); });
}
