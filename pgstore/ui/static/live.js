// The feed: batches of server-sent events become rows. At most so many rows stay in the page.
"use strict";

(() => {
  const MOST_ROWS = 300;
  const table = document.getElementById("feed");
  const body = table.tBodies[0];
  const state = document.getElementById("feed-state");
  const pause = document.getElementById("feed-pause");
  const counts = []; // [time, count] of the last seconds
  let source = null, last = null, total = 0, hidden = 0, spoken = 0;

  const number = new Intl.NumberFormat("en").format;

  function show(text, kind) {
    state.textContent = text;
    state.className = `state state-${kind}`;
  }

  const made = (tag, properties) => Object.assign(document.createElement(tag), properties);

  // Texts become text nodes: nothing in a message is read as HTML.
  function rowOf(message) {
    const row = made("tr");
    const cell = (className, child) => {
      row.append(made("td", { className }));
      row.lastChild.append(child);
    };
    const link = (address, parameters, textContent, className) =>
      made("a", { href: `${address}?${new URLSearchParams(parameters)}`, textContent, className });
    cell("num", link(table.dataset.message, { id: message.id }, number(message.position), "main-link"));
    cell("num wide-only", number(message.version));
    cell("cell-name", link(table.dataset.stream, { stream: message.stream }, message.name, "mono name"));
    cell("cell-type", made("span", { textContent: message.type, className: `type hue-${message.hue}` }));
    cell("grow", made("code", { textContent: message.data, className: "summary" }));
    cell("when", made("time", { dateTime: message.added_at }));
    return row;
  }

  function add(batch) {
    const rows = document.createDocumentFragment();
    for (const message of batch.rows.reverse()) rows.append(rowOf(message));
    pgstore.showTimes(rows);
    body.prepend(rows);
    while (body.rows.length > MOST_ROWS) body.lastElementChild.remove();
    total += batch.count;
    hidden += batch.count - batch.rows.length;
    counts.push([performance.now(), batch.count]);
    document.getElementById("feed-none").hidden = true;
    document.getElementById("feed-box").hidden = false;
  }

  function figures() {
    const now = performance.now();
    while (counts.length && now - counts[0][0] > 3000) counts.shift();
    const rate = counts.reduce((sum, [, count]) => sum + count, 0) / 3;
    const shown = rate && rate < 10 ? rate.toFixed(1) : number(Math.round(rate));
    document.getElementById("feed-rate").textContent = shown;
    document.getElementById("feed-count").textContent = number(total);
    document.getElementById("feed-hidden").textContent = hidden ? `, ${number(hidden)} of them not shown` : "";
    if (total > spoken && now - (figures.spokenAt ?? 0) > 10000) {
      pgstore.say(`${number(total - spoken)} messages have come, ${shown} a second`);
      spoken = total;
      figures.spokenAt = now;
    }
  }

  function connect() {
    const address = new URL(table.dataset.events, location.href);
    if (last !== null) address.searchParams.set("after", last);
    source = new EventSource(address);
    show("Connecting", "waiting");
    source.onopen = () => show("Live", "working");
    source.addEventListener("batch", (event) => {
      last = event.lastEventId;
      add(JSON.parse(event.data));
    });
    source.addEventListener("failed", (event) => {
      source.close();
      show(JSON.parse(event.data), "bad");
      pause.textContent = "Try again";
    });
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) {
        show("The console does not send", "bad");
        pause.textContent = "Try again";
      } else show("Connecting again", "warn");
    };
  }

  function toggle() {
    if (source !== null && source.readyState !== EventSource.CLOSED) {
      source.close();
      show("Paused", "paused");
      pause.textContent = "Continue";
      pause.setAttribute("aria-pressed", "true");
    } else {
      pause.textContent = "Pause";
      pause.setAttribute("aria-pressed", "false");
      connect();
    }
  }

  pause.addEventListener("click", toggle);
  document.getElementById("feed-clear").addEventListener("click", () => body.replaceChildren());
  document.addEventListener("keydown", (event) => {
    if (event.key === "p" && pgstore.isForPage(event)) toggle();
  });
  addEventListener("pagehide", () => source?.close());
  setInterval(figures, 1000);
  connect();
})();
