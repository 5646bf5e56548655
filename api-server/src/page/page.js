// Keeps the regions of a page as they are on the server: fetches each again and changes what is other. Without this script
// the page is as it was loaded.
"use strict";

const SOON = 1500;
const LATEST = 30000;

// Makes `old` like `fresh`, and leaves alone what is the same, so that focus, pictures and videos stay.
function merge(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh.cloneNode(true));
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const keyed = new Map([...old.children].filter((child) => child.dataset.key).map((child) => [child.dataset.key, child]));
  let at = old.firstChild;
  for (const child of fresh.childNodes) {
    const key = child.dataset && child.dataset.key;
    const known = key ? keyed.get(key) : at && !(at.dataset && at.dataset.key) ? at : null;
    if (known && known !== at) old.insertBefore(known, at);
    if (!known) {
      old.insertBefore(child.cloneNode(true), at);
      continue;
    }
    at = known.nextSibling;
    merge(known, child);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

// Times as the reader's clock has them.
function localTimes(root) {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.textContent = format.format(at);
  }
}

async function follow(region) {
  let wait = SOON;
  for (;;) {
    await new Promise((done) => setTimeout(done, wait));
    if (document.hidden) continue;
    try {
      const answer = await fetch(region.dataset.live, { credentials: "same-origin", cache: "no-store" });
      if (answer.status === 401) {
        location.reload();
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(region.id);
      localTimes(fresh);
      merge(region, fresh);
      wait = SOON;
    } catch {
      wait = Math.min(2 * wait, LATEST);
    }
  }
}

localTimes(document);
for (const region of document.querySelectorAll("[data-live]")) follow(region);
