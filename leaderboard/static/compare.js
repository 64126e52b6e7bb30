"use strict";

/* compare.html?board=&a=&b=: two rows of a board. Every number was computed beforehand; here they are only
   turned round (b - a or a - b) and put into words. */

(() => {
  const { el, state, format } = suite;
  const place = document.getElementById("compare");
  const { name } = drill;
  const NAMES = { gain: "Gain", forgetting: "Forgetting", loss: "Held-out loss" };
  const UNITS = { gain: "points", forgetting: "points", loss: "nats a token" };
  const shown = (line, value, signed) => (line.quantity !== "loss" ? format.points(value) : signed ? format.nats(value) : format.loss(value));
  const size = (line, value) => (value === null ? format.ABSENT : (line.quantity === "loss" ? format.loss : format.score)(Math.abs(value)));
  const span = (line, ends, signed) => [shown(line, ends[0], signed), el("span", { class: "small num" }, `${shown(line, ends[1], signed)} to ${shown(line, ends[2], signed)}`)];
  const where = (line) => (line.task === null ? "over all tasks" : ["on ", name(line.task)]);

  /* The same comparison seen from the other side. */
  const OTHER = { better: "worse", worse: "better" };
  const turned = (line) => ({
    ...line,
    a: line.b,
    b: line.a,
    change: [-line.change[0], -line.change[2], -line.change[1]],
    verdict: OTHER[line.verdict] ?? line.verdict,
    flips: line.flips.map(([seed, a, b, p]) => [seed, b, a, p]),
  });

  const tag = (line) => el("span", { class: `tag ${{ better: "good", worse: "warn" }[line.verdict] ?? ""}` }, line.verdict);

  /* The difference and its interval as a bar; lines of one quantity share the scale. */
  const SPACE = "http://www.w3.org/2000/svg";
  const bar = (line, most) => {
    const x = (value) => (110 + (100 * Math.max(-most, Math.min(most, value))) / most).toFixed(1);
    const svg = document.createElementNS(SPACE, "svg");
    const add = (tag, attributes) => {
      const made = document.createElementNS(SPACE, tag);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      svg.append(made);
    };
    svg.setAttribute("viewBox", "0 0 220 20");
    svg.setAttribute("class", `forest ${line.verdict.split(" ")[0]}`);
    svg.setAttribute("aria-hidden", "true");
    add("line", { x1: 110, x2: 110, y1: 0, y2: 20, class: "zero" });
    if (line.change[1] !== null && line.change[2] !== null) add("line", { x1: x(line.change[1]), x2: x(line.change[2]), y1: 10, y2: 10, class: "span" });
    if (line.change[0] !== null) add("circle", { cx: x(line.change[0]), cy: 10, r: 4.5 });
    return svg;
  };

  const headline = (lines, a, b) => {
    const whole = lines.filter((line) => line.task === null || !lines.some((other) => other.quantity === line.quantity && other.task === null));
    return el("ul", { class: "card verdicts" }, whole.map((line) => {
      const by = `${size(line, line.change[0])} ${UNITS[line.quantity]}`;
      const what = { gain: ["gains", "more", "less"], forgetting: ["forgets", "more", "less"], loss: ["has a held-out loss", "higher", "lower"] }[line.quantity];
      const word = line.change[0] >= 0 ? what[1] : what[2];
      const decided = line.verdict === "cannot tell" ? "; these data cannot tell it from chance" : `: it is ${line.verdict}`;
      return el("li", {}, tag(line), " ", el("strong", {}, name(b)), ` ${what[0]} ${by} ${word} than `, el("strong", {}, name(a)), " ", where(line), decided, ` (p ${format.p(line.holm)}).`);
    }));
  };

  const table = (lines, a, b) => {
    const most = {};
    for (const line of lines) most[line.quantity] = Math.max(most[line.quantity] ?? 1e-9, ...line.change.map((x) => Math.abs(x ?? 0)));
    const rows = lines.map((line) =>
      el("tr", { class: line.task === null ? "whole" : null },
        el("th", { scope: "row", class: "text" }, NAMES[line.quantity] ?? name(line.quantity), el("span", { class: "small" }, where(line))),
        el("td", { class: "num" }, span(line, line.a, false)), el("td", { class: "num" }, span(line, line.b, false)),
        el("td", { class: "num" }, span(line, line.change, true)), el("td", { class: "bar-cell" }, bar(line, most[line.quantity])),
        el("td", { class: "num" }, format.p(line.holm), el("span", { class: "small" }, `${format.p(line.p)} alone`)), el("td", { class: "text" }, tag(line))));
    const head = (row) => el("th", { scope: "col" }, name(row));
    return drill.table("The comparison", ["<Quantity", head(a), head(b), "Difference", el("th", { scope: "col" }, el("span", { class: "visually-hidden" }, "Difference as a picture")), "p (Holm)", "<Verdict"], rows);
  };

  const many = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

  /* Why a tie is a tie: what was seen, what would have been seen, and what the noise is made of. */
  const why = (line) => {
    const unit = UNITS[line.quantity];
    const told = [`The difference is ${size(line, line.change[0])} ${unit}, and the interval from ${shown(line, line.change[1], true)} to ${shown(line, line.change[2], true)} `,
      line.change[1] <= 0 && line.change[2] >= 0 ? "holds zero." : "leaves zero out only as long as it is looked at alone: among all comparisons of this table it is not rare enough.",
      ` With ${many(line.seeds, "seed")} and ${many(line.items, "item")}${line.task === null ? " of each task" : ""} a true difference of ${size(line, line.detectable)} ${unit} or more, looked at alone, would have been noticed in 80 of 100 repetitions.`];
    const noise = line.noise;
    if (noise) {
      const percent = (share) => `${Math.round(100 * share)} %`;
      if (noise.seeds === null) told.push(" There is one seed: how much another one would change is not known.");
      else told.push(` Of the noise ${percent(noise.seeds)} comes from the seeds, ${percent(noise.items)} from which items were asked and ${percent(noise.answers)} from single answers.`);
      const ways = [];
      if (noise.more_seeds !== null) ways.push(`about ${many(noise.more_seeds, "seed")}`);
      if (noise.more_items !== null) ways.push(`about ${many(noise.more_items, "item")}`);
      if (ways.length) told.push(` A true difference as large as this one would need ${ways.join(" or ")} to be noticed as often${noise.seeds !== null && noise.more_items === null ? "; no number of items is enough with these seeds" : ""}${noise.seeds !== null && noise.more_seeds === null ? "; no number of seeds is enough with these items" : ""}.`);
      else if (noise.seeds !== null && Math.abs(line.change[0]) < line.detectable) told.push(" For a true difference as small as this one, neither more seeds nor more items alone would do.");
    }
    return el("div", {}, el("h3", {}, NAMES[line.quantity] ?? name(line.quantity), " ", where(line)), el("p", {}, told));
  };
  const ties = (lines) => {
    const tied = lines.filter((line) => line.verdict === "cannot tell");
    if (!tied.length) return null;
    const main = tied.filter((line) => line.task === null);
    const rest = tied.filter((line) => line.task !== null);
    const [first, more] = main.length ? [main, rest] : [rest, []];
    return el("section", {}, el("h2", {}, tied.length === 1 ? "Why this is a tie" : "Why these are ties"), first.map(why), more.length ? el("details", { class: "more" }, el("summary", {}, `Task by task (${more.length})`), more.map(why)) : null);
  };

  const flips = (lines, a, b) => {
    const rows = lines.flatMap((line) => line.flips.map(([seed, left, right, p]) => el("tr", {}, el("th", { scope: "row", class: "text" }, name(line.task)), [String(seed), String(left), String(right), format.p(p)].map((x) => el("td", { class: "num" }, x)))));
    if (!rows.length) return null;
    return el("section", {}, el("h2", {}, "Answers that only one of them got right"), el("p", { class: "note" }, "Under each seed, with McNemar's exact test that both are right equally often. It knows nothing of other seeds."),
      drill.table("Answers that only one got right", ["<Task", "Seed", el("th", { scope: "col" }, "Only ", name(a)), el("th", { scope: "col" }, "Only ", name(b)), "p"], rows));
  };

  /* Items that one solves with most of its seeds and the other does not, by number. */
  const LISTED = 24;
  const solved = (row, at) => {
    const known = row[4].map((cell) => drill.mark(cell[3], at)).filter((one) => one !== null);
    return known.length > 0 && known.reduce((sum, one) => sum + one, 0) / known.length > 0.5;
  };
  const alone = async (board, task, evaluation, a, b) => {
    const found = await suite.load(`items/${board.id}/${evaluation}`);
    const sides = [a, b].map((row) => found.rows.find((one) => one[0] === row[0]));
    if (sides.some((side) => !side)) return null;
    const all = Array.from({ length: drill.count(found.ids) }, (_, at) => at);
    const link = (more) => `items.html?${new URLSearchParams({ board: board.id, evaluation, ...more })}`;
    const list = (one, other, mine, theirs) => {
      const items = all.filter((at) => solved(mine, at) && !solved(theirs, at));
      return el("p", {}, el("strong", {}, name(one[1])), ` alone solves ${many(items.length, "item")}`, items.length ? ": " : ".",
        items.slice(0, LISTED).flatMap((at, n) => [n ? ", " : "", el("a", { href: link({ item: at + 1, solved: one[0], unsolved: other[0] }) }, String(at + 1))]),
        items.length > LISTED ? [", ", el("a", { href: link({ solved: one[0], unsolved: other[0] }) }, "all of them")] : null);
    };
    return el("div", {}, el("h3", {}, name(task)), list(a, b, sides[0], sides[1]), list(b, a, sides[1], sides[0]));
  };
  const items = (board, lines, a, b) => {
    const tasks = [...new Set(lines.map((line) => line.task))].filter((task) => task !== null && Object.hasOwn(board.evaluations, task));
    if (!tasks.length) return null;
    const inside = el("div", {});
    const made = el("details", { class: "more" }, el("summary", {}, "Items that only one of them solves"), inside);
    made.addEventListener("toggle", () => {
      if (!made.open || inside.childElementCount) return;
      inside.append(el("p", { class: "note" }, "Solved: right with more than half of the seeds."));
      Promise.all(tasks.map((task) => alone(board, task, board.evaluations[task], a, b))).then((nodes) => inside.append(...nodes.filter(Boolean))).catch(drill.failed(inside));
    });
    return made;
  };

  const find = async (board, a, b) => {
    const order = [a, b].map((row) => board.rows.indexOf(row));
    const swap = order[0] > order[1];
    const [first, second] = swap ? [b, a] : [a, b];
    const found = (await suite.load(`compare/${board.id}/${first[0]}`))[second[0]];
    return found.fault || !swap ? found : { ...found, lines: found.lines.map(turned) };
  };

  const controls = (index, board, a, b) => {
    const changed = (key) => (value) => {
      state.set(key, value);
      if (key === "board") for (const side of ["a", "b"]) state.set(side, null);
      render(index, key).catch(drill.failed(place));
    };
    const rows = board.rows.map((row) => [row[0], `${drill.plain(row[1])}${row[3] === null ? "" : ` (rank ${row[3]})`}`]);
    const swap = el("button", { type: "button", class: "button" }, "Swap");
    swap.addEventListener("click", () => {
      state.set("a", b[0]);
      state.set("b", a[0]);
      render(index, "swap").catch(drill.failed(place));
    });
    const bar = el("div", { class: "controls" },
      index.length > 1 ? drill.choice("Board", index.map((one) => [one.id, drill.plain(one.title)]), board.id, changed("board")) : null,
      drill.choice("This one", rows, a[0], changed("a")), drill.choice("against", rows, b[0], changed("b")), swap);
    const named = { board: 0, a: index.length > 1 ? 1 : 0, b: index.length > 1 ? 2 : 1 };
    return [bar, (key) => (key === "swap" ? swap : bar.querySelectorAll("select")[named[key]])?.focus()];
  };

  let asked = 0; // a choice made while data are on their way replaces the one before it
  const render = async (index, focus) => {
    const turn = (asked += 1);
    const board = index.find((one) => one.id === (state.get("board") ?? index[0].id));
    if (!board) return place.replaceChildren(drill.fault("There is no such board here, or its rows cannot be compared. ", el("a", { href: "compare.html" }, "Compare other rows")));
    const row = (key, other) => board.rows.find((one) => one[0] === (state.get(key) ?? other));
    const [a, b] = [row("a", board.rows[0][0]), row("b", board.rows.find((one) => one[0] !== state.get("a") && (state.get("a") !== null || one !== board.rows[0]))[0])];
    if (!a || !b) {
      const told = board.more ? ` Of this board the first ${board.rows.length} rows are compared; \`suite compare\` does the others.` : "";
      return place.replaceChildren(drill.fault(`There is no such row here.${told} `, el("a", { href: `compare.html?${new URLSearchParams({ board: board.id })}` }, "Compare rows of this board")));
    }
    const [bar, refocus] = controls(index, board, a, b);
    if (a === b) place.replaceChildren(bar, drill.fault("Choose two different rows."));
    else {
      let found;
      try {
        found = await find(board, a, b);
      } catch (error) {
        if (turn !== asked) return;
        place.replaceChildren(bar, el("div", {}));
        drill.failed(place.lastChild)(error);
        return;
      }
      if (turn !== asked) return;
      const links = el("p", { class: "rows" }, "In ", el("a", { href: board.href }, name(board.title)), ". More of ", el("a", { href: a[2] }, name(a[1])), " and ", el("a", { href: b[2] }, name(b[1])), ".", board.more ? ` The first ${board.rows.length} rows of the board are compared here, ${board.more} are not.` : null);
      const content = found.fault
        ? [drill.fault("They cannot be compared: ", name(found.fault))]
        : [headline(found.lines, a[1], b[1]), table(found.lines, a[1], b[1]), caption(found.lines), found.notes.map((note) => el("p", { class: "note" }, name(note))), ties(found.lines), flips(found.lines, a[1], b[1]), items(board, found.lines, a, b)];
      place.replaceChildren(...[bar, links, ...content].flat().filter(Boolean));
    }
    if (focus) refocus(focus);
  };
  const caption = (lines) => {
    const seeds = Math.min(...lines.map((line) => line.seeds));
    const paired = lines.every((line) => line.paired > 0);
    return el("p", { class: "note" }, `95 % intervals over ${seeds === 1 ? "items alone: of one seed, nothing is known of others" : "seeds and items"}, paired by item${paired ? " and seed" : ""}. The difference is the second minus the first. p (Holm) is corrected for the ${lines.length} lines of this table; it decides here (the ranks of a board are corrected for all of its pairs). Forgetting and loss are better when lower.`);
  };

  suite.load("compare/index").then((index) => render(index, null)).catch(drill.failed(place));
})();
