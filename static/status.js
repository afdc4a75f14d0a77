// Follows the status while the page is open, and shows the server's own page for it when it changes.
(() => {
  "use strict";

  const SOON = 3000;
  const LATE = 30000;
  const shown = () => document.querySelector("main[data-follows]");
  let source;
  let timer;
  let pause = SOON;
  let swapping = false;
  let ended = false;

  // What can only be passing is followed to its end; the rest may stay as it is.
  const mustSettle = () => shown()?.dataset.follows === "until-settled";
  const goesOn = () => shown() && (!ended || mustSettle());

  function isNews({ status, last_error: error }) {
    const known = shown().dataset;
    return status !== known.status || (error?.code ?? "") !== known.error;
  }

  async function swap() {
    const response = await fetch(location.pathname, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (!response.ok) throw new Error(response.status);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const [old, fresh] = [shown(), page.querySelector("main")];
    if (!old || !fresh) return;
    const heading = fresh.querySelector("h1");
    const hadFocus = old.contains(document.activeElement);
    old.replaceWith(fresh);
    document.title = page.title;
    // Read aloud once: by the focus if that was in the part that went, else by the announcement.
    if (hadFocus) heading.focus();
    else document.getElementById("announce").textContent = heading.textContent;
  }

  async function hear(news) {
    if (!shown() || swapping || !isNews(news)) return;
    // Somebody has just pressed the button: what they are doing must not be pulled from under them.
    if (shown().querySelector("[aria-busy]")) return askLater();
    swapping = true;
    try {
      await swap();
      pause = SOON;
      // What was told meanwhile was not heard.
      if (goesOn()) askLater();
    } catch {
      askLater();
    } finally {
      swapping = false;
    }
    if (!shown()) stop();
  }

  function stop() {
    source?.close();
    clearTimeout(timer);
  }

  function askLater() {
    clearTimeout(timer);
    timer = setTimeout(ask, pause);
    pause = Math.min(pause * 1.5, LATE);
  }

  // A stream that is open may be mute all the same, held back by something between us and the server.
  function keepAsking() {
    if (source.readyState === EventSource.CLOSED) {
      if (goesOn()) askLater();
    } else if (mustSettle()) {
      clearTimeout(timer);
      timer = setTimeout(ask, LATE);
    }
  }

  async function ask() {
    if (!shown()) return stop();
    let news;
    try {
      const response = await fetch("/status", { headers: { Accept: "application/json" }, cache: "no-store" });
      if (response.status === 401) return location.reload();
      if (response.ok) news = await response.json();
    } catch {
      // The network comes back, or the person leaves.
    }
    keepAsking();
    if (news) await hear(news);
  }

  function follow() {
    source = new EventSource("/status/stream");
    source.addEventListener("status", (event) => hear(JSON.parse(event.data)));
    // No more will come on this stream.
    source.addEventListener("end", () => {
      ended = true;
      source.close();
      if (goesOn()) askLater();
    });
    // A lost connection the browser restores by itself; closed means that it has given up.
    source.onerror = () => source.readyState === EventSource.CLOSED && askLater();
    keepAsking();
  }

  // A phone that slept may have missed the end without noticing.
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && ask());
  if (shown()) follow();
})();
