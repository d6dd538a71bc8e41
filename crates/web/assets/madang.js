// Makes pages live. Every page works without it.
"use strict";

// Times left, counted on the server's clock: a phone that is wrong or slept changes nothing.
for (const timer of document.querySelectorAll("[data-countdown]")) {
  const ends = Date.parse(timer.dataset.countdown);
  const skew = Date.parse(timer.dataset.now) - Date.now();
  const label = timer.innerHTML;
  const left = document.createElement("span");
  timer.append(" ", left);
  timer.setAttribute("aria-live", "off");
  const two = (number) => String(number).padStart(2, "0");
  const tick = () => {
    const s = Math.max(0, Math.ceil((ends - Date.now() - skew) / 1000));
    const days = Math.floor(s / 86400);
    left.textContent = `(${days ? `${days}d ` : ""}${two(Math.floor(s / 3600) % 24)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)})`;
    if (s > 0) return void setTimeout(tick, 250);
    timer.dispatchEvent(new Event("ended", { bubbles: true }));
    // A moment spread over a second and a half, so that a crowd does not come back in one.
    if ("reload" in timer.dataset && label) setTimeout(() => location.reload(), 500 + Math.random() * 1500);
  };
  if (ends - Date.now() - skew > 0) tick();
}

// A button that was pressed says so, and is not pressed twice.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    form.setAttribute("aria-busy", "true");
    // After this turn: a disabled button's own value would not be sent.
    setTimeout(() => form.querySelectorAll("button").forEach((button) => { button.disabled = true; }));
  });
}
// Back in the history shows the page as it was left.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.removeAttribute("aria-busy");
    form.querySelectorAll("button").forEach((button) => { button.disabled = false; });
  }
});

// Remaining places as they change. Numbers only: words stay those of the page.
for (const place of document.querySelectorAll("[data-live]")) {
  const numbers = (element, remaining, capacity) => {
    let nth = 0;
    element.textContent = element.textContent.replace(/\d+/g, (old) => [remaining, capacity][nth++] ?? old);
  };
  const state = document.querySelector("[data-state]");
  const stream = new EventSource(place.dataset.live);
  const seen = (event) => {
    const now = JSON.parse(event.data);
    if (typeof now.remaining === "number") numbers(place, now.remaining, now.capacity);
    for (const { code, remaining } of now.courses ?? []) {
      const line = document.querySelector(`[data-course="${CSS.escape(code)}"]`);
      if (line) numbers(line, remaining);
    }
    // Spread as above: all who watch hear of it in the same moment.
    const changed = state && now.state && !state.classList.contains(now.state);
    if (changed && !place.dataset.left) {
      place.dataset.left = "1";
      setTimeout(() => location.reload(), Math.random() * 1500);
    }
  };
  stream.onmessage = seen;
  stream.addEventListener("race", seen);
  // Where there is no stream, the page stays as it is.
  stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) stream.close(); };
}
