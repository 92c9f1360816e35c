// Small things that every page has: times in the viewer's zone, keys, copying.
"use strict";

(() => {
  const long = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
  const pad = (number, length = 2) => String(number).padStart(length, "0");

  // In the viewer's zone; without the date if that is today.
  function localTime(text) {
    const time = new Date(text);
    if (Number.isNaN(time.getTime())) return null;
    const clock = `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}`;
    const now = new Date();
    if (time.toDateString() === now.toDateString()) return { short: clock, time };
    const date = `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())}`;
    return { short: `${date} ${clock}`, time };
  }

  function showTimes(within) {
    for (const each of within.querySelectorAll("time[datetime]:not([data-shown])")) {
      const local = localTime(each.dateTime);
      if (!local) continue;
      each.dataset.shown = "";
      each.title = `${long.format(local.time)}\n${each.dateTime}`;
      each.textContent = local.short;
    }
    const zone = -new Date().getTimezoneOffset();
    for (const each of within.querySelectorAll("[data-zone]")) each.value = String(zone);
  }

  function say(text) {
    const place = document.getElementById("said");
    if (place) place.textContent = text;
  }

  async function copy(button) {
    const from = document.getElementById(button.dataset.copy);
    try {
      const fetched = button.dataset.fetch && await (await fetch(button.dataset.fetch)).text();
      const text = button.dataset.text ?? fetched ?? from?.textContent ?? "";
      await navigator.clipboard.writeText(text);
      say("Copied");
      button.dataset.label ??= button.textContent;
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = button.dataset.label; }, 1200);
    } catch {
      say("The browser did not let the page copy");
    }
  }

  // Whether a key is for the page: it is not typed into a field, and is no command of the browser.
  const isForPage = ({ target, ctrlKey, metaKey, altKey }) => !(ctrlKey || metaKey || altKey
    || target.isContentEditable || ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName));

  const KEYS = { j: "next", k: "prev", ArrowRight: "next", ArrowLeft: "prev" };

  document.addEventListener("keydown", (event) => {
    if (!isForPage(event)) return;
    if (event.key === "/") {
      const search = document.querySelector('[data-key="/"]');
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    } else if (event.key in KEYS && !event.target.closest("[tabindex='0']")) {
      const link = document.querySelector(`a[rel~="${KEYS[event.key]}"]`);
      if (link) { event.preventDefault(); link.click(); }
    }
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button:is([data-copy], [data-text], [data-fetch], [data-fold])");
    if (!button) return;
    if (button.dataset.fold !== undefined) {
      const open = button.dataset.fold === "open";
      const tree = document.getElementById(button.getAttribute("aria-controls"));
      for (const each of tree?.querySelectorAll("details") ?? []) each.open = open;
    } else copy(button);
  });

  // Forms leave out what is empty, so that addresses stay short.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "get") return;
    const fields = [...event.target.elements];
    const hasTime = fields.some((each) => each.type === "datetime-local" && each.value);
    for (const each of fields) {
      const isEmpty = each.dataset.zone === undefined ? !each.value : !hasTime;
      if (each.name && isEmpty) each.disabled = true;
    }
    setTimeout(() => { for (const each of event.target.elements) each.disabled = false; });
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) for (const each of document.querySelectorAll(":disabled[name]")) each.disabled = false;
  });

  document.addEventListener("DOMContentLoaded", () => {
    showTimes(document);
    // On a phone the sections are wider than the window.
    for (const each of document.querySelectorAll("nav [aria-current='page']")) each.scrollIntoView({ block: "nearest", inline: "center" });
  });
  document.addEventListener("htmx:load", (event) => showTimes(event.target));

  window.pgstore = { isForPage, showTimes, say };
})();
