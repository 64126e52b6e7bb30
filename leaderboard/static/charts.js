"use strict";

/* Figures become interactive when they come into view: one shared script draws them from data/charts/<name>.js,
   in the reader's theme and as wide as their place. Until then, and without scripts, the SVG is there. */

(() => {
  const OPTIONS = {
    ast: true, // expressions are interpreted: the page's policy forbids to make code of them
    actions: false,
    defaultStyle: false,
    renderer: "svg",
    hover: false,
    tooltip: { disableDefaultStyle: true, theme: "suite" },
  };
  const NARROW = 560; // px: below it there is no room for labels beside points
  const drawn = new Map(); // figure -> {view, width}
  let script = null;

  const vega = () => {
    script ??= new Promise((done, failed) => {
      const tag = document.createElement("script");
      tag.src = "static/vega.js";
      tag.onload = () => done(window.vegaEmbed);
      tag.onerror = () => failed(new Error("static/vega.js is missing"));
      document.head.append(tag);
    });
    return script;
  };

  /* How wide one of several panels is: `spare` is what axes and headers take. */
  const panels = (spec, about, width, spare) => {
    const gap = spec.spacing ?? 16;
    const free = width - spare + gap;
    const columns = about.fixed ?? Math.max(1, Math.min(about.panels, Math.floor(free / (about.least + gap))));
    if (!about.fixed) spec.columns = columns;
    spec.spec.width = Math.max(40, Math.floor(free / columns) - gap);
    return columns;
  };

  const fitted = (given, width, spare) => {
    const spec = structuredClone(given);
    const about = spec.usermeta?.suite ?? {};
    if (width < NARROW && spec.layer) spec.layer = spec.layer.filter((layer) => !layer.name?.startsWith("wide_"));
    if (about.panels) return { spec, columns: panels(spec, about, width, spare ?? about.spare) };
    spec.width = width;
    spec.autosize = { type: "fit-x", contains: "padding" };
    return { spec, columns: 0 };
  };

  const embed = async (holder, given, width, spare) => {
    const [draw, themes] = await Promise.all([vega(), suite.load("charts/theme")]);
    const { spec, columns } = fitted(given, width, spare);
    const config = structuredClone(themes[suite.theme.dark() ? "dark" : "light"]);
    config.legend.columns = Math.max(2, Math.min(8, Math.floor(width / 130)));
    if (width < NARROW) config.axis.labelLimit = 100;
    const result = await draw(holder, spec, { ...OPTIONS, config });
    const taken = holder.querySelector("svg").width.baseVal.value;
    return { result, columns, taken };
  };

  const draw = async (figure) => {
    const place = figure.querySelector(".chart-view");
    const given = await suite.load(`charts/${figure.dataset.chart}`);
    const style = getComputedStyle(place);
    const width = Math.floor(place.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
    if (width < 80) return;
    const before = drawn.get(figure);
    const holder = document.createElement("div");
    holder.className = "chart-drawing";
    holder.setAttribute("aria-hidden", "true"); // its place has the name and the sentence
    const hidden = document.createElement("div");
    hidden.className = "visually-hidden";
    hidden.append(holder);
    figure.append(hidden);
    let made = await embed(holder, given, width);
    if (made.columns) {
      const about = given.usermeta.suite;
      const spare = about.spare + made.taken - width + 1;
      if (made.taken > width || made.taken < width - 8 * made.columns) {
        made.result.finalize();
        made = await embed(holder, given, width, spare);
      }
    }
    place.replaceChildren(holder);
    hidden.remove();
    before?.result.finalize();
    drawn.set(figure, { result: made.result, width });
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", figure.querySelector(".chart-title").textContent);
    place.setAttribute("aria-describedby", figure.querySelector(".chart-sentence").id);
    place.setAttribute("tabindex", "0");
    figure.dataset.drawn = suite.theme.dark() ? "dark" : "light";
  };

  /* One drawing of a figure at a time; what was asked for meanwhile is drawn after it. */
  const running = new Map();
  const redraw = (figure) => {
    const job = (running.get(figure) ?? Promise.resolve()).then(() => draw(figure)).catch((error) => {
      figure.dataset.failed = error.message; // the SVG stays
    });
    running.set(figure, job);
    return job;
  };

  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        seen.unobserve(entry.target);
        redraw(entry.target).then(() => sized.observe(entry.target));
      }
    },
    { rootMargin: "300px" },
  );

  let waiting = 0;
  const sized = new ResizeObserver(() => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      for (const [figure, { width }] of drawn) {
        const place = figure.querySelector(".chart-view");
        const style = getComputedStyle(place);
        const now = Math.floor(place.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
        if (now >= 80 && Math.abs(now - width) > 8) redraw(figure);
      }
    }, 150);
  });

  addEventListener("suite:theme", () => {
    for (const figure of drawn.keys()) redraw(figure);
  });
  for (const figure of document.querySelectorAll("figure[data-chart]")) seen.observe(figure);
})();
