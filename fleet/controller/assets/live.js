// Keeps the page of the hosts current.
//
// The server renders everything; this module asks for the changes of the view in the page's address and
// exchanges elements with the fragments it is sent. Ages count on here by the monotonic clock, because the
// clock of the machine that shows this page may be wrong.

/** The server says something every second. After so long without a word the values count as old. */
const SILENT_AFTER_MS = 4000;
/** After so long without a word the connection is given up and made anew. */
const DEAD_AFTER_MS = 8000;
/** How long to wait between two attempts after the server refused one. */
const RETRY_MS = 3000;
/** How long typing has to rest before the filter is applied. */
const TYPING_MS = 200;

const table = document.getElementById("hosts");
const filter = document.getElementById("filter");
const live = document.getElementById("live");
const lost = document.getElementById("lost");

let source = null;
let heardAt = performance.now();
let retryAt = Infinity;

// --- the stream

function connect() {
  source?.close();
  retryAt = Infinity;
  const mine = new EventSource("/ui/hosts/stream" + location.search);
  source = mine;
  const hear = (take) => (event) => {
    if (mine === source) {
      take(event.data);
      heardAt = performance.now();
      showContact("live");
    }
  };
  mine.addEventListener("update", hear(apply));
  mine.addEventListener("alive", hear((time) => (document.getElementById("at").textContent = time)));
  mine.addEventListener("error", () => {
    // The browser tries again by itself unless the server refused.
    if (mine === source && mine.readyState === EventSource.CLOSED) refused();
  });
}

/** The server refused the stream: because the session is over, or for the moment. */
async function refused() {
  retryAt = performance.now() + RETRY_MS;
  try {
    const answer = await fetch("/", { method: "HEAD", redirect: "manual" });
    if (answer.type === "opaqueredirect") {
      retryAt = Infinity;
      showContact("over");
    }
  } catch {
    // Not reachable; there is another attempt to come.
  }
}

function watchContact() {
  const now = performance.now();
  const silence = now - heardAt;
  if (live.dataset.state !== "over" && silence > SILENT_AFTER_MS) showContact("lost");
  if (now > retryAt || (source?.readyState === EventSource.OPEN && silence > DEAD_AFTER_MS)) {
    heardAt = Math.max(heardAt, now - SILENT_AFTER_MS);
    connect();
  }
}

function showContact(state) {
  if (live.dataset.state === state) return;
  live.dataset.state = state;
  live.querySelector(".word").textContent = state === "live" ? "Live" : "Values of";
  const gone = state !== "live";
  document.body.classList.toggle("out-of-contact", gone);
  lost.querySelector(".since").textContent = document.getElementById("at").textContent;
  lost.querySelector(".trying").hidden = state === "over";
  lost.querySelector(".over").hidden = state !== "over";
  lost.hidden = !gone;
}

// --- what the server sent

function apply(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const focused = document.activeElement;
  for (const part of [...template.content.children]) {
    const shown = document.getElementById(part.id);
    if (part === template.content.querySelector("table#hosts")) applyTable(part);
    else if (shown) become(shown, part);
  }
  document.title = document.getElementById("summary").dataset.title + " · timeball";
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

function applyTable(part) {
  if (part.tHead) become(table.tHead, part.tHead);
  const fresh = new Map();
  for (const body of [...part.tBodies]) {
    const shown = document.getElementById(body.id);
    if (shown) become(shown, body);
    else fresh.set(body.id, body);
    startAges(shown ?? body);
  }
  if (part.dataset.order === undefined) return;
  let place = table.tHead.nextElementSibling;
  for (const id of part.dataset.order.split(" ")) {
    const row = fresh.get("h-" + id) ?? document.getElementById("h-" + id);
    if (row === place) place = place?.nextElementSibling ?? null;
    else if (row) table.insertBefore(row, place);
  }
  while (place) {
    const next = place.nextElementSibling;
    place.remove();
    place = next;
  }
}

/** Makes an element like another with as little change as possible: focus, selection and scroll stay. */
function become(shown, wanted) {
  if (shown.isEqualNode(wanted)) return;
  if (shown.nodeName !== wanted.nodeName || shown.id !== wanted.id) {
    shown.replaceWith(wanted);
    return;
  }
  if (shown.nodeType !== Node.ELEMENT_NODE) {
    shown.nodeValue = wanted.nodeValue;
    return;
  }
  // What somebody has unfolded stays unfolded.
  const stays = (name) => wanted.hasAttribute(name) || (shown.nodeName === "DETAILS" && name === "open");
  for (const { name } of [...shown.attributes]) if (!stays(name)) shown.removeAttribute(name);
  for (const { name, value } of wanted.attributes) {
    if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
  const [old, now] = [[...shown.childNodes], [...wanted.childNodes]];
  now.forEach((child, n) => (n < old.length ? become(old[n], child) : shown.append(child)));
  old.slice(now.length).forEach((child) => child.remove());
}

// --- ages

const ages = new WeakMap();

function startAges(root) {
  for (const age of root.querySelectorAll("[data-age]")) ages.set(age, performance.now());
}

function countAges() {
  for (const age of table.querySelectorAll("[data-age]")) {
    const passed_s = (performance.now() - ages.get(age)) / 1000;
    const text = ageText(Math.floor(Number(age.dataset.age) + passed_s));
    if (age.textContent !== text) age.textContent = text;
  }
}

/** As the server writes ages: two units at most. */
function ageText(age_s) {
  const [min, h, d] = [60, 3600, 86400].map((unit) => Math.floor(age_s / unit));
  const two = (large, unit, small, smallUnit) => `${large} ${unit}` + (small ? ` ${small} ${smallUnit}` : "");
  if (age_s < 60) return `${age_s} s`;
  if (age_s < 3600) return `${min} min`;
  return age_s < 86400 ? two(h, "h", min % 60, "min") : two(d, "d", h % 24, "h");
}

// --- the view

function go(search) {
  if (search !== location.search) history.replaceState(null, "", "/" + search);
  const wanted = new URLSearchParams(search);
  const usual = { q: "", state: "", sort: "state" };
  for (const [name, value] of Object.entries(usual)) {
    const field = filter.elements[name];
    if (field !== document.activeElement) field.value = wanted.get(name) ?? value;
  }
  connect();
}

function applyFilter() {
  const wanted = new URLSearchParams(location.search);
  const put = (name, value) => (value ? wanted.set(name, value) : wanted.delete(name));
  put("q", filter.elements.q.value.trim());
  put("state", filter.elements.state.value);
  const sort = filter.elements.sort.value;
  if (sort !== (wanted.get("sort") ?? "state")) {
    put("sort", sort);
    wanted.delete("reverse");
  }
  wanted.delete("page");
  const search = wanted.toString();
  if ("?" + search !== location.search) go(search && "?" + search);
}

let typing = 0;
filter.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(applyFilter, TYPING_MS);
});
filter.addEventListener("submit", (event) => {
  event.preventDefault();
  applyFilter();
});

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest("a[data-live]");
  if (link) {
    event.preventDefault();
    go(new URL(link.href).search);
    return;
  }
  // Anywhere else in a row does as its name does, unless somebody selects text.
  const line = event.target.closest("tr.line");
  if (line && !event.target.closest("a, button") && getSelection().isCollapsed) {
    go(new URL(line.querySelector("a.toggle").href).search);
  }
});

addEventListener("pageshow", (event) => event.persisted && connect());

startAges(table);
setInterval(countAges, 1000);
setInterval(watchContact, 500);
connect();
