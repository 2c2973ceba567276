// The steps that a flow took, kept in session storage so that the list survives
// the redirect to the provider and back. Texts never hold a code, token or key.
import { byId, el } from "./view.js";

/** @typedef {"front" | "back" | "inside"} Channel */
/** @typedef {{text: string, spec?: string, channel?: Channel}} Step */

const key = "oidclab.steps";
const channels = { front: "front channel", back: "back channel", inside: "inside the browser" };

/** The list, where the browser refuses session storage. */
let fallback = /** @type {Step[]} */ ([]);

/** @returns {Step[]} */
function load() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(key) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return fallback;
  }
}

/** @param {Step[]} steps */
function save(steps) {
  fallback = steps;
  try {
    sessionStorage.setItem(key, JSON.stringify(steps));
  } catch { /* refused by the browser: the list then ends with the page */ }
}

export const steps = {
  /**
   * Notes one step, and shows it.
   * @param {string} text
   * @param {{spec?: string, channel?: Channel}} [o] channel: "front" through
   *   the browser's address bar, "back" by fetch or from server to server,
   *   "inside" one program
   */
  add(text, { spec, channel = "inside" } = {}) {
    save([...load(), { text, spec, channel }]);
    steps.show();
  },
  list: load,
  /** Begins a new list: a flow calls it first. */
  clear() {
    save([]);
    steps.show();
  },
  show() {
    const items = load().map(({ text, spec, channel }) => {
      const kind = channels[/** @type {Channel} */ (channel)] ?? channels.inside;
      const about = [kind, spec].filter(Boolean).join(" · ");
      return el("li", { "data-channel": channel ?? "inside" }, text, el("br"), el("span", { class: "section" }, about));
    });
    byId("steps").replaceChildren(...items);
  },
};
