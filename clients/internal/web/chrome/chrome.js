// What every client's page does alike: header, who is signed in, errors, what
// the client holds, the decoded ID token, the API's answer, the steps.
import { explain } from "./errors.js";
import { steps } from "./steps.js";
import { startClock, timeView } from "./time.js";
import { byId, collapsedWire, el, partsView, table, valueView } from "./view.js";
import { decode } from "./jwt.js";

export { steps } from "./steps.js";
export { FlowError } from "./errors.js";

/**
 * Something that the client holds. where: "URL", "memory", "session storage",
 * "cookie" or "backend"; expires: epoch seconds.
 * @typedef {{what: string, where: string, value?: string, expires?: number, note?: string}} Holding
 */

/**
 * Prepares the page: the way home, the ticking clock, the steps so far.
 * @param {{home?: string}} [o]
 */
export function mount({ home } = {}) {
  const link = /** @type {HTMLAnchorElement} */ (byId("home"));
  if (home) link.href = home;
  else link.hidden = true;
  startClock();
  if (document.getElementById("steps")) steps.show();
  // A page that comes back from the back-forward cache would show buttons and
  // tokens of a moment that is over.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
}

/** @param {{name?: string, sub?: string, username?: string}} user */
export function showSignedIn({ name, sub, username }) {
  const first = name || username || sub || "";
  const second = username && username !== first ? ` (${username})` : "";
  byId("who").textContent = first + second;
  document.body.dataset.state = "signed-in";
}

export function showSignedOut() {
  byId("who").textContent = "Nobody is signed in here";
  document.body.dataset.state = "signed-out";
}

/**
 * Says what went wrong. Takes an explanation, or whatever was thrown.
 * @param {import("./errors.js").Explanation | unknown} problem
 */
export function showError(problem) {
  const isExplanation = problem !== null && typeof problem === "object" && !(problem instanceof Error) && "title" in problem;
  const { title, detail, expected, arrived, section } = isExplanation ? /** @type {import("./errors.js").Explanation} */ (problem) : explain(problem);
  const facts = el("dl");
  for (const [name, value] of [["expected", expected], ["arrived", arrived]]) {
    if (value !== undefined) facts.append(el("dt", {}, name ?? ""), el("dd", { class: "wire" }, value));
  }
  const panel = byId("error");
  panel.replaceChildren(el("h3", {}, title));
  if (detail) panel.append(el("p", {}, detail));
  if (facts.childElementCount) panel.append(facts);
  if (section) panel.append(el("p", { class: "section" }, section));
  panel.classList.add("error");
  panel.hidden = false;
  document.body.dataset.error = title;
}

export function clearError() {
  byId("error").hidden = true;
  byId("error").replaceChildren();
  delete document.body.dataset.error;
}

/**
 * Says something that is no error, in #notice; "" takes it away.
 * @param {string} text
 */
export function showNotice(text) {
  const notice = byId("notice");
  notice.textContent = text;
  notice.classList.add("note");
  notice.hidden = text === "";
}

/** @param {Holding[]} list */
export function showHoldings(list) {
  const rows = list.map(({ what, where, value, expires, note }) => {
    const held = el("td");
    if (value !== undefined) held.append(valueView(value));
    if (note) held.append(el("div", { class: "muted" }, note));
    const until = el("td", { "data-label": "expires" });
    if (expires !== undefined) until.append(timeView(expires, { expiry: true }));
    return el("tr", {}, el("td", {}, what), el("td", { "data-label": "kept in" }, el("span", { class: "badge" }, where)), held, until);
  });
  byId("holdings").replaceChildren(list.length === 0
    ? el("p", { class: "muted" }, "Nothing.")
    : table(["what", "kept in", "value", "expires"], rows));
}

/**
 * Shows an ID token decoded; null clears.
 * @param {string | {header: object, payload: object} | null} token compact, or
 *   its parts where the page is not given the token itself
 */
export function showIDToken(token) {
  const place = byId("id-token");
  if (token === null) place.replaceChildren(el("p", { class: "muted" }, "None yet."));
  else if (typeof token === "string") place.replaceChildren(collapsedWire(token), ...partsView(decode(token)));
  else place.replaceChildren(...partsView(token));
}

const statusNotes = /** @type {Record<number, string>} */ ({
  401: "The API did not accept the token: expired, revoked, not meant for it, or sent without the key that it is bound to. Renew or sign in again. (RFC 6750 §3.1, RFC 9449 §7.1)",
  403: "The token is valid but does not allow this. (RFC 6750 §3.1, insufficient_scope)",
  502: "The backend could not reach the API.",
  503: "The API, or what stands before it, is not working at the moment.",
});

/**
 * Shows what the API answered.
 * @param {number} status 0 = no answer
 * @param {any} body
 * @param {string} [note] one sentence about the call, such as which token it carried
 */
export function showAPIResult(status, body, note) {
  const place = byId("api-result");
  const ok = status >= 200 && status < 300;
  const line = el("p", { class: "status", "data-kind": ok ? "ok" : "bad" }, status === 0 ? "✖ no answer" : `${ok ? "✓" : "✖"} status ${status}`);
  place.replaceChildren(line);
  for (const text of [note, ok ? undefined : statusNotes[status]]) {
    if (text) place.append(el("p", { class: "muted" }, text));
  }
  if (Array.isArray(body?.notes)) place.append(notesList(body.notes));
  else if (body !== undefined && body !== null) place.append(el("pre", { class: "token" }, typeof body === "string" ? body : JSON.stringify(body, null, 2)));
  place.dataset.status = String(status);
}

/** @param {{id?: string, text?: string, created_at?: string}[]} notes */
function notesList(notes) {
  if (notes.length === 0) return el("p", { class: "muted" }, "No notes yet.");
  return el("ul", { class: "facts" }, ...notes.map(({ text, created_at: created }) =>
    el("li", {}, text ?? "", " ", created ? el("span", { class: "section" }, new Date(created).toLocaleString()) : "")));
}

/**
 * Disables a button while a promise runs.
 * @template T
 * @param {HTMLElement} button
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
export async function busy(button, promise) {
  button.setAttribute("disabled", "");
  button.setAttribute("aria-busy", "true");
  try {
    return await promise;
  } finally {
    button.removeAttribute("disabled");
    button.removeAttribute("aria-busy");
  }
}

/** Counts a renewal in body[data-renewals]. */
export function countRenewal() {
  document.body.dataset.renewals = String(Number(document.body.dataset.renewals ?? 0) + 1);
}

/**
 * Wires a button: clears the last error, runs, shows what went wrong. A press
 * while it runs does nothing, since the button is disabled.
 * @param {string} id
 * @param {() => Promise<unknown>} action
 */
export function onPress(id, action) {
  const button = byId(id);
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    clearError();
    showNotice("");
    try {
      await busy(button, action());
    } catch (error) {
      showError(error);
    }
  });
}
