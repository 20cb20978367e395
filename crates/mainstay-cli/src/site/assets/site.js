// Refreshes the figures of the page in place from /status.json.
// The formats are those of format.rs; whoever changes one changes the other.

const PERIOD_MS = 2000;
const UNKNOWN = "–";

const known = (value) => typeof value === "number" && Number.isFinite(value) && value >= 0;
const tenths = (value) => (Math.floor(value * 10) / 10).toFixed(1);
const count = (value) => (known(value) ? String(value).replace(/\B(?=(\d{3})+$)/g, ",") : UNKNOWN);

function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const whole = Math.floor(seconds);
  const part = (unit, within) => Math.floor((within ? whole % within : whole) / unit);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${part(60)} min ${part(1, 60)} s`;
  if (whole < 86400) return `${part(3600)} h ${part(60, 3600)} min`;
  return `${count(part(86400))} d ${part(3600, 86400)} h`;
}

function ago(seconds) {
  if (!known(seconds)) return UNKNOWN;
  return seconds < 10 ? `${tenths(seconds)} s ago` : `${duration(seconds)} ago`;
}

function size(bytes) {
  if (!known(bytes) || bytes === 0) return UNKNOWN;
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let scaled = bytes / 1024;
  while (scaled >= 1024 && units.length > 1) {
    scaled /= 1024;
    units.shift();
  }
  return `${tenths(scaled)} ${units[0]}`;
}

const formats = { count, duration, ago, size, process: (pid) => (pid === null ? "(not running)" : String(pid)) };

function fill(scope, figures) {
  for (const cell of scope.querySelectorAll("[data-figure]")) {
    const value = figures[cell.dataset.figure];
    const text = (formats[cell.dataset.format] ?? String)(value);
    if (cell.textContent !== text) cell.textContent = text;
    if ("state" in cell.dataset) cell.dataset.state = value;
  }
}

// Rows are kept by pid, so that a selection or a screen reader's place survives a refresh.
function fillWorkers(workers) {
  const body = document.getElementById("workers");
  const rows = new Map(Array.from(body.rows, (row) => [row.dataset.pid, row]));
  workers.forEach((worker, place) => {
    const pid = String(worker.pid);
    const row = rows.get(pid) ?? document.getElementById("row").content.firstElementChild.cloneNode(true);
    rows.delete(pid);
    row.dataset.pid = pid;
    fill(row, worker);
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
  });
  for (const gone of rows.values()) gone.remove();
  document.getElementById("none").hidden = workers.length > 0;
}

function show(status) {
  fillWorkers(status.workers);
  for (const part of document.querySelectorAll("header, dl, footer")) fill(part, status);
  document.title = `${status.name} – ${status.state}`;
}

function setLink(lost) {
  document.body.classList.toggle("lost", lost);
  const link = document.getElementById("link");
  const text = lost ? "Connection lost. The figures below are old." : "";
  if (link.textContent !== text) link.textContent = text;
}

async function refresh() {
  try {
    const answer = await fetch("/status.json", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
    setLink(false);
  } catch {
    setLink(true);
  }
}

// One refresh at a time, the next one only after the last has ended; none while nobody looks.
let timer = null;
let busy = false;
async function tick() {
  if (busy) return;
  clearTimeout(timer);
  busy = true;
  await refresh();
  busy = false;
  if (!document.hidden) timer = setTimeout(tick, PERIOD_MS);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else tick();
});
if (!document.hidden) timer = setTimeout(tick, PERIOD_MS);
