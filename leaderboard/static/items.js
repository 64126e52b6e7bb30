"use strict";

/* items.html?board=&evaluation=&item=: items against variants. What is chosen stands in the URL. */

(() => {
  const { el, state } = suite;
  const place = document.getElementById("items");
  const kept = new Set(place.dataset.prompts.split(" ").filter(Boolean));
  const PAGE = 40;
  const ORDERS = [["", "easiest first"], ["hard", "hardest first"], ["split", "where variants differ most"], ["number", "by number"]];
  const [KEY, LABEL, HREF, RANK, CELLS] = [0, 1, 2, 3, 4];
  let repaint = () => {};

  /* Of each row the share of its cells (of one task, if chosen) that got each item right. */
  const counted = (found, task) => {
    const total = drill.count(found.ids);
    return found.rows.map((row) => {
      const cells = row[CELLS].filter((cell) => !task || cell[1] === task);
      const shares = Array.from({ length: total }, (_, at) => {
        const known = cells.map((cell) => drill.mark(cell[3], at)).filter((one) => one !== null);
        return known.length ? known.reduce((sum, one) => sum + one, 0) / known.length : null;
      });
      return { key: row[KEY], label: drill.plain(row[LABEL]), href: row[HREF], rank: row[RANK], cells, shares };
    }).filter((row) => row.cells.length);
  };
  const solves = (row, at) => row.shares[at] !== null && row.shares[at] > 0.5;

  const chosen = (rows, total, solved, unsolved) => {
    const by = rows.find((row) => row.key === solved);
    const not = rows.find((row) => row.key === unsolved);
    return Array.from({ length: total }, (_, at) => at).filter((at) => {
      if (solved === "*none") return !rows.some((row) => solves(row, at));
      if (solved === "*all") return rows.every((row) => solves(row, at));
      if (by && !solves(by, at)) return false;
      if (by && unsolved === "*others") return !rows.some((row) => row !== by && solves(row, at));
      return !(not && solves(not, at));
    });
  };
  const sorted = (items, rows, how) => {
    const ease = new Map(items.map((at) => [at, rows.reduce((sum, row) => sum + (row.shares[at] ?? 0), 0) / rows.length]));
    const keys = { "": (at) => -ease.get(at), hard: (at) => ease.get(at), split: (at) => Math.abs(ease.get(at) - 0.5), number: (at) => at };
    const key = Object.hasOwn(keys, how) ? keys[how] : keys[""];
    return [items.toSorted((a, b) => key(a) - key(b) || a - b), ease];
  };

  const step = (share) => (share === null ? "none" : String(Math.round(share * 4)));
  const told = (row, at) => {
    const known = row.cells.map((cell) => drill.mark(cell[3], at)).filter((one) => one !== null);
    const right = known.filter((one) => one === 1).length;
    return known.length ? `${right}/${known.length}` : "\u2013";
  };

  const matrix = (found, rows, items, ease, open) => {
    const head = (row) => el("th", { scope: "col", class: "variant" }, el("a", { href: row.href }, drill.name(row.label)));
    const line = (at) => {
      const button = el("button", { type: "button", class: "link" }, String(at + 1));
      button.setAttribute("aria-label", `Open item ${at + 1}`);
      button.addEventListener("click", () => open(at));
      const id = drill.idOf(found.ids, at);
      return el("tr", {}, el("th", { scope: "row" }, button, id === String(at) ? null : el("span", { class: "small" }, drill.name(id.slice(0, 40)))),
        el("td", {}, drill.verdict(drill.mark(found.before, at))), el("td", { class: "num" }, `${Math.round(100 * ease.get(at))} %`),
        rows.map((row) => el("td", { class: "share", "data-share": step(row.shares[at]) }, told(row, at))));
    };
    return drill.table("Items against variants", [el("th", { scope: "col" }, "Item"), el("th", { scope: "col" }, "Base"), el("th", { scope: "col" }, "Right"), ...rows.map(head)], items.map(line));
  };

  /* What each cell of a row said to an item, from the cells' own data. */
  const answers = async (row, evaluation, id) => {
    const cells = await Promise.all(row.cells.map((cell) => suite.load(`cells/${cell[0]}`)));
    return cells.map((cell, n) => {
      const one = cell.evaluations.find((each) => each.name === evaluation);
      const at = typeof one.ids === "number" ? Number(id) : one.ids.indexOf(id);
      return el("section", {}, el("h4", {}, drill.name(row.cells[n][1]), ", seed ", drill.name(row.cells[n][2]), " ", drill.verdict(drill.mark(one.right[1], at)), " ", el("a", { href: `cell.html?${new URLSearchParams({ evaluation, item: at + 1 })}#${cell.id}` }, "cell")),
        one.said[1] ? drill.output(one.said[1][at]) : el("p", { class: "note" }, "Scored by likelihood: nothing is generated."));
    });
  };
  const answered = (row, found, at) => {
    const made = el("details", { class: "item" }, el("summary", {}, el("strong", {}, drill.name(row.label)), row.cells.map((cell) => drill.verdict(drill.mark(cell[3], at)))));
    made.addEventListener("toggle", () => {
      if (!made.open || made.childElementCount > 1) return;
      const inside = el("div", { class: "inside sides" }, el("p", { class: "note" }, "\u2026"));
      made.append(inside);
      answers(row, found.evaluation, drill.idOf(found.ids, at)).then((nodes) => inside.replaceChildren(...nodes)).catch(drill.failed(inside));
    });
    return made;
  };
  const detail = (found, rows, at, close) => {
    const id = drill.idOf(found.ids, at);
    const solved = rows.filter((row) => solves(row, at)).length;
    const prompt = el("div", {}, el("p", { class: "note" }, "\u2026"));
    outcomes.asked(found.prompts, kept, id).then((node) => prompt.replaceChildren(node)).catch(drill.failed(prompt));
    const button = el("button", { type: "button", class: "button" }, "Close");
    button.addEventListener("click", close);
    return el("section", { class: "card opened", id: "opened", tabindex: "-1", "aria-label": `Item ${at + 1}` },
      el("div", { class: "between" }, el("h2", {}, `Item ${at + 1}`), button),
      el("p", { class: "note" }, id === String(at) ? null : drill.code(id), ` ${solved} of ${rows.length} variants solve it with most of their seeds; the untouched base: `, drill.verdict(drill.mark(found.before, at)), "."),
      prompt, el("h3", {}, "What each variant answered"), rows.map((row) => answered(row, found, at)));
  };

  const show = (index, board, evaluation, found) => {
    const set = (name, value) => {
      state.set(name, value);
      if (name !== "page") state.set("page", null);
    };
    const render = (focus) => {
      const tasks = [...new Set(found.rows.flatMap((row) => row[CELLS].map((cell) => cell[1])))].sort();
      const task = tasks.includes(state.get("task")) ? state.get("task") : "";
      const rows = counted(found, task);
      const total = drill.count(found.ids);
      const [items, ease] = sorted(chosen(rows, total, state.get("solved"), state.get("unsolved")), rows, state.get("sort") ?? "");
      const page = drill.pageOf(state.get("page"), items.length, PAGE);
      const wanted = /^\d{1,7}$/.test(state.get("item") ?? "") ? Number(state.get("item")) - 1 : -1;
      const open = (at) => {
        state.set("item", at === null ? null : at + 1);
        render(at !== null);
      };
      const turn = (to) => {
        set("page", to ? to + 1 : null);
        render();
      };
      const changed = (name) => (value) => {
        set(name, value);
        if (name === "board" || name === "evaluation") {
          for (const other of ["task", "solved", "unsolved", "item"]) state.set(other, null);
          start(index).catch(drill.failed(place));
        } else render();
      };
      const named = rows.map((row) => [row.key, row.label]);
      const canvas = el("canvas", { class: "heat", "aria-hidden": "true" });
      const bar = el("div", { class: "controls" },
        index.length > 1 ? drill.choice("Board", index.map(([id, title]) => [id, drill.plain(title)]), board[0], changed("board")) : null,
        drill.choice("Evaluation", board[3].map(([key, name, kind, n]) => [key, `${drill.plain(name)} (${n}${kind === "general" ? ", general skill" : ""})`]), evaluation, changed("evaluation")),
        tasks.length > 1 ? drill.choice("Trained on", [["", "any task"], ...tasks.map((one) => [one, drill.plain(one)])], task, changed("task")) : null,
        drill.choice("Solved by", [["", "anybody or nobody"], ["*none", "no variant"], ["*all", "all variants"], ...named], state.get("solved") ?? "", changed("solved")),
        drill.choice("but not by", [["", "\u2013"], ["*others", "any other variant"], ...named], state.get("unsolved") ?? "", changed("unsolved")),
        drill.choice("Order", ORDERS, state.get("sort") ?? "", changed("sort")),
        drill.field("Go to item", "number", state.get("item") ?? "", changed("item")));
      const missing = wanted >= total ? el("p", { class: "note" }, `There is no item ${wanted + 1}; the last one is ${total}.`) : null;
      const focused = document.activeElement?.closest(".choice")?.firstElementChild.textContent;
      place.replaceChildren(...[bar,
        el("p", { class: "note" }, `${items.length} of ${total} items. Solved means right with more than half of the seeds. In the picture a line is a variant and a column an item; select one to open it.`),
        items.length ? el("div", { class: "card heats" }, canvas) : null, missing,
        wanted >= 0 && wanted < total ? detail(found, rows, wanted, () => open(null)) : null,
        drill.pager(items.length, PAGE, page, turn, "items"),
        items.length ? matrix(found, rows, items.slice(page * PAGE, (page + 1) * PAGE), ease, open) : null].filter(Boolean));
      if (items.length) repaint = heat.draw(canvas, rows, items, wanted, open);
      if (focused) [...place.querySelectorAll(".choice")].find((one) => one.firstElementChild.textContent === focused)?.lastElementChild.focus();
      if (focus) document.getElementById("opened").focus();
    };
    render();
  };

  let asked = 0; // a choice made while data are on their way replaces the one before it
  const start = async (index) => {
    const turn = (asked += 1);
    const wanted = state.get("board");
    const board = index.find(([id]) => id === wanted) ?? (wanted ? null : index[0]);
    const named = state.get("evaluation");
    const evaluation = board?.[3].find(([key]) => key === named) ?? (named ? null : board?.[3][0]);
    if (!board || !evaluation) {
      place.replaceChildren(drill.fault("There is no such board or evaluation on this site. ", el("a", { href: "items.html" }, "All items")));
      return;
    }
    try {
      const found = await suite.load(`items/${board[0]}/${evaluation[0]}`);
      if (turn === asked) show(index, board, evaluation[0], found);
    } catch (error) {
      if (turn === asked) throw error;
    }
  };
  suite.load("items/index").then(start).catch(drill.failed(place));
  addEventListener("resize", () => repaint());
  addEventListener("suite:theme", () => repaint());
})();
