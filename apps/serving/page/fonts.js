/** Fonts, looked up early: the page stands still until the browser has found one of another size. */

import { rest } from "./rest.js";

/**
 * Look up the fonts of elements, which need not be shown, one after the other.
 *
 * It takes a millisecond each as the page is loaded, and a hundred times that while the processor
 * is busy with opening the generator and drawing.
 */
export async function lookUpFonts(elements) {
  const context = document.createElement("canvas").getContext("2d");
  for (const font of new Set([...elements].map(fontOf))) {
    context.font = font;
    context.measureText("0");
    await rest();
  }
}

function fontOf(element) {
  const { fontWeight, fontSize, fontFamily } = getComputedStyle(element);
  return `${fontWeight} ${fontSize} ${fontFamily}`;
}
