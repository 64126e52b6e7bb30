"use strict";

/* A small bar under each interval of a table, on the scale of its column: `columns` are {at, head}, `numbers`
   reads a cell. Gives a function that draws those of one row; leaderboard/shown.py draws the same for a card. */

const suiteBars = (columns, numbers) => {
  const DRAWN = "http://www.w3.org/2000/svg";
  const pen = document.createElementNS(DRAWN, "svg");
  pen.setAttribute("class", "i");
  pen.append(document.createElementNS(DRAWN, "path"));
  const scales = columns.flatMap(({ at, head }) => {
    if (!head.dataset.scale) return [];
    const [low, high] = head.dataset.scale.split(" ").map(parseFloat);
    return [{ at, x: (value) => Math.round(1 + (76 * (value - low)) / (high - low || 1)) }];
  });
  return (row) => {
    for (const { at, x } of scales) {
      const found = numbers(row.cells[at]);
      if (found.length < 3) continue;
      const bar = pen.cloneNode(true);
      bar.firstChild.setAttribute("d", `M${x(found[1])} 4H${x(found[2])}M${x(found[0])} 0v8`);
      row.cells[at].append(bar);
    }
    return true;
  };
};
