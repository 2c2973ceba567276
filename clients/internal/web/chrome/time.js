// Times: local time with "in 4 min 10 s" beside it, ticking.

/**
 * "in 4 min 10 s", "expired 12 s ago" or "12 s ago".
 * @param {number} epoch seconds
 * @param {number} now seconds
 * @param {boolean} [expiry] whether the moment is an expiry
 */
export function fromNow(epoch, now, expiry = false) {
  const left = Math.round(epoch - now);
  if (left === 0) return "now";
  const s = Math.abs(left);
  const units = /** @type {[number, string][]} */ ([
    [Math.floor(s / 86400), "d"], [Math.floor(s / 3600) % 24, "h"], [Math.floor(s / 60) % 60, "min"], [s % 60, "s"],
  ]);
  const first = units.findIndex(([n]) => n > 0);
  const text = units.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}`).join(" ");
  if (left > 0) return `in ${text}`;
  return expiry ? `expired ${text} ago` : `${text} ago`;
}

/**
 * A <time> in local time, followed by how far it is from now.
 * @param {number} epoch seconds
 * @param {{expiry?: boolean}} [o]
 */
export function timeView(epoch, { expiry = false } = {}) {
  const view = document.createElement("span");
  if (!Number.isFinite(epoch) || Math.abs(epoch) > 8.64e12) { // beyond what Date can hold
    view.textContent = String(epoch);
    return view;
  }
  const date = new Date(epoch * 1000);
  const time = document.createElement("time");
  time.dateTime = date.toISOString();
  const today = date.toDateString() === new Date().toDateString();
  time.textContent = today ? date.toLocaleTimeString() : date.toLocaleString();
  const until = document.createElement("span");
  until.className = "until";
  until.dataset.epoch = String(epoch);
  if (expiry) until.dataset.expiry = "";
  view.append(time, " ", until);
  tick(until);
  return view;
}

/** @param {HTMLElement} until */
function tick(until) {
  const text = `(${fromNow(Number(until.dataset.epoch), Date.now() / 1000, "expiry" in until.dataset)})`;
  if (until.textContent !== text) until.textContent = text;
}

/** Keeps every shown "in …" right, once a second. */
export function startClock() {
  setInterval(() => {
    for (const until of document.querySelectorAll(".until")) tick(/** @type {HTMLElement} */ (until));
  }, 1000);
}
