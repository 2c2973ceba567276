// Watches the provider's session while this page is open: the client's half of
// OpenID Connect Session Management 1.0 §3.1. The other half is the provider's
// page at its check_session_iframe, which this page has in a hidden frame and
// asks, over and over, whether the session is still the one of the sign-in.
// Only the frame may read the provider's cookie; it answers with one word.
import { FlowError } from "/chrome/errors.js";

/**
 * page: the provider's page to ask; state: session_state, which it compares.
 * @typedef {{page: string, state: string}} Session
 */

/** Milliseconds from one question to the next, and how long an answer may take. */
const interval = 2000, patience = 5000;

/**
 * 1. What there is to watch: nothing, unless the provider has such a page and
 *    its answer to the sign-in brought a session_state. §2, §3.3.
 * @param {any} provider its metadata
 * @param {URLSearchParams} params the authorization response
 * @returns {Session | null}
 */
export function sessionOf(provider, params) {
  const page = provider.check_session_iframe, state = params.get("session_state");
  return page && state ? { page, state } : null;
}

/**
 * @typedef {object} Watched
 * @property {string} clientID
 * @property {() => Session | null} session what the page's sign-in brought; null when there is none
 * @property {() => Promise<unknown>} renew asks with prompt=none, and takes the new session_state
 * @property {() => void} ended the user has signed out at the provider
 * @property {(text: string) => void} tell says on the page how it goes
 */

/**
 * 2. Open the frame, and ask until the page's sign-in or the watching is over.
 * @param {Watched} watched
 */
export async function watchSession({ clientID, session, renew, ended, tell }) {
  const first = session();
  if (!first) return;
  const frame = await openFrame(first.page);
  try {
    let last = ""; // what the frame said before
    let seen = false; // whether it could see the session at all
    for (let held = session(); held; held = session()) {
      const answer = await ask(frame, clientID, held);
      if (session()?.state !== held.state) continue; // renewed or signed out meanwhile
      if (answer === "unchanged") {
        seen = true;
        tell(`This page asks a frame of the provider's every ${interval / 1000} seconds whether you are still signed in there.`);
      } else if (answer === "changed" && last !== "changed") {
        const over = await outcome(renew);
        // 6. "No session" counts only if the frame has seen one before. Where the
        //    provider's cookies are blocked in frames it never does, and signing
        //    out would be wrong.
        if (over === "login_required" && seen) return ended();
        if (over) return tell(cannot(over));
      } else {
        // 7. "error" is for good (§3.1), and so is "changed" of what was new a
        //    moment ago. To go on asking would be a loop.
        return tell(cannot(answer));
      }
      last = answer;
      await new Promise((resolve) => setTimeout(resolve, interval));
    }
  } finally {
    frame.remove();
  }
}

/** @param {string} why */
const cannot = (why) => `This page cannot watch your session at the provider (${why}): it will not notice when you sign out there. ` +
  "Where the provider is on another site than this page, its cookie is a third-party cookie, which browsers keep from its frame.";

/**
 * 3. The frame. The provider's page may run and read its cookie, but not move
 *    this page.
 * @param {string} page
 */
async function openFrame(page) {
  const frame = document.createElement("iframe");
  frame.hidden = true;
  frame.title = "session at the provider";
  frame.setAttribute("sandbox", "allow-scripts allow-same-origin");
  const loaded = new Promise((resolve) => {
    frame.addEventListener("load", resolve, { once: true });
    setTimeout(resolve, patience); // the first question then gets no answer
  });
  frame.src = page;
  document.body.append(frame);
  await loaded;
  return frame;
}

/**
 * 4. The question is client_id, a space and session_state. It goes to the
 *    provider's origin only, and only that origin, in this very frame, may
 *    answer: any window can post here. §3.1.
 * @param {HTMLIFrameElement} frame
 * @param {string} clientID
 * @param {Session} held
 * @returns {Promise<string>} "unchanged", "changed", or why there is neither
 */
async function ask(frame, clientID, { page, state }) {
  const origin = new URL(page).origin;
  const { promise, resolve } = /** @type {PromiseWithResolvers<string>} */ (Promise.withResolvers());
  const listen = (/** @type {MessageEvent} */ event) => {
    if (event.origin === origin && event.source === frame.contentWindow) resolve(String(event.data));
  };
  const timer = setTimeout(() => resolve("no answer"), patience);
  addEventListener("message", listen);
  try {
    frame.contentWindow?.postMessage(`${clientID} ${state}`, origin);
    const answer = await promise;
    return ["unchanged", "changed", "no answer"].includes(answer) ? answer : "error";
  } finally {
    clearTimeout(timer);
    removeEventListener("message", listen);
  }
}

/**
 * 5. "changed" may mean a new session of the same user, such as after a sign-in
 *    at another application. Only the provider knows: prompt=none asks it. §3.1,
 *    OpenID Connect Core §3.1.2.1.
 * @param {() => Promise<unknown>} renew
 * @returns {Promise<string>} "" if the same user is signed in, or why not
 */
async function outcome(renew) {
  try {
    await renew();
    return "";
  } catch (error) {
    if (!(error instanceof FlowError)) throw error;
    // Another user in place of this one: this one is no longer signed in.
    return error.code === "sub" ? "login_required" : error.code;
  }
}
