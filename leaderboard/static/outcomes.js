"use strict";

/* The items of a cell: what was asked, what came out, whether it was right before and after training. */

const outcomes = (() => {
  const { el, state } = suite;
  const PAGE = 25;
  const BEFORE = 0;
  const AFTER = 1;
  const SHOWN = [
    ["", "all"],
    ["right", "right after training"],
    ["wrong", "wrong after training"],
    ["gained", "turned right"],
    ["lost", "turned wrong"],
  ];

  const said = (one, side, at) => one.said[side]?.[at] ?? null;
  const text = (value) => (Array.isArray(value) ? value[0] : value ?? "");
  const fits = (one, show, query) => (at) => {
    const [before, after] = [drill.mark(one.right[BEFORE], at), drill.mark(one.right[AFTER], at)];
    if (show === "right" && after !== 1) return false;
    if (show === "wrong" && (after === 1 || after === null)) return false;
    if (show === "gained" && !(before !== null && after > before)) return false;
    if (show === "lost" && !(after !== null && before > after)) return false;
    if (!query) return true;
    return [BEFORE, AFTER].some((side) => text(said(one, side, at)).toLowerCase().includes(query));
  };

  /* What was asked, and the right answer, from the store's prompts where they were kept. */
  const asked = async (digest, kept, id) => {
    if (!digest || !kept.has(digest)) return el("p", { class: "note" }, "Prompt not kept in this store.");
    const found = await suite.load(`prompts/${digest}`);
    if (found.fault) return el("p", { class: "note" }, "Prompt not shown: ", drill.name(found.fault));
    const own = (map) => (map && Object.hasOwn(map, id) ? map[id] : null);
    const [prompt, target, choices] = [own(found.prompts), own(found.targets), own(found.choices)];
    if (prompt === null) return el("p", { class: "note" }, "No prompt of this item was kept.");
    return el("div", {},
      el("h3", { class: "label" }, "Prompt"), drill.output(prompt),
      choices ? [el("h3", { class: "label" }, "Choices"), el("ol", { class: "choices" }, choices.map((one) => el("li", {}, drill.output(one))))] : null,
      target === null ? null : [el("h3", { class: "label" }, "Right answer"), drill.output(target)]);
  };

  const opened = (one, kept, at, board) => {
    const id = drill.idOf(one.ids, at);
    const prompt = el("div", { class: "asked" }, el("p", { class: "note" }, "\u2026"));
    asked(one.prompts, kept, id).then((node) => prompt.replaceChildren(node)).catch(drill.failed(prompt));
    const side = (name, which) =>
      el("section", {}, el("h3", { class: "label" }, name, " ", drill.verdict(drill.mark(one.right[which], at))),
        one.said[which] ? drill.output(said(one, which, at)) : el("p", { class: "note" }, "Scored by likelihood: nothing is generated."));
    const others = board ? el("p", { class: "note" }, el("a", { href: `items.html?${new URLSearchParams({ board, evaluation: one.slug, item: at + 1 })}` }, "Who else solved this item")) : null;
    return el("div", { class: "inside" }, others, prompt, el("div", { class: "sides" }, side("Before", BEFORE), side("After", AFTER)));
  };

  const item = (one, kept, at, open, board) => {
    const id = drill.idOf(one.ids, at);
    const first = drill.plain(text(said(one, AFTER, at)).trimStart().split("\n", 1)[0].slice(0, 90));
    const made = el("details", { class: "item", id: `item-${at + 1}` },
      el("summary", {},
        el("span", { class: "at" }, String(at + 1)),
        id === String(at) ? null : el("span", { class: "soft" }, drill.name(id.slice(0, 60))),
        drill.verdict(drill.mark(one.right[BEFORE], at)), el("span", { "aria-hidden": "true" }, "\u2192"), el("span", { class: "visually-hidden" }, "then"), drill.verdict(drill.mark(one.right[AFTER], at)),
        first ? el("bdi", { class: "first" }, first) : null));
    const fill = () => made.childElementCount === 1 && made.append(opened(one, kept, at, board));
    made.addEventListener("toggle", () => made.open && fill());
    if (open) {
      fill();
      made.open = true;
    }
    return made;
  };

  /* The list with its filters; everything that is chosen stands in the URL. */
  const view = (evaluations, kept, board) => {
    const scored = evaluations.filter((one) => drill.count(one.ids) > 0);
    if (!scored.length) return el("p", { class: "note" }, "No outcome of a single item is known of this cell.");
    const place = el("div", {});
    const bar = el("div", { class: "controls" });
    const render = (goto) => {
      const one = scored.find((each) => each.name === state.get("evaluation")) ?? scored[0];
      const total = drill.count(one.ids);
      const query = (state.get("q") ?? "").toLowerCase();
      const chosen = Array.from({ length: total }, (_, at) => at).filter(fits(one, state.get("show"), query));
      const wanted = /^\d{1,7}$/.test(state.get("item") ?? "") ? Number(state.get("item")) - 1 : -1;
      const where = chosen.indexOf(wanted);
      const page = where >= 0 ? Math.floor(where / PAGE) : drill.pageOf(state.get("page"), chosen.length, PAGE);
      const go = (to) => {
        state.set("item", null);
        state.set("page", to ? to + 1 : null);
        render();
        place.querySelector("details")?.scrollIntoView({ block: "center" });
      };
      const pager = () => drill.pager(chosen.length, PAGE, page, go, "items");
      const missing = wanted >= 0 && where < 0 ? el("p", { class: "note" }, wanted < total ? `Item ${wanted + 1} is not among those that the filter shows.` : `There is no item ${wanted + 1}; the last one is ${total}.`) : null;
      place.replaceChildren(...[missing, pager(), ...chosen.slice(page * PAGE, (page + 1) * PAGE).map((at) => item(one, kept, at, at === wanted, board)), chosen.length > 8 ? pager() : null].filter(Boolean));
      if (goto && where >= 0) place.querySelector(`#item-${wanted + 1}`).scrollIntoView({ block: "start" });
    };
    const changed = (name) => (value) => {
      state.set(name, value);
      if (name !== "item") state.set("item", null);
      if (name !== "page") state.set("page", null);
      render(name === "item");
    };
    bar.append(
      drill.choice("Evaluation", scored.map((one) => [one.name, `${drill.plain(one.name)} (${drill.count(one.ids)})`]), state.get("evaluation"), changed("evaluation")),
      drill.choice("Show", SHOWN, state.get("show") ?? "", changed("show")),
      drill.field("Search in outputs", "search", state.get("q") ?? "", changed("q")),
      drill.field("Go to item", "number", state.get("item") ?? "", changed("item")),
    );
    render(false);
    return el("div", {}, bar, place);
  };

  return Object.freeze({ view, asked });
})();
