"use strict";

/* All items of an evaluation at one glance: a line a variant, a column an item, the easiest items left. */

const heat = (() => {
  const LINE = 15;
  const NAMES = 150;

  const colours = (node) => {
    const style = getComputedStyle(node);
    return Object.fromEntries(["--gain", "--loss", "--track", "--ink", "--soft", "--line"].map((name) => [name.slice(2), style.getPropertyValue(name).trim()]));
  };

  /* `rows` are {label, shares}, `order` the items from left to right, `pick` gets the item that was clicked. */
  const draw = (canvas, rows, order, chosen, pick) => {
    const paint = () => {
      const width = canvas.parentElement.clientWidth;
      if (!width) return;
      const names = Math.min(NAMES, width * 0.3);
      const scale = devicePixelRatio || 1;
      const height = rows.length * LINE + 4;
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      const pen = canvas.getContext("2d");
      const colour = colours(canvas);
      pen.scale(scale, scale);
      pen.font = "11px system-ui, sans-serif";
      pen.textBaseline = "middle";
      const step = (width - names) / order.length;
      rows.forEach((row, line) => {
        const y = line * LINE + 2;
        pen.globalAlpha = 1;
        pen.fillStyle = colour.soft;
        pen.fillText(row.label.length > names / 6 ? `${row.label.slice(0, Math.floor(names / 6) - 1)}\u2026` : row.label, 0, y + LINE / 2, names - 6);
        order.forEach((item, at) => {
          const share = row.shares[item];
          if (share === null) return;
          pen.globalAlpha = share === 0 ? 1 : 0.25 + 0.75 * share;
          pen.fillStyle = share === 0 ? colour.track : colour.gain;
          pen.fillRect(names + at * step, y, Math.max(step - (step > 4 ? 1 : 0), 0.6), LINE - 3);
        });
      });
      const at = order.indexOf(chosen);
      if (at >= 0) {
        pen.globalAlpha = 1;
        pen.strokeStyle = colour.loss;
        pen.lineWidth = 2;
        pen.strokeRect(names + at * step - 1, 1, Math.max(step, 2) + 1, height - 2);
      }
    };
    canvas.onclick = (event) => {
      const width = canvas.parentElement.clientWidth;
      const names = Math.min(NAMES, width * 0.3);
      const at = Math.floor(((event.offsetX - names) / (width - names)) * order.length);
      if (at >= 0 && at < order.length) pick(order[at]);
    };
    paint();
    return paint;
  };

  return Object.freeze({ draw });
})();
