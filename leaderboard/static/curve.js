"use strict";

/* A training curve as a small picture: loss against step, phases one after the other. */

const curve = (() => {
  const SPACE = "http://www.w3.org/2000/svg";
  const WIDTH = 640;
  const HEIGHT = 240;
  const EDGE = { left: 52, right: 12, top: 12, bottom: 34 };

  const svg = (tag, attributes = {}, ...children) => {
    const made = document.createElementNS(SPACE, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  /* Round numbers between two ends, about `most` of them. */
  const ticks = (low, high, most) => {
    const raw = (high - low) / most || 1;
    const size = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((times) => times * size).find((one) => one >= raw);
    const found = [];
    for (let at = Math.ceil(low / step); at * step <= high * (1 + 1e-9) && found.length < 50; at += 1) found.push(Number((at * step).toPrecision(12)));
    return found;
  };

  /* [phase, step, loss] -> [[x, y], ...] by phase, each phase behind the one before. */
  const placed = (points) => {
    const phases = [];
    let offset = 0;
    let last = null;
    let end = 0;
    for (const [phase, step, loss] of points) {
      if (phase !== last) {
        offset = end;
        last = phase;
        phases.push([]);
      }
      end = Math.max(end, offset + step + 1);
      phases.at(-1).push([offset + step, loss]);
    }
    return phases;
  };

  const draw = (points, label) => {
    const phases = placed(points);
    const known = phases.flat().filter(([, loss]) => loss !== null);
    if (known.length < 2) return null;
    const losses = known.map(([, loss]) => loss);
    const [low, high] = [Math.min(0, ...losses), Math.max(...losses)];
    const from = known[0][0];
    const to = Math.max(known.at(-1)[0], from + 1);
    const inner = [WIDTH - EDGE.left - EDGE.right, HEIGHT - EDGE.top - EDGE.bottom];
    const x = (step) => EDGE.left + (inner[0] * (step - from)) / (to - from);
    const y = (loss) => EDGE.top + inner[1] * (1 - (loss - low) / (high - low || 1));
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, class: "curve" });
    for (const tick of ticks(low, high, 4)) {
      picture.append(
        svg("line", { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(tick), y2: y(tick), class: "grid" }),
        svg("text", { x: EDGE.left - 8, y: y(tick) + 4, class: "end" }, String(tick)),
      );
    }
    for (const tick of ticks(from, to, 6)) {
      picture.append(svg("text", { x: x(tick), y: HEIGHT - EDGE.bottom + 18, class: "middle" }, String(tick)));
    }
    picture.append(svg("text", { x: WIDTH - EDGE.right, y: HEIGHT - 3, class: "end" }, "optimiser step"));
    for (const phase of phases) {
      let path = "";
      let pen = false;
      for (const [step, loss] of phase) {
        if (loss !== null) path += `${pen ? "L" : "M"}${x(step).toFixed(1)} ${y(loss).toFixed(1)}`;
        pen = loss !== null;
      }
      if (path) picture.append(svg("path", { d: path, class: "line" }));
    }
    for (const phase of phases.slice(1)) {
      const at = x(phase[0][0]).toFixed(1);
      picture.append(svg("line", { x1: at, x2: at, y1: EDGE.top, y2: HEIGHT - EDGE.bottom, class: "phase" }));
    }
    return picture;
  };

  return Object.freeze({ draw });
})();
