/** A photo by the camera: by the phone's own application, or, elsewhere, on this page. */

const element = (id) => document.getElementById(id);

/**
 * @param {HTMLInputElement} file - the field that a phone's application gives its photo to.
 * @param {function(HTMLVideoElement): Promise} take - takes what the camera sees.
 * @param {function(Error)} failed
 */
export function buildCamera(file, take, failed) {
  const onPhone = matchMedia("(pointer: coarse)").matches;
  const [dialog, video] = [element("camera"), element("camera-video")];

  const open = async () => {
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
      dialog.showModal();
      await video.play();
    } catch {
      dialog.close();
      failed(new Error("The camera cannot be used. Allow it in the browser, or choose a photo."));
    }
  };
  element("photo-camera").hidden = !onPhone && !navigator.mediaDevices; // as over plain HTTP
  element("photo-camera").addEventListener("click", () => {
    if (!onPhone) return open();
    file.capture = "user";
    file.click();
    file.removeAttribute("capture");
  });
  element("camera-take").addEventListener("click", async () => {
    await take(video);
    dialog.close();
  });
  element("camera-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
  });
}
