// Charts of the last hour, of the samples that the page's server has taken.
"use strict";

(() => {
  const HOUR = 3600;
  const SHORTEST = 120;
  // Of positions there are no parts.
  const WHOLE = Array.from({ length: 48 }, (_, n) => [1, 2, 5][n % 3] * 10 ** Math.floor(n / 3));
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
  const parts = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
  const scaled = (value, step, units) => {
    let unit = 0;
    while (Math.abs(value) >= step && unit < units.length - 1) { value /= step; unit += 1; }
    return `${(Math.abs(value) < 10 && unit ? parts : whole).format(value)} ${units[unit]}`.trim();
  };

  function span(seconds) {
    if (seconds < 1) return seconds ? `${whole.format(seconds * 1000)} ms` : "0 s";
    if (seconds < 120) return `${(seconds < 10 ? parts : whole).format(seconds)} s`;
    if (seconds < 7200) return `${parts.format(seconds / 60)} min`;
    if (seconds < 172800) return `${parts.format(seconds / 3600)} h`;
    return `${parts.format(seconds / 86400)} d`;
  }

  const FORMATS = {
    positions: (value) => (value < 10000 ? whole.format(value) : scaled(value, 1000, ["", "k", "M", "G"])),
    rate: (value) => `${(value < 10 ? parts : whole).format(value)}/s`,
    bytes: (value) => scaled(value, 1000, ["B", "kB", "MB", "GB", "TB"]),
    seconds: span,
  };

  function drawn(figure, times, values) {
    const place = figure.querySelector(".plot");
    const format = FORMATS[figure.dataset.unit];
    const tip = document.createElement("div");
    tip.className = "plot-tip";
    tip.hidden = true;
    const axis = { stroke: colour("--ink-3"), font: "11px system-ui, sans-serif", ticks: { show: false } };
    const grid = { stroke: colour("--line"), width: 1 };
    const size = () => ({ width: Math.max(place.clientWidth, 120), height: place.clientHeight });
    const plot = new uPlot({
      ...size(),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 }, sync: { key: "hour" } },
      scales: {
        // As long as the samples reach, but some minutes at least.
        x: { range: (shown) => {
          const now = Date.now() / 1000;
          return [Math.max(now - HOUR, Math.min(shown.data[0][0] ?? now, now - SHORTEST)), now];
        } },
        // Sizes are far from 0, and change little.
        y: { range: (_, low, high) => (figure.dataset.unit === "bytes"
          ? [low - Math.max((high - low) * 0.1, high * 0.001), high + Math.max((high - low) * 0.1, high * 0.001)]
          : [0, high ? high * 1.08 : 1]) },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 22, space: 60, incrs: [60, 300, 600, 900, 1800], values: [[60, "{HH}:{mm}", null, null, null, null, null, null, 1]] },
        { ...axis, grid, size: 54, space: 34, values: (_, ticks) => ticks.map(format), ...(figure.dataset.unit === "positions" && { incrs: WHOLE }) },
      ],
      series: [{}, { stroke: colour("--accent"), width: 1.5, fill: colour("--accent-soft"), points: { show: false }, spanGaps: false }],
      hooks: {
        setCursor: [(shown) => {
          const { idx, left } = shown.cursor;
          const value = idx == null ? null : shown.data[1][idx];
          tip.hidden = left < 0 || value == null;
          if (tip.hidden) return;
          tip.textContent = `${format(value)} at ${new Date(shown.data[0][idx] * 1000).toLocaleTimeString()}`;
          const across = left + shown.over.offsetLeft + 10;
          tip.style.left = `${Math.min(across, Math.max(place.clientWidth - tip.offsetWidth, 0))}px`;
        }],
      },
    }, [times, values], place);
    place.append(tip);
    new ResizeObserver(() => plot.setSize(size())).observe(place);
    return plot;
  }

  function watch(group) {
    const figures = [...group.querySelectorAll("figure")];
    let columns = { time: [] };
    let plots = new Map();

    function show() {
      for (const figure of figures) {
        const values = columns[figure.dataset.figure] ?? [];
        const last = values.findLast((value) => value != null);
        const now = figure.querySelector(".chart-now");
        now.textContent = last == null ? "" : FORMATS[figure.dataset.unit](last);
        const place = figure.querySelector(".plot");
        if (last == null) {
          if (!plots.has(figure)) { place.classList.add("plot-none"); place.textContent = "The first sample comes in some seconds."; }
        } else if (plots.has(figure)) plots.get(figure).setData([columns.time, values]);
        else {
          place.classList.remove("plot-none");
          place.textContent = "";
          plots.set(figure, drawn(figure, columns.time, values));
        }
      }
    }

    async function load() {
      let wait = 5;
      try {
        const last = columns.time.at(-1) ?? 0;
        const address = new URL(group.dataset.source, location.href);
        address.searchParams.set("after", String(Math.ceil(last * 1000)));
        const answer = await fetch(address, { headers: { Accept: "application/json" } });
        if (!answer.ok) throw new Error(answer.statusText);
        const found = await answer.json();
        wait = found.every;
        for (const [name, values] of Object.entries(found.columns)) {
          columns[name] = [...(columns[name] ?? []), ...values].slice(-720);
        }
        show();
      } catch {
        wait = 10;  // the server may come back
      }
      setTimeout(load, wait * 1000);
    }

    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const [figure, plot] of plots) { plot.destroy(); figure.querySelector(".plot").textContent = ""; }
      plots = new Map();
      show();
    });
    load();
  }

  for (const group of document.querySelectorAll(".charts[data-source]")) watch(group);
})();
