// No module, so that it runs where modules do not: opened as a file, the page can only say so.

if (location.protocol === "file:") {
  const error = document.getElementById("error");
  error.textContent =
    "This page needs a web server: browsers load nothing from a folder. In its folder, run " +
    "python3 -m http.server and open http://localhost:8000, or copy it to a web host.";
  error.hidden = false;
}
