"use strict";

/* cell.html#<record id>: everything that one record says. */

(() => {
  const { el, format } = suite;
  const page = document.getElementById("cell");
  const intro = [...page.childNodes];
  const kept = new Set(page.dataset.prompts.split(" ").filter(Boolean));
  const { name, code, facts, exact } = drill;
  const loss = (value) => exact(value, format.loss) ?? format.ABSENT;
  const number = (value, show) => exact(value, show) ?? format.ABSENT;
  const cellOf = (text) => el("td", { class: "num" }, text);

  const tile = (label, value, more) =>
    el("div", { class: "tile" }, el("dt", {}, label), el("dd", {}, el("strong", {}, value), more ? el("span", { class: "small" }, more) : null));

  const tiles = (cell) => {
    const found = [];
    const target = cell.evaluations.find((one) => one.kind === "target");
    const points = (value) => number(typeof value === "number" ? 100 * value : value, format.score);
    if (cell.gain !== null) found.push(tile("Gain", `${number(cell.gain, format.points)} points`, `${points(target.value[0])} to ${points(target.value[1])}`));
    else if (cell.score !== null) found.push(tile("Score", number(cell.score, format.score), "after training"));
    if (cell.forgetting !== null) found.push(tile("Forgetting", `${number(cell.forgetting, format.points)} points`, "mean of the general skills; above 0 is worse"));
    const held = cell.held_out.find((one) => one.split === "test") ?? cell.held_out[0];
    if (held) found.push(tile(`Held-out loss, ${held.split}`, loss(held.loss[1]), held.loss[0] === null ? "nats a token" : `from ${loss(held.loss[0])} nats a token`));
    if (cell.trainable !== null) found.push(tile("Trainable parameters", format.count(cell.trainable), cell.total ? `${format.percent((100 * cell.trainable) / cell.total)} of ${format.count(cell.total)}` : null));
    if (cell.cost?.train_wall_s != null) found.push(tile("Training time", format.duration(cell.cost.train_wall_s), cell.cost.pack > 1 ? `of all ${cell.cost.pack} cells of its pack` : null));
    if (cell.cost?.peak_memory_bytes != null) found.push(tile("Peak memory", format.bytes(cell.cost.peak_memory_bytes), cell.cost.memory_method));
    return el("dl", { class: "tiles" }, found);
  };

  const scores = (cell) => {
    const row = (head, more, values) => el("tr", {}, el("th", { scope: "row", class: "text" }, head, el("span", { class: "small" }, more)), values.map(cellOf));
    const points = (value) => number(typeof value === "number" ? 100 * value : value, format.score);
    const rows = cell.evaluations.map((one) =>
      row(name(one.name), [one.kind === "target" ? "trained for, " : "general skill, ", name(one.metric)], [
        one.n === null ? format.ABSENT : String(one.n), points(one.value[0]), points(one.value[1]), one.change === null ? format.ABSENT : format.points(one.change)]));
    const losses = cell.held_out.map((one) =>
      row([name(one.split), " loss"], "nats a token; lower is better", [String(one.tokens.length || format.ABSENT), loss(one.loss[0]), loss(one.loss[1]), number(one.change, format.nats)]));
    const shares = cell.held_out.filter((one) => one.accuracy[1] !== null).map((one) =>
      row([name(one.split), " tokens right"], "first choice of the model, %", ["", ...one.accuracy.map((x) => points(x)), number(one.accuracy_change, format.points)]));
    const bits = cell.bits.some((one) => one !== null) ? [row("General text", "bits per byte; lower is better", ["", loss(cell.bits[0]), loss(cell.bits[1]), number(cell.bits_change, format.nats)])] : [];
    const all = [...rows, ...losses, ...shares, ...bits];
    if (!all.length) return null;
    return el("section", {}, el("h2", {}, "Before and after"), drill.table("Before and after", ["<Measured", "Items", "Before", "After", "Change"], all), metrics(cell), examples(cell));
  };

  const metrics = (cell) => {
    const rows = cell.evaluations.flatMap((one) => one.metrics.map(([metric, ...pair]) => el("tr", {}, el("th", { scope: "row", class: "text" }, name(one.name)), el("td", { class: "text" }, name(metric)), pair.map((x) => cellOf(number(x))))));
    const changes = cell.evaluations.filter((one) => one.batch_changes[1] !== null).map((one) => el("p", { class: "note" }, "Of ", name(one.name), `'s sampled answers ${number(one.batch_changes[1], (x) => (100 * x).toPrecision(2))} % change when generated alone.`));
    return rows.length ? el("details", { class: "more" }, el("summary", {}, "Every metric as it was reported"), drill.table("Every metric", ["<Evaluation", "<Metric", "Before", "After"], rows), changes) : null;
  };

  const examples = (cell) => {
    const splits = cell.held_out.filter((one) => one.tokens.length);
    if (!splits.length) return null;
    const rows = () => splits.flatMap((one) => one.tokens.map((tokens, at) => [one.split, at, tokens, one.nats[0]?.[at], one.nats[1]?.[at]]));
    return el("p", { class: "note" }, "The loss of each held-out example, before and after, in nats to six significant digits: ", drill.csv(`${cell.id}-held-out.csv`, ["split", "example", "tokens", "nats_before", "nats_after"], rows));
  };

  const training = (cell) => {
    if (!cell.curve.length) return null;
    const known = cell.curve.filter((one) => one[2] !== null);
    const lost = cell.curve.length - known.length;
    const unit = cell.source ? "" : " nats a token";
    const ends = known.length > 1 ? `Training loss from ${loss(known[0][2])} to ${loss(known.at(-1)[2])}${unit}, over ${cell.curve_points.toLocaleString("en")} points` : known.length ? `Training loss ${loss(known[0][2])}${unit} at step ${known[0][1]}` : "No finite training loss";
    const drawn = cell.curve_points > cell.curve.length ? `, of which ${cell.curve.length} are drawn` : "";
    const sentence = `${ends}${drawn}.${lost ? ` ${lost} of the points ${lost === 1 ? "is no finite number and is" : "are no finite numbers and are"} left out.` : ""}`;
    const start = cell.start_loss === null ? null : ` Before the first step the adapter's held-out loss was ${loss(cell.start_loss)}.`;
    return el("section", {}, el("h2", {}, "Training"),
      el("figure", { class: "card picture" }, curve.draw(cell.curve, sentence) ?? "", el("figcaption", { class: "note" }, sentence, start, " ",
        drill.csv(`${cell.id}-curve.csv`, ["phase", "step", "loss", "learning_rate"], () => cell.curve))));
  };

  const list = (pairs) => facts(pairs.map(([term, value]) => [name(term), value]));
  const block = (title, ...inside) => el("details", { class: "more" }, el("summary", {}, title), ...inside);

  const cost = (cell) => {
    const one = cell.cost;
    if (!one) return null;
    const speed = cell.tokens_per_s === null ? "" : `, ${format.count(Math.round(cell.tokens_per_s))} tokens/s`;
    const times = (each) => (each ? `${number(each.token_ms)} ms a token, ${number(each.prompt_ms)} ms the prompt` : null);
    return block("What it cost", facts([
      ["Training", one.train_wall_s === null ? null : `${format.duration(one.train_wall_s)}${one.train_cpu_s === null ? "" : `, ${format.duration(one.train_cpu_s)} of CPU`}${one.pack > 1 ? `, beside ${one.pack - 1} more` : ""}`],
      ["Tokens trained on", one.tokens === null ? null : `${format.count(one.tokens)}${speed}`],
      ["Scoring", one.evaluate_wall_s === null ? null : format.duration(one.evaluate_wall_s)],
      ["Start", one.start_s === null ? null : `${number(one.start_s)} s`],
      ["Peak memory of training", one.peak_memory_bytes === null ? null : `${format.bytes(one.peak_memory_bytes)} (${one.memory_method ?? "method not known"})`],
      ["Reserved", one.reserved_memory_bytes === null ? null : format.bytes(one.reserved_memory_bytes)],
      ["A step", one.flops && `${number(one.flops.forward / 1e9)} GFLOP forward, ${number(one.flops.backward / 1e9)} backward, ${one.flops.tokens} tokens`],
      ["Exported weights", one.adapter_bytes === null ? null : format.bytes(one.adapter_bytes)],
      ["Inference, the base alone", times(one.latency?.base)],
      ["with the adapter beside it", times(one.latency?.adapter)],
      ["with the adapter merged", one.latency ? times(one.latency.merged) ?? "not merged" : null],
      ["Rows of one forward", one.micro_batch],
      ["Activations recomputed", one.checkpointing === null ? null : one.checkpointing ? "yes" : "no"],
      ["Attention", one.attention && name(one.attention)],
    ]));
  };

  const effect = (cell) => {
    const one = cell.effect;
    if (!one) return null;
    const ranks = one.deltas.some(([, , rank]) => rank);
    const rows = one.deltas.map(([weight, norm, rank]) => el("tr", {}, el("th", { scope: "row", class: "text" }, code(weight)), cellOf(number(norm)), ranks ? (rank ?? [null, null, null, null]).map((x) => cellOf(number(x))) : null));
    return block("What the adapter does", facts([
      ["Moves logits by up to", `${number(one.from_base)} from the base, ${number(one.from_start)} from the start`],
      ["Norm of all weight changes", number(one.delta_norm)],
      ["Saved and reloaded", one.reload_error === null ? "not tried" : `logits agree to ${number(one.reload_error)}`],
      ["Weights", cell.weights && ["SHA-256 ", code(cell.weights)]],
    ]),
      rows.length ? drill.table("Weight changes", ["<Weight", "Norm", ...(ranks ? ["Rank", "Stable rank", "Directions with 90 %", "At most"] : [])], rows) : null);
  };

  const contamination = (cell) => {
    if (!cell.contamination.length) return null;
    const rows = cell.contamination.map((one) => el("tr", {}, el("th", { scope: "row", class: "text" }, name(one.evaluation), one.examples.length ? el("span", { class: "small" }, "such as ", name(one.examples.join(", "))) : null), [one.items, one.n, one.short, one.found, one.mostly, `${one.grams_found} of ${one.grams}`].map((x) => cellOf(String(x)))));
    return block("Test items found in the training set", el("p", { class: "note" }, "Items of which a run of so many words stands in the training set word for word. Items shorter than that are looked for whole."), drill.table("Overlap with the training set", ["<Evaluation", "Items", "Words of a run", "Shorter", "Found", "Nearly all found", "Runs found"], rows));
  };

  const source = (cell) => {
    const one = cell.source;
    if (!one) return null;
    const rows = one.fields.map(([field, value, note]) => el("tr", {}, el("th", { scope: "row", class: "text" }, code(field)), el("td", { class: "text" }, name(value)), el("td", { class: "text" }, note ? name(note) : "")));
    return block("Where it comes from", facts([["Kind", one.kind], ["From", name(one.origin)], ["Called", one.label && name(one.label)], ["Its file", one.file && code(one.file)], ["SHA-256", one.sha256 && code(one.sha256)], ["Its commit", one.commit && code(one.commit)]]),
      rows.length ? drill.table("What its source says", ["<Field", "<Value", "<What it means"], rows) : null);
  };

  const again = (cell, where) => {
    const made = cell.made;
    const line = (text) => el("pre", { class: "command" }, name(text));
    return el("section", {}, el("h2", {}, "To make it again"),
      cell.source ? null : [el("p", { class: "note" }, "Train and score this cell once more and hold it against the record", where.store === "STORE" ? ", STORE being the folder of its store:" : ":"), line(`suite verify ${cell.id} --store ${where.store}`)],
      el("p", { class: "note" }, "The command that made it:"), line(made.command),
      facts([["Made", made.created], ["On", made.device, made.device && made.threads !== null ? `, ${made.threads} thread${made.threads === 1 ? "" : "s"}` : null],
        ["Commit", made.commit && code(made.commit), made.dirty ? " with changes" : null],
        ["Versions", Object.entries(made.versions).map(([one, version]) => `${one} ${version}`).join(", ")],
        ["Settings of the worker", Object.entries(made.settings).map(([one, value]) => `${one} ${value}`).join(", ")],
        ["Training rows", cell.rows && code(cell.rows)]]),
      cell.data.length ? block("Data files and their SHA-256", list(cell.data)) : null);
  };

  const settings = (cell) => {
    const search = cell.search;
    return el("section", {}, el("h2", {}, "Settings"),
      facts([["Recipe", name(cell.recipe_line)], ["Recipe hash", cell.recipe_hash && code(cell.recipe_hash)],
        ["Learning rate", number(cell.rate, format.rate)], ["Seed", cell.seed],
        ["Part of a search", search && `${search.method}; this cell is ${{ trial: "a trial", edge: "a trial beyond the grid's edge", default: "the documented rate" }[search.role] ?? search.role}; rates ${search.rates.map((x) => number(x, format.rate)).join(", ")}; documented ${number(search.default, format.rate)}`],
        ["Base", name(cell.base[0]), " ", code(cell.base[1])],
        ["Training set", name(cell.task.source), " ", code(cell.task.digest)]]),
      cell.variant.settings.length ? block("Of the variant", list([...cell.variant.settings, ...(cell.variant.revision === null ? [] : [["revision", String(cell.variant.revision)]])])) : null,
      cell.recipe.length ? block("Of the training", list(cell.recipe)) : null,
      block("Of the scoring", list(cell.scoring)),
      cell.modules.length ? block(`Adapted layers (${cell.modules.length})`, el("p", { class: "modules" }, cell.modules.flatMap((one) => [code(one), " "]))) : null);
  };

  const rows = (where) => {
    if (!where.rows.length) return el("p", { class: "note" }, "This cell stands in no row of a table: a rate of the search that did not win, or a record of which a newer one is shown.");
    const listed = where.rows.flatMap(([href, label, title], at) => [at ? ", " : "", el("a", { href }, name(label)), " of ", name(title)]);
    const seeds = where.siblings.flatMap(([id, seed], at) => [at ? " \u00b7 " : "", id === where.id ? el("strong", { "aria-current": "true" }, seed) : el("a", { href: `cell.html#${id}` }, seed)]);
    return el("p", { class: "rows" }, "Counts in ", listed, ".", where.siblings.length > 1 ? [" Its seeds: ", ...seeds] : null);
  };

  const show = (cell, where) => {
    const title = [name(cell.variant.name), " on ", name(cell.task.label)];
    document.title = `${drill.plain(cell.variant.name)} on ${drill.plain(cell.task.label)} \u00b7 LoRA suite`;
    const tags = [el("span", { class: `tag ${cell.status === "ok" ? "good" : "warn"}` }, cell.status), where.badge ? el("span", { class: `tag ${where.badge === "verified" ? "good" : ""}` }, where.badge) : null, cell.measured === "all" ? null : el("span", { class: "tag" }, "trial: test split not read")];
    const head = el("header", {}, el("h1", {}, title),
      el("p", { class: "lead" }, [["learning rate ", number(cell.rate, format.rate)], ["seed ", cell.seed ?? format.ABSENT]].map(([a, b]) => `${a}${b}, `), name(cell.track), " on ", name(cell.base[0])),
      el("p", { class: "tags" }, tags, " ", code(cell.id), " ", el("a", { href: cell.variant.href }, "all cells of ", name(cell.variant.name))),
      rows(where),
      cell.error ? el("div", { class: "card missing" }, el("strong", {}, `Ended as ${cell.status}: `), drill.output(cell.error)) : null,
      cell.notes.length ? el("ul", { class: "card notes" }, cell.notes.map((note) => el("li", {}, name(note)))) : null);
    const items = el("section", { id: "items" }, el("h2", {}, "Every evaluated item"), outcomes.view(cell.evaluations, kept, where.rows.length ? where.rows[0][3] : null));
    page.replaceChildren(...[head, tiles(cell), scores(cell), training(cell), cell.evaluations.length ? items : null, again(cell, where), settings(cell), el("section", {}, el("h2", {}, "What else the record says"), cost(cell), effect(cell), contamination(cell), source(cell))].filter(Boolean));
  };

  let asked = 0; // an id asked for while data are on their way replaces the one before it
  const open = async () => {
    const id = decodeURIComponent(location.hash.slice(1).replaceAll("%", "%25"));
    if (id === "main") return;
    const turn = (asked += 1);
    if (!id) {
      page.removeAttribute("aria-busy");
      return page.replaceChildren(...intro);
    }
    page.setAttribute("aria-busy", "true");
    try {
      const index = /^[0-9a-f]{16}$/.test(id) ? await suite.load(`where/${id[0]}`) : { cells: {} };
      if (turn !== asked) return;
      const found = Object.hasOwn(index.cells, id) ? index.cells[id] : null;
      if (!found) {
        page.replaceChildren(el("h1", {}, "No such cell"), drill.fault("There is no record ", code(id.slice(0, 80)), " on this site. An id is 16 digits or letters a to f, as in the tables; ", el("a", { href: "index.html" }, "back to the first table"), "."));
        return;
      }
      const [store, badge, at, siblings] = found;
      const row = at.map((one) => index.rows[one]);
      const cell = await suite.load(`cells/${id}`);
      if (turn !== asked) return;
      show(cell, { id, store: index.stores[store], badge, rows: row, siblings });
    } catch (error) {
      if (turn === asked) drill.failed(page)(error);
    } finally {
      if (turn === asked) page.removeAttribute("aria-busy");
    }
  };
  addEventListener("hashchange", open);
  open();
})();
