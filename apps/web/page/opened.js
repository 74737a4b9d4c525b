// No module, so that it runs where modules do not: a page that cannot be opened says why.

(() => {
  if (location.protocol === "file:") {
    tell(
      "This page needs a web server: browsers load nothing from a folder. In its folder, run " +
        "python3 -m http.server and open http://localhost:8000, or copy it to a web host.",
    );
  } else {
    addEventListener("error", blame, true); // those of elements, too
  }

  /** Of a script that is missing, cut off or of another time, browsers give no reason to a page. */
  function blame({ target, filename }) {
    const ofScript = target === window || target.tagName === "SCRIPT";
    const closed = document.getElementById("main").classList.contains("closed");
    if (!ofScript || !closed) return;
    const scripts = performance.getEntriesByType("resource").filter(({ name }) => name.endsWith(".js"));
    const lost = scripts.find(({ responseStatus }) => responseStatus >= 400);
    const url = lost?.name ?? (filename || target.src);
    const name = new URL(url, location).pathname.split("/").slice(-2).join("/");
    const what = lost ? `is missing on this server (${lost.responseStatus})` : "is cut off, changed or of another time";
    tell(`${name} ${what}. All files that 'stylert web' wrote must be there.`);
  }

  function tell(words) {
    const error = document.getElementById("error");
    error.textContent = words;
    error.hidden = false;
  }
})();
