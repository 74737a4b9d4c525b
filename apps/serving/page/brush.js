/** A brush on a canvas: by mouse, finger or pen, or by the keys. */

const KEY_STEPS = 32; // of an arrow key, across the canvas

/**
 * @param {HTMLCanvasElement} canvas - what is painted; it lies over the picture.
 * @param {HTMLElement} ring - shows where the brush is, and how large.
 * @param {{size: function(): number, erases: function(): boolean}} brush - its diameter, as a share
 *   of the canvas's width, and whether it takes away.
 * @param {function()} changed - called after each stroke.
 * @returns {function()} puts the keys' brush into the middle again.
 */
export function paintOn(canvas, ring, brush, changed) {
  let last = null; // {x, y} of the stroke, in pixels of the canvas
  let at = null; // of the keys

  const stroke = (from, to) => {
    const context = canvas.getContext("2d");
    context.globalCompositeOperation = brush.erases() ? "destination-out" : "source-over";
    context.fillStyle = context.strokeStyle = "#000";
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = brush.size() * canvas.width;
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
    // A line from a place to itself may be left out, with its round ends.
    context.beginPath();
    context.arc(to.x, to.y, context.lineWidth / 2, 0, 2 * Math.PI);
    context.fill();
  };
  const showRing = ({ x, y }) => {
    const share = (part, whole) => `${(100 * part) / whole}%`;
    ring.style.left = share(x, canvas.width);
    ring.style.top = share(y, canvas.height);
    ring.style.width = `${100 * brush.size()}%`;
  };
  const placeOf = ({ clientX, clientY }) => {
    const box = canvas.getBoundingClientRect();
    return {
      x: ((clientX - box.left) / box.width) * canvas.width,
      y: ((clientY - box.top) / box.height) * canvas.height,
    };
  };
  const end = () => {
    if (!last) return;
    last = null;
    changed();
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    canvas.setPointerCapture(event.pointerId);
    last = at = placeOf(event);
    stroke(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    showRing(placeOf(event));
    if (!last || !event.isPrimary) return;
    const parts = event.getCoalescedEvents?.() ?? [];
    for (const part of parts.length ? parts : [event]) {
      const place = placeOf(part);
      stroke(last, place);
      last = at = place;
    }
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, end);
  canvas.addEventListener("keydown", (event) => {
    const step = canvas.width / KEY_STEPS;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    at ??= { x: canvas.width / 2, y: canvas.height / 2 };
    if (event.key in moves) {
      const [x, y] = moves[event.key];
      const inside = (value, most) => Math.min(Math.max(value, 0), most);
      at = { x: inside(at.x + step * x, canvas.width), y: inside(at.y + step * y, canvas.height) };
    } else if (event.key === " ") {
      stroke(at, at);
      changed();
    } else {
      return;
    }
    event.preventDefault();
    showRing(at);
  });
  canvas.addEventListener("focus", () => showRing(at ?? { x: canvas.width / 2, y: canvas.height / 2 }));
  return () => (at = null);
}
