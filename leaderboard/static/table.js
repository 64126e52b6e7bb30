"use strict";

/* The table of a board: sort, filter, choose columns, show who is tied with whom, save what is shown.
   What is chosen stands in the URL. Cells are read once; after that nothing is parsed again. */

(() => {
  const table = document.getElementById("board");
  if (!table) return;
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const status = document.getElementById("status");
  const columns = heads.map((head, at) => ({
    at,
    head,
    key: head.dataset.key,
    title: head.textContent,
    kind: head.dataset.kind ?? "t",
    task: head.dataset.task,
    extra: "extra" in head.dataset,
    shown: true,
  }));
  const placeOf = (key) => columns.findIndex((column) => column.key === key);
  const nameAt = placeOf("variant");
  const rankAt = placeOf("rank");
  const numbers = (cell) => {
    const found = (cell.dataset.k ?? cell.firstChild?.textContent ?? "").split(" ").map(parseFloat);
    return found.every(Number.isFinite) ? found : [];
  };
  const rows = [...body.rows].map((row, order) => ({
    row,
    order,
    text: "",
    name: row.cells[nameAt].querySelector("bdi").textContent,
    kind: row.className,
    size: row.dataset.size,
    setting: row.dataset.setting,
    near: row.dataset.near,
    rank: rankAt >= 0 ? parseFloat(row.cells[rankAt].firstChild.textContent) : NaN,
  }));
  const ranked = rows.filter(({ rank }) => rank >= 1);

  const drawBars = suiteBars(columns, numbers);

  const keysOf = suiteKeys(rows, numbers, nameAt, rankAt);
  const chosen = { key: null, ascending: false };
  const ordered = () => {
    const column = columns.find(({ key }) => key === chosen.key);
    if (!column) return rows;
    const values = keysOf(column);
    const sign = chosen.ascending ? 1 : -1;
    return [...rows].sort((a, b) => {
      const x = values[a.order];
      const y = values[b.order];
      if (x !== x || y !== y) return (x !== x) - (y !== y) || a.order - b.order;
      return sign * (x - y) || a.order - b.order;
    });
  };

  /* Brackets around neighbours that share a rank: where each begins and ends depends on what is shown. */
  const bracket = (visible) => {
    if (rankAt < 0) return;
    const shared = (one) => (one?.row.cells[rankAt].classList.contains("tied") ? one.rank : null);
    visible.forEach((one, at) => {
      const rank = shared(one);
      const { classList } = one.row.cells[rankAt];
      classList.toggle("begins", rank !== null && shared(visible[at - 1]) !== rank);
      classList.toggle("ends", rank !== null && shared(visible[at + 1]) !== rank);
    });
  };

  const selects = [...document.querySelectorAll("select[data-filter]")];
  const search = document.getElementById("search");
  const wanted = (name) => selects.find(({ dataset }) => dataset.filter === name)?.value ?? "";
  const passes = (one) => {
    for (const name of ["kind", "size", "setting"]) {
      const value = wanted(name);
      if (value && one[name] !== value) return false;
    }
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return true;
    one.text ||= [one.name, ...columns.filter(({ kind }) => kind === "t").map(({ at }) => one.row.cells[at].textContent)]
      .join(" ")
      .toLowerCase();
    return words.every((word) => one.text.includes(word));
  };

  /* Rows beyond the first ones are laid out when asked for, so that a board of a thousand sorts at once. */
  const FIRST = 50;
  let most = FIRST;
  const more = document.getElementById("more");
  let visible = rows;
  const tell = (also = "") => {
    const column = columns.find(({ key }) => key === chosen.key);
    const by = column ? `, sorted by ${column.title}, ${chosen.ascending ? "lowest first" : "highest first"}` : ", by mean gain";
    const task = wanted("task") ? `; ${wanted("task")} alone, ranks over all tasks` : "";
    status.textContent = `${visible.length} of ${rows.length} rows shown${rankAt < 0 && !column ? "" : by}${task}${also}`;
  };
  const draw = () => {
    visible = ordered().filter(passes);
    const drawn = visible.slice(0, most);
    for (const one of drawn) one.drawn ||= drawBars(one.row);
    body.replaceChildren(...drawn.map(({ row }) => row));
    bracket(drawn);
    more.hidden = drawn.length === visible.length;
    more.textContent = `Show all ${visible.length} rows`;
    for (const { head, key } of columns) {
      if (key === chosen.key) head.setAttribute("aria-sort", chosen.ascending ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
    tell();
  };

  /* Columns: those that a reader ticked, and of the tasks' columns those of the chosen task. */
  const boxes = new Map();
  const show = (column, shown) => {
    if (column.shown === shown) return;
    column.shown = shown;
    column.head.hidden = !shown;
    for (const { row } of rows) row.cells[column.at].hidden = !shown;
  };
  const fit = () => {
    const task = wanted("task");
    for (const column of columns) {
      const ticked = boxes.get(column.key)?.checked ?? true;
      const other = task && (column.task ? column.task !== task : ["gain", "score"].includes(column.key));
      show(column, column.task && column.task === task ? true : ticked && !other);
    }
  };

  /* State: in the URL, and nowhere else. */
  const usual = columns.filter(({ extra }) => !extra).map(({ key }) => key);
  const keep = (name, value) => {
    if ((suite.state.get(name) ?? "") !== (value ?? "")) suite.state.set(name, value);
  };
  /* The name of a task is part of a key, and may hold the comma that parts them. */
  const part = (key) => key.replaceAll("%", "%25").replaceAll(",", "%2C");
  const whole = (text) => text.replaceAll("%2C", ",").replaceAll("%25", "%");
  let waiting = 0;
  const save = () => {
    clearTimeout(waiting);
    keep("sort", chosen.key && `${chosen.ascending ? "" : "-"}${chosen.key}`);
    keep("q", search.value.trim());
    for (const select of selects) keep(select.dataset.filter, select.value);
    const ticked = columns.map(({ key }) => key).filter((key) => boxes.get(key)?.checked ?? true);
    keep("columns", ticked.join() === usual.join() ? null : ticked.filter((key) => boxes.has(key)).map(part).join());
  };
  const restore = () => {
    const [, down, key] = /^(-?)(.*)$/s.exec(suite.state.get("sort") ?? "");
    chosen.key = columns.some((column) => column.key === key) ? key : null;
    chosen.ascending = !down;
    search.value = suite.state.get("q") ?? "";
    for (const select of selects) {
      const value = suite.state.get(select.dataset.filter) ?? "";
      select.value = [...select.options].some((option) => option.value === value) ? value : "";
    }
    const kept = suite.state.get("columns")?.split(",").map(whole);
    for (const [name, box] of boxes) box.checked = (kept ?? usual).includes(name);
    fit();
    draw();
  };

  /* Headings become buttons. */
  for (const { head, key } of columns) {
    const button = suite.el("button", { type: "button" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      if (chosen.key === key) chosen.ascending = !chosen.ascending;
      else Object.assign(chosen, { key, ascending: head.dataset.first === "ascending" });
      draw();
      save();
    });
  }

  /* Who cannot be told from a row: its bits count the ranked rows, as they stand in the page. */
  const isNear = (one, other) => {
    const at = ranked.indexOf(other);
    const digit = one.near[one.near.length - 1 - (at >> 2)];
    return Boolean(digit && (parseInt(digit, 16) >> (at & 3)) & 1);
  };
  let pressed = null;
  const gainAt = placeOf("gain");
  const compare = (one) => {
    pressed?.button.setAttribute("aria-pressed", "false");
    pressed = pressed === one ? null : one;
    table.classList.toggle("comparing", Boolean(pressed));
    for (const other of ranked) {
      const near = pressed && pressed !== other && isNear(pressed, other);
      const ahead = pressed && numbers(other.row.cells[gainAt])[0] > numbers(pressed.row.cells[gainAt])[0];
      other.row.classList.toggle("near-row", Boolean(near) || pressed === other);
      other.note.textContent = !pressed || pressed === other ? "" : near ? "cannot tell" : ahead ? "better" : "worse";
    }
    pressed?.button.setAttribute("aria-pressed", "true");
    const names = pressed ? ranked.filter((other) => other !== pressed && isNear(pressed, other)).map(({ name }) => name) : [];
    tell(pressed ? `; ${pressed.name} cannot be told from ${names.join(", ") || "none of the others"}` : "");
  };
  if (ranked.length > 1 && gainAt >= 0) {
    for (const one of ranked) {
      const cell = one.row.cells[rankAt];
      const old = cell.querySelector("i");
      one.button = suite.el(
        "button",
        { type: "button", class: "tie", "aria-pressed": "false", "aria-label": `rank ${cell.firstChild.textContent}${old ? `, ${old.textContent}` : ""}: what is ${one.name} tied with?` },
        cell.firstChild.textContent,
        old,
      );
      one.note = suite.el("span", { class: "versus" });
      cell.replaceChildren(one.button, one.note);
      one.button.addEventListener("click", () => compare(one));
    }
  }

  /* The controls. */
  document.getElementById("controls").hidden = false;
  const list = document.querySelector("#columns .menu-list");
  for (const column of columns) {
    if (column.at === nameAt) continue;
    const box = suite.el("input", { type: "checkbox" });
    boxes.set(column.key, box);
    list.append(suite.el("label", {}, box, ` ${column.title}`));
    box.addEventListener("change", () => {
      fit();
      save();
    });
  }
  search.addEventListener("input", () => {
    draw();
    clearTimeout(waiting);
    waiting = setTimeout(save, 150); // browsers count changes of the address
  });
  for (const select of selects) {
    select.addEventListener("change", () => {
      if (select.dataset.filter === "task") {
        Object.assign(chosen, select.value ? { key: `task ${select.value}`, ascending: false } : { key: null });
        if (!columns.some(({ key }) => key === chosen.key)) chosen.key = null;
        fit();
      }
      draw();
      save();
    });
  }
  document.getElementById("reset").addEventListener("click", () => {
    clearTimeout(waiting);
    for (const name of ["sort", "q", "columns", ...selects.map(({ dataset }) => dataset.filter)]) keep(name, null);
    if (pressed) compare(pressed);
    restore();
  });
  document.getElementById("base")?.addEventListener("change", (event) => {
    if (/^[\w.-]+\.html$/.test(event.target.value)) location.href = event.target.value;
  });

  more.addEventListener("click", () => {
    most = Infinity;
    const next = visible[FIRST];
    draw();
    next.row.querySelector("a").focus();
  });

  /* What is shown, as a file. */
  const content = () => {
    const kept = columns.filter(({ shown }) => shown);
    const read = (one, { at }) => {
      const cell = one.row.cells[at];
      const first = at === nameAt ? one.name : (cell.querySelector("button.tie, a") ?? cell).firstChild?.textContent ?? "";
      return {
        text: first,
        small: cell.querySelector("i")?.textContent ?? "",
        numbers: at === rankAt ? [one.rank].filter(Number.isFinite) : numbers(cell),
      };
    };
    return {
      title: table.dataset.name,
      columns: kept.map(({ key, title, kind }) => ({ key, title, kind })),
      rows: visible.map((one) => kept.map((column) => read(one, column))),
    };
  };
  for (const button of document.querySelectorAll("#download button")) {
    button.addEventListener("click", () => {
      const { write, ending, type } = suiteFormats[button.dataset.format];
      const address = URL.createObjectURL(new Blob([write(content())], { type: `${type};charset=utf-8` }));
      suite.el("a", { href: address, download: `board-${table.dataset.board}.${ending}` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
      button.closest("details").open = false;
    });
  }

  /* A click on a number leads to its cells, as the link in its row's last columns does. */
  body.addEventListener("click", (event) => {
    const cell = event.target.closest("td[data-k]");
    if (!cell || event.target.closest("a, button") || String(getSelection())) return;
    cell.parentElement.querySelector("td.t a")?.click();
  });

  restore();
  table.classList.add("ready");
})();
