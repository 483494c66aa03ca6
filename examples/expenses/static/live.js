// Keeps the marked part of a page fresh. Without this script everything works by "Refresh".
"use strict";

const region = document.querySelector("[data-live]");
const EVERY_MS = 2000;
const LATER_MS = 15000;

if (region) {
  const asOf = document.querySelector("[data-as-of]");
  const word = document.querySelector("[data-live-word]");
  const announce = document.querySelector("[data-announce]");
  let tag = "";
  let pause = EVERY_MS;
  let timer = 0;

  const states = () =>
    new Map([...region.querySelectorAll("[data-key]")].map((row) => [row.dataset.key, row.dataset.state]));

  function show(html) {
    const before = states();
    const focused = region.contains(document.activeElement) ? document.activeElement : null;
    const key = focused?.closest("[data-key]")?.dataset.key;
    const at = key === undefined ? -1 : focusable(key).indexOf(focused);
    region.innerHTML = html; // our own server's, escaped there
    if (at >= 0) focusable(key)[at]?.focus({ preventScroll: true });

    const changed = [];
    for (const [each, state] of states()) {
      if (before.get(each) === state) continue;
      changed.push(`${each}: ${state}`);
      find(each)?.classList.add("changed");
    }
    if (changed.length && announce) {
      announce.textContent = changed.length > 3 ? `${changed.length} changes` : changed.join(". ");
    }
    // Which forms a claim's page offers depends on its phase; those stand outside of the live part.
    const phase = region.querySelector("[data-phase]")?.dataset.phase;
    if (phase && region.dataset.reload && phase !== region.dataset.reload) {
      const form = document.querySelector(".decide textarea");
      if (!form || !form.value) location.reload();
      else region.dataset.reload = phase;
    }
  }

  const find = (key) => region.querySelector(`[data-key="${CSS.escape(key)}"]`);
  const focusable = (key) => [...(find(key)?.querySelectorAll("a, button") ?? [])];

  async function refresh() {
    window.clearTimeout(timer);
    try {
      const headers = tag ? { "If-None-Match": tag } : {};
      const answer = await fetch(region.dataset.live, { headers, cache: "no-store" });
      if (answer.status === 200) {
        tag = answer.headers.get("ETag") ?? "";
        show(await answer.text());
      } else if (answer.status !== 304) {
        throw new Error(String(answer.status));
      }
      pause = EVERY_MS;
      if (asOf) asOf.textContent = `${new Date().toISOString().slice(11, 19)} UTC`;
      if (word) word.hidden = false;
    } catch {
      // The server is being restarted, perhaps: keep what is shown, and ask less often.
      pause = Math.min(pause * 2, LATER_MS);
      if (word) word.hidden = true;
    }
    plan();
  }

  function plan() {
    window.clearTimeout(timer);
    if (!document.hidden) timer = window.setTimeout(refresh, pause);
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? plan() : refresh()));
  document.querySelector("[data-refresh]")?.addEventListener("click", (event) => {
    event.preventDefault();
    refresh();
  });
  plan();
}
