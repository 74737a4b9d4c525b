// Keeps the site in the browser, so that a second visit needs no network. `stylert web` writes SITE
// above: a version, which is another one when any file is, and the names of what a visit needs.

const NAME = `stylert ${registration.scope} ${SITE.version}`;

addEventListener("install", (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(SITE.files)));
});

addEventListener("activate", (event) => {
  event.waitUntil(removeOthers());
});

addEventListener("fetch", (event) => {
  const { url, method } = event.request;
  if (method === "GET" && url.startsWith(registration.scope)) event.respondWith(answer(event.request));
});

/** From what is kept, else from the network; then it is kept. */
async function answer(request) {
  const cache = await caches.open(NAME);
  const kept = await cache.match(request, { ignoreSearch: true });
  if (kept) return kept;
  const fresh = await fetch(request);
  if (fresh.ok) await cache.put(request, fresh.clone());
  return fresh;
}

/** Remove what earlier versions of this site have kept. */
async function removeOthers() {
  const ours = (await caches.keys()).filter((name) => name.startsWith(`stylert ${registration.scope} `));
  await Promise.all(ours.filter((name) => name !== NAME).map((name) => caches.delete(name)));
}
