// Follows the status while the page is open, and shows the server's own page for it when it changes.
(() => {
  "use strict";

  const SOON = 3000;
  const LATE = 30000;
  const shown = () => document.querySelector("main[data-live]");
  let source;
  let timer;
  let pause = SOON;
  let busy = false;

  function isNews(status) {
    const { status: was, error } = shown().dataset;
    return status.status !== was || (status.last_error?.code ?? "") !== error;
  }

  function stop() {
    source?.close();
    clearTimeout(timer);
  }

  async function refresh() {
    const response = await fetch(location.pathname, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (!response.ok) throw new Error(response.statusText);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const [old, now] = [shown(), page.querySelector("main")];
    if (!old || !now) return;
    const same = old.innerHTML === now.innerHTML;
    const hadFocus = old.contains(document.activeElement);
    if (same) {
      Object.assign(old.dataset, now.dataset);
      return;
    }
    old.replaceWith(now);
    document.title = page.title;
    const heading = now.querySelector("h1");
    // Read aloud once: by the focus if it was in the part that went, else by the announcement.
    if (hadFocus) heading.focus();
    else document.getElementById("announce").textContent = heading.textContent;
  }

  async function heard(status) {
    if (busy) return;
    busy = true;
    try {
      if (shown() && isNews(status)) await refresh();
    } catch {
      later();
    } finally {
      busy = false;
    }
    if (!shown()) stop();
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(ask, pause);
    pause = Math.min(pause * 1.5, LATE);
  }

  async function ask() {
    if (!shown()) return stop();
    try {
      const response = await fetch("/status", { headers: { Accept: "application/json" }, cache: "no-store" });
      if (response.status === 401) return location.reload();
      if (response.ok) await heard(await response.json());
    } catch {
      // The network comes back, or the person leaves.
    }
    if (shown() && source?.readyState !== EventSource.OPEN) later();
  }

  function follow() {
    if (!shown()) return;
    source = new EventSource("/status/stream");
    source.addEventListener("status", (event) => heard(JSON.parse(event.data)));
    // While it is reconnecting the browser does that by itself; closed means it has given up.
    source.onerror = () => source.readyState === EventSource.CLOSED && later();
  }

  // A phone that slept may have missed the end of the stream without noticing.
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && shown() && ask());
  follow();
})();
