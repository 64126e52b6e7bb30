"use strict";

/* What every page shares: data files, elements, the state in the URL, numbers as text, the theme.
   Data are only ever put into text and attributes that cannot run: see `el`. */

const suite = (() => {
  const given = new Map();
  const asked = new Map();

  /* A data file calls suiteData(key, JSON text). */
  window.suiteData = (key, text) => given.set(key, text);

  /* What cannot be read is not kept: the next one who asks tries again. */
  const read = (key) =>
    new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = `data/${key}.js`;
      script.onload = () => {
        script.remove();
        const text = given.get(key);
        given.delete(key);
        try {
          if (text === undefined) throw new Error("it hands nothing over");
          done(JSON.parse(text));
        } catch (error) {
          failed(new Error(`data/${key}.js is damaged: ${error.message}`));
        }
      };
      script.onerror = () => {
        script.remove();
        failed(new Error(`data/${key}.js is missing`));
      };
      document.head.append(script);
    });
  const load = (key) => {
    if (!/^[\w.-]+(\/[\w.-]+)*$/.test(key) || key.includes("..")) {
      return Promise.reject(new Error(`no data: ${key}`));
    }
    if (!asked.has(key)) {
      const reading = read(key);
      asked.set(key, reading);
      reading.catch(() => asked.delete(key));
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
    // one by one: a call takes some ten thousand arguments, and a record may have more of anything
    for (const child of children.flat()) if (child !== null && child !== undefined) made.append(child);
    return made;
  };

  const state = {
    get: (name) => new URLSearchParams(location.search).get(name),
    set: (name, value) => {
      const query = new URLSearchParams(location.search);
      if (value === null || value === undefined || value === "") query.delete(name);
      else query.set(name, value);
      const text = query.toString();
      history.replaceState(null, "", `${location.href.split(/[?#]/)[0]}${text ? `?${text}` : ""}${location.hash}`);
    },
  };

  /* A field of a CSV file. A spreadsheet runs a text that begins like a formula; a quote before it is shown and
     nothing runs. leaderboard/text.py has the same rule. */
  const harmless = (text) => (/^(\s*[=+\-@]|[\t\r])/.test(text) ? `'${text}` : text);
  const field = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value !== "string") return typeof value !== "number" || Number.isFinite(value) ? String(value) : "";
    const text = harmless(value);
    return /[",;\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  /* Numbers as suite/words.py and leaderboard/pages.py write them: what lies half-way between two goes to the
     even one. toFixed and toExponential take the larger; `long` is the same number with 60 digits more. */
  const MORE = 60;
  const even = (usual, long) => {
    const [digits, power] = long.split("e");
    const cut = digits.slice(0, -MORE).replace(/\.$/, "");
    const half = /^50*$/.test(digits.slice(-MORE)) && Number(cut.at(-1)) % 2 === 0;
    return half ? (power === undefined ? cut : `${cut}e${power}`) : usual;
  };
  const fixed = (value, digits) => {
    const size = Math.abs(value);
    if (size >= 1e21) return String(value);
    return (value < 0 ? "-" : "") + even(size.toFixed(digits), size.toFixed(digits + MORE));
  };
  /* Python's :g. */
  const general = (value, digits) => {
    const size = Math.abs(value);
    const text = even(size.toExponential(digits - 1), size.toExponential(digits - 1 + MORE));
    const [mantissa, exponent] = text.split("e");
    const power = Number(exponent);
    const bare = (number) => (number.includes(".") ? number.replace(/\.?0+$/, "") : number);
    const shown =
      power < -4 || power >= digits
        ? `${bare(mantissa)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`
        : bare(Number(text).toFixed(digits - 1 - power));
    return (value < 0 ? "-" : "") + shown;
  };
  const thousands = (value) => fixed(value, 0).replace(/\B(?=(\d{3})+$)/g, ",");
  const scaled = (value, units) => {
    const at = units.findIndex(([size]) => value >= size);
    if (at < 0) return [String(value), ""];
    const [size, name] = units[at];
    if (Number(general(value / size, 3)) < 1000) return [general(value / size, 3), name];
    const [next, larger] = units[at - 1] ?? [];
    return next === 1000 * size ? [general(value / next, 3), larger] : [thousands(value / size), name];
  };

  const ABSENT = "\u2013";
  const THOUSANDS = [[1e9, "B"], [1e6, "M"], [1e3, "K"]];
  const SIZES = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]];
  const known = (show) => (value) => (typeof value === "number" && Number.isFinite(value) ? show(value) : ABSENT);
  const signed = (value, digits) => {
    const text = fixed(value, digits);
    if (Number(text) === 0) return fixed(0, digits);
    return (value > 0 ? "+" : "") + text.replace("-", "\u2212");
  };
  const format = {
    ABSENT,
    points: known((value) => signed(value, 1)),
    nats: known((value) => signed(value, 3)),
    score: known((value) => fixed(value, 1)),
    loss: known((value) => fixed(value, 3).replace("-", "\u2212")),
    percent: known((value) => `${general(value, 3)} %`),
    rate: known((value) => general(value, 6)),
    count: known((value) => scaled(value, THOUSANDS).join("")),
    p: known((value) => (value < 0.001 ? "< 0.001" : fixed(value, 3))),
    bytes: known((value) => {
      const [number, unit] = scaled(value, SIZES);
      return `${number} ${unit || "B"}`;
    }),
    duration: known((value) => {
      if (value < 59.95) return `${fixed(value, 1)} s`;
      const whole = Number(fixed(value, 0));
      const minutes = Math.floor(whole / 60);
      if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
      return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
    }),
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

  return Object.freeze({ load, el, state, field, format: Object.freeze(format), theme: Object.freeze({ dark }) });
})();
