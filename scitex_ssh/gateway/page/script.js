// Search as one types, the part that changes anew every few seconds, copy, arrow keys. All else is plain HTML.
"use strict";
const root = document.documentElement, live = document.getElementById("live");
root.classList.add("scripts");

// Dark and light
const theme = document.getElementById("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
function dress(choice) {
  if (choice) root.dataset.theme = choice;
  if (theme) theme.textContent = isDark() ? "Light" : "Dark";
}
try { dress(localStorage.getItem("theme")); } catch { dress(null); }
theme?.removeAttribute("hidden");
dark.addEventListener("change", () => dress(null));
theme?.addEventListener("click", () => {
  const choice = isDark() ? "light" : "dark";
  dress(choice);
  try { localStorage.setItem("theme", choice); } catch { /* kept for this page only */ }
});

// What changes: only the elements that differ are touched, so that focus and open menus stay
function settle(old, now) {
  if (old.isEqualNode(now)) return;
  if (old.nodeType !== 1 || now.nodeType !== 1 || old.tagName !== now.tagName) return old.replaceWith(now);
  if (old.tagName === "INPUT" || (old.tagName === "DETAILS" && old.open)) return;
  for (const { name } of [...old.attributes]) if (!now.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  fill(old, [...now.childNodes]);
}
function fill(parent, wanted) {
  const keyed = new Map([...parent.children].filter((e) => e.dataset.key).map((e) => [e.dataset.key, e]));
  const kept = new Set(wanted.map((node) => node.dataset?.key));
  for (const [key, gone] of keyed) if (!kept.has(key)) gone.remove();
  let place = parent.firstChild;
  for (const node of wanted) {
    const key = node.dataset?.key, mine = key ? keyed.get(key) : undefined;
    if (mine) {
      // An element that is moved loses the focus: what has no key makes room for it instead.
      while (place && place !== mine && !place.dataset?.key) { const next = place.nextSibling; place.remove(); place = next; }
      if (mine === place) place = place.nextSibling; else parent.insertBefore(mine, place);
      settle(mine, node);
    } else if (!key && place && !place.dataset?.key && place.nodeName === node.nodeName) {
      const next = place.nextSibling;
      settle(place, node);
      place = next;
    } else parent.insertBefore(node, place);
  }
  while (place) { const next = place.nextSibling; place.remove(); place = next; }
}

const link = document.getElementById("link");
let tag = "", asking = null;
async function look() {
  asking?.abort();
  const mine = (asking = new AbortController());
  const address = new URL(location.href);
  address.searchParams.set("part", "live");
  try {
    const answer = await fetch(address, { headers: tag ? { "If-None-Match": tag } : {}, signal: mine.signal, cache: "no-store" });
    if (answer.status === 401) return location.reload();
    if (answer.status === 200) {
      tag = answer.headers.get("ETag") || "";
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      show(page.body);
      fill(live, [...page.body.childNodes]);
    } else if (answer.status !== 304) throw new Error(answer.status);
    tell("", false);
  } catch (problem) {
    if (problem.name !== "AbortError") tell("The gateway does not answer; what is shown is old.", true);
  }
}
function tell(words, lost) {
  if (link && link.textContent !== words) link.textContent = words;
  link?.classList.toggle("lost", lost);
}
const show = (part) => part.querySelectorAll(".copy").forEach((button) => button.removeAttribute("hidden"));

if (live) {
  show(live);
  setInterval(() => document.hidden || look(), 1000 * live.dataset.every);
  document.addEventListener("visibilitychange", () => document.hidden || look());
}

// Search
const search = document.getElementById("search");
let typed = 0;
search?.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => {
    const address = new URL(location.href);
    address.searchParams.delete("page");
    if (search.value.trim()) address.searchParams.set("q", search.value.trim()); else address.searchParams.delete("q");
    history.replaceState(null, "", address);
    tag = "";
    look();
  }, 150);
});

// Copy
live?.addEventListener("click", async (event) => {
  const button = event.target.closest(".copy");
  if (!button) return;
  const code = button.closest(".reach").querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    // Not over plain HTTP from another machine: the older way.
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
    getSelection().removeAllRanges();
  }
  button.textContent = "Copied";
  button.classList.add("copied");
  setTimeout(() => { button.textContent = "Copy"; button.classList.remove("copied"); }, 1500);
});

// Keys
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inField = event.target.matches("input");
  if (event.key === "/" && !inField) {
    event.preventDefault();
    search?.select();
    search?.focus();
  } else if (event.key === "Escape") {
    document.querySelectorAll("details[open]").forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); });
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && (!inField || event.target === search)) {
    const stops = [...document.querySelectorAll(".copy")];
    const row = event.target.closest("tr");
    const at = stops.findIndex((stop) => stop.closest("tr") === row);
    const next = stops[event.key === "ArrowDown" ? at + 1 : at < 0 ? -1 : at - 1];
    if (next) { event.preventDefault(); next.focus(); } else if (event.key === "ArrowUp" && at === 0) search?.focus();
  }
});
