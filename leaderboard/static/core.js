"use strict";

/* What every page shares: data files, elements, the state in the URL, numbers as text, the theme.
   Data are only ever put into text and attributes that cannot run: see `el`. */

const suite = (() => {
  const given = new Map();
  const asked = new Map();

  /* A data file calls suiteData(key, JSON text). */
  window.suiteData = (key, text) => given.set(key, text);

  const load = (key) => {
    if (!/^[\w.-]+(\/[\w.-]+)*$/.test(key) || key.includes("..")) {
      return Promise.reject(new Error(`no data: ${key}`));
    }
    if (!asked.has(key)) {
      asked.set(
        key,
        new Promise((done, failed) => {
          const script = document.createElement("script");
          script.src = `data/${key}.js`;
          script.onload = () => {
            script.remove();
            given.has(key) ? done(JSON.parse(given.get(key))) : failed(new Error(`no data: ${key}`));
            given.delete(key);
          };
          script.onerror = () => failed(new Error(`no data: ${key}`));
          document.head.append(script);
        }),
      );
    }
    return asked.get(key);
  };

  /* el("a", {href: "x.html", class: "soft"}, "text", node, ...): text stays text. */
  const SAFE = /^(id|class|href|src|alt|title|scope|for|type|value|role|tabindex|hidden|open|lang|dir|name|colspan|rowspan|headers|download|checked|disabled|placeholder|min|max|step|width|height|loading|aria-[a-z]+|data-[a-z-]+)$/;
  const LINK = /^([\w.-]+\.html([?#][^\s]*)?|#[^\s]*|[?][^\s]*|(charts|exports|data)\/[\w./-]+|blob:[^\s]*)$/;
  const el = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (!SAFE.test(name)) throw new Error(`attribute ${name} is not for data`);
      if ((name === "href" || name === "src") && !LINK.test(value)) throw new Error(`not a link of ours: ${value}`);
      made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return made;
  };

  const state = {
    get: (name) => new URLSearchParams(location.search).get(name),
    set: (name, value) => {
      const query = new URLSearchParams(location.search);
      if (value === null || value === undefined || value === "") query.delete(name);
      else query.set(name, value);
      const text = query.toString();
      history.replaceState(null, "", `${location.pathname}${text ? `?${text}` : ""}${location.hash}`);
    },
  };

  const ABSENT = "\u2013";
  const known = (show) => (value) => (typeof value === "number" && Number.isFinite(value) ? show(value) : ABSENT);
  const signed = (value, digits) => {
    const text = value.toFixed(digits);
    if (Number(text) === 0) return (0).toFixed(digits);
    return (value > 0 ? "+" : "") + text.replace("-", "\u2212");
  };
  const short = (value) => {
    for (const [size, unit] of [[1e9, "B"], [1e6, "M"], [1e3, "K"]]) {
      if (value >= size) return `${Number((value / size).toPrecision(3))}${unit}`;
    }
    return String(value);
  };
  const format = {
    ABSENT,
    points: known((value) => signed(value, 1)),
    nats: known((value) => signed(value, 3)),
    score: known((value) => value.toFixed(1)),
    rate: known((value) => String(Number(value.toPrecision(6)))),
    count: known(short),
    p: known((value) => (value < 0.001 ? "< 0.001" : value.toFixed(3))),
    bytes: known((value) => {
      for (const [unit, name] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
        if (value >= unit) return `${Number((value / unit).toPrecision(3))} ${name}`;
      }
      return `${value} B`;
    }),
    duration: known((value) => {
      if (value < 59.95) return `${value.toFixed(1)} s`;
      const minutes = Math.floor(Math.round(value) / 60);
      if (minutes < 60) return `${minutes} min ${String(Math.round(value) % 60).padStart(2, "0")} s`;
      return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
    }),
    interval: (value, low, high) =>
      Number.isFinite(low) && Number.isFinite(high)
        ? `${format.points(value)} [${format.points(low)}, ${format.points(high)}]`
        : format.points(value),
  };

  /* The theme: the system's, or the one chosen, kept for the next page. */
  const dark = () =>
    (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) ===
    "dark";
  const button = document.getElementById("theme");
  const label = () => {
    const next = dark() ? "light" : "dark";
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${next} colours`);
  };
  const changed = () => {
    label();
    dispatchEvent(new CustomEvent("suite:theme", { detail: { dark: dark() } }));
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    try {
      localStorage.setItem("suite-theme", document.documentElement.dataset.theme);
    } catch {
      /* not kept */
    }
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  label();

  return Object.freeze({ load, el, state, format, theme: Object.freeze({ dark }) });
})();
