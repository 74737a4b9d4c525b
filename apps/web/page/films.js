/** A walk as a file: WebM by the encoder of the browser, or its frames as PNG files in a ZIP. */

import { COLOURS, toI420 } from "./i420.js";
import { encodePng } from "./png.js";
import { joinWebm } from "./webm.js";
import { joinZip } from "./zip.js";

const BITS_A_PIXEL = 0.25; // of video: more than enough for a walk, whose pictures change slowly
const MOST_WAITING = 8; // frames that the encoder may have before it, so that memory does not grow

/**
 * @param {AsyncIterable<{pixels: Uint8Array, height: number, width: number, channels: number}>}
 *   frames
 * @param {'webm'|'zip'} format
 * @param {number} fps - frames a second.
 * @returns {Promise<Blob>}
 */
export function encodeFilm(frames, format, fps) {
  return format === "webm" ? encodeWebm(frames, fps) : encodeZip(frames);
}

async function encodeZip(frames) {
  const files = [];
  for await (const frame of frames) {
    const name = `${files.length}`.padStart(5, "0");
    files.push([`${name}.png`, new Uint8Array(await (await encodePng(frame)).arrayBuffer())]);
  }
  return joinZip(files);
}

async function encodeWebm(frames, fps) {
  const blocks = []; // {data, ms, key}
  let [encoder, size, failed] = [null, null, null];
  let count = 0;
  for await (const { pixels, height, width } of frames) {
    if (!encoder) {
      size = { width, height };
      encoder = new VideoEncoder({
        output: (chunk) => blocks.push(blockOf(chunk)),
        error: (error) => (failed = error),
      });
      const bitrate = Math.max(200_000, width * height * fps * BITS_A_PIXEL);
      encoder.configure({ codec: "vp8", ...size, bitrate, framerate: fps });
    }
    const timestamp = Math.round((count * 1e6) / fps); // microseconds
    const init = { format: "I420", codedWidth: width, codedHeight: height, colorSpace: COLOURS };
    const frame = new VideoFrame(toI420(pixels, size), { ...init, timestamp });
    encoder.encode(frame, { keyFrame: count % (2 * fps) === 0 });
    frame.close();
    count++;
    while (encoder.encodeQueueSize > MOST_WAITING && !failed) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    if (failed) throw new Error(`This browser cannot encode the video: ${failed.message}`);
  }
  await encoder.flush();
  encoder.close();
  return joinWebm(blocks, size, (count * 1000) / fps);
}

function blockOf(chunk) {
  const data = new Uint8Array(chunk.byteLength);
  chunk.copyTo(data);
  return { data, ms: Math.round(chunk.timestamp / 1000), key: chunk.type === "key" };
}
