/** Small square pictures of seeds, as buttons. */

const SIDE = 96; // pixels

/** A square, still empty. */
export function emptyThumb() {
  return Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
}

/** A button with the square of a seed, and its number. */
export function thumbButton(seed, spoken, pressed) {
  const button = Object.assign(document.createElement("button"), { type: "button" });
  const canvas = emptyThumb();
  canvas.dataset.seed = seed;
  const text = document.createElement("span");
  text.textContent = seed;
  button.className = "thumb";
  button.append(canvas, text);
  button.setAttribute("aria-label", spoken);
  button.addEventListener("click", pressed);
  return button;
}

/** Draw a picture into a square, as large as it fits. */
export function drawInto(canvas, image) {
  const [width, height] = [image.naturalWidth ?? image.width, image.naturalHeight ?? image.height];
  const scale = Math.max(canvas.width / width, canvas.height / height);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = scale < 1;
  const [w, h] = [width * scale, height * scale];
  context.drawImage(image, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
}
