"use strict";

/* What the pages of single cells, variants, pairs and items share: outputs that anyone may have written,
   paging, tables that sort, lines as pictures, downloads. */

const drill = (() => {
  const { el, format } = suite;

  /* Characters that a reader cannot see or that move others about: controls, marks of direction, joiners,
     separators, halves of a character. Line feed and tab stay what they are. */
  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
  const symbol = (character) => {
    const code = character.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  };
  const MARKED = 1000;
  const visible = (text) => {
    const parts = [];
    let from = 0;
    for (const found of text.matchAll(HIDDEN)) {
      if (parts.length > MARKED) break; // a browser takes a minute over ten thousands of elements in one line
      if (found.index > from) parts.push(text.slice(from, found.index));
      parts.push(el("span", { class: "control", title: "a character that cannot be seen" }, symbol(found[0])));
      from = found.index + found[0].length;
    }
    if (from < text.length) parts.push(parts.length > MARKED ? plain(text.slice(from)) : text.slice(from));
    return parts;
  };
  const plain = (text) => text.replace(HIDDEN, symbol);
  const name = (text) => el("bdi", {}, visible(String(text)));

  /* A text as somebody wrote it, of its own direction; [beginning, length] is one that was cut. */
  const LONG = 1500;
  const output = (said) => {
    if (said === null || said === undefined) return el("p", { class: "note" }, "No text was generated.");
    const [text, length] = Array.isArray(said) ? said : [said, null];
    if (text === "") return el("p", { class: "note" }, "The output is empty.");
    const whole = (part) => el("pre", { class: "output", dir: "auto" }, visible(part));
    const told = length === null ? null : el("p", { class: "note" }, `Cut here: the whole output has ${length.toLocaleString("en")} characters; the record has them all.`);
    if (text.length <= LONG) return el("div", {}, whole(text), told);
    const more = el("details", {}, el("summary", {}, `${(text.length - LONG).toLocaleString("en")} more characters`));
    more.addEventListener("toggle", () => more.childElementCount === 1 && more.append(whole(text.slice(LONG)), told ?? ""));
    return el("div", {}, whole(text.slice(0, LONG)), more);
  };

  const VERDICTS = { 1: ["right", "\u2713"], 0: ["wrong", "\u2717"] };
  const verdict = (value) => {
    if (value === null) return el("span", { class: "verdict" }, format.ABSENT);
    const [word, sign] = VERDICTS[value] ?? ["partly", String(Number(value.toPrecision(3)))];
    return el("span", { class: `verdict ${word}` }, el("span", { "aria-hidden": "true" }, sign), ` ${word}`);
  };
  /* The mark of item `at` in what cells.py and items.py write: 1, 0, a share, or null. */
  const mark = (marks, at) => {
    if (!marks) return null;
    if (typeof marks !== "string") return marks[at] ?? null;
    return marks[at] === "1" ? 1 : marks[at] === "0" ? 0 : null;
  };
  const idOf = (ids, at) => (typeof ids === "number" ? String(at) : ids[at]);
  const count = (ids) => (typeof ids === "number" ? ids : ids.length);

  /* Facts as a list of terms: [term, ...parts]; one whose first part is absent is left out. */
  const absent = (value) => value === null || value === undefined || value === "";
  const part = (value) => (typeof value === "string" || typeof value === "number" ? name(value) : value);
  const facts = (pairs) =>
    el("dl", { class: "facts" }, pairs.filter(([, first]) => !absent(first)).map(([term, ...parts]) => el("div", {}, el("dt", {}, term), el("dd", {}, parts.flat(3).filter((one) => !absent(one)).map(part)))));
  const code = (text) => el("code", {}, name(text));
  const exact = (value, show = (x) => String(Number(x.toPrecision(4)))) =>
    typeof value === "string" ? value : value === null || value === undefined ? null : show(value);

  const csv = (file, header, rows) => {
    const button = el("button", { type: "button", class: "button" }, "CSV");
    button.setAttribute("aria-label", `Download ${file}`);
    button.addEventListener("click", () => {
      const text = [header, ...rows()].map((row) => row.map(suite.field).join(",")).join("\r\n");
      const link = el("a", { href: URL.createObjectURL(new Blob([`${text}\r\n`], { type: "text/csv" })), download: file });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    return button;
  };

  /* Previous, next, and where one is. `go` gets the new page, from 0. */
  const pager = (total, size, page, go, what) => {
    const last = Math.max(0, Math.ceil(total / size) - 1);
    const step = (text, to, off) => {
      const button = el("button", { type: "button", class: "button", disabled: off }, text);
      button.addEventListener("click", () => go(to));
      return button;
    };
    const shown = total === 0 ? `no ${what}` : `${(page * size + 1).toLocaleString("en")}\u2013${Math.min(total, (page + 1) * size).toLocaleString("en")} of ${total.toLocaleString("en")} ${what}`;
    return el("div", { class: "pager" }, step("Previous", page - 1, page === 0), el("span", { role: "status" }, shown), step("Next", page + 1, page >= last));
  };
  const pageOf = (text, total, size) => {
    const page = /^\d{1,7}$/.test(text ?? "") ? Number(text) - 1 : 0;
    return Math.min(Math.max(page, 0), Math.max(0, Math.ceil(total / size) - 1));
  };
  const choice = (label, options, chosen, changed) => {
    const select = el("select", {}, options.map(([value, text]) => el("option", { value }, text)));
    select.value = options.some(([value]) => value === chosen) ? chosen : options[0][0];
    select.addEventListener("change", () => changed(select.value));
    return el("label", { class: "choice" }, el("span", {}, label), select);
  };
  const later = (wait, act) => {
    let timer = 0;
    return (...values) => {
      clearTimeout(timer);
      timer = setTimeout(() => act(...values), wait);
    };
  };
  const field = (label, type, value, changed) => {
    const input = el("input", { type, value });
    if (type === "number") input.setAttribute("min", "1");
    input.addEventListener("input", later(120, () => changed(input.value)));
    return el("label", { class: "choice" }, el("span", {}, label), input);
  };

  const table = (label, heads, rows) =>
    el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label },
      el("table", {},
        el("thead", {}, el("tr", {}, heads.map((head) => (head instanceof Node ? head : el("th", { scope: "col", class: head.startsWith("<") ? "text" : null }, head.replace(/^</, "")))))),
        el("tbody", {}, rows)));
  const fault = (text, ...more) => el("p", { class: "card missing", role: "alert" }, text, ...more);
  /* What is said in `place` when what belongs there could not be read. */
  const failed = (place) => (error) => {
    console.error(error);
    place.replaceChildren(fault("What belongs here could not be read: ", name(error.message), ". Build the site again, or copy all of it."));
  };

  return Object.freeze({ visible, plain, name, output, verdict, mark, idOf, count, facts, code, exact, csv, pager, pageOf, choice, field, table, fault, failed, HIDDEN });
})();
