// Runs in the sandbox's own pages while a modal shows them, and tells the page around them how it went.
(() => {
  'use strict';
  const { opener, result, exchange } = document.body.dataset;
  const tell = (to, message) => parent.postMessage({ sandbox: 'verifyIdentity', ...message }, to);

  const listen = (to) => {
    // A key pressed in a frame is not heard around it.
    addEventListener('keydown', (event) => {
      if (event.key === 'Escape') tell(to, { closed: true });
    });
  };

  const open = async () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    const to = asked.get('opener');
    if (!to) return;
    listen(to);
    let answer;
    try {
      const response = await fetch(exchange, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ client_secret: asked.get('secret') ?? '', opener: to }),
      });
      answer = await response.json();
    } catch {
      answer = { error: { type: 'api_connection_error', message: 'The verification page could not be reached.' } };
    }
    if (answer.start) location.replace(answer.start);
    else tell(to, { result: answer });
  };

  if (exchange) open();
  else if (opener) {
    listen(opener);
    if (result) tell(opener, { result: JSON.parse(result) });
    else tell(opener, { ready: true });
  }
})();
