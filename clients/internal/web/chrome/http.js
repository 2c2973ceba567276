// Requests to the provider and the API, with a clear text when nobody answers.
import { FlowError } from "./errors.js";

/** @typedef {{status: number, ok: boolean, body: any, challenge: string | null, nonce: string | null}} Answer nonce: for the next DPoP proof (RFC 9449 §8) */

/**
 * Sends a request and reads JSON. It throws only when there is no answer at all
 * or none that is JSON; what a status means is the caller's to say.
 * @param {string} party "The provider", "The API", …: who is called
 * @param {string} url
 * @param {RequestInit} [init]
 * @returns {Promise<Answer>}
 */
export async function requestJSON(party, url, init = {}) {
  let response;
  try {
    // Cookies stay out of it: what a caller may do depends on the token alone.
    response = await fetch(url, { credentials: "omit", cache: "no-store", ...init });
  } catch {
    // fetch tells no script why: down, refused by CORS and blocked by the
    // page's own policy look alike. CORS has no say within one origin.
    const { origin } = new URL(url, location.href);
    throw new FlowError("unreachable", {
      title: `${party} could not be reached`,
      detail: origin === location.origin
        ? `The browser got no answer from ${origin}. Try again once it runs.`
        : `The browser got no answer from ${origin} that this page may read. ` +
          "Either it is not running, or what answered there carries no CORS headers for this page's origin; the browser's console says which. Try again once it runs.",
    });
  }
  const text = await response.text();
  let body = null;
  try {
    body = text === "" ? null : JSON.parse(text);
  } catch {
    if (response.ok) throw new FlowError("not-json", { title: `${party} answered something else than JSON`, arrived: `status ${response.status}` });
  }
  return { status: response.status, ok: response.ok, body, challenge: response.headers.get("WWW-Authenticate"), nonce: response.headers.get("DPoP-Nonce") };
}

/**
 * The error that a token, userinfo or metadata answer brought (RFC 6749 §5.2).
 * @param {string} party
 * @param {Answer} answer
 * @param {string} [section]
 */
export function answerError(party, { status, body }, section) {
  const code = typeof body?.error === "string" ? body.error : `status-${status}`;
  const arrived = [`status ${status}`, body?.error, body?.error_description].filter(Boolean).join(": ");
  if (status >= 500) {
    return new FlowError("unavailable", { title: `${party} is not working at the moment`, detail: "What this page holds stays valid; try again.", arrived });
  }
  return new FlowError(code, { title: `${party} refused the request`, arrived, section });
}
