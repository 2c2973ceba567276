// Runs an authorization request in a hidden frame: the parent's half of silent
// renewal. The other half is the client's own silent.js.
import { FlowError } from "./errors.js";

/**
 * Opens the provider's address in a frame and waits for the page at
 * redirect_uri, which is of this origin, to pass on what it was given.
 * @param {string} url the authorization request, with prompt=none
 * @param {{timeout?: number}} [o] milliseconds
 * @returns {Promise<string>} location.search or location.hash of the frame's last page
 */
export async function authorizeInFrame(url, { timeout = 10_000 } = {}) {
  const frame = document.createElement("iframe");
  frame.hidden = true;
  frame.title = "silent renewal";
  // The provider's page may run and keep its cookie, but not move this page.
  frame.setAttribute("sandbox", "allow-scripts allow-same-origin");
  const { promise, resolve, reject } = /** @type {PromiseWithResolvers<string>} */ (Promise.withResolvers());
  const listen = (/** @type {MessageEvent} */ event) => {
    // Any window can post here. Only this page's own origin, in this very
    // frame, may answer. RFC 10017 §6.3.3.3, RFC 9700 §4.17.
    if (event.origin !== location.origin || event.source !== frame.contentWindow) return;
    if (typeof event.data?.authorizationResponse === "string") resolve(event.data.authorizationResponse);
  };
  const timer = setTimeout(() => reject(new FlowError("timeout", {
    title: "The silent renewal got no answer",
    detail: `Within ${timeout / 1000} seconds the frame did not come back from the provider. Either the provider cannot be reached, ` +
      "or it showed an error or another page of its own, which a frame cannot show. Sign in with a full redirect.",
    section: "OpenID Connect Core §3.1.2.1 (prompt)",
  })), timeout);
  addEventListener("message", listen);
  try {
    frame.src = url;
    document.body.append(frame);
    return await promise;
  } finally {
    clearTimeout(timer);
    removeEventListener("message", listen);
    frame.remove();
  }
}
