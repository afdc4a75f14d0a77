// Opens Stripe's window over this page. The button is a plain form, and stays one wherever a step fails.
(() => {
  "use strict";

  const SLOW = 8000;
  const GIVE_UP = 30000;
  const settings = document.body.dataset;
  const find = (selector, within = document) => within.querySelector(selector);
  let loading;
  let slow;
  // Counts the starts; one that finds it changed after a wait has been overtaken, and ends.
  let run = 0;

  // Inserted from here and not by a tag, because only then is a failure to load noticed for certain.
  function loadStripe() {
    loading ??= new Promise((resolve) => {
      const script = document.createElement("script");
      script.src = settings.stripeJs;
      script.onload = () => resolve();
      script.onerror = () => {
        // Forgotten, so that the next press asks for it again.
        loading = undefined;
        resolve();
      };
      document.head.append(script);
    });
    return loading;
  }

  async function findModal() {
    await loadStripe();
    try {
      const stripe = window.Stripe(settings.publishableKey);
      return stripe.verifyIdentity ? stripe : null;
    } catch {
      return null;
    }
  }

  async function create(address) {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), GIVE_UP);
    try {
      const response = await fetch(address, {
        method: "POST",
        headers: { Accept: "application/json", "Content-Type": "application/json" },
        body: '{"client":"modal"}',
        signal: patience.signal,
      });
      return { response, body: await response.json().catch(() => ({})) };
    } finally {
      clearTimeout(timer);
    }
  }

  function say(words) {
    find("#announce").textContent = words;
  }

  function setBusy(form, busy) {
    const button = find("#verify-button", form);
    const label = find("[data-busy]", button);
    if (busy) button.setAttribute("aria-busy", "true");
    else button.removeAttribute("aria-busy");
    // Not `disabled`: that would throw the keyboard's focus away.
    button.setAttribute("aria-disabled", busy);
    find("[data-idle]", button).hidden = busy;
    label.hidden = !busy;
    say(busy ? label.textContent : "");
    find("[data-slow]", form).hidden = true;
    clearTimeout(slow);
    if (busy) {
      find("[data-notes]", form).replaceChildren();
      slow = setTimeout(offerPlainWay, SLOW, form);
    }
  }

  // Nobody tells us when the window has opened; a frame of some size is the sign of it.
  function offerPlainWay(form) {
    const opened = [...document.querySelectorAll("iframe")].some((frame) => frame.offsetHeight > 99);
    if (opened) slow = setTimeout(offerPlainWay, SLOW, form);
    else {
      const offer = find("[data-slow]", form);
      offer.hidden = false;
      say(offer.textContent);
    }
  }

  function showNote(form, name, detail = "") {
    const content = find(`template[data-note="${name}"]`).content.cloneNode(true);
    const slot = find("[data-detail]", content);
    if (slot) slot.textContent = detail;
    setBusy(form, false);
    find("[data-notes]", form).replaceChildren(content);
    find("[data-slow]", form).hidden = name !== "failed";
  }

  // False when there are no words for it.
  function showOutcome(name) {
    const template = [...document.querySelectorAll("template[data-outcome]")].find((one) => one.dataset.outcome === name);
    if (!template) return false;
    clearTimeout(slow);
    const main = find("main");
    main.replaceChildren(template.content.cloneNode(true));
    main.removeAttribute("data-follows");
    document.title = template.dataset.title;
    find("h1", main).focus();
    scrollTo(0, 0);
    return true;
  }

  function showWait(seconds) {
    const slot = find("main [data-wait]");
    const units = [["days", 86400], ["hours", 3600], ["minutes", 60]];
    const [unit, size] = units.find(([, size]) => seconds >= 1.5 * size) ?? ["seconds", 1];
    slot.textContent = slot.dataset[unit].replace("{n}", Math.max(2, Math.round(seconds / size)));
  }

  // Only where somebody would have to look into the server's log.
  function showReference(id) {
    const part = find("main [data-reference]");
    find("code", part).textContent = id;
    part.hidden = !id;
  }

  // Where the server has a page that says it, that page is shown.
  function showRefusal(form, { response, body }) {
    if ([401, 409].includes(response.status) || body.error?.code === "attempts_exhausted") {
      location.assign("/verify");
    } else if (response.status === 429 || response.status >= 500) {
      showOutcome("unavailable");
      const wait = Number(response.headers.get("Retry-After"));
      if (wait > 0) showWait(wait);
      else showReference(response.headers.get("X-Request-Id"));
    } else {
      showNote(form, "failed");
    }
  }

  async function start(form) {
    const mine = ++run;
    setBusy(form, true);
    try {
      const stripe = await findModal();
      if (mine !== run) return;
      // Without a network the plain way would leave nothing but the browser's own page of error.
      if (!stripe && !navigator.onLine) return showNote(form, "failed");
      if (!stripe) return form.submit();
      const answer = await create(form.action);
      if (mine !== run) return;
      if (!answer.response.ok) return showRefusal(form, answer);
      const { error } = await stripe.verifyIdentity(answer.body.client_secret);
      if (!error) location.assign("/submitted");
      else if (error.code === "session_cancelled") showNote(form, "left");
      else if (!showOutcome(error.code)) showNote(form, "failed", error.message);
    } catch {
      if (mine === run) showNote(form, "failed");
    }
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-start]")) return;
    // "Open in this page" goes the browser's own way.
    if (event.submitter?.name === "client") {
      run += 1;
      return;
    }
    event.preventDefault();
    if (!find("[aria-busy]", form)) start(form);
  });

  // Back from Stripe's page a browser may show this one as it was left: busy, and perhaps no longer true.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    run += 1;
    location.reload();
  });

  if (find("form[data-start]")) loadStripe();
})();
