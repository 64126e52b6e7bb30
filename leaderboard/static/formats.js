"use strict";

/* A table as CSV, JSON, LaTeX or Markdown. Each format has its own way to run what a name says: text stays text.

   table: {title, columns: [{key, title, kind}], rows: [[{text, small, numbers}]]}
   kind "n": a number; "c": a number with an interval; "s": several numbers; "t": text. `numbers` is [], [value] or
   [value, low, high]. */

const suiteFormats = (() => {
  const plain = (text) => text.replace(/\u2212/g, "-").replace(/[\u0000-\u001f\u007f]+/g, " ");
  const shown = (cell, kind) => plain("cs".includes(kind) && cell.small ? `${cell.text} ${cell.small}` : cell.text);

  const csv = (table) => {
    const heads = table.columns.flatMap(({ title, kind }) =>
      kind === "c" ? [title, `${title}: low`, `${title}: high`] : [title],
    );
    const lines = table.rows.map((row) =>
      row.flatMap((cell, at) => {
        const { kind } = table.columns[at];
        if (kind === "c") return [0, 1, 2].map((end) => suite.field(cell.numbers[end]));
        if (kind === "n") return [suite.field(cell.numbers[0])];
        return [suite.field(shown(cell, kind))];
      }),
    );
    return [heads.map((head) => suite.field(plain(head))), ...lines].map((line) => `${line.join(",")}\r\n`).join("");
  };

  const json = (table) => {
    const value = (cell, kind) => {
      if (kind === "t") return cell.text;
      if (kind === "s") return cell.numbers.length ? shown(cell, kind) : null;
      if (!cell.numbers.length) return null;
      if (kind === "n" || cell.numbers.length < 3) return cell.numbers[0];
      return { value: cell.numbers[0], low: cell.numbers[1], high: cell.numbers[2] };
    };
    const rows = table.rows.map((row) =>
      Object.fromEntries(row.map((cell, at) => [table.columns[at].key, value(cell, table.columns[at].kind)])),
    );
    return `${JSON.stringify({ board: table.title, rows }, null, 1)}\n`;
  };

  const SPECIAL = {
    "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "$": "\\$", "&": "\\&", "#": "\\#", "%": "\\%", "_": "\\_",
    "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "<": "\\textless{}", ">": "\\textgreater{}",
    "\u2013": "--", "\u2248": "$\\approx$", "\u00b7": "$\\cdot$",
  };
  const tex = (text) => text.replace(/[\\{}$&#%_^~<>\u2013\u2248\u00b7]/g, (sign) => SPECIAL[sign]);
  const signed = (text) => tex(text).replace(/(^|[\s[,])([+-])(?=[\d.])/g, "$1$$$2$$");

  const latex = (table) => {
    const line = (cells) => `${cells.join(" & ")} \\\\`;
    const guarded = (cells) => (cells[0].startsWith("[") ? [`{}${cells[0]}`, ...cells.slice(1)] : cells);
    return [
      `% ${plain(table.title)}`,
      `\\begin{tabular}{${table.columns.map(({ kind }) => (kind === "t" ? "l" : "r")).join("")}}`,
      "\\toprule",
      line(table.columns.map(({ title }) => tex(plain(title)))),
      "\\midrule",
      ...table.rows.map((row) =>
        line(guarded(row.map((cell, at) => (table.columns[at].kind === "t" ? tex(shown(cell, "t")) : signed(shown(cell, table.columns[at].kind)))))),
      ),
      "\\bottomrule",
      "\\end{tabular}",
      "",
    ].join("\n");
  };

  /* Letters and digits stay; whatever could be markup, a link or a tag is written as a character reference. */
  const mark = (text) => text.replace(/[^\p{L}\p{N} .,:()+\-%\u2013]/gu, (sign) => `&#${sign.codePointAt(0)};`).replace(/:(?=\S)/g, "&#58;");
  const markdown = (table) => {
    const line = (cells) => `| ${cells.join(" | ")} |`;
    return [
      line(table.columns.map(({ title }) => mark(plain(title)))),
      line(table.columns.map(({ kind }) => (kind === "t" ? "---" : "---:"))),
      ...table.rows.map((row) => line(row.map((cell, at) => mark(shown(cell, table.columns[at].kind)).trim()))),
      "",
    ].join("\n");
  };

  return Object.freeze({
    csv: Object.freeze({ write: csv, ending: "csv", type: "text/csv" }),
    json: Object.freeze({ write: json, ending: "json", type: "application/json" }),
    latex: Object.freeze({ write: latex, ending: "tex", type: "application/x-tex" }),
    markdown: Object.freeze({ write: markdown, ending: "md", type: "text/markdown" }),
  });
})();
