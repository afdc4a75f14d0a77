// The sandbox's stand-in for Stripe.js: only verifyIdentity. It sets styles through the object model alone, so that a page's style-src 'self' does not stop it.
(() => {
  'use strict';
  const origin = new URL(document.currentScript.src).origin;
  const closed = {
    error: { type: 'validation_error', code: 'session_cancelled', message: 'The verification was closed.' },
  };
  let current = null;

  const style = (element, rules) => {
    for (const [name, value] of Object.entries(rules)) element.style.setProperty(name, value);
    return element;
  };

  const build = (clientSecret) => {
    const dialog = style(document.createElement('dialog'), {
      position: 'fixed', inset: '0', margin: 'auto', padding: '0', border: '0', 'box-sizing': 'border-box',
      width: 'min(100vw, 34rem)', height: 'min(100dvh, 52rem)', 'max-width': '100vw', 'max-height': '100dvh',
      'border-radius': '12px', overflow: 'hidden', background: '#fff', 'box-shadow': '0 0 0 100vmax rgb(0 0 0 / 60%)',
    });
    dialog.setAttribute('aria-label', 'Identity verification');
    const column = style(document.createElement('div'), {
      display: 'flex', 'flex-direction': 'column', width: '100%', height: '100%',
    });
    const close = style(document.createElement('button'), {
      'min-height': '48px', padding: '0 16px', border: '0', background: '#2b1a00', color: '#fff',
      font: '600 16px/1.5 system-ui, sans-serif', 'text-align': 'start', cursor: 'pointer', 'outline-offset': '-4px',
    });
    close.type = 'button';
    close.textContent = 'Close';
    const frame = style(document.createElement('iframe'), { flex: '1', width: '100%', border: '0' });
    frame.title = 'Identity verification';
    frame.allow = 'camera';
    // In the fragment the secret is in no request and no log.
    frame.src = `${origin}/modal#${new URLSearchParams({ secret: clientSecret, opener: location.origin })}`;
    column.append(close, frame);
    dialog.append(column);
    return { dialog, close, frame };
  };

  const show = (clientSecret) => new Promise((resolve) => {
    const { dialog, close, frame } = build(clientSecret);
    const overflow = document.documentElement.style.overflow;
    const finish = (result) => {
      removeEventListener('message', hear);
      document.documentElement.style.overflow = overflow;
      dialog.close();
      // Not yet: the key that closed it may still be down in the frame, and whoever drives the browser waits for its end.
      setTimeout(() => dialog.remove(), 1000);
      current = null;
      resolve(result);
    };
    const hear = (event) => {
      if (event.origin !== origin || event.source !== frame.contentWindow) return;
      if (event.data?.sandbox !== 'verifyIdentity') return;
      if (event.data.ready) frame.focus();
      else if (event.data.closed) finish(closed);
      else if (event.data.result) finish(event.data.result);
    };
    addEventListener('message', hear);
    close.addEventListener('click', () => finish(closed));
    dialog.addEventListener('cancel', (event) => {
      event.preventDefault();
      finish(closed);
    });
    document.body.append(dialog);
    document.documentElement.style.overflow = 'hidden';
    dialog.showModal();
    current = dialog;
  });

  const refuse = (message) => {
    const error = new Error(message);
    error.name = 'IntegrationError';
    throw error;
  };

  function Stripe(key) {
    if (typeof key !== 'string' || !key.startsWith('pk_test_')) {
      refuse('The sandbox takes a publishable test key, one that begins with pk_test_.');
    }
    return Object.freeze({
      verifyIdentity(clientSecret) {
        if (typeof clientSecret !== 'string' || !clientSecret.includes('_secret_')) {
          refuse('verifyIdentity takes the client_secret of a VerificationSession.');
        }
        if (current) refuse('A verification is open already.');
        return show(clientSecret);
      },
    });
  }
  Stripe.version = 'sandbox';
  window.Stripe = Stripe;
})();
