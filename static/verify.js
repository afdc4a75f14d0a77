// Opens Stripe's window over this page. The button is a plain form, and stays one wherever a step fails.
(() => {
  "use strict";

  const SLOW = 8000;
  const GIVE_UP = 30000;
  const settings = document.body.dataset;
  const find = (selector, within = document) => within.querySelector(selector);
  let script;

  // Inserted from here and not by a tag, because only then is a failure to load noticed for certain.
  function loadStripe() {
    script ??= new Promise((resolve) => {
      const tag = document.createElement("script");
      tag.src = settings.stripeJs;
      tag.onload = tag.onerror = () => resolve();
      document.head.append(tag);
    });
    return script;
  }

  async function modal() {
    await loadStripe();
    try {
      const stripe = window.Stripe(settings.publishableKey);
      return typeof stripe.verifyIdentity === "function" ? stripe : null;
    } catch {
      return null;
    }
  }

  async function create(form) {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), GIVE_UP);
    try {
      const response = await fetch(form.action, {
        method: "POST",
        headers: { Accept: "application/json", "Content-Type": "application/json" },
        body: '{"client":"modal"}',
        signal: patience.signal,
      });
      const body = await response.json().catch(() => ({}));
      return { response, body };
    } finally {
      clearTimeout(timer);
    }
  }

  function setBusy(form, busy) {
    const button = find("#verify-button", form);
    button.toggleAttribute("aria-busy", busy);
    if (busy) button.setAttribute("aria-busy", "true");
    // Not `disabled`: that would throw the keyboard's focus away.
    button.setAttribute("aria-disabled", String(busy));
    find("[data-idle]", button).hidden = busy;
    find("[data-busy]", button).hidden = !busy;
    clearTimeout(form.slowTimer);
    if (busy) {
      find("[data-notes]", form).replaceChildren();
      form.slowTimer = setTimeout(offerPlain, SLOW, form);
    } else {
      find("[data-slow]", form).hidden = true;
    }
  }

  // Nobody tells us when the window has opened; a frame of some size is the sign of it.
  function offerPlain(form) {
    const opened = [...document.querySelectorAll("iframe")].some((frame) => frame.offsetHeight > 99);
    find("[data-slow]", form).hidden = opened;
    if (opened) form.slowTimer = setTimeout(offerPlain, SLOW, form);
  }

  function note(form, name, detail) {
    const content = find(`template[data-note="${name}"]`).content.cloneNode(true);
    if (detail) find("[data-detail]", content).textContent = detail;
    setBusy(form, false);
    find("[data-notes]", form).replaceChildren(content);
    find("[data-slow]", form).hidden = name !== "failed";
  }

  function outcome(name) {
    const template = find(`template[data-outcome="${CSS.escape(name || "")}"]`);
    if (!template) return false;
    const main = find("main");
    main.replaceChildren(template.content.cloneNode(true));
    main.removeAttribute("data-live");
    document.title = template.dataset.title;
    find("h1", main).focus();
    scrollTo(0, 0);
    return true;
  }

  function waitWords(seconds) {
    const slot = find("main [data-wait]");
    if (!(seconds > 0)) return;
    const [words, n] = seconds < 60 ? [slot.dataset.seconds, seconds] : [slot.dataset.minutes, Math.ceil(seconds / 60)];
    slot.textContent = words.replace("{n}", n);
  }

  // The server knows better than this page what to say; where its own page says it, that is shown.
  function refused(form, { response, body }) {
    const { code } = body.error || {};
    if ([401, 409].includes(response.status) || code === "attempts_exhausted") {
      location.assign("/verify");
    } else if ([429, 502, 503].includes(response.status)) {
      outcome("unavailable");
      waitWords(Number(response.headers.get("Retry-After")));
    } else {
      note(form, "failed");
    }
  }

  async function start(form) {
    setBusy(form, true);
    try {
      const stripe = await modal();
      if (!stripe) return form.submit();
      const answer = await create(form);
      if (!answer.response.ok) return refused(form, answer);
      const { error } = await stripe.verifyIdentity(answer.body.client_secret);
      if (!error) return location.assign("/submitted");
      if (error.code === "session_cancelled") return note(form, "left");
      if (!outcome(error.code)) note(form, "failed", error.message);
    } catch {
      note(form, "failed");
    }
  }

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-start]");
    // "Open in this page" is the browser's own way.
    if (!form || event.submitter?.name === "client") return;
    event.preventDefault();
    if (find("[aria-busy]", form)) return;
    start(form);
  });

  // Back from Stripe's page, the browser may show this one as it was left: busy.
  addEventListener("pageshow", (event) => {
    if (event.persisted) document.querySelectorAll("form[data-start]").forEach((form) => setBusy(form, false));
  });

  if (find("form[data-start]")) loadStripe();
})();
