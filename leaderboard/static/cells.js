"use strict";

/* All cells of a variant: filtered, sorted, fifty at a time. What is chosen stands in the URL. */

(() => {
  const { el, state, format } = suite;
  const place = document.getElementById("all-cells");
  const PAGE = 50;
  const [ID, TASK, PLACE, SETTINGS, SEED, RATE, STATUS, ROLE, GAIN, SCORE, FORGETTING, SKILLS, LOSS, BITS, TRAINABLE, MEMORY, TIME, BADGE, ERROR] = Array.from({ length: 19 }, (_, at) => at);
  const ROLES = { trial: "trial", edge: "beyond the grid's edge", default: "documented rate" };

  const columns = (found) => {
    const measured = (at) => found.cells.some((cell) => cell[at] !== null);
    const column = (key, name, value, show, text) => ({ key, name, value, show: show ?? ((x) => x), text });
    const scores = !measured(GAIN) && measured(SCORE);
    const all = [
      column("task", "Task", (cell) => found.tasks[cell[TASK]], drill.name, true),
      column("seed", "Seed", (cell) => cell[SEED], String),
      column("rate", "Learning rate", (cell) => cell[RATE], format.rate),
      column("status", "Status", (cell) => cell[STATUS], null, true),
      scores ? column("score", "Score", (cell) => cell[SCORE], format.score) : column("gain", "Gain", (cell) => cell[GAIN], format.points),
      measured(FORGETTING) ? column("forgetting", "Forgetting", (cell) => cell[FORGETTING], format.points) : null,
      ...found.skills.map((skill, at) => (found.cells.some((cell) => cell[SKILLS][at] !== null) ? column(`skill-${at}`, skill, (cell) => cell[SKILLS][at], format.points) : null)),
      measured(LOSS) ? column("loss", "Validation loss", (cell) => cell[LOSS], format.loss) : null,
      measured(BITS) ? column("bits", "Bits/byte change", (cell) => cell[BITS], format.nats) : null,
      measured(TRAINABLE) ? column("trainable", "Trainable", (cell) => cell[TRAINABLE], format.count) : null,
      measured(MEMORY) ? column("memory", "Peak memory", (cell) => cell[MEMORY], format.bytes) : null,
      measured(TIME) ? column("time", "Training time", (cell) => cell[TIME], format.duration) : null,
      measured(ROLE) ? column("role", "In its search", (cell) => (cell[ROLE] ? ROLES[cell[ROLE]] ?? cell[ROLE] : null), null, true) : null,
      measured(BADGE) ? column("badge", "Badge", (cell) => cell[BADGE], null, true) : null,
      column("record", "Record", (cell) => cell[ID], null, true),
    ];
    return all.filter(Boolean);
  };

  const status = (cell) =>
    el("td", { class: "text" }, el("span", { class: cell[STATUS] === "ok" ? null : "bad" }, cell[STATUS]),
      cell[ERROR] ? el("span", { class: "small error" }, drill.name(cell[ERROR])) : null);
  const record = (cell) => el("td", { class: "text" }, el("a", { href: `cell.html#${cell[ID]}` }, el("code", {}, cell[ID])));
  const shown = (cell, column, found) => {
    if (column.key === "status") return status(cell);
    if (column.key === "record") return record(cell);
    const value = column.value(cell);
    if (column.key === "task") return el("th", { scope: "row", class: "text" }, el("a", { href: `cell.html#${cell[ID]}` }, drill.name(value)), found.places.length > 1 ? el("span", { class: "small" }, drill.name(found.places[cell[PLACE]])) : null);
    return el("td", { class: column.text ? "text" : "num" }, value === null ? format.ABSENT : typeof value === "string" ? value : column.show(value));
  };

  /* What is absent comes last, whichever the direction. */
  const order = (column, down) => (one, other) => {
    const [a, b] = [column.value(one), column.value(other)];
    if (a === b) return (one[RATE] ?? 0) - (other[RATE] ?? 0) || (one[SEED] ?? 0) - (other[SEED] ?? 0) || (one[ID] < other[ID] ? -1 : 1);
    if (a === null || b === null) return a === null ? 1 : -1;
    return (a < b ? -1 : 1) * (down ? -1 : 1);
  };

  const breakable = (text) => el("bdi", {}, text.split("_").flatMap((part, at) => [at ? "_" : null, at ? el("wbr") : null, ...drill.visible(part)]));

  const start = (found) => {
    const heads = columns(found);
    const FILTERS = [
      ["task", "Task", (cell) => found.tasks[cell[TASK]]],
      ["place", "Track", (cell) => found.places[cell[PLACE]]],
      ["settings", "Settings", (cell) => found.settings[cell[SETTINGS]]],
      ["status", "Status", (cell) => cell[STATUS]],
      ["role", "Role", (cell) => (cell[ROLE] ? ROLES[cell[ROLE]] ?? cell[ROLE] : "not searched")],
    ].map(([key, label, value]) => ({ key, label, value, options: [...new Set(found.cells.map(value))].sort() })).filter(({ options }) => options.length > 1);
    const body = el("div", {});

    const chosen = () => {
      const query = (state.get("find") ?? "").trim().toLowerCase();
      const filters = FILTERS.map((one) => [one.value, state.get(one.key)]).filter(([, value]) => value !== null);
      return found.cells.filter((cell) => filters.every(([value, wanted]) => value(cell) === wanted) &&
        (!query || [cell[ID], found.tasks[cell[TASK]], found.settings[cell[SETTINGS]], cell[ERROR] ?? "", `seed ${cell[SEED]}`].some((text) => text.toLowerCase().includes(query))));
    };
    const render = () => {
      const [key, down] = [(state.get("sort") ?? "task").replace(/^-/, ""), (state.get("sort") ?? "").startsWith("-")];
      const column = heads.find((one) => one.key === key) ?? heads[0];
      const cells = chosen().sort(order(column, down));
      const page = drill.pageOf(state.get("page"), cells.length, PAGE);
      const turn = (to) => {
        state.set("page", to ? to + 1 : null);
        render();
      };
      const head = heads.map((one) => {
        const button = el("button", { type: "button" }, one.key.startsWith("skill-") ? el("span", {}, "Forgotten: ", breakable(one.name)) : one.name);
        button.addEventListener("click", () => {
          state.set("sort", one === column && !down ? `-${one.key}` : one.key);
          state.set("page", null);
          render();
          body.querySelector(`[data-sort="${one.key}"] button`).focus();
        });
        return el("th", { scope: "col", class: one.text ? "text" : null, "data-sort": one.key, "aria-sort": one === column ? (down ? "descending" : "ascending") : null }, button);
      });
      const rows = cells.slice(page * PAGE, (page + 1) * PAGE).map((cell) => el("tr", {}, heads.map((one) => shown(cell, one, found))));
      const lines = () => cells.map((cell) => heads.map((one) => one.value(cell)));
      body.replaceChildren(
        el("div", { class: "between" }, drill.pager(cells.length, PAGE, page, turn, "cells"), drill.csv(`${place.dataset.key.split("/")[1]}.csv`, heads.map((one) => one.name), lines)),
        drill.table("All cells", head, rows),
      );
    };
    const changed = (key) => (value) => {
      state.set(key, value);
      state.set("page", null);
      render();
    };
    const bar = el("div", { class: "controls" },
      FILTERS.map((one) => drill.choice(one.label, [["", "all"], ...one.options.map((value) => [value, drill.plain(value).slice(0, 80)])], state.get(one.key) ?? "", changed(one.key))),
      drill.field("Search", "search", state.get("find") ?? "", changed("find")));
    place.replaceChildren(bar, body);
    render();
  };

  suite.load(place.dataset.key).then(start).catch(drill.failed(place));
})();
