// Keeps the parts of a page marked with data-live as they are on the server, and shows what Markdown will
// look like. Without it every page is whole; it only has to be loaded again.

const PERIOD_MS = 5000;
const link = document.getElementById("link");

// Whoever is in a part, by keyboard or with something open, stays where he is.
function replace(part, fresh) {
  if (part.outerHTML === fresh.outerHTML || part.contains(document.activeElement)) return;
  for (const open of part.querySelectorAll("details[open][id]")) {
    fresh.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
  }
  part.replaceWith(document.adoptNode(fresh));
}

async function refresh() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok || answer.redirected) throw new Error(`status ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (fresh) replace(part, fresh);
    }
    document.title = page.title;
    link.hidden = true;
  } catch {
    link.hidden = false;
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

if (document.querySelector("[data-live]")) {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else tick();
  });
  if (!document.hidden) timer = setTimeout(tick, PERIOD_MS);
}

for (const form of document.querySelectorAll("form[data-preview]")) {
  form.addEventListener("submit", async (event) => {
    if (event.submitter?.name !== "preview") return;
    event.preventDefault();
    const shown = form.querySelector(".preview");
    try {
      const body = new URLSearchParams({ body: form.elements.body.value });
      const answer = await fetch("/operate/preview", { method: "POST", body });
      if (!answer.ok || answer.redirected) throw new Error(`status ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      shown.replaceChildren(...page.body.childNodes);
    } catch {
      shown.textContent = "The preview did not come. Are you still signed in?";
    }
  });
}
