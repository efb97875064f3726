'use strict';
(() => {
  const one = (what, where) => (where || document).querySelector(what);
  const all = (what, where) => [...(where || document).querySelectorAll(what)];

  // A bar of a timeline is a button. One of them can be reached by Tab, and arrows lead to the others.
  const bars = where => all('.full', where).forEach(svg => {
    svg.setAttribute('role', 'group');
    all('.bar', svg).forEach((bar, n) => {
      bar.setAttribute('role', 'button');
      bar.setAttribute('tabindex', n ? -1 : 0);
      bar.setAttribute('aria-pressed', false);
    });
  });
  const mark = (bar, is) => {
    all('.bar').forEach(it => it.setAttribute('aria-pressed', it === bar && is));
    all('tr.said').forEach(row => row.classList.remove('said'));
    const row = one('#' + bar.id.replace('bar', 'step'));
    if (row && is) row.classList.add('said');
    const text = is ? bar.getAttribute('aria-label') : '';
    // What is said again would be read out again.
    if (one('#chosen').textContent !== text) one('#chosen').textContent = text;
  };
  const press = bar => mark(bar, bar.getAttribute('aria-pressed') !== 'true');
  const reach = (bar, key) => {
    const stops = all('.bar', bar.ownerSVGElement), at = stops.indexOf(bar), last = stops.length - 1;
    const next = { ArrowRight: Math.min(at + 1, last), ArrowLeft: Math.max(at - 1, 0), Home: 0, End: last }[key];
    if (next === undefined) return false;
    stops.forEach((it, n) => it.setAttribute('tabindex', n === next ? 0 : -1));
    stops[next].focus();
    return true;
  };
  document.addEventListener('keydown', event => {
    const bar = event.target.closest && event.target.closest('.bar');
    if (!bar || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === 'Enter' || event.key === ' ') press(bar);
    else if (!reach(bar, event.key)) return;
    event.preventDefault();
  });
  document.addEventListener('click', event => {
    const bar = event.target.closest && event.target.closest('.bar');
    if (bar) press(bar);
  });

  // Somebody selects a text, or has moved into a table by keyboard to scroll it: that must not be taken away.
  const reads = where => {
    const chosen = getSelection();
    return (!chosen.isCollapsed && chosen.rangeCount > 0 && chosen.getRangeAt(0).intersectsNode(where))
      || (document.activeElement.matches('.scroll') && where.contains(document.activeElement));
  };
  // Where the focus is: its id, or its link in the row with an id, since rows have the same links.
  const place = (held, where) => {
    if (!where.contains(held)) return '';
    if (held.id) return '#' + CSS.escape(held.id);
    const row = held.closest('[id]'), inside = where.contains(row) && row !== where ? '#' + CSS.escape(row.id) + ' ' : '';
    return inside + '[href="' + CSS.escape(held.getAttribute('href') || '') + '"]';
  };
  // What has changed is replaced. The focus and what is scrolled stay where they are.
  const take = fresh => {
    const before = one('#verdict h2');
    const held = document.activeElement;
    const pressed = one('.bar[aria-pressed=true]');
    all('[data-live]').forEach(old => {
      const now = fresh.getElementById(old.id);
      if (!now || old.dataset.was === now.textContent || reads(old)) return;
      const has = place(held, old);
      const tables = all('.scroll', old), fromLeft = tables.map(it => it.scrollLeft);
      old.dataset.was = now.textContent;
      old.className = now.className;
      // A table stays, and gets other rows: so a finger goes on to move it.
      const rows = all('tbody', old), others = all('tbody', now);
      const isLike = rows.length === 1 && others.length === 1 && [...old.children].length === [...now.children].length;
      if (isLike) {
        rows[0].replaceWith(others[0]);
        [...old.children].forEach((child, n) => { if (!child.querySelector('tbody')) child.replaceWith(now.children[n].cloneNode(true)); });
      } else {
        old.replaceChildren(...now.childNodes);
      }
      all('.scroll', old).forEach((it, n) => { it.scrollLeft = fromLeft[n] || 0; });
      bars(old);
      const again = has && one(has, old);
      if (again) {
        if (again.classList.contains('bar')) all('.bar').forEach(bar => bar.setAttribute('tabindex', bar === again ? 0 : -1));
        again.focus({ preventScroll: true });
      }
    });
    const chosen = pressed && one('#' + pressed.id);
    if (chosen) mark(chosen, true);
    const after = one('#verdict h2');
    if (before && after && before.textContent !== after.textContent) one('#told').textContent = after.textContent;
    document.title = fresh.title;
  };
  let asking = false, wanted = false, slow = false;
  const stale = text => { one('#fresh').textContent = text; };
  const look = () => {
    if (asking || document.hidden) { wanted = true; return; }
    asking = true; wanted = false;
    const ask = new XMLHttpRequest();
    ask.open('GET', location.href);
    ask.responseType = 'document';
    ask.timeout = 15000;
    ask.onloadend = () => {
      asking = false;
      if (ask.status === 401 || /\/login$/.test(ask.responseURL)) { location.reload(); return; }
      if (ask.status === 200 && ask.response) {
        take(ask.response);
        stale(slow ? 'There are too many viewers to be told of news: this page updates itself every 15 s.' : 'This page updates itself.');
      } else if (ask.status === 404) stale('The watch is gone: it was deleted, or forgotten since it ended long ago. What you see is old.');
      else if (ask.status) stale('The daemon answers with an error (HTTP ' + ask.status + '). What you see may be old.');
      else stale('The daemon does not answer. What you see may be old.');
      if (wanted) setTimeout(look, 2000);
    };
    ask.send();
  };
  // A page that nobody sees needs no events: a browser has few connections to one host.
  let events, failed = 0;
  const listen = () => {
    if (events) events.close();
    if (document.hidden) return;
    events = new EventSource('/events');
    events.onopen = () => { failed = 0; slow = false; };
    events.onmessage = look;
    events.onerror = () => {
      // It was refused: the page itself says more.
      if (events.readyState === EventSource.CLOSED) { slow = true; look(); setTimeout(listen, 15000); return; }
      // Each stream ends after a while, and the browser asks for another.
      failed += 1;
      if (failed > 1) stale('The daemon does not answer. What you see may be old.');
    };
  };
  document.addEventListener('visibilitychange', () => { listen(); if (!document.hidden) look(); });
  if (one('#fresh')) { bars(document); stale('This page updates itself.'); listen(); }
})();
