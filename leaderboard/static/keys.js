"use strict";

/* Sort keys of a column of a board, made once: a number where there is one (blank is NaN, always last), else the
   place of a text among all of them. Gives a function from a column to the keys of all rows. */

const suiteKeys = (rows, numbers, nameAt, rankAt) => {
  const collator = new Intl.Collator("en", { numeric: true });
  const keys = new Map();
  return (column) => {
    if (!keys.has(column.key)) {
      const cells = rows.map(({ row }) => row.cells[column.at]);
      if (column.kind === "t") {
        const texts = column.at === nameAt ? rows.map(({ name }) => name) : cells.map((cell) => cell.firstChild.textContent);
        const order = [...texts.keys()].sort((a, b) => collator.compare(texts[a], texts[b]));
        const places = new Float64Array(rows.length);
        let place = 0;
        order.forEach((at, number) => {
          if (number && collator.compare(texts[order[number - 1]], texts[at])) place += 1;
          places[at] = place;
        });
        keys.set(column.key, places);
      } else {
        keys.set(column.key, column.at === rankAt ? Float64Array.from(rows, ({ rank }) => rank) : Float64Array.from(cells, (cell) => numbers(cell)[0] ?? NaN));
      }
    }
    return keys.get(column.key);
  };
};
